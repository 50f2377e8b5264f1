// What the kernels share that write means over tokens: how many tokens a sample has, and where its mean goes.
// The importing kernel declares `params` with tokens, width, counts and has_counts, and `counts` and `out`.

#import common/view
#import common/four

// Tokens of a sample that count: its first ones.
fn token_count(sample: u32) -> u32 {
    if params.has_counts == 0u {
        return params.tokens;
    }
    return min(counts[row_start(params.counts, sample)], params.tokens);
}

// Stores four columns of a mean at the row that starts at `start`; of no token it is 0.
fn store_mean(start: u32, column: u32, sum: vec4<f32>, count: u32) {
    let mean = sum / f32(max(count, 1u));
    let at = start + column;
    let there = places(column, params.width);
#if VEC4
    if 0u < there { out[at >> 2u] = words_of(mean); }
#else
    if 0u < there { out[at] = mean.x; }
    if 1u < there { out[at + 1u] = mean.y; }
    if 2u < there { out[at + 2u] = mean.z; }
    if 3u < there { out[at + 3u] = mean.w; }
#endif
}

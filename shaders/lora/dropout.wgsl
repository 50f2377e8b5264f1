// Dropout of x: a number is kept where its draw is not below the threshold, and then grows by 1 / (1 − p). Draws depend on
// seed, step, row and column alone and are never stored: `down`, `outer` and `up` draw the same ones again.
// The importing kernel has `params.dropout`. Twin: `dropped` in src/lora/twin.rs. Host side: `Dropped` in src/lora/kernels.rs.

#if DROPOUT
#import common/rng
#endif

struct Dropped {
    seed_low: u32,
    seed_high: u32,
    step: u32,
    threshold: u32, // p · 2³², rounded up
    row_low: u32,   // of the dispatch's first row
    row_high: u32,
    scale: f32,     // 1 / (1 − p)
    pad: u32,
}

#if DROPOUT
const PURPOSE_DROPOUT = 3u;

// Columns `column` (a multiple of four) to `column + 3` of a row.
fn dropped(four: vec4<f32>, row: u32, column: u32) -> vec4<f32> {
    let low = params.dropout.row_low + row;
    let high = params.dropout.row_high + select(0u, 1u, low < row);
    let seed = vec2<u32>(params.dropout.seed_low, params.dropout.seed_high);
    let draws = draw4(seed, PURPOSE_DROPOUT, vec2<u32>(low, high), params.dropout.step, column >> 2u);
    return select(vec4<f32>(), params.dropout.scale * four, draws >= vec4<u32>(params.dropout.threshold));
}
#endif

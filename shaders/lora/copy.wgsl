// out[row] = y[row], word by word: what an injection is then added to. Bits stay, of NaN too; beside an odd width of halves the other half
// of a row's last word keeps its bits.
//
// y, out: [rows, width] of f32, or of halves two to a word. VEC4: f32, and all start and step by multiples of four. One invocation per
// row and four words, words fastest; no loop.

#import common/view
#import common/four

struct Params {
    y: Rows,
    out: Rows,
    rows: u32,
    words: u32,   // of a row, the odd half's too
    halves: u32,  // 1: elements are halves
    is_odd: u32,  // a row ends in the middle of a word
}

@group(0) @binding(0) var<uniform> params: Params;
#if VEC4
@group(0) @binding(1) var<storage, read> y: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;
#else
@group(0) @binding(1) var<storage, read> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

fn copy(source: u32, to: u32, is_half: bool) {
    let word = y[source];
    if is_half {
        out[to] = (out[to] & 0xffff0000u) | (word & 0xffffu);
    } else {
        out[to] = word;
    }
}
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let fours = (params.words + 3u) / 4u;
    let row = index / fours;
    if row >= params.rows {
        return;
    }
    let word = (index - row * fours) * 4u;
    let source = (row_start(params.y, row) >> params.halves) + word;
    let to = (row_start(params.out, row) >> params.halves) + word;
#if VEC4
    out[to >> 2u] = y[source >> 2u];
#else
    let there = places(word, params.words);
    let is_odd = params.is_odd != 0u && word + there == params.words;
    copy(source, to, is_odd && there == 1u);
    if 1u < there { copy(source + 1u, to + 1u, is_odd && there == 2u); }
    if 2u < there { copy(source + 2u, to + 2u, is_odd && there == 3u); }
    if 3u < there { copy(source + 3u, to + 3u, is_odd && there == 4u); }
#endif
}

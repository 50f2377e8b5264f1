// out[row, n] = stored[row, n]: A, b_t and bias from halves to f32, once a call and exactly, so that the maps, which read
// them again and again, know one type of weights.
//
// stored: [rows, width], two to a word, every row from a whole word on; out: [rows, width], contiguous.
// One invocation per word; no loop. Twin: `unpack_f16`, `unpack_bf16` in src/common/pack.rs.

#import common/view
#import common/pack

struct Params {
    stored: Rows,
    rows: u32,
    width: u32,
    out_start: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stored: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let words = (params.width + 1u) / 2u;
    let row = index / words;
    if row >= params.rows {
        return;
    }
    let column = (index - row * words) * 2u;
    let pair = unpack_$HALF(stored[(row_start(params.stored, row) + column) >> 1u]);
    let at = params.out_start + row * params.width + column;
    out[at] = pair.x;
    if column + 1u < params.width {
        out[at + 1u] = pair.y;
    }
}

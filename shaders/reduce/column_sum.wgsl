// First stage of a sum over rows: partial[chunk, n] = Σ_{row in chunk} x[row, n].
//
// x: [rows, width], HALF: two to a word; partial: [chunks, width], contiguous.
// One invocation per (chunk, n); loops chunk_rows, upwards. Twin: `column_sum` in src/gpu/reduce.rs.

#import common/view
#if HALF
#import common/pack
#endif

struct Params {
    x: Rows,
    rows: u32,
    width: u32,
    partial_start: u32,
    chunk_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if HALF
@group(0) @binding(1) var<storage, read> x: array<u32>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

fn load_x(at: u32) -> f32 {
#if HALF
    let pair = unpack_$HALF(x[at >> 1u]);
    return select(pair.x, pair.y, (at & 1u) == 1u);
#else
    return x[at];
#endif
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let chunk = quotient(index, params.width);
    let column = index - chunk * params.width;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    var sum = 0.0;
    for (var row = first; row < min(first + params.chunk_rows, params.rows); row++) {
        sum += load_x(row_start(params.x, row) + column);
    }
    partials[params.partial_start + index] = sum;
}

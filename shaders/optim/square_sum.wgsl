// First stage of a squared norm: partial[chunk] = Σ_{i in chunk} x[i]², i over the elements of a view in row order.
//
// x: [rows, width]; partial: [chunks], contiguous, from `partial_start`.
// One invocation per chunk; loops chunk_len, upwards, with fma. Twin: `square_norm` in src/optim/twin.rs.

#import common/view

struct Params {
    x: Rows,
    count: u32,
    width: u32,
    chunk_len: u32,
    partial_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = flat_group(group, groups) * 64u + lane;
    let first = chunk * params.chunk_len;
    if first >= params.count {
        return;
    }
    var sum = 0.0;
    for (var i = first; i < min(first + params.chunk_len, params.count); i++) {
        let row = quotient(i, params.width);
        let value = x[row_start(params.x, row) + i - row * params.width];
        sum = fma(value, value, sum);
    }
    partials[params.partial_start + chunk] = sum;
}

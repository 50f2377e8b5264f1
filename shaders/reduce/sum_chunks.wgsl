// Second stage of every sum over rows: out[i] = factor · (scale · Σ_c partial[c][i]), chunks in index order.
// ACCUMULATE adds to what out holds.
//
// partial: [chunks, rows · width], contiguous; out: [rows, width].
// One invocation per output element; loops `chunks` times.
// The order of the sum depends on the batch's shape only. Twin: `sum_chunks` in src/gpu/reduce.rs.

#import common/view

struct Params {
    out: Rows,
    rows: u32,
    width: u32,
    chunks: u32,
    partial_start: u32,
    scale: f32,
    factor: f32, // a knob, or 1
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let count = params.rows * params.width;
    if index >= count {
        return;
    }
    var sum = 0.0;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
        sum += partials[params.partial_start + chunk * count + index];
    }
    sum = params.factor * (params.scale * sum);
    let row = quotient(index, params.width);
    let at = row_start(params.out, row) + index - row * params.width;
#if ACCUMULATE
    out[at] += sum;
#else
    out[at] = sum;
#endif
}

// First stage of dW: partial[chunk, n, k] = Σ_{row in chunk} dy[row, n] · x[row, k].
//
// dy: [rows, outputs]; x: [rows, inputs]; partial: [chunks, outputs, inputs], contiguous.
// One invocation per (chunk, n, 4 inputs); loops chunk_rows, upwards, with fma.
// Chunks count from row 0 of the batch. Twin: `outer` in src/linear/twin.rs.

#import common/view

struct Params {
    dy: Rows,
    x: Rows,
    rows: u32,
    outputs: u32,
    inputs: u32,
    partial_start: u32,
    chunk_rows: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let quads = (params.inputs + 3u) / 4u;
    let line = index / quads; // chunk · outputs + n
    let chunk = line / params.outputs;
    let output = line - chunk * params.outputs;
    let input = (index - line * quads) * 4u;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    let last = params.inputs - 1u;
    var sums = vec4<f32>(0.0);
    for (var row = first; row < end; row++) {
        let at = row_start(params.x, row);
        // Inputs past the end repeat the last one; they are not stored.
        let inputs = vec4<f32>(x[at + input], x[at + min(input + 1u, last)], x[at + min(input + 2u, last)], x[at + min(input + 3u, last)]);
        sums = fma(vec4<f32>(dy[row_start(params.dy, row) + output]), inputs, sums);
    }
    let at = params.partial_start + line * params.inputs + input;
    for (var j = 0u; j < 4u; j++) {
        if input + j < params.inputs {
            partials[at + j] = sums[j];
        }
    }
}

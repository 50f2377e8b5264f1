// First stage of dW: partial[chunk, n, k] = Σ_{row in chunk} dy[row, n] · x[row, k].
//
// dy: [rows, outputs]; x: [rows, inputs]; partial: [chunks, outputs, inputs], contiguous.
// One invocation per (chunk, 4 outputs, 4 inputs); loops chunk_rows, upwards, with fma.
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
    let input_tiles = (params.inputs + 3u) / 4u;
    let output_tiles = (params.outputs + 3u) / 4u;
    let line = index / input_tiles; // chunk · output tiles + output tile
    let chunk = line / output_tiles;
    let first_output = (line - chunk * output_tiles) * 4u;
    let first_input = (index - line * input_tiles) * 4u;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    // Outputs and inputs past the end repeat the last one; they are not stored.
    let output = four_from(first_output, params.outputs);
    let input = four_from(first_input, params.inputs);
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var row = first; row < end; row++) {
        let x_at = input + vec4<u32>(row_start(params.x, row));
        let dy_at = output + vec4<u32>(row_start(params.dy, row));
        let inputs = vec4<f32>(x[x_at.x], x[x_at.y], x[x_at.z], x[x_at.w]);
        sum0 = fma(vec4<f32>(dy[dy_at.x]), inputs, sum0);
        sum1 = fma(vec4<f32>(dy[dy_at.y]), inputs, sum1);
        sum2 = fma(vec4<f32>(dy[dy_at.z]), inputs, sum2);
        sum3 = fma(vec4<f32>(dy[dy_at.w]), inputs, sum3);
    }
    let sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
    for (var i = 0u; i < 4u; i++) {
        if first_output + i < params.outputs {
            let at = params.partial_start + (chunk * params.outputs + first_output + i) * params.inputs + first_input;
            for (var j = 0u; j < 4u; j++) {
                if first_input + j < params.inputs {
                    partials[at + j] = sums[i][j];
                }
            }
        }
    }
}

// y[row, n] = Σ_k x[row, k] · W(n, k) [+ bias[n]], one register tile of 4 rows × 4 outputs per invocation.
// W is read through two strides, so the same kernel gives the forward (W[n, k]) and dx (Wᵀ).
// ACCUMULATE adds to what y holds.
//
// x: [rows, k]; w: any; bias: [n]; y: [rows, n].
// Workgroup: 8 × 8 invocations, a tile of 32 rows × 32 outputs. Loops k times.
// The sum over k runs from 0 upwards with fma, whatever the batch: a row alone gives the same bits.
// Twin: `rows` in src/linear/twin.rs.

#import common/view

struct Params {
    x: Rows,
    y: Rows,
    rows: u32,
    outputs: u32,
    inputs: u32,
    w_start: u32,
    w_output_stride: u32,
    w_input_stride: u32,
    bias_start: u32,
    tiles_per_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = flat_group(group, groups);
    let tile_row = tile / params.tiles_per_row;
    let first_row = tile_row * 32u + (lane >> 3u) * 4u;
    let first_output = (tile - tile_row * params.tiles_per_row) * 32u + (lane & 7u) * 4u;
    if first_row >= params.rows || first_output >= params.outputs {
        return;
    }
    // Rows and outputs past the end repeat the last one; they are not stored.
    let x_at = row_starts(params.x, four_from(first_row, params.rows));
    let w_at = params.w_start + four_from(first_output, params.outputs) * params.w_output_stride;
    var sums: array<vec4<f32>, 4>;
    for (var k = 0u; k < params.inputs; k++) {
        let at = w_at + k * params.w_input_stride;
        let weights = vec4<f32>(w[at.x], w[at.y], w[at.z], w[at.w]);
        sums[0] = fma(vec4<f32>(x[x_at.x + k]), weights, sums[0]);
        sums[1] = fma(vec4<f32>(x[x_at.y + k]), weights, sums[1]);
        sums[2] = fma(vec4<f32>(x[x_at.z + k]), weights, sums[2]);
        sums[3] = fma(vec4<f32>(x[x_at.w + k]), weights, sums[3]);
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + i;
        if row < params.rows {
            let at = row_start(params.y, row);
            for (var j = 0u; j < 4u; j++) {
                let output = first_output + j;
                if output < params.outputs {
                    var value = sums[i][j];
#if BIAS
                    value += bias[params.bias_start + output];
#endif
#if ACCUMULATE
                    value += y[at + output];
#endif
                    y[at + output] = value;
                }
            }
        }
    }
}

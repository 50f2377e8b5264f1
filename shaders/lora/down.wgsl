// h[row, j] = Σ_k x[row, k] · A[j, k], one register tile of 4 rows × 4 ranks per invocation.
// The backward's u = dy · B is the same with b_t in place of A.
//
// x: [rows, inputs]; a: [rank, inputs]; h: [rows, rank].
// Workgroup: 64 invocations over (row tile, rank tile), rank tiles fastest, so that small ranks leave no lane idle.
// Loops `inputs` times, upwards, with fma, whatever the batch: a row alone gives the same bits.
// Twin: `down` in src/lora/twin.rs.

#import common/view

struct Params {
    x: Rows,
    h: Rows,
    rows: u32,
    rank: u32,
    inputs: u32,
    a_start: u32,
    a_stride: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let rank_tiles = (params.rank + 3u) / 4u;
    let row_tile = index / rank_tiles;
    let first_row = row_tile * 4u;
    let first_rank = (index - row_tile * rank_tiles) * 4u;
    if first_row >= params.rows {
        return;
    }
    // Rows and ranks past the end repeat the last one; they are not stored.
    var x_at: array<u32, 4>;
    var a_at: array<u32, 4>;
    for (var i = 0u; i < 4u; i++) {
        x_at[i] = row_start(params.x, min(first_row + i, params.rows - 1u));
        a_at[i] = params.a_start + min(first_rank + i, params.rank - 1u) * params.a_stride;
    }
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var k = 0u; k < params.inputs; k++) {
        let weights = vec4<f32>(a[a_at[0] + k], a[a_at[1] + k], a[a_at[2] + k], a[a_at[3] + k]);
        sum0 = fma(vec4<f32>(x[x_at[0] + k]), weights, sum0);
        sum1 = fma(vec4<f32>(x[x_at[1] + k]), weights, sum1);
        sum2 = fma(vec4<f32>(x[x_at[2] + k]), weights, sum2);
        sum3 = fma(vec4<f32>(x[x_at[3] + k]), weights, sum3);
    }
    let sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + i;
        if row < params.rows {
            let at = row_start(params.h, row) + first_rank;
            for (var j = 0u; j < 4u; j++) {
                if first_rank + j < params.rank {
                    h[at + j] = sums[i][j];
                }
            }
        }
    }
}

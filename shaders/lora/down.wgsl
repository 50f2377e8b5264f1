// h[row, j] = Σ_k x[row, k] · A[j, k], one register tile of 8 rows × 8 ranks per invocation.
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
    let rank_tiles = (params.rank + 7u) / 8u;
    let row_tile = index / rank_tiles;
    let first_row = row_tile * 8u;
    let first_rank = (index - row_tile * rank_tiles) * 8u;
    if first_row >= params.rows {
        return;
    }
    let upper = row_starts(params.x, four_from(first_row, params.rows));
    let lower = row_starts(params.x, four_from(first_row + 4u, params.rows));
    let left = params.a_start + four_from(first_rank, params.rank) * params.a_stride;
    let right = params.a_start + four_from(first_rank + 4u, params.rank) * params.a_stride;
    var left0 = vec4<f32>(0.0);
    var right0 = vec4<f32>(0.0);
    var left1 = vec4<f32>(0.0);
    var right1 = vec4<f32>(0.0);
    var left2 = vec4<f32>(0.0);
    var right2 = vec4<f32>(0.0);
    var left3 = vec4<f32>(0.0);
    var right3 = vec4<f32>(0.0);
    var left4 = vec4<f32>(0.0);
    var right4 = vec4<f32>(0.0);
    var left5 = vec4<f32>(0.0);
    var right5 = vec4<f32>(0.0);
    var left6 = vec4<f32>(0.0);
    var right6 = vec4<f32>(0.0);
    var left7 = vec4<f32>(0.0);
    var right7 = vec4<f32>(0.0);
    for (var k = 0u; k < params.inputs; k++) {
        let a_left = vec4<f32>(a[left.x + k], a[left.y + k], a[left.z + k], a[left.w + k]);
        let a_right = vec4<f32>(a[right.x + k], a[right.y + k], a[right.z + k], a[right.w + k]);
        let x0 = vec4<f32>(x[upper.x + k]);
        left0 = fma(x0, a_left, left0);
        right0 = fma(x0, a_right, right0);
        let x1 = vec4<f32>(x[upper.y + k]);
        left1 = fma(x1, a_left, left1);
        right1 = fma(x1, a_right, right1);
        let x2 = vec4<f32>(x[upper.z + k]);
        left2 = fma(x2, a_left, left2);
        right2 = fma(x2, a_right, right2);
        let x3 = vec4<f32>(x[upper.w + k]);
        left3 = fma(x3, a_left, left3);
        right3 = fma(x3, a_right, right3);
        let x4 = vec4<f32>(x[lower.x + k]);
        left4 = fma(x4, a_left, left4);
        right4 = fma(x4, a_right, right4);
        let x5 = vec4<f32>(x[lower.y + k]);
        left5 = fma(x5, a_left, left5);
        right5 = fma(x5, a_right, right5);
        let x6 = vec4<f32>(x[lower.z + k]);
        left6 = fma(x6, a_left, left6);
        right6 = fma(x6, a_right, right6);
        let x7 = vec4<f32>(x[lower.w + k]);
        left7 = fma(x7, a_left, left7);
        right7 = fma(x7, a_right, right7);
    }
    store(first_row, first_rank, left0, right0);
    store(first_row + 1u, first_rank, left1, right1);
    store(first_row + 2u, first_rank, left2, right2);
    store(first_row + 3u, first_rank, left3, right3);
    store(first_row + 4u, first_rank, left4, right4);
    store(first_row + 5u, first_rank, left5, right5);
    store(first_row + 6u, first_rank, left6, right6);
    store(first_row + 7u, first_rank, left7, right7);
}

// Eight ranks of a row, those that exist.
fn store(row: u32, rank: u32, left: vec4<f32>, right: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    let at = row_start(params.h, row) + rank;
    let count = params.rank - rank;
    h[at] = left.x;
    if 1u < count { h[at + 1u] = left.y; }
    if 2u < count { h[at + 2u] = left.z; }
    if 3u < count { h[at + 3u] = left.w; }
    if 4u < count { h[at + 4u] = right.x; }
    if 5u < count { h[at + 5u] = right.y; }
    if 6u < count { h[at + 6u] = right.z; }
    if 7u < count { h[at + 7u] = right.w; }
}

// h[row, j] = Σ_k x[row, k] · A[j, k], one register tile of 8 rows × 8 ranks per invocation.
// The backward's u = dy · B is the same with b_t in place of A.
//
// x: [rows, inputs]; a: [rank, inputs]; h: [rows, rank].
// Workgroup: 64 invocations over (row tile, rank tile), rank tiles fastest, so that small ranks leave no lane idle.
// Loops `inputs` times, upwards, with fma, whatever the batch: a row alone gives the same bits.
// Twin: `down` in src/lora/twin.rs.

#import common/view
#import lora/tile

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
    var tile = Tile();
    for (var k = 0u; k < params.inputs; k++) {
        let x_upper = vec4<f32>(x[upper.x + k], x[upper.y + k], x[upper.z + k], x[upper.w + k]);
        let x_lower = vec4<f32>(x[lower.x + k], x[lower.y + k], x[lower.z + k], x[lower.w + k]);
        let a_left = vec4<f32>(a[left.x + k], a[left.y + k], a[left.z + k], a[left.w + k]);
        let a_right = vec4<f32>(a[right.x + k], a[right.y + k], a[right.z + k], a[right.w + k]);
        tile_add(&tile, x_upper, x_lower, a_left, a_right);
    }
    tile_store(tile, first_row, params.rows, first_rank, params.rank);
}

fn line_start(row: u32) -> u32 {
    return row_start(params.h, row);
}

fn put(at: u32, sum: f32) {
    h[at] = sum;
}

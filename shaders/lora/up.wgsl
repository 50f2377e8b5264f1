// y[row, n] = λ·s · Σ_j (h[row, j] · g[sample, j]) · B_t[j, n], one register tile of 8 rows × 8 columns per invocation.
// ACCUMULATE adds to what y holds: the injection itself; the backward's dx is the same with u and A.
// GATE multiplies by the sample's gate; without it g = 1.
//
// h: [rows, rank]; b_t: [rank, width]; gate: per sample, [rank] or one (bound to h without GATE); y: [rows, width].
// Workgroup: 64 invocations over (row tile, column tile), column tiles fastest. Loops `rank` times, upwards, with fma.
// Off is off: where λ·s or the finished addend is ±0 by its bits, ACCUMULATE does not store, so that y keeps its bits
// (−0, Inf and NaN too); λ·s = 0 hides even non-finite sums. Without ACCUMULATE λ·s = 0 gives 0.
// A row's result depends on no other row. Twin: `up` in src/lora/twin.rs.

#import common/numeric
#import common/view
#import lora/gates
#import lora/tile

struct Params {
    h: Rows,
    y: Rows,
    gates: GateRows,
    rows: u32,
    width: u32,
    rank: u32,
    b_start: u32,
    b_stride: u32,
    first_row: u32, // of this dispatch, counted from the first bound sample's first row
    lambda: f32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> b_t: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let column_tiles = (params.width + 7u) / 8u;
    let row_tile = index / column_tiles;
    let first_row = row_tile * 8u;
    let first_column = (index - row_tile * column_tiles) * 8u;
    if first_row >= params.rows {
        return;
    }
#if ACCUMULATE
    if is_zero(params.lambda * params.scale) {
        return;
    }
#endif
    let rows_upper = four_from(first_row, params.rows);
    let rows_lower = four_from(first_row + 4u, params.rows);
    let h_upper = row_starts(params.h, rows_upper);
    let h_lower = row_starts(params.h, rows_lower);
#if GATE
    let gate_upper = gate_starts(params.gates, rows_upper + params.first_row);
    let gate_lower = gate_starts(params.gates, rows_lower + params.first_row);
#endif
    let b_left = four_from(first_column, params.width) + params.b_start;
    let b_right = four_from(first_column + 4u, params.width) + params.b_start;
    var tile = Tile();
    for (var j = 0u; j < params.rank; j++) {
        let l = b_left + j * params.b_stride;
        let left = vec4<f32>(b_t[l.x], b_t[l.y], b_t[l.z], b_t[l.w]);
        let r = b_right + j * params.b_stride;
        let right = vec4<f32>(b_t[r.x], b_t[r.y], b_t[r.z], b_t[r.w]);
        var upper = vec4<f32>(h[h_upper.x + j], h[h_upper.y + j], h[h_upper.z + j], h[h_upper.w + j]);
        var lower = vec4<f32>(h[h_lower.x + j], h[h_lower.y + j], h[h_lower.z + j], h[h_lower.w + j]);
#if GATE
        upper *= four_gates(gate_upper + j * params.gates.rank_stride);
        lower *= four_gates(gate_lower + j * params.gates.rank_stride);
#endif
        tile_add(&tile, upper, lower, left, right);
    }
    tile_store(tile, first_row, params.rows, first_column, params.width);
}

fn line_start(row: u32) -> u32 {
    return row_start(params.y, row);
}

fn put(at: u32, sum: f32) {
    let factor = params.lambda * params.scale;
#if ACCUMULATE
    if !is_zero(factor * sum) {
        y[at] = fma(factor, sum, y[at]);
    }
#else
    y[at] = select(factor * sum, 0.0, is_zero(factor));
#endif
}

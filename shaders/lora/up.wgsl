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
    for (var j = 0u; j < params.rank; j++) {
        let l = b_left + j * params.b_stride;
        let left = vec4<f32>(b_t[l.x], b_t[l.y], b_t[l.z], b_t[l.w]);
        let r = b_right + j * params.b_stride;
        let right = vec4<f32>(b_t[r.x], b_t[r.y], b_t[r.z], b_t[r.w]);
        var upper = vec4<f32>(h[h_upper.x + j], h[h_upper.y + j], h[h_upper.z + j], h[h_upper.w + j]);
        var lower = vec4<f32>(h[h_lower.x + j], h[h_lower.y + j], h[h_lower.z + j], h[h_lower.w + j]);
#if GATE
        let u = gate_upper + j * params.gates.rank_stride;
        upper *= vec4<f32>(gate[u.x], gate[u.y], gate[u.z], gate[u.w]);
        let w = gate_lower + j * params.gates.rank_stride;
        lower *= vec4<f32>(gate[w.x], gate[w.y], gate[w.z], gate[w.w]);
#endif
        left0 = fma(vec4<f32>(upper.x), left, left0);
        right0 = fma(vec4<f32>(upper.x), right, right0);
        left1 = fma(vec4<f32>(upper.y), left, left1);
        right1 = fma(vec4<f32>(upper.y), right, right1);
        left2 = fma(vec4<f32>(upper.z), left, left2);
        right2 = fma(vec4<f32>(upper.z), right, right2);
        left3 = fma(vec4<f32>(upper.w), left, left3);
        right3 = fma(vec4<f32>(upper.w), right, right3);
        left4 = fma(vec4<f32>(lower.x), left, left4);
        right4 = fma(vec4<f32>(lower.x), right, right4);
        left5 = fma(vec4<f32>(lower.y), left, left5);
        right5 = fma(vec4<f32>(lower.y), right, right5);
        left6 = fma(vec4<f32>(lower.z), left, left6);
        right6 = fma(vec4<f32>(lower.z), right, right6);
        left7 = fma(vec4<f32>(lower.w), left, left7);
        right7 = fma(vec4<f32>(lower.w), right, right7);
    }
    store(first_row, first_column, left0, right0);
    store(first_row + 1u, first_column, left1, right1);
    store(first_row + 2u, first_column, left2, right2);
    store(first_row + 3u, first_column, left3, right3);
    store(first_row + 4u, first_column, left4, right4);
    store(first_row + 5u, first_column, left5, right5);
    store(first_row + 6u, first_column, left6, right6);
    store(first_row + 7u, first_column, left7, right7);
}

// Eight columns of a row, those that exist.
fn store(row: u32, column: u32, left: vec4<f32>, right: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    let at = row_start(params.y, row) + column;
    let width = params.width - column;
    inject(at, left.x);
    if 1u < width { inject(at + 1u, left.y); }
    if 2u < width { inject(at + 2u, left.z); }
    if 3u < width { inject(at + 3u, left.w); }
    if 4u < width { inject(at + 4u, right.x); }
    if 5u < width { inject(at + 5u, right.y); }
    if 6u < width { inject(at + 6u, right.z); }
    if 7u < width { inject(at + 7u, right.w); }
}

fn inject(at: u32, sum: f32) {
    let factor = params.lambda * params.scale;
#if ACCUMULATE
    if !is_zero(factor * sum) {
        y[at] = fma(factor, sum, y[at]);
    }
#else
    y[at] = select(factor * sum, 0.0, is_zero(factor));
#endif
}

// y[row, n] = λ·s · Σ_j (h[row, j] · g[sample, j]) · B_t[j, n], one register tile of 4 rows × 8 columns per invocation.
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
    let first_row = row_tile * 4u;
    let first_column = (index - row_tile * column_tiles) * 8u;
    if first_row >= params.rows {
        return;
    }
    let factor = params.lambda * params.scale;
    let off = is_zero(factor);
#if ACCUMULATE
    if off {
        return;
    }
#endif
    // Rows and columns past the end repeat the last one; they are not stored.
    var h_at: array<u32, 4>;
    var gate_at: array<u32, 4>;
    for (var i = 0u; i < 4u; i++) {
        let row = min(first_row + i, params.rows - 1u);
        h_at[i] = row_start(params.h, row);
        gate_at[i] = gate_start(params.gates, params.first_row + row);
    }
    var column: array<u32, 8>;
    for (var n = 0u; n < 8u; n++) {
        column[n] = params.b_start + min(first_column + n, params.width - 1u);
    }
    var left: array<vec4<f32>, 4>;
    var right: array<vec4<f32>, 4>;
    for (var i = 0u; i < 4u; i++) {
        left[i] = vec4<f32>(0.0);
        right[i] = vec4<f32>(0.0);
    }
    for (var j = 0u; j < params.rank; j++) {
        let b_row = j * params.b_stride;
        let b_left = vec4<f32>(b_t[column[0] + b_row], b_t[column[1] + b_row], b_t[column[2] + b_row], b_t[column[3] + b_row]);
        let b_right = vec4<f32>(b_t[column[4] + b_row], b_t[column[5] + b_row], b_t[column[6] + b_row], b_t[column[7] + b_row]);
        var gated = vec4<f32>(h[h_at[0] + j], h[h_at[1] + j], h[h_at[2] + j], h[h_at[3] + j]);
#if GATE
        let g = j * params.gates.rank_stride;
        gated *= vec4<f32>(gate[gate_at[0] + g], gate[gate_at[1] + g], gate[gate_at[2] + g], gate[gate_at[3] + g]);
#endif
        left[0] = fma(vec4<f32>(gated.x), b_left, left[0]);
        right[0] = fma(vec4<f32>(gated.x), b_right, right[0]);
        left[1] = fma(vec4<f32>(gated.y), b_left, left[1]);
        right[1] = fma(vec4<f32>(gated.y), b_right, right[1]);
        left[2] = fma(vec4<f32>(gated.z), b_left, left[2]);
        right[2] = fma(vec4<f32>(gated.z), b_right, right[2]);
        left[3] = fma(vec4<f32>(gated.w), b_left, left[3]);
        right[3] = fma(vec4<f32>(gated.w), b_right, right[3]);
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + i;
        if row < params.rows {
            let at = row_start(params.y, row) + first_column;
            for (var n = 0u; n < 8u; n++) {
                if first_column + n < params.width {
                    var sum = left[i][n & 3u];
                    if n >= 4u {
                        sum = right[i][n & 3u];
                    }
#if ACCUMULATE
                    if !is_zero(factor * sum) {
                        y[at + n] = fma(factor, sum, y[at + n]);
                    }
#else
                    y[at + n] = select(factor * sum, 0.0, off);
#endif
                }
            }
        }
    }
}

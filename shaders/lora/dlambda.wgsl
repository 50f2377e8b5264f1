// First stage of dλ: partial[chunk] = Σ_{row in chunk} Σ_j (u[row, j] · g[sample, j]) · h[row, j].
// GATE multiplies by the sample's gate; without it g = 1. Never divides by λ.
//
// u, h: [rows, rank]; gate: per sample, [rank] or one (bound to u without GATE); partial: [chunks].
// One invocation per chunk of rows; loops chunk_rows × rank, ranks fastest, upwards, with fma. Chunks count from row 0
// of the batch. The second stage, reduce/sum_chunks, multiplies by s. Twin: `dlambda` in src/lora/twin.rs.

#import common/view
#import lora/gates

struct Params {
    u: Rows,
    h: Rows,
    gates: GateRows,
    rows: u32,
    rank: u32,
    partial_start: u32,
    chunk_rows: u32,
    first_row: u32, // of this dispatch, counted from the first bound sample's first row
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = flat_group(group, groups) * 64u + lane;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    var sum = 0.0;
    for (var row = first; row < end; row++) {
        let u_at = row_start(params.u, row);
        let h_at = row_start(params.h, row);
        let gate_at = gate_start(params.gates, params.first_row + row);
        for (var j = 0u; j < params.rank; j++) {
            var gated = u[u_at + j];
#if GATE
            gated *= gate[gate_at + j * params.gates.rank_stride];
#endif
            sum = fma(gated, h[h_at + j], sum);
        }
    }
    partials[params.partial_start + chunk] = sum;
}

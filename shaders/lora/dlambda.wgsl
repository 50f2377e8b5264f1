// First stage of dλ: partial[chunk] = Σ_{row in chunk} Σ_j (u[row, j] · g[sample, j]) · h[row, j].
// GATE multiplies by the row's gate; without it g = 1. ROUTED multiplies each row by its adapter's s, and leaves out rows
// without one. Never divides by λ.
//
// u, h: [rows, rank]; gate: per sample or per row, [rank] or one (bound to u without GATE); partial: [chunks].
// One invocation per chunk of rows; loops chunk_rows × rank, ranks fastest, upwards, with fma. Chunks count from row 0
// of the batch. The second stage, reduce/sum_chunks, multiplies by s without ROUTED. Twin: `dlambda` in src/lora/twin.rs.

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
    first_row: u32, // of this dispatch, counted from the first bound gate's first row
    samples: u32,  // where `routes` has each row's sample
    adapters: u32, // and each sample's adapter
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;
#if ROUTED
@group(0) @binding(5) var<storage, read> routes: array<u32>;
@group(0) @binding(6) var<storage, read> entries: array<vec4<u32>>;
#endif

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
#if ROUTED
        let entry = entries[routes[params.adapters + routes[params.samples + row]]];
        let rank = entry.x;
        var of_row = 0.0;
#else
        let rank = params.rank;
#endif
        for (var j = 0u; j < rank; j++) {
            var gated = u[u_at + j];
#if GATE
            gated *= gate[gate_at + j * params.gates.rank_stride];
#endif
#if ROUTED
            of_row = fma(gated, h[h_at + j], of_row);
        }
        sum = fma(bitcast<f32>(entry.y), of_row, sum);
#else
            sum = fma(gated, h[h_at + j], sum);
        }
#endif
    }
    partials[params.partial_start + chunk] = sum;
}

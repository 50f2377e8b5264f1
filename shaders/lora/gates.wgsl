// Where a row's gates start: one row of gates per sample, or per token.
// A scalar gate has rank_stride 0, so that every rank reads the same number.
// The importing kernel declares `gate: array<f32>`, and under ROUTED `routes: array<u32>`. Host side: `GateRows` in
// src/lora/gpu/gated.rs.

#import common/view

struct GateRows {
    view: Rows,
    tokens: u32,      // rows that share a row of gates; 0: `routes` names each row's sample
    samples: u32,     // where `routes` has them
    rank_stride: u32, // 1: a gate per rank; 0: one gate for all
    pad: u32,
}

fn gate_start(gates: GateRows, row: u32) -> u32 {
#if ROUTED
    if gates.tokens == 0u {
        return row_start(gates.view, routes[gates.samples + row]);
    }
#endif
    return row_start(gates.view, quotient(row, gates.tokens));
}

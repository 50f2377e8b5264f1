// Where a row's gates start: gates are stored per sample, rows are counted per token.
// A scalar gate has rank_stride 0, so that every rank reads the same number.
// The importing kernel declares `gate: array<f32>`. Host side: `GateRows` in src/lora/gpu.rs.

#import common/view

struct GateRows {
    start: u32,         // elements from the binding's start
    sample_stride: u32, // elements between samples
    rank_stride: u32,   // 1: a gate per rank; 0: one gate for all
    tokens: u32,        // rows per sample, at least 1
}

fn gate_start(gates: GateRows, row: u32) -> u32 {
    return gates.start + quotient(row, gates.tokens) * gates.sample_stride;
}

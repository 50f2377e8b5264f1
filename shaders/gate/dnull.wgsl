// First stage of the null logits' gradient: partial[chunk, j] = g'(null[j]) · Σ_{row in chunk} (1 − w) · dgate[row, j],
// g'(a) = 2σ(a)σ(−a), w = μ · validity[row]. ROW_MU reads μ per row, else it is a parameter.
//
// dgate: [rows, width]; null: [width]; validity, mu: [rows, 1] (mu bound to validity without ROW_MU);
// partial: [chunks, width], contiguous.
// One invocation per (chunk, j); loops chunk_rows, upwards, with fma. Chunks count from row 0 of the batch.
// Twin: `dnull` in src/gate/twin.rs.

#import common/view
#import gate/curve
#import gate/weight

struct Params {
    dgate: Rows,
    validity: Rows,
    mu_rows: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    partial_start: u32,
    chunk_rows: u32,
    mu: f32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dgate: array<f32>;
@group(0) @binding(2) var<storage, read> null_logits: array<f32>;
@group(0) @binding(3) var<storage, read> validity: array<f32>;
@group(0) @binding(4) var<storage, read> mu: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let chunk = quotient(index, params.width);
    let column = index - chunk * params.width;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    var sum = 0.0;
    for (var row = first; row < end; row++) {
        sum = fma(1.0 - row_weight(row), dgate[row_start(params.dgate, row) + column], sum);
    }
    partials[params.partial_start + index] = gate_slope(null_logits[params.null_start + column]) * sum;
}

// The effective gate: out[row, j] = g∅ + w (g − g∅), g = 2σ(logits[row, j]), g∅ = 2σ(null[j]), w = μ · validity[row].
// ROW_MU reads μ per row, else it is a parameter.
//
// logits, out: [rows, width]; null: [width]; validity, mu: [rows, 1] (mu bound to validity without ROW_MU).
// One invocation per element. Where w is ±0 by its bits out is g∅ itself, whatever the logits hold, NaN too.
// Twin: `mix` in src/gate/twin.rs.

#import common/view
#import gate/curve
#import gate/weight

struct Params {
    logits: Rows,
    validity: Rows,
    mu_rows: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    mu: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> null_logits: array<f32>;
@group(0) @binding(3) var<storage, read> validity: array<f32>;
@group(0) @binding(4) var<storage, read> mu: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = quotient(index, params.width);
    let column = index - row * params.width;
    if row >= params.rows {
        return;
    }
    let weight = row_weight(row);
    let none = gate_curve(null_logits[params.null_start + column]);
    let own = gate_curve(logits[row_start(params.logits, row) + column]);
    out[row_start(params.out, row) + column] = select(fma(weight, own - none, none), none, is_zero(weight));
}

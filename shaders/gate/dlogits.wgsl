// Gradient of the logits: out[row, j] = w · dgate[row, j] · g'(logits[row, j]), g'(a) = 2σ(a)σ(−a), w = μ · validity[row].
// ROW_MU reads μ per row, else it is a parameter. ACCUMULATE adds to what out holds.
//
// logits, dgate, out: [rows, width]; validity, mu: [rows, 1] (mu bound to validity without ROW_MU).
// One invocation per element. Where w is ±0 by its bits the gradient is 0, whatever the logits hold.
// Twin: `dlogits` in src/gate/twin.rs.

#import common/view
#import gate/curve
#import gate/weight

struct Params {
    logits: Rows,
    dgate: Rows,
    validity: Rows,
    mu_rows: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    mu: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> dgate: array<f32>;
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
    let slope = gate_slope(logits[row_start(params.logits, row) + column]);
    let gradient = weight * dgate[row_start(params.dgate, row) + column] * slope;
    let at = row_start(params.out, row) + column;
#if ACCUMULATE
    out[at] += select(gradient, 0.0, is_zero(weight));
#else
    out[at] = select(gradient, 0.0, is_zero(weight));
#endif
}

// Gradient of a row's μ: out[row] = validity[row] · Σ_j (g − g∅) · dgate[row, j], g = 2σ(logits[row, j]), g∅ = 2σ(null[j]).
// ACCUMULATE adds to what out holds. One μ for the batch is the sum over rows, by reduce/column_sum.
//
// logits, dgate: [rows, width]; null: [width]; validity, out: [rows, 1].
// One invocation per row; loops `width` times, upwards, with fma: a row alone gives the same bits.
// Where the validity is ±0 by its bits the gradient is 0, whatever the logits hold. Twin: `dmu` in src/gate/twin.rs.

#import common/view
#import gate/curve

struct Params {
    logits: Rows,
    dgate: Rows,
    validity: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> null_logits: array<f32>;
@group(0) @binding(3) var<storage, read> dgate: array<f32>;
@group(0) @binding(4) var<storage, read> validity: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let logits_at = row_start(params.logits, row);
    let dgate_at = row_start(params.dgate, row);
    var sum = 0.0;
    for (var j = 0u; j < params.width; j++) {
        let reach = gate_curve(logits[logits_at + j]) - gate_curve(null_logits[params.null_start + j]);
        sum = fma(reach, dgate[dgate_at + j], sum);
    }
    let valid = validity[row_start(params.validity, row)];
    let gradient = select(valid * sum, 0.0, is_zero(valid));
    let at = row_start(params.out, row);
#if ACCUMULATE
    out[at] += gradient;
#else
    out[at] = gradient;
#endif
}

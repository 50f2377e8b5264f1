// Per row of the cross-entropy: terms[row] = (w·ce, w, top, log Σ e^(z − top)), top the row's maximum and
// ce = (top − z_y) + log Σ e^(z − top): two parts, so that a large common offset of the logits costs nothing.
// The label `ignore` gives w = 0, a class or not; a label beyond the classes does too and is counted in `status`.
// WEIGHTED takes w = weights[y], else w = 1. PER_ROW also writes ce itself, 0 where the label is not counted.
//
// logits: [rows, classes]; labels: [rows, 1]; weights: [classes]; terms: [rows, 4], contiguous; status: [1];
// per_row: [rows, 1]. One invocation per row; loops 2 · classes.
// precise_exp and precise_log hold their bounds on every device, where the builtins' promises are loose near 1.
// Twin: `cross_entropy` in src/loss/twin.rs.

#import common/view
#import common/numeric

struct Params {
    logits: Rows,
    labels: Rows,
    per_row: Rows,
    rows: u32,
    classes: u32,
    weights_start: u32,
    terms_start: u32,
    ignore: u32,
    status_start: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> terms: array<f32>;
@group(0) @binding(5) var<storage, read_write> status: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> per_row: array<f32>;

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
    let at = row_start(params.logits, row);
    var top = logits[at];
    for (var c = 1u; c < params.classes; c++) {
        top = max(top, logits[at + c]);
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        sum += precise_exp(logits[at + c] - top);
    }
    let log_sum = precise_log(sum);
    let label = labels[row_start(params.labels, row)];
    var weight = 0.0;
    var ce = 0.0;
    if label < params.classes && label != params.ignore {
#if WEIGHTED
        weight = weights[params.weights_start + label];
#else
        weight = 1.0;
#endif
        ce = (top - logits[at + label]) + log_sum;
    } else if label != params.ignore {
        atomicAdd(&status[params.status_start], 1u);
    }
    let out = params.terms_start + row * 4u;
    terms[out] = weight * ce;
    terms[out + 1u] = weight;
    terms[out + 2u] = top;
    terms[out + 3u] = log_sum;
#if PER_ROW
    per_row[row_start(params.per_row, row)] = ce;
#endif
}

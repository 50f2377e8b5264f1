// dz[row, c] = scale · w_y / Σw · (softmax(z)_c − [c = y]); 0 for ignored rows and where nothing counts.
// ACCUMULATE adds to what dz holds.
//
// logits, dlogits: [rows, classes]; labels: [rows, 1]; terms: [rows, 4] from cross_entropy_rows; totals: their sums.
// One invocation per element. Twin: `cross_entropy` in src/loss/twin.rs.

#import common/view
#import common/numeric

struct Params {
    logits: Rows,
    labels: Rows,
    dlogits: Rows,
    rows: u32,
    classes: u32,
    terms_start: u32,
    totals_start: u32,
    scale: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> terms: array<f32>;
@group(0) @binding(4) var<storage, read> totals: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = quotient(index, params.classes);
    let class_id = index - row * params.classes;
    if row >= params.rows {
        return;
    }
    let term = params.terms_start + row * 4u;
    let total = totals[params.totals_start + 1u];
    let weight = terms[term + 1u];
    var gradient = 0.0;
    if weight != 0.0 && total != 0.0 {
        let probability = precise_exp((logits[row_start(params.logits, row) + class_id] - terms[term + 2u]) - terms[term + 3u]);
        let hit = f32(labels[row_start(params.labels, row)] == class_id);
        gradient = params.scale * weight / total * (probability - hit);
    }
    let at = row_start(params.dlogits, row) + class_id;
#if ACCUMULATE
    dlogits[at] += gradient;
#else
    dlogits[at] = gradient;
#endif
}

// Counts and sums of labelled predictions by group, as 64-bit integer cells that merge exactly.
// With p = softmax(logits), ŷ its largest class (ties to the lowest) and y the label:
//     NLL = min(−log p_y, −log 10⁻⁶), Brier = Σ_c (p_c − [c = y])², bin = min(⌊15 p_ŷ⌋, 14).
// A sample with a logit that is not finite only counts as invalid, one with a label outside as unlabelled; a group id
// outside means the slot behind the last group.
//
// logits: [rows, classes]; labels, groups: [rows, 1]; sums: cells of two words, per slot
// (count, invalid, unlabelled, NLL, Brier, 15 × (count, correct, confidence)), then [slot, label, ŷ].
// Workgroup: 256 invocations × per_lane rows each; loops per_lane · (2 classes + 1) + 12 times.
// Reads every logit twice. The slots' sums pass through workgroup memory where they fit, the confusion does not.
// Twin: `measure` in src/metrics/twin.rs.

#import common/view
#import common/cells
#import common/measure

struct Params {
    logits: Rows,
    labels: Rows,
    groups: Rows,
    rows: u32,
    classes: u32,
    group_count: u32,
    has_groups: u32,
    sums_start: u32,
    confusion_start: u32,
    local_words: u32, // 0: straight into the buffer
    per_lane: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> groups: array<u32>;
@group(0) @binding(4) var<storage, read_write> sums: array<atomic<u32>>;

const SLOT_CELLS: u32 = 50u;
const COUNT: u32 = 0u;
const INVALID: u32 = 1u;
const UNLABELLED: u32 = 2u;
const NLL: u32 = 3u;
const BRIER: u32 = 4u;
const FIRST_BIN: u32 = 5u;

struct Top {
    logit: f32,
    class_id: u32,
    is_valid: bool,
}

fn top_class(at: u32) -> Top {
    var top = Top(logits[at], 0u, true);
    for (var c = 0u; c < params.classes; c++) {
        let logit = logits[at + c];
        top.is_valid = top.is_valid && is_finite(logit);
        if logit > top.logit {
            top.logit = logit;
            top.class_id = c;
        }
    }
    return top;
}

fn add(slot: u32, cell: u32, value: i32) {
    cells_add(params.local_words != 0u, params.sums_start, 2u * (slot * SLOT_CELLS + cell), i64_from_i32(value));
}

fn measure(row: u32) {
    let at = row_start(params.logits, row);
    var slot = 0u;
    if params.has_groups != 0u {
        slot = min(groups[row_start(params.groups, row)], params.group_count);
    }
    let top = top_class(at);
    let label = labels[row_start(params.labels, row)];
    if !top.is_valid {
        add(slot, INVALID, 1);
        return;
    }
    if label >= params.classes {
        add(slot, UNLABELLED, 1);
        return;
    }
    // Σ e and Σ e² over the classes beside the label: Brier without cancellation.
    var others = vec2<f32>(0.0);
    var block = vec2<f32>(0.0);
    for (var c = 0u; c < params.classes; c++) {
        let e = softmax_term(logit_distance(logits[at + c], top.logit));
        if c != label {
            block = vec2<f32>(block.x + e, fma(e, e, block.y));
        }
        if (c + 1u) % CLASS_BLOCK == 0u {
            others += block;
            block = vec2<f32>(0.0);
        }
    }
    others += block;
    let distance = logit_distance(logits[at + label], top.logit);
    let total = others.x + softmax_term(distance);
    let scale = 1.0 / total;
    let confidence = scale;
    let wrong = others.x * scale;
    let is_correct = i32(label == top.class_id);
    add(slot, COUNT, 1);
    add(slot, NLL, measure_units(clipped_nll(precise_log(total), distance)).value);
    add(slot, BRIER, measure_units(fma(wrong, wrong, others.y * scale * scale)).value);
    let bin = FIRST_BIN + 3u * calibration_bin(confidence);
    add(slot, bin, 1);
    add(slot, bin + 1u, is_correct);
    add(slot, bin + 2u, measure_units(confidence).value);
    let cell = (slot * params.classes + label) * params.classes + top.class_id;
    cells_add(false, params.confusion_start, 2u * cell, vec2<u32>(1u, 0u));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) group_count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat_group(group, group_count) * CELLS_WIDTH * params.per_lane + lane;
    cells_clear(lane, params.local_words);
    for (var i = 0u; i < params.per_lane; i++) {
        let row = first + i * CELLS_WIDTH;
        if row < params.rows {
            measure(row);
        }
    }
    cells_flush(lane, params.local_words, params.sums_start);
}

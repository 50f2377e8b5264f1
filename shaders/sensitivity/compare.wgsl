// How far predictions move: K variants of the logits against the base, as 64-bit integer cells by perturbation and
// group. With p = softmax(base), q = softmax(variant k), ŷ = argmax p (ties to the lowest), δ = variant − base:
//     flip, KL(p‖q), JS(p, q), TV = ½ Σ|p − q| and its bin of 64, q_ŷ − p_ŷ signed and absolute, H(q) − H(p),
//     max_c |δ_c − mean δ|,
// and with labels: correct, NLL, Brier, 15 calibration bins of q, correct before, correct before and not now. A pair with
// a logit that is not finite only counts as invalid; a group id outside means the slot behind the last group; a label
// outside means none.
//
// base: [rows, classes]; variants: [k, rows, classes]; labels, groups: [rows, 1]; per_sample: [k, rows, 4] (KL,
// TV, q_ŷ − p_ŷ, code; all −1 where invalid); sums: cells of two words, [k, slot, 126].
// Workgroup: 256 invocations × per_lane samples of one k; loops per_lane · (3 classes + 35) + 12 times.
// Reads every logit three times. The slots' sums pass through workgroup memory where they fit.
// Twin: `compare` in src/sensitivity/twin.rs.

#import common/view
#import common/cells
#import common/measure
#import sensitivity/cells

struct Params {
    base: Rows,
    variants: Rows,
    labels: Rows,
    groups: Rows,
    per_sample: Rows,
    rows: u32,
    classes: u32,
    group_count: u32,
    has: u32, // 1: labels, 2: groups, 4: per_sample
    sums_start: u32,
    slot_words: u32, // of all slots of one k
    is_local: u32,
    per_lane: u32,
    workgroups_per_k: u32,
    variants_count: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base: array<f32>;
@group(0) @binding(2) var<storage, read> variants: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> groups: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> per_sample: array<f32>;

const NO_LABEL: u32 = 0xffffffffu;

struct Pair {
    base_at: u32,
    variant_at: u32,
    base_top: f32,
    variant_top: f32,
    base_class: u32,
    variant_class: u32,
    is_valid: bool,
}

// What one pair adds: cells 0 to 16 as they lie, then count, right ones and confidence of the bin.
// Gathered first, then added in a loop: some drivers inline every call, and twenty copies take them minutes.
struct Tally {
    cells: array<i32, 20>,
    bin: u32,
    change: vec4<f32>, // a row of per_sample
}

fn top_classes(base_at: u32, variant_at: u32) -> Pair {
    var pair = Pair(base_at, variant_at, base[base_at], variants[variant_at], 0u, 0u, true);
    for (var c = 0u; c < params.classes; c++) {
        let l = base[base_at + c];
        let m = variants[variant_at + c];
        pair.is_valid = pair.is_valid && is_finite(l) && is_finite(m);
        if l > pair.base_top {
            pair.base_top = l;
            pair.base_class = c;
        }
        if m > pair.variant_top {
            pair.variant_top = m;
            pair.variant_class = c;
        }
    }
    return pair;
}

// Distances of one class's logits from the largest, (base, variant).
fn distances(pair: Pair, c: u32) -> vec2<f32> {
    return vec2<f32>(
        logit_distance(base[pair.base_at + c], pair.base_top),
        logit_distance(variants[pair.variant_at + c], pair.variant_top),
    );
}

// Half the change of one class's logit; half, because the whole may overflow.
fn half_change(pair: Pair, c: u32) -> f32 {
    return clamp(fma(0.5, variants[pair.variant_at + c], -0.5 * base[pair.base_at + c]), -1.0e30, 1.0e30);
}

// Σ e^distance of base and variant, and the mean half change.
fn totals(pair: Pair) -> vec3<f32> {
    var sum = vec3<f32>(0.0);
    var block = vec3<f32>(0.0);
    for (var c = 0u; c < params.classes; c++) {
        let d = distances(pair, c);
        block += vec3<f32>(softmax_term(d.x), softmax_term(d.y), half_change(pair, c));
        if (c + 1u) % CLASS_BLOCK == 0u {
            sum += block;
            block = vec3<f32>(0.0);
        }
    }
    sum += block;
    return vec3<f32>(sum.xy, sum.z / f32(params.classes));
}

fn compare(pair: Pair, label: u32) -> Tally {
    var tally = Tally(array<i32, 20>(), FIRST_BIN, vec4<f32>(-1.0));
    let total = totals(pair);
    let p_scale = 1.0 / total.x;
    let q_scale = 1.0 / total.y;
    let q_log_total = precise_log(total.y);
    let log_shift = precise_log(total.x) - q_log_total;
    var sum = vec4<f32>(0.0); // KL, JS, 2 TV, Σ p·d − q·e
    var block = vec4<f32>(0.0);
    var others = vec2<f32>(0.0); // Σ q, Σ q² beside the label
    var others_block = vec2<f32>(0.0);
    var largest_change = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        let d = distances(pair, c);
        let p = softmax_term(d.x) * p_scale;
        let q = softmax_term(d.y) * q_scale;
        let log_ratio = d.y - d.x + log_shift;
        block += vec4<f32>(kl_term(p, q, log_ratio), js_term(p, q), abs(p - q), fma(p, d.x, -q * d.y));
        if c != label {
            others_block = vec2<f32>(others_block.x + q, fma(q, q, others_block.y));
        }
        largest_change = max(largest_change, abs(half_change(pair, c) - total.z));
        if (c + 1u) % CLASS_BLOCK == 0u {
            sum += block;
            block = vec4<f32>(0.0);
            others += others_block;
            others_block = vec2<f32>(0.0);
        }
    }
    sum += block;
    others += others_block;
    let moved = logit_distance(variants[pair.variant_at + pair.base_class], pair.variant_top);
    let top_change = softmax_term(moved) * q_scale - p_scale;
    var code = 16u * pair.variant_class + select(0u, 1u, pair.base_class != pair.variant_class);
    tally.cells[COUNT] = 1;
    tally.cells[FLIPS] = i32(pair.base_class != pair.variant_class);
    var values = array<f32, 10>();
    values[0] = sum.x;
    values[1] = sum.y;
    values[2] = 0.5 * sum.z;
    values[3] = top_change;
    values[4] = abs(top_change);
    values[5] = sum.w - log_shift;
    values[6] = 2.0 * largest_change;
    if label < params.classes {
        let distance = logit_distance(variants[pair.variant_at + label], pair.variant_top);
        values[7] = clipped_nll(q_log_total, distance);
        values[8] = fma(others.x, others.x, others.y);
        values[9] = q_scale;
        tally.bin = FIRST_BIN + 3u * calibration_bin(q_scale);
        tally.cells[LABELLED] = 1;
        tally.cells[CORRECT] = i32(label == pair.variant_class);
        tally.cells[CORRECT_BEFORE] = i32(label == pair.base_class);
        tally.cells[BROKEN] = tally.cells[CORRECT_BEFORE] * (1 - tally.cells[CORRECT]);
        tally.cells[BIN_COUNT] = 1;
        tally.cells[BIN_CORRECT] = tally.cells[CORRECT];
        code += 2u + 4u * u32(tally.cells[CORRECT_BEFORE]) + 8u * u32(tally.cells[CORRECT]);
    }
    for (var i = 0u; i < 10u; i++) {
        let is_logit = KL + i == LOGIT_CHANGE;
        let units = units_from_f32(values[i], select(31.0, 2047.0, is_logit), select(26u, 20u, is_logit));
        tally.cells[select(KL + i, BIN_CONFIDENCE, i == 9u)] = units.value;
        tally.cells[CLAMPED] += i32(units.clamped);
    }
    tally.change = vec4<f32>(values[0], values[2], values[3], f32(code));
    return tally;
}

fn measure(k: u32, row: u32, first: u32) {
    var slot = 0u;
    if (params.has & 2u) != 0u {
        slot = min(groups[row_start(params.groups, row)], params.group_count);
    }
    var label = NO_LABEL;
    if (params.has & 1u) != 0u {
        label = labels[row_start(params.labels, row)];
    }
    let variant_row = k * params.rows + row;
    let pair = top_classes(row_start(params.base, row), row_start(params.variants, variant_row));
    var tally = Tally(array<i32, 20>(), FIRST_BIN, vec4<f32>(-1.0));
    if pair.is_valid {
        tally = compare(pair, label);
    } else {
        tally.cells[INVALID] = 1;
    }
    for (var i = 0u; i <= 20u; i++) {
        let value = select(tally.cells[min(i, 19u)], tally.cells[COUNT], i == 20u);
        if value != 0 {
            let in_bin = select(tally.bin + i - BIN_COUNT, FIRST_CHANGE + change_bin(tally.cells[TV]), i == 20u);
            let cell = slot * SLOT_CELLS + select(i, in_bin, i >= BIN_COUNT);
            cells_add(params.is_local != 0u, first, 2u * cell, i64_from_i32(value));
        }
    }
    if (params.has & 4u) != 0u {
        let at = row_start(params.per_sample, variant_row);
        for (var i = 0u; i < 4u; i++) {
            per_sample[at + i] = tally.change[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) group_count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, group_count);
    let k = index / params.workgroups_per_k;
    let first_row = (index - k * params.workgroups_per_k) * CELLS_WIDTH * params.per_lane + lane;
    let first = params.sums_start + k * params.slot_words;
    let local_words = select(0u, params.slot_words, params.is_local != 0u);
    // Groups beyond the last k come from folding.
    let rows = select(0u, params.rows, k < params.variants_count);
    cells_clear(lane, local_words);
    for (var i = 0u; i < params.per_lane; i++) {
        let row = first_row + i * CELLS_WIDTH;
        if row < rows {
            measure(k, row, first);
        }
    }
    cells_flush(lane, local_words, first);
}

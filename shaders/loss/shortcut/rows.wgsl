// Anti-shortcut loss of every anchor i over a run of others, which goes on where the run before it ended. With a = z_i·z_j / t,
//     L_i = log Σ_j w_ij e^a − Σ_P a / |P|,   w = 1 for positives, ω or 1 for negatives, 0 for pairs that are left out.
// state[i] = (largest a, Σ w e^(a − largest), Σ_P a, |P|) between runs; after the last (largest, log Σ w e^(a − largest), 1/|P| or 0, 0),
// and terms[i] = (L_i, 1), or zeros for an anchor without positives. PER_ROW also writes L_i.
//
// anchors, others: [anchor_count, width], [other_count, width]; classes, regions: [S, 1]; state: [S, 4] and terms: [S, 2], contiguous;
// per_row: [S, 1]; these four are bound from anchor_first.
// One workgroup = 16 anchors; 4 × 16 lanes take four anchors and every sixteenth four of the others each, and meet at the end, in order.
// Loops other_count / 64 · (width / 4 + 1) + 16. Twin: `rows` in src/loss/shortcut/twin.rs.

#import loss/shortcut/pairs

struct Params {
    pairs: Pairs,
    per_row: Rows,
    terms_start: u32,
    is_last: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> anchors: array<Four>;
@group(0) @binding(2) var<storage, read> others: array<Four>;
@group(0) @binding(3) var<storage, read> classes: array<u32>;
@group(0) @binding(4) var<storage, read> regions: array<u32>;
@group(0) @binding(5) var<storage, read_write> state: array<f32>;
@group(0) @binding(6) var<storage, read_write> terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> per_row: array<f32>;

// Of an anchor over some others.
struct Running {
    sum: vec2<f32>,       // log Σ w e^a, as in common/numeric
    positives: vec2<f32>, // Σ_P a, |P|
}

const NOTHING = Running(LSE_EMPTY, vec2<f32>(0.0));

// What each lane found, [anchor of four][lane].
var<workgroup> sums: array<vec2<f32>, 256>;
var<workgroup> positives: array<vec2<f32>, 256>;

fn total(four: vec4<f32>) -> f32 {
    return (four.x + four.y) + (four.z + four.w);
}

// Four more pairs; the sum is brought to the new largest exponent once.
fn add_pairs(running: Running, exponents: vec4<f32>, pairs: Relation) -> Running {
    let terms = without_left_out(exponents, pairs.weights);
    let largest = max(running.sum.x, max(max(terms.x, terms.y), max(terms.z, terms.w)));
    let more = total(pairs.weights * precise_exp_four(terms - largest));
    let sum = fma(running.sum.y, precise_exp(running.sum.x - largest), more);
    let found = vec2<f32>(total(select(vec4<f32>(0.0), exponents, pairs.positives > vec4<f32>(0.0))), total(pairs.positives));
    return Running(vec2<f32>(largest, sum), running.positives + found);
}

fn keep(place: u32, running: Running) {
    sums[place] = running.sum;
    positives[place] = running.positives;
}

fn state_before(at: u32) -> Running {
    if params.pairs.other_first == 0u {
        return NOTHING;
    }
    return Running(vec2<f32>(state[at], state[at + 1u]), vec2<f32>(state[at + 2u], state[at + 3u]));
}

fn store_state(at: u32, four: vec4<f32>) {
    state[at] = four.x;
    state[at + 1u] = four.y;
    state[at + 2u] = four.z;
    state[at + 3u] = four.w;
}

// One anchor: its sixteen lanes in order, behind the runs before.
fn finish(row: u32, first_place: u32) {
    let at = params.pairs.state_start + row * 4u;
    var running = state_before(at);
    for (var lane = 0u; lane < 16u; lane++) {
        let place = first_place + lane;
        running = Running(lse_merge(running.sum, sums[place]), running.positives + positives[place]);
    }
    if params.is_last == 0u {
        store_state(at, vec4<f32>(running.sum, running.positives));
        return;
    }
    let log_sum = precise_log(running.sum.y);
    let is_anchor = running.positives.y > 0.0;
    let inverse = select(0.0, 1.0 / max(running.positives.y, 1.0), is_anchor);
    let loss = select(0.0, log_sum + (running.sum.x - running.positives.x * inverse), is_anchor);
    store_state(at, vec4<f32>(running.sum.x, log_sum, inverse, 0.0));
    terms[params.terms_start + row * 2u] = loss;
    terms[params.terms_start + row * 2u + 1u] = select(0.0, 1.0, is_anchor);
#if PER_ROW
    per_row[row_start(params.per_row, row)] = loss;
#endif
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = flat_group(group, groups) * TILE_ANCHORS;
    if tile >= params.pairs.anchor_count {
        return;
    }
    // Anchors past the end repeat the last one; they are not stored.
    let first_anchor = tile + (lane >> 4u) * 4u;
    let anchor_at = row_starts(params.pairs.anchors, four_from(first_anchor, params.pairs.anchor_count));
    let samples = four_anchors(first_anchor);
    var of_x = NOTHING;
    var of_y = NOTHING;
    var of_z = NOTHING;
    var of_w = NOTHING;
    for (var first = (lane & 15u) * 4u; first < params.pairs.other_count; first += TILE_OTHERS) {
        let other_at = row_starts(params.pairs.others, four_from(first, params.pairs.other_count));
        let exponents = similarities(anchor_at, other_at);
        let four = four_others(first);
        of_x = add_pairs(of_x, exponents[0], relation(samples.classes.x, samples.regions.x, four));
        of_y = add_pairs(of_y, exponents[1], relation(samples.classes.y, samples.regions.y, four));
        of_z = add_pairs(of_z, exponents[2], relation(samples.classes.z, samples.regions.z, four));
        of_w = add_pairs(of_w, exponents[3], relation(samples.classes.w, samples.regions.w, four));
    }
    keep(lane, of_x);
    keep(64u + lane, of_y);
    keep(128u + lane, of_z);
    keep(192u + lane, of_w);
    workgroupBarrier();
    if lane < TILE_ANCHORS && tile + lane < params.pairs.anchor_count {
        finish(tile + lane, (lane & 3u) * 64u + (lane >> 2u) * 16u);
    }
}

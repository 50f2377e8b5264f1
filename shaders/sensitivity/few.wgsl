// How far predictions move, for few classes: what `compare` measures, with all of a pair's logits in registers.
//
// Works on changes, not on logits: with x = variant − base, y = x − Σ p x, E = e^y − 1 and z = Σ p E, never negative,
//     q − p = p (E − z)/(1 + z),  log q − log p = t = y − log(1 + z),  KL = log(1 + z),
// so small changes do not drown in the rounding of large logits. JS is a sum of p + q times a function of t².
// Where a logit moves by more than 30 from the mean change, what p has lost to underflow might matter: a second loop
// over the same rows, the same text with $far = 1, takes those pairs, with q from the logits themselves.
//
// With RANKS: x = λ·scale · Σ_r (g_k − g)[r]·h̄[r]·map[r, ·], g the gates under the recorded metadata; else x = l_k − l.
//
// reference: rows of `reference.wgsl`; variants: gates [k, rows, rank] (or width 1, gate_step 0), or logits
// [k, rows, classes]; map: [rank, classes]; per_sample: [k, rows, 4] and sums: [k, slot, 126] as in `compare`.
// Workgroup: one subgroup of eight lanes, a chunk of at most 2,048 rows; lane = perturbation. Rows are taken slot by
// slot, so that a lane's sums stay in registers until the slot is done, and nobody else touches them: low and high
// halves of the units, which no chunk can overflow. Counts by bin pass through workgroup memory, a column a lane.
// Loops 81 · slots (at most 256) + 3 · chunk times. Twin: `compare` in src/sensitivity/twin.rs.

#if LONG
#import common/long
#endif
#import common/measure
#import common/sum64
#import common/view
#import sensitivity/cells
#import sensitivity/change
#import sensitivity/map
#import sensitivity/reference_row

struct Params {
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    variants_start: u32,
    variants_k: u32,   // elements from one perturbation to the next
    variants_row: u32, // from one row to the next
    has: u32,          // 4: per_sample
    per_sample_start: u32,
    per_sample_k: u32,
    per_sample_row: u32,
    group_count: u32,
    map_start: u32,
    map_stride: u32,
    sums_start: u32,
    variants_count: u32,
    chunk_rows: u32,
    lambda: f32,
    scale: f32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if LONG
@group(0) @binding(1) var<storage, read> reference: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read> variants: array<vec2<u64>>;
#else
@group(0) @binding(1) var<storage, read> reference: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> variants: array<f32>;
#endif
@group(0) @binding(3) var<storage, read> map: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<atomic<u32>>;
#if LONG
@group(0) @binding(5) var<storage, read_write> per_sample: array<vec2<u64>>;
#else
@group(0) @binding(5) var<storage, read_write> per_sample: array<f32>;
#endif

const LANES: u32 = 8u;
const MOST_ROWS: u32 = 2048u;
const MOST_SLOTS: u32 = 256u;
// Logits that move by less from their mean change are near.
const MOST_NEAR: f32 = 30.0;

// Rows of the chunk, slot by slot, and where each slot ends.
var<workgroup> order: array<u32, MOST_ROWS>;
var<workgroup> ends: array<atomic<u32>, MOST_SLOTS>;
// Counts of a lane's changes by bin.
var<workgroup> changes: array<u32, 64u * LANES>;
#if WEIGHTED
// Of each calibration bin: count and right ones in halves; low and high halves of the confidences.
var<workgroup> calibration: array<u32, 45u * LANES>;
#endif

fn add_cell(at: u32, low: u32, high: u32) {
    if (low | high) != 0u {
        let old = atomicAdd(&sums[at], low);
        let more = sum64_high(old, vec2<u32>(low, high));
        if more != 0u {
            atomicAdd(&sums[at + 1u], more);
        }
    }
}

// Sums of low halves and of (signed) high halves of units.
fn add_halves(at: u32, low: u32, high: i32) {
    let word = (bitcast<u32>(high) << 16u) + low;
    add_cell(at, word, bitcast<u32>(high >> 16u) + select(0u, 1u, word < low));
}

#if LONG
fn reference_at(at: u32) -> vec4<u32> {
    return bitcast<vec4<u32>>(four_of(reference[at]));
}

fn variants_at(at: u32, quad: u32, quads: u32) -> vec4<f32> {
    return four_of(variants[at / 4u + min(quad, quads - 1u)]);
}
#else
fn reference_at(at: u32) -> vec4<u32> {
    return reference[at];
}

fn variants_at(at: u32, quad: u32, quads: u32) -> vec4<f32> {
#if RANKS
    let i = four_from(quad * 4u, params.rank) * params.gate_step + at;
#else
    let i = four_from(quad * 4u, params.classes) + at;
#endif
    return vec4<f32>(variants[i.x], variants[i.y], variants[i.z], variants[i.w]);
}
#endif

// Puts the rows of the chunk in the order of their slots; `ends` then says where each ends.
fn sort_rows(first: u32, count: u32, slots: u32, lane: u32) {
    for (var i = lane; i < slots; i += LANES) {
        atomicStore(&ends[i], 0u);
    }
    workgroupBarrier();
    for (var i = lane; i < count; i += LANES) {
        atomicAdd(&ends[reference_at((first + i) * REFERENCE).z], 1u);
    }
    workgroupBarrier();
    if lane == 0u {
        var at = 0u;
        for (var i = 0u; i < slots; i++) {
            let length = atomicLoad(&ends[i]);
            atomicStore(&ends[i], at);
            at += length;
        }
    }
    workgroupBarrier();
    for (var i = lane; i < count; i += LANES) {
        order[atomicAdd(&ends[reference_at((first + i) * REFERENCE).z], 1u)] = first + i;
    }
    workgroupBarrier();
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let tiles = (params.variants_count + LANES - 1u) / LANES;
    let chunk = index / tiles;
    let k = (index - chunk * tiles) * LANES + lane;
    let is_there = k < params.variants_count;
    let first = chunk * params.chunk_rows;
    // Workgroups behind the last chunk come from folding.
    let count = min(params.chunk_rows, max(params.rows, first) - first);
    let slots = params.group_count + 1u;
#if RANKS
#repeat i RANKS/8
#repeat c CLASSES/4
    let m$i_$c = map_at($iu * 8u + lane, $cu * 4u) * (params.lambda * params.scale);
#end
#end
    var w: array<vec4<f32>, $RANKS * $CLASSES / 4>;
#repeat i RANKS/8
#repeat l 8
#repeat c CLASSES/4
    w[($i * 8 + $l) * $CLASSES / 4 + $c] = subgroupBroadcast(m$i_$c, $lu);
#end
#end
#end
    // An adapter that is off moves nothing, whatever gates hold.
    let keep = vec4<u32>(select(0xffffffffu, 0u, is_zero(params.lambda * params.scale)));
#endif
#repeat c CLASSES/4
    let live$c = mask_of(four_numbers($cu * 4u) < vec4<u32>(params.classes));
#end
    let writes = is_there && (params.has & 4u) != 0u;
    let per_class = 1.0 / f32(params.classes);
    for (var bin = 0u; bin < 64u; bin++) {
        changes[bin * LANES + lane] = 0u;
    }
#if WEIGHTED
    for (var bin = 0u; bin < 45u; bin++) {
        calibration[bin * LANES + lane] = 0u;
    }
#endif
    sort_rows(first, count, slots, lane);
    let variants_k = params.variants_start + min(k, params.variants_count - 1u) * params.variants_k;
    let per_sample_k = params.per_sample_start + k * params.per_sample_k;
    var start = 0u;
    for (var slot = 0u; slot < slots; slot++) {
        let end = atomicLoad(&ends[slot]);
        // Cells from KL on.
#repeat a 7
        var low$a = 0u;
        var high$a = 0;
#end
        var counted = 0u; // pairs, and flips in the high half
        var marred = 0u;  // invalid pairs, and clamped values in the high half
#if WEIGHTED
#repeat a 2
        var score_low$a = 0u;
        var score_high$a = 0;
#end
        var labelled = 0u; // and right ones
        var before = 0u;   // right before, and broken
#endif
        // First the pairs that are near; then, where there are any, those that are far.
        var any_far = false;
#repeat far 2
        let end$far = select(start, end, $far == 0 || subgroupAny(any_far));
        for (var i = start; i < end$far; i++) {
            let row = order[i];
            let at = row * REFERENCE;
#repeat v CLASSES/8
            let block$v = reference_at(at + min($vu * 8u + lane, REFERENCE - 1u));
#end
            let last_block = reference_at(at + min($CLASSESu + lane, REFERENCE - 1u));
            let block = array<vec4<u32>, $CLASSES / 8 + 1>(
#repeat v CLASSES/8
                block$v,
#end
                last_block,
            );
            let note = subgroupBroadcast(block[0], 0u);
            let log_total = bitcast<f32>(note.w);
#repeat c CLASSES/4
            let d$c = bitcast<vec4<f32>>(subgroupBroadcast(block[(FIRST_D + $cu) / 8u], (FIRST_D + $cu) % 8u));
            let p$c = bitcast<vec4<f32>>(subgroupBroadcast(block[(FIRST_P + $cu) / 8u], (FIRST_P + $cu) % 8u));
#end
            let variant_at = variants_k + row * params.variants_row;
#if RANKS
#repeat q RANKS/4
            let h$q = bitcast<vec4<f32>>(subgroupBroadcast(block[(FIRST_OWN + $qu) / 8u], (FIRST_OWN + $qu) % 8u));
            let gated$q = bitcast<vec4<f32>>(subgroupBroadcast(block[(FIRST_GATED + $qu) / 8u], (FIRST_GATED + $qu) % 8u));
            let change$q = fma(variants_at(variant_at, $qu, params.rank / 4u), h$q, -gated$q);
            let own$q = bitcast<vec4<f32>>(bitcast<vec4<u32>>(change$q) & keep);
#end
#repeat c CLASSES/4
            var x$c = vec4<f32>(0.0);
#end
#repeat q RANKS/4
#repeat i 4
#repeat c CLASSES/4
            x$c = fma(vec4<f32>(own$q[$i]), w[($q * 4 + $i) * $CLASSES / 4 + $c], x$c);
#end
#end
#end
#else
#repeat c CLASSES/4
            let l$c = bitcast<vec4<f32>>(subgroupBroadcast(block[(FIRST_OWN + $cu) / 8u], (FIRST_OWN + $cu) % 8u));
            let v$c = variants_at(variant_at, $cu, params.classes / 4u);
            let x$c = bitcast<vec4<f32>>(bitcast<vec4<u32>>(v$c - l$c) & live$c);
#end
#endif
            var total = vec4<f32>(0.0);
#repeat c CLASSES/4
            total += x$c;
#end
            let mean = sum_of(total) * per_class;
            var largest = vec4<u32>(0u);
#repeat c CLASSES/4
            var y$c = x$c - mean;
            largest = max(largest, size_bits(y$c) & live$c);
            var moved$c = vec4<f32>(0.0);
#end
            var logit_change = bitcast<f32>(largest_of(largest));
            let is_near = largest_of(largest) <= bitcast<u32>(MOST_NEAR) && note.x != NOBODY;
            any_far |= !is_near;
            var is_valid = note.x != NOBODY;
            var log_z = 0.0;
            var kl = 0.0;
            if $far == 0 {
                var sum_x = vec4<f32>(0.0);
                var sum_z = vec4<f32>(0.0);
#repeat c CLASSES/4
                sum_x = fma(p$c, y$c, sum_x);
#end
                let centre = sum_of(sum_x);
#repeat c CLASSES/4
                y$c -= centre;
                moved$c = exp_less_one(y$c);
                sum_z = fma(p$c, moved$c, sum_z);
#end
                let z = sum_of(sum_z);
                let scale = 1.0 / (1.0 + z);
                log_z = log_one_more(z);
                kl = log_z;
#repeat c CLASSES/4
                moved$c = (moved$c - z) * (p$c * scale);
#end
            } else {
                var size = vec4<u32>(0u);
                var tops = vec4<f32>(NO_LOGIT);
                total = vec4<f32>(0.0);
#repeat c CLASSES/4
#if RANKS
                size = max(size, size_bits(x$c));
                y$c = clamp(x$c, vec4<f32>(-1.0e30), vec4<f32>(1.0e30));
#else
                // Half of it first: the difference of two finite numbers may overflow.
                size = max(size, size_bits(v$c) & live$c);
                let half$c = clamp(fma(vec4<f32>(0.5), v$c, -0.5 * l$c), vec4<f32>(-1.0e30), vec4<f32>(1.0e30));
                y$c = select(vec4<f32>(0.0), 2.0 * half$c, live$c != vec4<u32>(0u));
#endif
                total += y$c;
                tops = larger(tops, select(vec4<f32>(NO_LOGIT), d$c + y$c, live$c != vec4<u32>(0u)));
#end
                is_valid &= largest_of(size) < 0x7f800000u;
                let far_mean = sum_of(total) * per_class;
                let highest = top_of(tops);
                largest = vec4<u32>(0u);
                var sum = vec4<f32>(0.0);
#repeat c CLASSES/4
                largest = max(largest, size_bits(y$c - far_mean) & live$c);
                moved$c = exp_less_one(larger(vec4<f32>(-87.0), d$c + y$c - highest)) + 1.0;
                moved$c = bitcast<vec4<f32>>(bitcast<vec4<u32>>(moved$c) & live$c);
                sum += moved$c;
#end
                logit_change = bitcast<f32>(largest_of(largest));
                let all = sum_of(sum);
                log_z = highest + precise_log(all) - log_total;
                sum = vec4<f32>(0.0);
#repeat c CLASSES/4
                moved$c = moved$c / all - p$c;
                sum = fma(p$c, log_z - y$c, sum);
#end
                kl = sum_of(sum);
            }
            // The logits under the perturbation, less a number that all share.
#repeat c CLASSES/4
#if RANKS
            let key$c = d$c + y$c;
#else
            let key$c = select(vec4<f32>(NO_LOGIT), v$c, live$c != vec4<u32>(0u));
#endif
#end
            var tops = key0;
            var tv = vec4<f32>(0.0);
            var js = vec4<f32>(0.0);
            var reversed = vec4<f32>(0.0); // of KL(q‖p)
            var entropy = vec4<f32>(0.0);
            var of_top = vec4<u32>(0u);
#if WEIGHTED
            var others = vec4<f32>(0.0); // Σ q and Σ q² beside the label
            var squares = vec4<f32>(0.0);
            var of_label = vec4<u32>(0u);
            var most = vec4<u32>(0u);
#endif
#repeat c CLASSES/4
            let t$c = y$c - log_z;
            let q$c = p$c + moved$c;
            tops = larger(tops, key$c);
            tv += abs(moved$c);
            js += js_share(p$c + q$c, t$c);
            reversed = fma(q$c, t$c, reversed);
            entropy = fma(moved$c, d$c, entropy);
            of_top |= bitcast<vec4<u32>>(moved$c) & ~sign_mask(d$c);
#if WEIGHTED
            let is_label$c = four_numbers($cu * 4u) == vec4<u32>(note.y);
            let other$c = select(q$c, vec4<f32>(0.0), is_label$c);
            others += other$c;
            squares = fma(other$c, other$c, squares);
            of_label |= select(vec4<u32>(0u), bitcast<vec4<u32>>(d$c + y$c), is_label$c);
            most = max(most, size_bits(q$c));
#endif
#end
            let top = top_of(tops);
            var lowest = vec4<u32>(0xffffffffu);
#repeat c CLASSES/4
            // Below the top the sign is set, and the number is no class.
            let sign$c = bitcast<vec4<u32>>(key$c - top) & vec4<u32>(0x80000000u);
            lowest = min(lowest, sign$c | (four_numbers($cu * 4u)));
#end
            let predicted = least_of(lowest);
            let is_flip = predicted != note.x;
            kl = select(0.0, kl, kl > 0.0);
            let distance = 0.5 * sum_of(tv);
            let top_change = bitcast<f32>(union_of(of_top));
            let values = array<f32, 7>(
                kl,
                0.5 * sum_of(js),
                distance,
                top_change,
                abs(top_change),
                -(sum_of(entropy) + sum_of(reversed)),
                logit_change,
            );
            let is_now = is_near == ($far == 0);
            let kept = select(0u, 0xffffffffu, is_valid && is_now);
#repeat a 7
            let units$a = units_from_f32(values[$a], select(31.0, 2047.0, $a == 6), select(26u, 20u, $a == 6));
            let value$a = units$a.value & bitcast<i32>(kept);
            low$a += bitcast<u32>(value$a) & 0xffffu;
            high$a += value$a >> 16u;
            marred += (units$a.clamped << 16u) & kept;
#end
            counted += (1u + select(0u, 0x10000u, is_flip)) & kept;
            marred += select(0u, 1u, is_now && !is_valid);
            changes[change_bin(value2) * LANES + lane] += 1u & kept;
            var code = 16u * predicted + select(0u, 1u, is_flip);
#if WEIGHTED
            if note.y < params.classes {
                let is_right = predicted == note.y;
                let was_right = note.x == note.y;
                let beside = sum_of(others);
                let confidence = bitcast<f32>(largest_of(most));
                let scores = array<f32, 3>(
                    clipped_nll(log_z + log_total, bitcast<f32>(union_of(of_label))),
                    fma(beside, beside, sum_of(squares)),
                    confidence,
                );
#repeat a 3
                let score$a = measure_units(scores[$a]);
                let points$a = score$a.value & bitcast<i32>(kept);
                marred += (score$a.clamped << 16u) & kept;
#end
#repeat a 2
                score_low$a += bitcast<u32>(points$a) & 0xffffu;
                score_high$a += points$a >> 16u;
#end
                let right = (1u + select(0u, 0x10000u, is_right)) & kept;
                labelled += right;
                before += select(0u, select(0x10001u, 1u, is_right), was_right) & kept;
                let bin = 3u * calibration_bin(confidence) * LANES + lane;
                calibration[bin] += right;
                calibration[bin + LANES] += bitcast<u32>(points2) & 0xffffu;
                calibration[bin + 2u * LANES] += bitcast<u32>(points2 >> 16u);
                code += 2u + select(0u, 4u, was_right) + select(0u, 8u, is_right);
            }
#endif
            if writes && is_now {
                let pair = select(vec4<f32>(-1.0), vec4<f32>(kl, distance, top_change, f32(code)), is_valid);
                let pair_at = per_sample_k + row * params.per_sample_row;
#if LONG
                per_sample[pair_at / 4u] = words_of(pair);
#else
#repeat i 4
                per_sample[pair_at + $iu] = pair[$i];
#end
#endif
            }
        }
#end
        if is_there && end > start {
            let cells = params.sums_start + (k * slots + slot) * SLOT_CELLS * 2u;
            add_cell(cells + 2u * COUNT, counted & 0xffffu, 0u);
            add_cell(cells + 2u * FLIPS, counted >> 16u, 0u);
            add_cell(cells + 2u * INVALID, marred & 0xffffu, 0u);
            add_cell(cells + 2u * CLAMPED, marred >> 16u, 0u);
#repeat a 7
            add_halves(cells + 2u * (KL + $au), low$a, high$a);
#end
            for (var bin = 0u; bin < 64u; bin++) {
                add_cell(cells + 2u * (FIRST_CHANGE + bin), changes[bin * LANES + lane], 0u);
                changes[bin * LANES + lane] = 0u;
            }
#if WEIGHTED
            add_cell(cells + 2u * LABELLED, labelled & 0xffffu, 0u);
            add_cell(cells + 2u * CORRECT, labelled >> 16u, 0u);
            add_cell(cells + 2u * CORRECT_BEFORE, before & 0xffffu, 0u);
            add_cell(cells + 2u * BROKEN, before >> 16u, 0u);
            add_halves(cells + 2u * NLL, score_low0, score_high0);
            add_halves(cells + 2u * BRIER, score_low1, score_high1);
            for (var bin = 0u; bin < 45u; bin += 3u) {
                let counts = calibration[bin * LANES + lane];
                add_cell(cells + 2u * (FIRST_BIN + bin), counts & 0xffffu, 0u);
                add_cell(cells + 2u * (FIRST_BIN + bin + 1u), counts >> 16u, 0u);
                let low = calibration[(bin + 1u) * LANES + lane];
                add_halves(cells + 2u * (FIRST_BIN + bin + 2u), low, bitcast<i32>(calibration[(bin + 2u) * LANES + lane]));
#repeat j 3
                calibration[(bin + $ju) * LANES + lane] = 0u;
#end
            }
#endif
        }
        start = end;
    }
}

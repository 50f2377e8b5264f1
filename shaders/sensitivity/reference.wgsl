// What `few` needs of each sample, in vectors of four words, once for all perturbations:
//     (ŷ, label, slot, bits of log Σ e^d); d = l − max l; p = softmax(l); and then
//     without RANKS: l; with RANKS: h̄ and g·h̄ under the recorded metadata.
// l: logits under the recorded metadata; with RANKS base + λ·scale · Σ_r (g·h̄)[r]·map[r, ·], else base. Classes and
// ranks are padded to $CLASSES and $RANKS: d = −10³⁰, p = 0, h̄ = 0. d is 0 at ŷ alone: of equal logits the later ones are
// set a hair lower. Where a logit is not finite, ŷ = NOBODY.
//
// base: [rows, classes]; hidden, gates: [rows, rank] (or width 1, gate_step 0); map: [rank, classes]; labels, groups:
// [rows, 1]; out: [rows, REFERENCE] vectors. Workgroup: one subgroup of eight lanes, 64 rows; lane = row; loops 8 times.

#if LONG
#import common/long
#endif
#import common/measure
#import common/view
#import sensitivity/map
#import sensitivity/reference_row

struct Params {
    base: Rows,
    hidden: Rows,
    gates: Rows,
    labels: Rows,
    groups: Rows,
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    map_start: u32,
    map_stride: u32,
    lambda: f32,
    scale: f32,
    group_count: u32,
    has: u32, // 1: labels, 2: groups
    pad0: u32,
    pad1: u32,
}

#if LONG
alias Stored = vec2<u64>;
#else
alias Stored = f32;
#endif
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base: array<Stored>;
@group(0) @binding(2) var<storage, read> hidden: array<Stored>;
@group(0) @binding(3) var<storage, read> gates: array<Stored>;
@group(0) @binding(4) var<storage, read> map: array<f32>;
@group(0) @binding(5) var<storage, read> labels: array<u32>;
@group(0) @binding(6) var<storage, read> groups: array<u32>;
#if LONG
@group(0) @binding(7) var<storage, read_write> out: array<vec2<u64>>;
#else
@group(0) @binding(7) var<storage, read_write> out: array<vec4<u32>>;
#endif

const ROWS: u32 = 64u;

// Four numbers of a row from `first` on; past the end what is inside the row.
#if LONG
fn base_at(start: u32, first: u32) -> vec4<f32> {
    return four_of(base[(start + min(first, params.classes - 4u)) / 4u]);
}

fn hidden_at(start: u32, first: u32) -> vec4<f32> {
    return four_of(hidden[(start + min(first, params.rank - 4u)) / 4u]);
}

fn gates_at(start: u32, first: u32) -> vec4<f32> {
    return four_of(gates[(start + min(first, params.rank - 4u)) / 4u]);
}

fn store(at: u32, four: vec4<f32>) {
    out[at] = words_of(four);
}
#else
fn base_at(start: u32, first: u32) -> vec4<f32> {
    let at = four_from(first, params.classes) + start;
    return vec4<f32>(base[at.x], base[at.y], base[at.z], base[at.w]);
}

fn hidden_at(start: u32, first: u32) -> vec4<f32> {
    let at = four_from(first, params.rank) + start;
    return vec4<f32>(hidden[at.x], hidden[at.y], hidden[at.z], hidden[at.w]);
}

fn gates_at(start: u32, first: u32) -> vec4<f32> {
    let at = four_from(first, params.rank) * params.gate_step + start;
    return vec4<f32>(gates[at.x], gates[at.y], gates[at.z], gates[at.w]);
}

fn store(at: u32, four: vec4<f32>) {
    out[at] = bitcast<vec4<u32>>(four);
}
#endif

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) group_count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let first = flat_group(group, group_count) * ROWS;
#if RANKS
    let factor = params.lambda * params.scale;
#repeat i RANKS/8
#repeat c CLASSES/4
    let m$i_$c = map_at($iu * 8u + lane, $cu * 4u);
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
#endif
    for (var row = first + lane; row < min(params.rows, first + ROWS); row += 8u) {
        let base_start = row_start(params.base, row);
#repeat c CLASSES/4
        var l$c = base_at(base_start, $cu * 4u);
#end
        let at = row * REFERENCE;
#if RANKS
        let hidden_start = row_start(params.hidden, row);
        let gate_start = row_start(params.gates, row);
#repeat c CLASSES/4
        var delta$c = vec4<f32>(0.0);
#end
#repeat q RANKS/4
        let is_rank$q = four_numbers($qu * 4u) < vec4<u32>(params.rank);
        let h$q = select(vec4<f32>(0.0), hidden_at(hidden_start, $qu * 4u), is_rank$q);
        let gated$q = select(vec4<f32>(0.0), gates_at(gate_start, $qu * 4u) * h$q, is_rank$q);
        store(at + FIRST_OWN + $qu, h$q);
        store(at + FIRST_GATED + $qu, gated$q);
#repeat i 4
#repeat c CLASSES/4
        delta$c = fma(vec4<f32>(gated$q[$i]), w[($q * 4 + $i) * $CLASSES / 4 + $c], delta$c);
#end
#end
#end
        if !is_zero(factor) {
#repeat c CLASSES/4
            l$c += factor * delta$c;
#end
        }
#endif
        var top = NO_LOGIT;
        var class_ = NOBODY;
        var is_valid = true;
#repeat c CLASSES/4
#repeat i 4
        {
            let is_class = $cu * 4u + $iu < params.classes;
            let is_top = is_class & (l$c[$i] > top);
            is_valid &= !is_class | is_finite(l$c[$i]);
            class_ = select(class_, $cu * 4u + $iu, is_top);
            top = select(top, l$c[$i], is_top);
        }
#end
#end
        var total = 0.0;
#repeat c CLASSES/4
        var d$c = vec4<f32>(NO_DISTANCE);
        var e$c = vec4<f32>(0.0);
#repeat i 4
        {
            let is_class = $cu * 4u + $iu < params.classes;
            let distance = logit_distance(l$c[$i], top);
            let below = min(distance, -1.0e-30);
            d$c[$i] = select(NO_DISTANCE, select(below, 0.0, class_ == $cu * 4u + $iu), is_class);
            e$c[$i] = select(0.0, softmax_term(distance), is_class);
            total += e$c[$i];
        }
#end
#end
        let scale = 1.0 / total;
        var label = NOBODY;
        if (params.has & 1u) != 0u {
            label = labels[row_start(params.labels, row)];
        }
        var slot = 0u;
        if (params.has & 2u) != 0u {
            slot = min(groups[row_start(params.groups, row)], params.group_count);
        }
        let note = vec4<u32>(select(NOBODY, class_, is_valid), label, slot, bitcast<u32>(precise_log(total)));
        store(at, bitcast<vec4<f32>>(note));
#repeat c CLASSES/4
        store(at + FIRST_D + $cu, d$c);
        store(at + FIRST_P + $cu, e$c * scale);
#if RANKS
#else
        store(at + FIRST_OWN + $cu, l$c);
#endif
#end
    }
}

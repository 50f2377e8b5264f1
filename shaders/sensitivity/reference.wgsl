// What `few` needs of each sample, in vectors of four words, once for all perturbations:
//     (ŷ, label, slot, bits of log Σ e^d); d = l − max l; p = softmax(l); and then
//     without RANKS: l; with RANKS: h̄ and g·h̄ under the recorded metadata.
// l: logits under the recorded metadata. Classes and ranks are padded to $CLASSES and $RANKS: d = −10³⁰, p = 0, h̄ = 0.
// d is 0 at ŷ alone: of equal logits the later ones are set a hair lower. Where a logit is not finite, ŷ = NOBODY.
//
// logits: [rows, classes]; hidden, gates: [rows, rank] (or width 1, gate_step 0); labels, groups: [rows, 1];
// out: [rows, REFERENCE] vectors. One invocation a row; no loops.

#import common/measure
#import common/view
#import sensitivity/reference_row

struct Params {
    logits: Rows,
    hidden: Rows,
    gates: Rows,
    labels: Rows,
    groups: Rows,
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    group_count: u32,
    has: u32, // 1: labels, 2: groups
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> hidden: array<f32>;
@group(0) @binding(3) var<storage, read> gates: array<f32>;
@group(0) @binding(4) var<storage, read> labels: array<u32>;
@group(0) @binding(5) var<storage, read> groups: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<u32>>;

// Numbers c to c + 3 of a row; past the end the last one.
fn logits_at(start: u32, c: u32) -> vec4<f32> {
    let at = four_from(c, params.classes) + start;
    return vec4<f32>(logits[at.x], logits[at.y], logits[at.z], logits[at.w]);
}

// Ones where classes c to c + 3 are.
fn classes_at(c: u32) -> vec4<bool> {
    return vec4<u32>(c) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.classes);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) group_count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, group_count) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let start = row_start(params.logits, row);
    var top = logits[start];
    var class_ = 0u;
    var is_valid = true;
#repeat q CLASSES/4
    let l$q = logits_at(start, $qu * 4u);
#repeat i 4
    is_valid &= is_finite(l$q[$i]);
    class_ = select(class_, $qu * 4u + $iu, l$q[$i] > top);
    top = select(top, l$q[$i], l$q[$i] > top);
#end
#end
    var total = 0.0;
#repeat q CLASSES/4
    var d$q = vec4<f32>(-1.0e30);
    var e$q = vec4<f32>(0.0);
#repeat i 4
    if $qu * 4u + $iu < params.classes {
        let distance = logit_distance(l$q[$i], top);
        d$q[$i] = select(min(distance, -1.0e-30), 0.0, class_ == $qu * 4u + $iu);
        e$q[$i] = softmax_term(distance);
        total += e$q[$i];
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
    let at = row * REFERENCE;
    out[at] = vec4<u32>(select(NOBODY, class_, is_valid), label, slot, bitcast<u32>(precise_log(total)));
#repeat q CLASSES/4
    out[at + FIRST_D + $qu] = bitcast<vec4<u32>>(d$q);
    out[at + FIRST_P + $qu] = bitcast<vec4<u32>>(e$q * scale);
#end
#if RANKS
    let hidden_at = row_start(params.hidden, row);
    let gate_at = row_start(params.gates, row);
#repeat q RANKS/4
    var h$q = vec4<f32>(0.0);
    var gated$q = vec4<f32>(0.0);
#repeat i 4
    if $qu * 4u + $iu < params.rank {
        h$q[$i] = hidden[hidden_at + $qu * 4u + $iu];
        gated$q[$i] = h$q[$i] * gates[gate_at + ($qu * 4u + $iu) * params.gate_step];
    }
#end
    out[at + FIRST_OWN + $qu] = bitcast<vec4<u32>>(h$q);
    out[at + FIRST_GATED + $qu] = bitcast<vec4<u32>>(gated$q);
#end
#else
#repeat q CLASSES/4
    out[at + FIRST_OWN + $qu] = bitcast<vec4<u32>>(select(vec4<f32>(0.0), l$q, classes_at($qu * 4u)));
#end
#endif
}

// Attention over the prototypes of a record's region: context = Σ_p w_p P_p, w = softmax(scale · q·P_p).
// BACKWARD, from dc, the gradient of the context: with a_p = dc·P_p and d_p = scale · w_p (a_p − Σ w a),
//     dq = Σ_p d_p P_p, and for prototypes/gradient terms[sample] = (w_0 … | d_0 …). ACCUMULATE adds to dq.
//
// query, context (BACKWARD: dquery), dcontext: [samples, width]; records: [RECORD_WORDS, samples] u32; prototypes:
// [(regions + 1) · each, width], set after set, set 0 for unknown regions; terms: [samples, 2 · each], contiguous;
// status: [1], counts ids without a set.
// One workgroup = one sample: lanes take prototypes, then columns. Every sum has one order. Loops at most
// 2 · width · each / 64 + width / 64 · each + 4 · each (BACKWARD). Twin: src/prototypes/twin.rs.

#import common/numeric
#import prototypes/set

struct Params {
    query: Rows,
    out: Rows,
    dcontext: Rows,
    records: Rows,
    prototypes: Rows,
    width: u32,
    each: u32,
    regions: u32,
    region_word: u32,
    region_bit: u32,
    scale: f32,
    terms_start: u32,
    status_start: u32,
    samples: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> records: array<u32>;
@group(0) @binding(3) var<storage, read> prototypes: array<f32>;
@group(0) @binding(4) var<storage, read> dcontext: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<storage, read_write> terms: array<f32>;
@group(0) @binding(7) var<storage, read_write> status: array<atomic<u32>>;

// At most 256 prototypes a set.
var<workgroup> weights: array<f32, 256>;
var<workgroup> slopes: array<f32, 256>;

fn largest() -> f32 {
    var top = weights[0];
    for (var p = 1u; p < params.each; p++) {
        top = max(top, weights[p]);
    }
    return top;
}

fn total() -> f32 {
    var sum = 0.0;
    for (var p = 0u; p < params.each; p++) {
        sum += weights[p];
    }
    return sum;
}

#if BACKWARD
fn mean_slope(inverse: f32) -> f32 {
    var sum = 0.0;
    for (var p = 0u; p < params.each; p++) {
        sum = fma(weights[p] * inverse, slopes[p], sum);
    }
    return sum;
}
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = flat_group(group, groups);
    if sample >= params.samples {
        return;
    }
    let region = region_set(sample);
    let first = region.number * params.each;
    let query_at = row_start(params.query, sample);
    for (var p = lane; p < params.each; p += 64u) {
        let at = row_start(params.prototypes, first + p);
        var score = 0.0;
        for (var d = 0u; d < params.width; d++) {
            score = fma(query[query_at + d], prototypes[at + d], score);
        }
        weights[p] = params.scale * score;
#if BACKWARD
        let dcontext_at = row_start(params.dcontext, sample);
        var slope = 0.0;
        for (var d = 0u; d < params.width; d++) {
            slope = fma(dcontext[dcontext_at + d], prototypes[at + d], slope);
        }
        slopes[p] = slope;
#endif
    }
    workgroupBarrier();
    let top = largest();
    workgroupBarrier();
    for (var p = lane; p < params.each; p += 64u) {
        weights[p] = precise_exp(weights[p] - top);
    }
    workgroupBarrier();
    let inverse = 1.0 / total();
#if BACKWARD
    let mean = mean_slope(inverse);
    workgroupBarrier();
    let terms_at = params.terms_start + sample * 2u * params.each;
    for (var p = lane; p < params.each; p += 64u) {
        let weight = weights[p] * inverse;
        let slope = params.scale * weight * (slopes[p] - mean);
        terms[terms_at + p] = weight;
        terms[terms_at + params.each + p] = slope;
        weights[p] = slope;
    }
    workgroupBarrier();
#else
    if lane == 0u && region.refused {
        atomicAdd(&status[params.status_start], 1u);
    }
#endif
    let out_at = row_start(params.out, sample);
    for (var d = lane; d < params.width; d += 64u) {
        var sum = 0.0;
        for (var p = 0u; p < params.each; p++) {
            sum = fma(weights[p], prototypes[row_start(params.prototypes, first + p) + d], sum);
        }
#if BACKWARD
#if ACCUMULATE
        out[out_at + d] += sum;
#else
        out[out_at + d] = sum;
#endif
#else
        out[out_at + d] = sum * inverse;
#endif
    }
}

// out[s, n] = 1/T_s · Σ_t act(x[s, t, n]) over a sample's first T_s tokens.
//
// x: [samples, tokens, width], stored as common/wide.wgsl says; counts: [samples], or none: all tokens; out: [samples, width].
// VEC4: all start and step by multiples of four elements. One invocation per sample and four columns, columns fastest;
// loops tokens times, tokens upwards. A sample's mean depends on no other. Twin: `mean` in src/readout/twin.rs.

#import readout/pooled
#import readout/activation
#import common/wide

struct Params {
    x: Rows,
    counts: Rows,
    out: Rows,
    samples: u32,
    tokens: u32,
    width: u32,
    has_counts: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> wide: array<Stored>; // x
@group(0) @binding(2) var<storage, read> counts: array<u32>;
#if VEC4
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
#else
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let fours = (params.width + 3u) / 4u;
    let sample = index / fours;
    let column = (index - sample * fours) * 4u;
    if sample >= params.samples {
        return;
    }
    // Within a sample rows lie at one distance.
    let first = row_start(params.x, sample * params.tokens);
    let step = row_start(params.x, sample * params.tokens + 1u) - first;
    let there = places(column, params.width);
    let count = token_count(sample);
    var at = first + column;
    var sum = vec4<f32>();
    for (var token = 0u; token < count; token++) {
        sum += activated(load_wide(at, there));
        at += step;
    }
    store_mean(row_start(params.out, sample), column, sum, count);
}

// Second stage of sums over each segment's own chunks: out[segment, i] = λ · Σ_{c of the segment} partial[c, i], chunks in
// index order. ACCUMULATE adds to what out holds.
//
// partial: [chunks, width], contiguous; out: without BANK [segments, width], a row each (dg, a segment is a sample); with
// BANK the matrix of the segment's adapter, whose elements are the first of `width` (dA and dB_t).
// One invocation per (segment, element); loops over the segment's chunks. No other segment changes a sum.
// Twin: `outer` and `dgate` in src/lora/twin.rs, an adapter's rows or a sample alone.

#import common/view
#import lora/route

struct Params {
    out: Rows,
    segments: u32,
    first_segment: u32,
    width: u32,   // of a partial
    columns: u32, // of an adapter's matrix
    partial_start: u32,
    lambda: f32,
    pad0: u32,
    pad1: u32,
    route: Route,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> routes: array<u32>;
@group(0) @binding(4) var<storage, read> entries: array<vec4<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let local = index / params.width;
    let element = index - local * params.width;
    if local >= params.segments {
        return;
    }
    let segment = params.first_segment + local;
    let route = params.route;
#if BANK
    let entry = entries[routes[route.adapters + segment]];
    if element >= entry.x * params.columns {
        return;
    }
    let at = entry[route.matrix] + route.shift + element;
#else
    let at = row_start(params.out, segment) + element;
#endif
    var sum = 0.0;
    let end = routes[route.firsts + segment + 1u];
    for (var chunk = routes[route.firsts + segment]; chunk < end; chunk++) {
        sum += partials[params.partial_start + (chunk - route.first_tile) * params.width + element];
    }
    sum *= params.lambda;
#if ACCUMULATE
    out[at] += sum;
#else
    out[at] = sum;
#endif
}

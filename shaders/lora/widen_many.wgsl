// The matrices of the adapters that have rows, from an arena of halves to f32, one behind the other in the order of their
// segments: out[segment, i] = arena[start of the segment's adapter + i]; once a call and exactly, as in widen.wgsl.
//
// arena: halves, two to a word, matrices from any element on; out: `route.elements` apart.
// One invocation per number; no loop. Twin: `unpack_f16`, `unpack_bf16` in src/common/pack.rs.

#import common/view
#import common/pack
#import lora/route

struct Params {
    segments: u32,
    columns: u32, // of a matrix
    out_start: u32,
    pad: u32,
    route: Route,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> arena: array<u32>;
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
    let route = params.route;
    let segment = index / route.elements;
    let element = index - segment * route.elements;
    if segment >= params.segments {
        return;
    }
    let entry = entries[routes[route.adapters + route.first_segment + segment]];
    if element >= entry.x * params.columns {
        return;
    }
    let at = entry[route.matrix] + route.shift + element;
    let pair = unpack_$HALF(arena[at >> 1u]);
    out[params.out_start + index] = select(pair.x, pair.y, (at & 1u) == 1u);
}

// Features of f32 rounded once to halves, half to even, two to a word; encode/halves says how rows lie.
//
// values: rows of vectors; halves: rows of words. One invocation writes at most four words; nobody else writes them, and the
// last word of an odd row keeps its other half. No loops. Twin: `rounded` in src/encode/twin.rs, bit-equal.

#import encode/halves

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> halves: array<u32>;

fn put(place: Place, j: u32, pair: vec2<f32>) {
    if j >= place.pairs {
        return;
    }
    var word = pack_pair(pair);
    if j + 1u == place.pairs && (params.width & 1u) == 1u {
        word = (word & 0xffffu) | (halves[place.halves + j] & 0xffff0000u);
    }
    halves[place.halves + j] = word;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let place = place_of(flat_group(group, groups) * 64u + lane);
    if !place.counts {
        return;
    }
    let first = values[place.values];
    put(place, 0u, first.xy);
    put(place, 1u, first.zw);
    if place.pairs > 2u {
        let second = values[place.values + 1u];
        put(place, 2u, second.xy);
        put(place, 3u, second.zw);
    }
}

// Tokens of halves as f32, exactly: what encode/pack writes, read back; encode/halves says how rows lie.
//
// halves: rows of words; values: rows of vectors. What stands past the width of a row is of no use. No loops.
// Twins: src/common/pack.rs, bit-equal.

#import encode/halves

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> halves: array<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<vec4<f32>>;

// Pair j, or the last one of the row.
fn pair_at(place: Place, j: u32) -> vec2<f32> {
    return unpack_pair(halves[place.halves + min(j, place.pairs - 1u)]);
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
    values[place.values] = vec4<f32>(pair_at(place, 0u), pair_at(place, 1u));
    if place.pairs > 2u {
        values[place.values + 1u] = vec4<f32>(pair_at(place, 2u), pair_at(place, 3u));
    }
}

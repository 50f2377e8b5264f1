// Places on the sphere and on the map. Input: lat, lon (two words each).

#import common/projection

@group(0) @binding(0) var<storage, read> input: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 2u > arrayLength(&input) {
        return;
    }
    let lat = input[id.x * 2u];
    let lon = input[id.x * 2u + 1u];
    let angle = sincos_q60(lon);
    let up = unit_vector(lat, lon);
    let map = equal_earth(lat, lon);
    let to = id.x * 7u;
    output[to] = angle.xy;
    output[to + 1u] = angle.zw;
    output[to + 2u] = up.x;
    output[to + 3u] = up.y;
    output[to + 4u] = up.z;
    output[to + 5u] = map.xy;
    output[to + 6u] = map.zw;
}

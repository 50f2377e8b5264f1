// Great circles between two places. Input: lat, lon of each (two words each), bearing, central angle.

#import common/geodesy

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 10u > arrayLength(&input) {
        return;
    }
    let start = id.x * 10u;
    let a = Place(vec2<u32>(input[start], input[start + 1u]), vec2<u32>(input[start + 2u], input[start + 3u]));
    let b = Place(vec2<u32>(input[start + 4u], input[start + 5u]), vec2<u32>(input[start + 6u], input[start + 7u]));
    let moved = destination(a, input[start + 8u], input[start + 9u]);
    let to = id.x * 6u;
    output[to] = moved.lat.x;
    output[to + 1u] = moved.lat.y;
    output[to + 2u] = moved.lon.x;
    output[to + 3u] = moved.lon.y;
    let angle = central_angle(a, b);
    output[to + 4u] = angle;
    output[to + 5u] = bitcast<u32>(km_from_turns(angle));
}

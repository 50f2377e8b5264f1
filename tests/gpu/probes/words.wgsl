// Phase, random, packing and unit functions of one word. Input: x, y.

#import common/pack
#import common/phase
#import common/rng
#import common/sum64

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 2u > arrayLength(&input) {
        return;
    }
    let x = input[id.x * 2u];
    let y = input[id.x * 2u + 1u];
    let to = id.x * 18u;
    output[to] = turns_from_degrees(vec2<u32>(x, y));
    let draw = draw4(vec2<u32>(x, y), y, vec2<u32>(y, x), x, 3u);
    output[to + 1u] = draw.x;
    output[to + 2u] = draw.y;
    output[to + 3u] = draw.z;
    output[to + 4u] = draw.w;
    output[to + 5u] = bitcast<u32>(uniform01(x));
    output[to + 6u] = pack_f16(bitcast<vec2<f32>>(vec2<u32>(x, y)));
    output[to + 7u] = pack_bf16(bitcast<vec2<f32>>(vec2<u32>(x, y)));
    let halves = bitcast<vec2<u32>>(unpack_f16(x));
    output[to + 8u] = halves.x;
    output[to + 9u] = halves.y;
    let brains = bitcast<vec2<u32>>(unpack_bf16(x));
    output[to + 10u] = brains.x;
    output[to + 11u] = brains.y;
    let measure = measure_units(bitcast<f32>(x));
    output[to + 12u] = bitcast<u32>(measure.value);
    output[to + 13u] = measure.clamped;
    let logit = logit_units(bitcast<f32>(x));
    output[to + 14u] = bitcast<u32>(logit.value);
    output[to + 15u] = logit.clamped;
    output[to + 16u] = sum64_high(x, vec2<u32>(y, x));
    output[to + 17u] = exp2_fixed(x & 0x7fffffffu);
}

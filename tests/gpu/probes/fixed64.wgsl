// Every function of common/fixed64 on one case. Input: a, b (two words each), shift, small divisor, numerator,
// denominator, ladder point, f32 point.

#import common/fixed64

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

fn put2(at: u32, words: vec2<u32>) {
    output[at] = words.x;
    output[at + 1u] = words.y;
}

fn put4(at: u32, words: vec4<u32>) {
    put2(at, words.xy);
    put2(at + 2u, words.zw);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 10u > arrayLength(&input) {
        return;
    }
    let start = id.x * 10u;
    let a = vec2<u32>(input[start], input[start + 1u]);
    let b = vec2<u32>(input[start + 2u], input[start + 3u]);
    let n = input[start + 4u];
    let divisor = input[start + 5u];
    let point = bitcast<i32>(input[start + 9u]);
    let to = id.x * 36u;
    put2(to, add64(a, b));
    put2(to + 2u, sub64(a, b));
    put2(to + 4u, neg64(a));
    put2(to + 6u, abs64(a));
    put2(to + 8u, shl64(a, n));
    put2(to + 10u, shr_u64(a, n));
    put2(to + 12u, shr_i64(a, n));
    put2(to + 14u, mul32_wide(a.x, b.x));
    put2(to + 16u, mul_i32_wide(bitcast<i32>(a.x), bitcast<i32>(b.x)));
    put4(to + 18u, mul64_wide(a, b));
    put4(to + 22u, mul_i64_wide(a, b));
    put2(to + 26u, div_u64_small(a, divisor));
    put2(to + 28u, div_i64_small(a, divisor));
    put2(to + 30u, i64_from_f32(bitcast<f32>(a.x), point));
    output[to + 32u] = bitcast<u32>(f32_from_i64(a, point));
    output[to + 33u] = div_turns(input[start + 6u], input[start + 7u]);
    output[to + 34u] = ladder_turns(a, b, input[start + 8u]);
    output[to + 35u] = select(0u, 1u, less_u64(a, b)) | select(0u, 2u, less_i64(a, b)) | select(0u, 4u, equal64(a, b));
}

// f32 to f16 and bf16 bits, rounded half to even by integers (WGSL's own packing fixes no rounding mode), and
// back. Subnormals are kept, overflow gives infinity, NaN stays NaN.
// Twins: src/common/pack.rs, bit-equal.

// The sixteen bits of the nearest half. Every case is computed and one is chosen: some adapters run every branch anyway, and
// SwiftShader takes long to compile them.
fn f16_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let magnitude = bits & 0x7fffffffu;
    // A carry out of the mantissa raises the exponent, up to infinity.
    let normal = min(magnitude + 0xfffu + ((magnitude >> 13u) & 1u) - 0x38000000u, 0x0f800000u) >> 13u;
    // Below 2⁻¹⁴, in units of 2⁻²⁴.
    let shift = clamp(126u - (magnitude >> 23u), 1u, 25u);
    let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    let kept = mantissa >> shift;
    let rest = mantissa - (kept << shift);
    let half = 1u << (shift - 1u);
    let subnormal = kept + select(0u, 1u, rest + (kept & 1u) > half);
    let number = select(normal, subnormal, magnitude < 0x38800000u);
    let nan = 0x7e00u | ((magnitude >> 13u) & 0x3ffu);
    return ((bits >> 16u) & 0x8000u) | select(number, nan, magnitude > 0x7f800000u);
}

fn f32_from_f16(bits: u32) -> f32 {
    let magnitude = bits & 0x7fffu;
    // Infinity and NaN have the largest exponent of both types.
    let normal = (magnitude << 13u) + select(0x38000000u, 0x70000000u, magnitude >= 0x7c00u);
    let subnormal = bitcast<u32>(f32(magnitude) * 5.9604644775390625e-8); // 2⁻²⁴; exact
    return bitcast<f32>(((bits & 0x8000u) << 16u) | select(normal, subnormal, magnitude < 0x400u));
}

// The sixteen bits of the nearest bfloat16.
fn bf16_bits(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let number = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
    return select(number, (bits >> 16u) | 0x40u, (bits & 0x7fffffffu) > 0x7f800000u);
}

fn f32_from_bf16(bits: u32) -> f32 {
    return bitcast<f32>(bits << 16u);
}

// Two halves in a word, the first in the low bits.
fn pack_f16(pair: vec2<f32>) -> u32 {
    return f16_bits(pair.x) | (f16_bits(pair.y) << 16u);
}

fn unpack_f16(word: u32) -> vec2<f32> {
    return vec2<f32>(f32_from_f16(word & 0xffffu), f32_from_f16(word >> 16u));
}

fn pack_bf16(pair: vec2<f32>) -> u32 {
    return bf16_bits(pair.x) | (bf16_bits(pair.y) << 16u);
}

fn unpack_bf16(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

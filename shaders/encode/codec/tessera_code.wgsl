// Tessera's scale and code, as IEEE division would give them: WGSL lets a driver's division err by 2.5 ulp, so integers
// decide. Floats stay bits; finite magnitudes order as their bits do.
// Twins: `scale_bits`, `tessera_code` in src/encode/codec/twin.rs, bit-equal.

#import common/fixed64

const INFINITE = 0x7f800000u;
const DAMAGED = 0x7fc00000u; // the scale of a row that holds a NaN or an infinity

// magnitude / 127, rounded to nearest (127 is odd: no ties). Below 2⁻¹¹⁹ 0, which is under every floor.
fn divided_by_127(magnitude: u32) -> u32 {
    let exponent = magnitude >> 23u;
    if exponent < 8u {
        return 0u;
    }
    let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    // The quotient gets 24 bits: mantissa / 127 lies on either side of 2¹⁷.
    let shift = select(6u, 7u, mantissa < 0xfe0000u);
    let dividend = mantissa << shift;
    let quotient = dividend / 127u;
    let rounded = quotient + select(0u, 1u, dividend - quotient * 127u > 63u);
    // A carry out of the mantissa raises the exponent.
    return ((exponent - shift) << 23u) + (rounded - 0x800000u);
}

fn scale_bits(magnitude: u32, least_magnitude: u32, least_scale: u32) -> u32 {
    let scale = max(divided_by_127(max(magnitude, least_magnitude)), least_scale);
    return select(scale, DAMAGED, magnitude >= INFINITE);
}

// round_half_even(float(x / scale)) for |x| ≤ 127.00001 · scale, scale normal.
// Let n = ⌊|x| / scale⌋ and h = n + ½. The quotient, rounded to 24 bits, lies above h iff |x| / scale > h + ½ ulp(h), and
// below iff |x| / scale < h − ½ ulp(h) (ties go to h, whose mantissa is even). The float that equals h goes to the even
// one of n and n + 1. So an even n asks for the first, an odd n for the second, as products of 64 bits.
// A driver's quotient may put n one too low or high beside an integer, far from any h: the answer is the same.
fn tessera_code(x: u32, scale: u32) -> i32 {
    let magnitude = x & 0x7fffffffu;
    let exponent = magnitude >> 23u;
    let scale_exponent = scale >> 23u;
    if exponent + 3u < scale_exponent { // |x| < scale / 8
        return 0;
    }
    let n = u32(bitcast<f32>(magnitude) / bitcast<f32>(scale));
    let odd = n & 1u;
    let twice_h = 2u * n + 1u;
    let lead = firstLeadingBit(twice_h);
    let h = twice_h << (24u - lead); // h = this · 2^(lead − 25), so ½ ulp(h) is one
    let dividend = shl64(vec2<u32>((magnitude & 0x7fffffu) | 0x800000u, 0u), exponent + 25u - scale_exponent - lead);
    let boundary = mul32_wide((scale & 0x7fffffu) | 0x800000u, h + 1u - 2u * odd);
    let up = select(less_u64(boundary, dividend), !less_u64(dividend, boundary), odd == 1u);
    let code = bitcast<i32>(n + select(0u, 1u, up));
    return select(code, -code, x > 0x7fffffffu);
}

// Exact sums: measures become integers in fixed units, and integers add in any order to the same bits.
// A 64-bit sum lives in two u32 words, two's complement. With atomics:
//     let old = atomicAdd(&sums[at], value.x);
//     let high = sum64_high(old, value);
//     if high != 0u { atomicAdd(&sums[at + 1u], high); }
// The number of carries out of the low words is fixed by their total, so the order does not matter.
// Twins: src/common/sum64.rs, bit-equal.

#import common/fixed64

struct Units {
    value: i32,
    clamped: u32, // 1 where |x| was above the limit
}

// What the high word gains when `value` is added to a sum whose low word was `old_low`.
fn sum64_high(old_low: u32, value: vec2<u32>) -> u32 {
    return value.y + select(0u, 1u, old_low + value.x < old_low);
}

// x · 2^digits rounded half to even, |x| clamped to `limit` (finite, limit · 2^digits < 2³¹, digits in 0..=31).
// Decided on the bits: no rounding mode, no comparison of floats. Infinity is clamped, and so is NaN: leave it out
// before.
fn units_from_f32(x: f32, limit: f32, digits: u32) -> Units {
    let bits = bitcast<u32>(x);
    let bound = bitcast<u32>(limit);
    let is_clamped = (bits & 0x7fffffffu) > bound;
    let magnitude = select(bits & 0x7fffffffu, bound, is_clamped);
    let exponent = magnitude >> 23u;
    let mantissa = (magnitude & 0x7fffffu) | select(0x800000u, 0u, exponent == 0u);
    let shift = i32(max(exponent, 1u)) - 150 + i32(digits);
    var units = 0u;
    if shift >= 0 {
        units = mantissa << u32(shift);
    } else if shift > -26 {
        let drop = u32(-shift);
        let kept = mantissa >> drop;
        let rest = mantissa - (kept << drop);
        let half = 1u << (drop - 1u);
        units = kept + select(0u, 1u, rest > half || (rest == half && (kept & 1u) == 1u));
    }
    let value = select(i32(units), -i32(units), (bits >> 31u) != 0u);
    return Units(value, select(0u, 1u, is_clamped));
}

// Probabilities and information, ±31 in units of 2⁻²⁶.
fn measure_units(x: f32) -> Units {
    return units_from_f32(x, 31.0, 26u);
}

// Changes of logits, ±2,047 in units of 2⁻²⁰.
fn logit_units(x: f32) -> Units {
    return units_from_f32(x, 2047.0, 20u);
}

//! f32 to f16 and bf16 bits and back, by integers; `shaders/common/pack.wgsl`, bit-equal.
//!
//! Rounds half to even, keeps subnormals, overflows to infinity; NaN stays NaN. The same as crate `half`, which the
//! tests compare with over every interesting pattern.

/// The bits of the nearest half.
///
/// ```
/// assert_eq!(gtca::common::pack::f16_bits(1.0), 0x3c00);
/// assert_eq!(gtca::common::pack::f16_bits(65_520.0), 0x7c00);
/// ```
pub fn f16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let packed = if magnitude > 0x7f80_0000 {
        0x7e00 | ((magnitude >> 13) & 0x3ff)
    } else if magnitude >= 0x4780_0000 {
        0x7c00
    } else if magnitude < 0x3880_0000 {
        let shift = (126 - (magnitude >> 23)).min(25);
        let mantissa = (magnitude & 0x7f_ffff) | 0x80_0000;
        let kept = mantissa >> shift;
        let rest = mantissa - (kept << shift);
        let half = 1 << (shift - 1);
        kept + u32::from(rest > half || (rest == half && kept & 1 == 1))
    } else {
        (magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x3800_0000) >> 13
    };
    (sign | packed) as u16
}

/// The value of a half's bits.
pub fn f32_from_f16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let sign = (bits & 0x8000) << 16;
    let (exponent, mantissa) = ((bits >> 10) & 0x1f, bits & 0x3ff);
    let magnitude = match exponent {
        31 => 0x7f80_0000 | (mantissa << 13),
        0 => (mantissa as f32 * 2f32.powi(-24)).to_bits(),
        _ => ((exponent + 112) << 23) | (mantissa << 13),
    };
    f32::from_bits(sign | magnitude)
}

/// The bits of the nearest bfloat16.
///
/// ```
/// assert_eq!(gtca::common::pack::bf16_bits(1.0), 0x3f80);
/// ```
pub fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The value of a bfloat16's bits.
pub fn f32_from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Two halves in a word, the first in the low bits.
pub fn pack_f16(pair: [f32; 2]) -> u32 {
    u32::from(f16_bits(pair[0])) | (u32::from(f16_bits(pair[1])) << 16)
}

/// The two halves of a word.
pub fn unpack_f16(word: u32) -> [f32; 2] {
    [f32_from_f16(word as u16), f32_from_f16((word >> 16) as u16)]
}

/// Two bfloat16 in a word, the first in the low bits.
pub fn pack_bf16(pair: [f32; 2]) -> u32 {
    u32::from(bf16_bits(pair[0])) | (u32::from(bf16_bits(pair[1])) << 16)
}

/// The two bfloat16 of a word.
pub fn unpack_bf16(word: u32) -> [f32; 2] {
    [f32_from_bf16(word as u16), f32_from_bf16((word >> 16) as u16)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    fn check(bits: u32) {
        let x = f32::from_bits(bits);
        assert_eq!(f16_bits(x), f16::from_f32(x).to_bits(), "f16 of {bits:#x}");
        assert_eq!(bf16_bits(x), bf16::from_f32(x).to_bits(), "bf16 of {bits:#x}");
    }

    #[test]
    fn every_pattern_unpacks_and_packs_as_the_half_crate_does() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (f32_from_f16(bits), f32_from_bf16(bits));
            if brain.is_nan() {
                assert!(bf16::from_bits(bits).is_nan());
            } else {
                assert_eq!(brain.to_bits(), bf16::from_bits(bits).to_f32_const().to_bits(), "{bits:#x}");
            }
            if half.is_nan() {
                assert!(f16::from_bits(bits).is_nan());
            } else {
                assert_eq!(half.to_bits(), f16::from_bits(bits).to_f32_const().to_bits(), "{bits:#x}");
            }
            // The value itself, its neighbours, and the middle to the next value with its neighbours.
            for value in [half.to_bits(), brain.to_bits()] {
                for half_ulp in [0u32, 0x1000, 0x8000] {
                    for near in [u32::MAX, 0, 1] {
                        check(value.wrapping_add(half_ulp).wrapping_add(near));
                    }
                }
            }
        }
    }

    #[test]
    fn subnormal_halves_round_to_even() {
        for k in 0..4096u32 {
            let x = k as f32 * 2f32.powi(-26);
            for near in [u32::MAX, 0, 1] {
                check(x.to_bits().wrapping_add(near));
                check(x.to_bits().wrapping_add(near) ^ 0x8000_0000);
            }
        }
    }

    #[test]
    fn a_spread_of_all_floats_agrees() {
        for k in 0..1_000_000u32 {
            check(k.wrapping_mul(2_654_435_769));
        }
    }

    #[test]
    fn words_hold_two() {
        assert_eq!(unpack_f16(pack_f16([1.5, -2.0])), [1.5, -2.0]);
        assert_eq!(unpack_bf16(pack_bf16([1.5, -2.0])), [1.5, -2.0]);
        assert_eq!(pack_f16([1.0, 0.0]), 0x3c00);
    }
}

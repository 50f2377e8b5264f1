//! Exact sums in fixed units; `shaders/common/sum64.wgsl`, bit-equal.
//!
//! Measures become integers (KL, probabilities … in units of 2⁻²⁶, logits in 2⁻²⁰), and their 64-bit sums are the same
//! in any order, sharding or chunking. On the device a sum lives in two words.

/// Binary digits after the point of probabilities and information.
pub const MEASURE_DIGITS: u32 = 26;
/// Binary digits after the point of logit changes.
pub const LOGIT_DIGITS: u32 = 20;

/// A measure in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// The number of units.
    pub value: i32,
    /// Whether the value was beyond the limit.
    pub clamped: bool,
}

/// What the high word gains when `value` is added to a sum whose low word was `old_low`.
pub fn sum64_high(old_low: u32, value: i64) -> u32 {
    let carry = old_low.checked_add(value as u32).is_none();
    ((value >> 32) as u32).wrapping_add(carry.into())
}

/// `x · 2^digits` rounded half to even, |x| clamped to `limit`. Infinity and NaN are clamped too.
///
/// Needs `limit · 2^digits < 2³¹`.
pub fn units_from_f32(x: f32, limit: f32, digits: u32) -> Units {
    let clamped = x.to_bits() & 0x7fff_ffff > limit.to_bits();
    let magnitude = f64::from(if clamped { limit } else { x.abs() });
    // f64 holds every f32 times a power of two exactly.
    let units = (magnitude * 2f64.powi(digits as i32)).round_ties_even() as i32;
    Units { value: if x.is_sign_negative() { -units } else { units }, clamped }
}

/// Probabilities and information: ±31 in units of 2⁻²⁶.
///
/// ```
/// use gtca::common::sum64::measure_units;
/// assert_eq!(measure_units(0.5).value, 1 << 25);
/// assert!(measure_units(-40.0).clamped);
/// ```
pub fn measure_units(x: f32) -> Units {
    units_from_f32(x, 31.0, MEASURE_DIGITS)
}

/// Changes of logits: ±2,047 in units of 2⁻²⁰.
pub fn logit_units(x: f32) -> Units {
    units_from_f32(x, 2047.0, LOGIT_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::fixed64::{from_words, words};

    #[test]
    fn sums_in_words_are_the_same_in_any_order() {
        let values: Vec<i64> =
            (0..1000u32).map(|k| i64::from(k.wrapping_mul(2_654_435_769) as i32) * 3).collect();
        let sum = |values: &mut dyn Iterator<Item = &i64>| {
            let mut total = [0u32; 2];
            for value in values {
                total[1] = total[1].wrapping_add(sum64_high(total[0], *value));
                total[0] = total[0].wrapping_add(words(*value)[0]);
            }
            from_words(total)
        };
        let exact = values.iter().sum::<i64>();
        assert_eq!(sum(&mut values.iter()), exact);
        assert_eq!(sum(&mut values.iter().rev()), exact);
    }

    #[test]
    fn units_round_half_to_even_and_clamp() {
        let unit = 2f32.powi(-26);
        for (x, value) in [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (0.500_001, 1)] {
            assert_eq!(measure_units(x * unit), Units { value, clamped: false }, "{x}");
        }
        assert_eq!(measure_units(31.0), Units { value: 31 << 26, clamped: false });
        assert_eq!(measure_units(f32::INFINITY), Units { value: 31 << 26, clamped: true });
        assert_eq!(logit_units(-1e9), Units { value: -2047 << 20, clamped: true });
    }
}

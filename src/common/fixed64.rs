//! 64-bit fixed point; `shaders/common/fixed64.wgsl`, bit-equal.
//!
//! The shader spells out in words what `u64` and `i64` do here (`add64` is `wrapping_add`, `mul64_wide` a product
//! in `u128`, `div_i64_small` is `div_euclid`); this file holds the functions that Rust has not.

/// The two words of a 64-bit number as shaders hold it: low, high.
pub fn words(value: i64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// The number that two words hold: low, high.
pub fn from_words(words: [u32; 2]) -> i64 {
    i64::from(words[0]) | (i64::from(words[1]) << 32)
}

/// ⌊numerator · 2³² / denominator⌋: a fraction as turns.
///
/// Needs `numerator < denominator < 2³¹`; outside the result is meaningless.
///
/// ```
/// use gtca::common::fixed64::div_turns;
/// assert_eq!(div_turns(1, 4), 1 << 30);
/// assert_eq!(div_turns(1, 3), 0x5555_5555);
/// ```
pub fn div_turns(numerator: u32, denominator: u32) -> u32 {
    debug_assert!(numerator < denominator && denominator < 1 << 31);
    ((u64::from(numerator) << 32) / u64::from(denominator)) as u32
}

/// The fraction of `value · frequency · 2^−point` as turns, rounded down; `point` in 32..=127.
///
/// `frequency` is turns per unit of `value` with `point` binary digits after the point; [`frequency_fixed`] makes it.
///
/// ```
/// use gtca::common::fixed64::{frequency_fixed, ladder_turns};
/// let (frequency, point) = frequency_fixed(0.25);
/// assert_eq!(ladder_turns(-1, frequency, point), 3 << 30);
/// ```
pub fn ladder_turns(value: i64, frequency: i64, point: u32) -> u32 {
    debug_assert!((32..=127).contains(&point));
    ((i128::from(value) * i128::from(frequency)) >> (point - 32)) as u32
}

/// The high word of a product, at most 2 below it: carries out of the low word are left out.
pub fn mul32_high_near(a: u32, b: u32) -> u32 {
    let ([a_low, a_high], [b_low, b_high]) = ([a & 0xffff, a >> 16], [b & 0xffff, b >> 16]);
    (a_high * b_high).wrapping_add((a_high * b_low) >> 16).wrapping_add((a_low * b_high) >> 16)
}

/// Bits 64..96 of `value · frequency`, a phase in turns, at most 5 units (7e-9 radians) below: two high halves and one low
/// product, without carries and without the product of the low words.
///
/// ```
/// use gtca::common::fixed64::wave_turns;
/// // 0.75 with 43 digits after the point, times 3 turns: 2 turns and a quarter.
/// assert_eq!(wave_turns(3 << 41, 3 << 53), 1 << 30);
/// ```
pub fn wave_turns(value: i64, frequency: i64) -> u32 {
    let (v, f) = (words(value), words(frequency));
    let high = mul32_high_near(v[0], f[1]).wrapping_sub(if frequency < 0 { v[0] } else { 0 });
    let high_2 = mul32_high_near(f[0], v[1]).wrapping_sub(if value < 0 { f[0] } else { 0 });
    high.wrapping_add(high_2).wrapping_add(v[1].wrapping_mul(f[1]))
}

/// A frequency in turns per unit as `(fixed, point)` for [`ladder_turns`], every bit of the f64 kept.
///
/// `point` lies in 32..=127: frequencies of 2³⁰ turns a unit and more saturate, and bits below 2⁻¹²⁷ are dropped.
pub fn frequency_fixed(turns_per_unit: f64) -> (i64, u32) {
    // 62 significant bits, as far as `point` allows.
    let exponent = if turns_per_unit == 0.0 { 0 } else { turns_per_unit.abs().log2().floor() as i32 };
    let point = (61 - exponent).clamp(32, 127);
    ((turns_per_unit * 2f64.powi(point)) as i64, point as u32)
}

/// `x · 2^point` rounded toward zero, saturating at ±(2⁶³ − 1); NaN gives 0. `point` in −60..=1000.
///
/// ```
/// assert_eq!(gtca::common::fixed64::i64_from_f32(-1.75, 1), -3);
/// ```
pub fn i64_from_f32(x: f32, point: i32) -> i64 {
    if x.is_nan() {
        return 0;
    }
    let bits = x.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32;
    let mantissa = u64::from(bits & 0x7f_ffff) | if exponent == 0 { 0 } else { 0x80_0000 };
    let shift = exponent.max(1) - 150 + point;
    let magnitude = match shift {
        40.. if mantissa != 0 => i64::MAX as u64,
        0..40 => mantissa << shift,
        -23..0 => mantissa >> -shift,
        _ => 0,
    };
    if x.is_sign_negative() { -(magnitude as i64) } else { magnitude as i64 }
}

/// `a · 2^−point` as the nearest f32, half to even. `point` in −60..=100.
///
/// ```
/// assert_eq!(gtca::common::fixed64::f32_from_i64(-3, 1), -1.5);
/// ```
pub fn f32_from_i64(a: i64, point: i32) -> f32 {
    // Rust's cast rounds half to even; the power of two only moves the exponent.
    a as f32 * 2f32.powi(-point)
}

/// ⌊2ˣ⌋ for x in 0..32 with 26 binary digits after the point (below 2³¹), within 2e-8 of its value and one unit.
///
/// ```
/// use gtca::common::fixed64::exp2_fixed;
/// assert_eq!(exp2_fixed(10 << 26), 1024);
/// ```
pub fn exp2_fixed(x: u32) -> u32 {
    let fraction = u64::from(x << 6);
    let power = EXP2.iter().fold(0u64, |power, coefficient| coefficient + ((power * fraction) >> 32));
    (power as u32) >> (31 - (x >> 26))
}

/// Coefficients of 2^fraction on [0, 1), highest first, with 31 binary digits.
const EXP2: [u64; 8] =
    [46_477, 307_145, 2_883_937, 20_644_974, 119_196_685, 515_882_179, 1_488_522_251, 2_147_483_648];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fractions_become_turns_rounded_down() {
        assert_eq!(div_turns(0, 7), 0);
        assert_eq!(div_turns(6, 7), ((6u64 << 32) / 7) as u32);
        assert_eq!(div_turns((1 << 31) - 2, (1 << 31) - 1), u32::MAX - 2);
    }

    #[test]
    fn a_steep_ladder_keeps_its_phase_at_the_antimeridian() {
        // 1e6 rad/degree, the steepest published ladder: f32 has lost this phase altogether.
        let turns_per_degree = 1e6 / std::f64::consts::TAU;
        let (frequency, point) = frequency_fixed(turns_per_degree * 2f64.powi(-40));
        for degrees in [180.0, -180.0, 0.1, -73.25, 47.376_888] {
            let fixed = (degrees * 2f64.powi(40)).round() as i64;
            let turns = f64::from(ladder_turns(fixed, frequency, point)) * 2f64.powi(-32);
            let exact = (fixed as f64 * 2f64.powi(-40) * turns_per_degree).rem_euclid(1.0);
            let error = (turns - exact + 0.5).rem_euclid(1.0) - 0.5;
            // The f64 product itself has an ulp of 4e-9 turns here.
            assert!(error.abs() < 1e-8, "{degrees}: {turns} against {exact}");
        }
    }

    #[test]
    fn powers_of_two_are_even_over_orders_of_magnitude() {
        assert_eq!(exp2_fixed(0), 1);
        for k in 0..100_000u32 {
            let x = k * 21_474;
            let exact = 2f64.powf(f64::from(x) / 2f64.powi(26));
            let error = f64::from(exp2_fixed(x)) - exact;
            assert!(error <= 1e-8 * exact && error >= -1.0 - 2e-8 * exact, "{x}: {error}");
        }
        assert_eq!(exp2_fixed(i32::MAX as u32) >> 8, u32::MAX >> 8);
    }

    #[test]
    fn f32_become_fixed_point_and_back() {
        assert_eq!(i64_from_f32(f32::NAN, 10), 0);
        assert_eq!(i64_from_f32(f32::INFINITY, 0), i64::MAX);
        assert_eq!(i64_from_f32(f32::NEG_INFINITY, 0), -i64::MAX);
        assert_eq!(i64_from_f32(0.0, 900), 0);
        assert_eq!(i64_from_f32(f32::MIN_POSITIVE / 2.0, 127), 1);
        assert_eq!(f32_from_i64(i64::MIN, 0), -(2f32.powi(63)));
        assert_eq!(f32_from_i64((1 << 24) + 1, 0), 16_777_216.0);
        assert_eq!(f32_from_i64((1 << 24) + 3, 0), 16_777_220.0);
    }

    proptest! {
        #[test]
        fn words_hold_every_number(value: i64) {
            prop_assert_eq!(from_words(words(value)), value);
        }

        #[test]
        fn conversion_from_f32_truncates_exactly(bits: u32, point in 0i32..60) {
            let x = f32::from_bits(bits);
            let exact = f64::from(x) * 2f64.powi(point);
            // Rust's own cast truncates and saturates; only the negative end differs by one.
            prop_assert_eq!(i64_from_f32(x, point), (exact as i64).max(-i64::MAX));
        }

        #[test]
        fn a_frequency_keeps_every_bit(frequency in -1e4f64..1e4) {
            let (fixed, point) = frequency_fixed(frequency);
            let kept = fixed as f64 * 2f64.powi(-(point as i32));
            prop_assert!(kept == frequency || frequency.abs() < 1e-19);
        }
    }
}

//! The codecs on the CPU, bit-equal to the kernels but for the length of `unit` embeddings.

use super::{AlphaEarthDesc, TesseraRule};

const INFINITE: u32 = 0x7f80_0000;
const DAMAGED: u32 = 0x7fc0_0000;
/// Entries of AlphaEarth's table: codes 0..=127, and an end that nothing reaches.
pub(super) const THRESHOLDS: usize = 129;

/// Codes and scales (one a row, or one in all) of rows of `width` numbers.
pub fn tessera_quantise(x: &[f32], width: usize, rule: TesseraRule) -> (Vec<i8>, Vec<f32>) {
    let shared = if rule.is_per_row() { width } else { x.len().max(1) };
    let scale = |x: &[f32]| scale_bits(magnitude(x), rule);
    let of_one_scale = |x: &[f32]| {
        let scale = scale(x);
        let code = |x: &f32| if scale == DAMAGED { 0 } else { tessera_code(x.to_bits(), scale) };
        x.iter().map(code).collect::<Vec<_>>()
    };
    let scales = x.chunks(shared).map(|x| f32::from_bits(scale(x))).collect();
    (x.chunks(shared).flat_map(of_one_scale).collect(), scales)
}

/// The largest |x| as bits; those of a NaN are above all others.
fn magnitude(x: &[f32]) -> u32 {
    x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0)
}

/// magnitude / 127, rounded to nearest; 0 below 2⁻¹¹⁹.
fn divided_by_127(magnitude: u32) -> u32 {
    let exponent = magnitude >> 23;
    if exponent < 8 {
        return 0;
    }
    let mantissa = (magnitude & 0x7f_ffff) | 0x80_0000;
    let shift = if mantissa < 0xfe_0000 { 7 } else { 6 };
    let dividend = mantissa << shift;
    let rounded = dividend / 127 + u32::from(dividend % 127 > 63);
    ((exponent - shift) << 23) + (rounded - 0x80_0000)
}

fn scale_bits(magnitude: u32, rule: TesseraRule) -> u32 {
    if magnitude >= INFINITE {
        return DAMAGED;
    }
    let (least_magnitude, least_scale) = rule.floors();
    divided_by_127(magnitude.max(least_magnitude.to_bits())).max(least_scale.to_bits())
}

/// round_half_even(float(x / scale)), decided by integers; see `shaders/encode/codec/tessera_code.wgsl`.
fn tessera_code(x: u32, scale: u32) -> i8 {
    let magnitude = x & 0x7fff_ffff;
    let (exponent, scale_exponent) = (magnitude >> 23, scale >> 23);
    if exponent + 3 < scale_exponent {
        return 0;
    }
    let n = (f32::from_bits(magnitude) / f32::from_bits(scale)) as u32;
    let odd = n & 1;
    let twice_h = 2 * n + 1;
    let lead = twice_h.ilog2();
    let h = twice_h << (24 - lead);
    let significand = |bits: u32| u64::from((bits & 0x7f_ffff) | 0x80_0000);
    let dividend = significand(magnitude) << (exponent + 25 - scale_exponent - lead);
    let boundary = significand(scale) * u64::from(h + 1 - 2 * odd);
    let up = if odd == 1 { dividend >= boundary } else { dividend > boundary };
    let code = (n + u32::from(up)) as i8;
    if x > 0x7fff_ffff { -code } else { code }
}

/// `code · scale`; NaN where the scale is not finite. `scales` holds one a row, or one in all.
pub fn tessera_dequantise(codes: &[i8], width: usize, scales: &[f32]) -> Vec<f32> {
    let of_row = |(row, codes): (usize, &[i8])| {
        let scale = scales[if scales.len() == 1 { 0 } else { row }];
        let value =
            |&code: &i8| if scale.is_finite() { f32::from(code) * scale } else { f32::from_bits(DAMAGED) };
        codes.iter().map(value).collect::<Vec<_>>()
    };
    codes.chunks_exact(width).enumerate().flat_map(of_row).collect()
}

/// AlphaEarth's code of a finite number, in IEEE f32 arithmetic: a root, a product, a rounding.
fn alphaearth_code(x: f32) -> i8 {
    let magnitude = (x.abs().sqrt() * 127.5).round_ties_even().min(127.0);
    (magnitude as i8) * if x.is_sign_negative() { -1 } else { 1 }
}

/// The least |x| of every code as bits, by bisection: the code never falls as |x| grows.
pub(super) fn alphaearth_thresholds() -> Vec<u32> {
    let least = |code: i8| {
        let (mut below, mut reached) = (0, 1f32.to_bits());
        while reached - below > 1 {
            let middle = below + (reached - below) / 2;
            if alphaearth_code(f32::from_bits(middle)) < code {
                below = middle;
            } else {
                reached = middle;
            }
        }
        reached
    };
    let thresholds: Vec<u32> = [0].into_iter().chain((1..=127).map(least)).chain([u32::MAX]).collect();
    debug_assert_eq!(thresholds.len(), THRESHOLDS);
    thresholds
}

/// Codes of rows of `width` numbers; −128 throughout where `valid` says 0 or a number is not finite.
pub fn alphaearth_quantise(x: &[f32], width: usize, valid: Option<&[f32]>) -> Vec<i8> {
    let of_row = |(row, x): (usize, &[f32])| {
        let is_valid = valid.is_none_or(|valid| valid[row] != 0.0);
        if is_valid && x.iter().all(|x| x.is_finite()) {
            x.iter().map(|&x| alphaearth_code(x)).collect()
        } else {
            vec![i8::MIN; width]
        }
    };
    x.chunks_exact(width).enumerate().flat_map(of_row).collect()
}

/// Numbers, and 1 or 0 for every row that has data or none.
pub fn alphaearth_dequantise(codes: &[i8], desc: &AlphaEarthDesc) -> (Vec<f32>, Vec<f32>) {
    let width = desc.width as usize;
    let has_data = |codes: &[i8]| !codes.contains(&i8::MIN);
    let of_row = |codes: &[i8]| {
        if !has_data(codes) {
            return vec![desc.no_data; width];
        }
        let fourth: u64 = codes.iter().map(|&code| i64::from(code).pow(4) as u64).sum();
        let factor = if desc.unit { 1.0 / (fourth.max(1) as f32).sqrt() } else { 4.0 / 65_025.0 };
        let value = |&code: &i8| (i32::from(code) * i32::from(code).abs()) as f32 * factor;
        codes.iter().map(value).collect()
    };
    let valid = codes.chunks_exact(width).map(|codes| f32::from(u8::from(has_data(codes)))).collect();
    (codes.chunks_exact(width).flat_map(of_row).collect(), valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thresholds_lie_within_an_ulp_or_two_of_the_exact_boundaries() {
        let thresholds = alphaearth_thresholds();
        for (code, &threshold) in thresholds.iter().enumerate().take(128).skip(1) {
            let exact = ((code as f64 - 0.5) / 127.5).powi(2);
            let relative = f64::from(f32::from_bits(threshold)) / exact - 1.0;
            // Half an ulp of the root doubles, half an ulp of the product doubles, and one step to the next float.
            assert!(relative.abs() < 4.0 * f64::from(f32::EPSILON), "{code}: {relative:e}");
        }
    }

    proptest! {
        #[test]
        fn a_scale_is_the_ieee_quotient(bits in 0x0400_0000u32..INFINITE) {
            let quotient = f32::from_bits(bits) / 127.0;
            prop_assert_eq!(divided_by_127(bits), quotient.to_bits());
        }

        #[test]
        fn a_code_is_the_ieee_quotient_rounded_half_to_even(
            largest in 1e-10f32..1e10,
            code in 0i32..127,
            ulps in -40i32..40,
        ) {
            // Numbers around the boundary between two codes, where roundings matter.
            let scale = f32::from_bits(scale_bits(largest.to_bits(), TesseraRule::RowV2));
            let boundary = (code as f32 + 0.5) * scale;
            let x = f32::from_bits((boundary.to_bits() as i32 + ulps) as u32);
            prop_assert_eq!(f32::from(tessera_code(x.to_bits(), scale.to_bits())), (x / scale).round_ties_even());
            prop_assert_eq!(f32::from(tessera_code((-x).to_bits(), scale.to_bits())), (-x / scale).round_ties_even());
        }
    }
}

//! Stable elementary functions; `shaders/common/numeric.wgsl`.

/// exp of an argument clamped to [−87, 88], so that nothing overflows.
pub fn safe_exp(x: f32) -> f32 {
    x.clamp(-87.0, 88.0).exp()
}

/// 1 / (1 + e⁻ˣ), stable on both sides.
///
/// ```
/// assert_eq!(gtca::common::numeric::sigmoid(0.0), 0.5);
/// assert_eq!(gtca::common::numeric::sigmoid(1000.0), 1.0);
/// ```
pub fn sigmoid(x: f32) -> f32 {
    let e = safe_exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// x · σ(x). Below −87 the sigmoid stays at e⁻⁸⁷, so the factor stays too.
pub fn silu(x: f32) -> f32 {
    x.max(-87.0) * sigmoid(x)
}

/// d SiLU / dx = σ(x)(1 + x·σ(−x)).
pub fn silu_derivative(x: f32) -> f32 {
    sigmoid(x) * x.clamp(-87.0, 87.0).mul_add(sigmoid(-x), 1.0)
}

/// log(1 + eˣ) without overflow.
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + (1.0 + safe_exp(-x.abs())).ln()
}

/// Whether the bits are those of a NaN.
pub fn is_nan(x: f32) -> bool {
    x.to_bits() & 0x7fff_ffff > 0x7f80_0000
}

/// Whether the bits are those of a finite number.
pub fn is_finite(x: f32) -> bool {
    x.to_bits() & 0x7fff_ffff < 0x7f80_0000
}

/// +0 or −0, by the bits.
pub fn is_zero(x: f32) -> bool {
    x.to_bits() & 0x7fff_ffff == 0
}

/// exp within 2e-7 of its value on every device, where WGSL promises 3 + 2|x| ulp; x is clamped to [−87, 88].
///
/// x · log₂e is taken in fixed point, out of reach of a driver's fast-math.
///
/// ```
/// assert_eq!(gtca::common::numeric::precise_exp(0.0), 1.0);
/// ```
pub fn precise_exp(x: f32) -> f32 {
    let scaled = (x.clamp(-87.0, 88.0) * 16_777_216.0) as i32;
    let power = i64::from(scaled) * 1_549_082_005;
    let fraction = (power >> 22) as u32;
    let k = (power >> 54) as i32 + (fraction >> 31) as i32;
    let f = fraction as i32 as f32 * 2f32.powi(-32);
    let high = 1.545_316_3e-4f32.mul_add(f, 1.339_086_3e-3).mul_add(f, 9.618_083e-3);
    let low = high.mul_add(f, 5.550_357e-2).mul_add(f, 2.402_265e-1).mul_add(f, 6.931_472e-1);
    low.mul_add(f, 1.0) * f32::from_bits(((k + 127) as u32) << 23)
}

/// Natural logarithm within 1.2e-7 (relative where |log| > 1) on every device, where WGSL promises 2⁻²¹ near 1.
///
/// x is clamped to normal positive numbers.
///
/// ```
/// assert_eq!(gtca::common::numeric::precise_log(1.0), 0.0);
/// ```
pub fn precise_log(x: f32) -> f32 {
    let bits = x.max(f32::MIN_POSITIVE).to_bits() as i32;
    let exponent = (bits - 0x3f35_04f3) >> 23;
    let f = f32::from_bits((bits - (exponent << 23)) as u32) - 1.0;
    let k = exponent as f32;
    let z = f * f;
    let high = 6.971_612e-2f32.mul_add(f, -0.114_797_34).mul_add(f, 0.116_854_2).mul_add(f, -0.124_256_87);
    let low = high.mul_add(f, 0.142_490_58).mul_add(f, -0.166_678_02).mul_add(f, 0.200_007_16);
    let tail = low.mul_add(f, -0.249_999_97).mul_add(f, 0.333_333_3);
    let small = k.mul_add(-2.121_944_4e-4, z.mul_add(-0.5, f * z * tail));
    k.mul_add(0.693_359_4, f + small)
}

/// A running log Σ eˣ before its first term: `[largest term, Σ e^(term − largest)]`.
pub const LSE_EMPTY: [f32; 2] = [-1.0e38, 0.0];

/// Joins two running sums. Terms lie above −10³⁸.
pub fn lse_merge(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    let largest = a[0].max(b[0]);
    [largest, a[1].mul_add(precise_exp(a[0] - largest), b[1] * precise_exp(b[0] - largest))]
}

/// Adds a term to a running sum.
pub fn lse_add(sum: [f32; 2], term: f32) -> [f32; 2] {
    lse_merge(sum, [term, 1.0])
}

/// log Σ eˣ of the terms added.
///
/// ```
/// use gtca::common::numeric::{LSE_EMPTY, lse_add, lse_value};
/// let sum = [1000.0, 1000.0].into_iter().fold(LSE_EMPTY, lse_add);
/// assert_eq!(lse_value(sum), 1000.0 + 2f32.ln());
/// ```
pub fn lse_value(sum: [f32; 2]) -> f32 {
    sum[0] + precise_log(sum[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_log_hold_their_bounds() {
        for k in 0..200_000u32 {
            let x = -87.0 + k as f32 * (175.0 / 200_000.0);
            let exact = f64::from(x).exp();
            let error = (f64::from(precise_exp(x)) / exact - 1.0).abs();
            assert!(error < 2e-7, "exp {x}: {error:e}");
        }
        for k in 0..400_000u32 {
            let x = f32::from_bits(0x0080_0000 + k * 5300);
            let exact = f64::from(x).ln();
            let error = (f64::from(precise_log(x)) - exact).abs() / exact.abs().max(1.0);
            assert!(error < 1.2e-7, "log {x}: {error:e}");
        }
    }

    #[test]
    fn extreme_arguments_stay_finite() {
        for x in [f32::MAX, f32::MIN, 1e30, -1e30, 0.0] {
            assert!(precise_exp(x).is_finite() && precise_log(x).is_finite() && softplus(x).is_finite());
        }
        assert!(is_nan(f32::NAN) && !is_nan(f32::INFINITY) && !is_finite(f32::NEG_INFINITY));
        assert!(is_finite(f32::MAX));
        assert!(is_zero(-0.0) && is_zero(0.0) && !is_zero(f32::from_bits(1)) && !is_zero(f32::NAN));
    }

    #[test]
    fn a_running_sum_agrees_with_f64_in_any_grouping() {
        let terms: Vec<f32> = (0..64).map(|k| ((k * 37) % 64) as f32 - 40.0).collect();
        let exact = terms.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        let all = terms.iter().copied().fold(LSE_EMPTY, lse_add);
        let halves = terms.chunks(32).map(|half| half.iter().copied().fold(LSE_EMPTY, lse_add));
        let merged = halves.reduce(lse_merge).unwrap();
        for sum in [all, merged] {
            assert!((f64::from(lse_value(sum)) - exact).abs() < 4e-6);
        }
        assert_eq!(lse_value(lse_add(LSE_EMPTY, -500.0)), -500.0);
    }
}

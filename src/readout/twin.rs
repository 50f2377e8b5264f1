//! CPU twins of the readout's kernels, with the kernels' order of sums. Slow on purpose: they read like the shaders.

use super::Activation;
use crate::common::numeric::is_zero;

/// 1 / (1 + e^−x) without overflow on either side.
fn sigmoid(x: f32) -> f32 {
    let e = (-x.abs().min(87.0)).exp();
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

impl Activation {
    /// The activation of one number; what is not finite stays so.
    ///
    /// ```
    /// use gtca::readout::Activation;
    /// assert_eq!(Activation::Relu.of(-2.0), 0.0);
    /// assert!((Activation::Gelu.of(1.0) - 0.841_344_7).abs() < 1e-6);
    /// assert!((Activation::GeluTanh.of(1.0) - 0.841_192).abs() < 1e-6);
    /// assert!((Activation::Silu.of(1.0) - 0.731_058_6).abs() < 1e-6);
    /// assert!(Activation::Relu.of(f32::NAN).is_nan());
    /// ```
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu if x < 0.0 => 0.0,
            Self::Relu => x,
            _ if !x.is_finite() => x,
            Self::Silu => x.max(-87.0) * sigmoid(x),
            Self::GeluTanh => {
                let near = x.clamp(-12.0, 12.0);
                x.max(-12.0) * sigmoid(1.595_769 * near * (0.044715 * near).mul_add(near, 1.0))
            }
            Self::Gelu => {
                let z = x.abs().min(13.0) * std::f32::consts::FRAC_1_SQRT_2;
                let t = 1.0 / 0.327_591_1f32.mul_add(z, 1.0);
                let high = 1.061_405_4f32.mul_add(t, -1.453_152_1).mul_add(t, 1.421_413_8);
                let series = high.mul_add(t, -0.284_496_74).mul_add(t, 0.254_829_6) * t;
                let tail = 0.5 * series * (-z * z).exp();
                x.max(-13.0) * if x >= 0.0 { 1.0 - tail } else { tail }
            }
        }
    }
}

/// The mean of `act(x)` over a sample's rows of `width`; of no row it is 0.
pub fn mean(act: Activation, x: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f32; width];
    for row in x.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += act.of(x));
    }
    let count = (x.len() / width).max(1) as f32;
    sums.into_iter().map(|sum| sum / count).collect()
}

/// One sample's y under one gate: `y + factor · (h ⊙ g) Bᵀ`, y `[tokens, width]`, h `[tokens, rank]`, b_t `[rank, width]`; a gate of
/// width 1 is the same for every rank. λ·s = `factor`.
pub fn injected(y: &[f32], h: &[f32], gate: &[f32], b_t: &[f32], width: usize, factor: f32) -> Vec<f32> {
    if is_zero(factor) {
        return y.to_vec();
    }
    let (rank, step) = (b_t.len() / width, usize::from(gate.len() > 1));
    let of_token = |(y, h): (&[f32], &[f32])| {
        let gated: Vec<f32> = h.iter().enumerate().map(|(j, h)| h * gate[j * step]).collect();
        let one = |n: usize| {
            let sum = (0..rank).fold(0.0f32, |sum, j| gated[j].mul_add(b_t[j * width + n], sum));
            factor.mul_add(sum, y[n])
        };
        (0..width).map(one).collect::<Vec<_>>()
    };
    y.chunks_exact(width).zip(h.chunks_exact(rank)).flat_map(of_token).collect()
}

/// `x Wᵀ + bias` of one row.
pub fn head(x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let logit = |(c, weight): (usize, &[f32])| {
        let sum = x.iter().zip(weight).fold(0.0f32, |sum, (x, w)| x.mul_add(*w, sum));
        sum + bias.map_or(0.0, |bias| bias[c])
    };
    weight.chunks_exact(x.len()).enumerate().map(logit).collect()
}

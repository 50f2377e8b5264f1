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

/// x · σ(x).
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// d SiLU / dx = σ(x)(1 + x·σ(−x)).
pub fn silu_derivative(x: f32) -> f32 {
    sigmoid(x) * x.mul_add(sigmoid(-x), 1.0)
}

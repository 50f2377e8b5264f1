// Stable elementary functions. Twins: src/common/numeric.rs.

// exp of a clamped argument: WGSL lets implementations assume that nothing overflows.
fn safe_exp(x: f32) -> f32 {
    return exp(clamp(x, -87.0, 88.0));
}

// 1 / (1 + e^-x) without overflow on either side.
fn sigmoid(x: f32) -> f32 {
    let e = safe_exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

fn silu(x: f32) -> f32 {
    return x * sigmoid(x);
}

// d silu / dx = σ(x)(1 + x(1 − σ(x))), with 1 − σ(x) = σ(−x).
fn silu_derivative(x: f32) -> f32 {
    return sigmoid(x) * fma(x, sigmoid(-x), 1.0);
}

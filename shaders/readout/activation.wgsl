// Pointwise activations of four numbers; ACT names one, without it there is none. What is not finite stays so, for whoever
// counts it later. Twin: `activated` in src/readout/twin.rs.

// 1 / (1 + e^−x) without overflow on either side.
fn sigmoid_of(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-min(abs(x), vec4<f32>(87.0)));
    return select(e, vec4<f32>(1.0), x >= vec4<f32>()) / (1.0 + e);
}

// Not by max, which may hide a NaN.
fn relu_of(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(), x < vec4<f32>());
}

// x σ(x). Below −87 the sigmoid stays at e^−87, so the factor must stay too.
fn silu_of(x: vec4<f32>) -> vec4<f32> {
    return finite_or(x, max(x, vec4<f32>(-87.0)) * sigmoid_of(x));
}

// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))) = x σ(2 √(2/π) (x + 0.044715 x³)); beyond ±12 it is 0 or x.
fn gelu_tanh_of(x: vec4<f32>) -> vec4<f32> {
    let near = clamp(x, vec4<f32>(-12.0), vec4<f32>(12.0));
    let inner = 1.5957691 * near * fma(0.044715 * near, near, vec4<f32>(1.0));
    return finite_or(x, max(x, vec4<f32>(-12.0)) * sigmoid_of(inner));
}

// x Φ(x) with the error function of Abramowitz and Stegun 7.1.26: Φ is within 1e-7. Beyond −13 it is 0.
fn gelu_of(x: vec4<f32>) -> vec4<f32> {
    let z = min(abs(x), vec4<f32>(13.0)) * 0.70710678;
    let t = 1.0 / fma(vec4<f32>(0.3275911), z, vec4<f32>(1.0));
    let high = fma(fma(vec4<f32>(1.0614054), t, vec4<f32>(-1.4531521)), t, vec4<f32>(1.4214138));
    let series = fma(fma(high, t, vec4<f32>(-0.28449674)), t, vec4<f32>(0.25482959)) * t;
    let tail = 0.5 * series * exp(-z * z);
    return finite_or(x, max(x, vec4<f32>(-13.0)) * select(tail, 1.0 - tail, x >= vec4<f32>()));
}

// `value`, or x where that is not finite, by its bits.
fn finite_or(x: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    let is_finite = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
    return select(x, value, is_finite);
}

fn activated(x: vec4<f32>) -> vec4<f32> {
#if ACT
    return $ACT_of(x);
#else
    return x;
#endif
}

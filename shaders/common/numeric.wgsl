// Stable elementary functions. Twins: src/common/numeric.rs.

#import common/fixed64

// exp of a clamped argument: WGSL lets implementations assume that nothing overflows.
fn safe_exp(x: f32) -> f32 {
    return exp(clamp(x, -87.0, 88.0));
}

// 1 / (1 + e^-x) without overflow on either side.
fn sigmoid(x: f32) -> f32 {
    let e = safe_exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// x σ(x). Below −87 the sigmoid stays at e^−87, so the factor must stay too.
fn silu(x: f32) -> f32 {
    return max(x, -87.0) * sigmoid(x);
}

// d silu / dx = σ(x)(1 + x(1 − σ(x))), with 1 − σ(x) = σ(−x).
fn silu_derivative(x: f32) -> f32 {
    return sigmoid(x) * fma(clamp(x, -87.0, 87.0), sigmoid(-x), 1.0);
}

// log(1 + e^x) without overflow.
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log(1.0 + safe_exp(-abs(x)));
}

// Floats are never compared with themselves: implementations may assume that there is no NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) < 0x7f800000u;
}

// +0 or −0, by the bits.
fn is_zero(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0u;
}

// exp within 2e-7 of its value on every device, where WGSL promises 3 + 2|x| ulp; x is clamped to [−87, 88].
// x · log₂e is taken in fixed point: drivers merge the two products of the usual reduction into one (they may, WGSL
// has no exact arithmetic) and lose it. Its fraction goes through a minimax polynomial of 2^f, |f| ≤ ½.
fn precise_exp(x: f32) -> f32 {
    let scaled = i32(clamp(x, -87.0, 88.0) * 16777216.0);    // 24 binary digits, exact from |x| = 1 on
    let power = mul_i32_wide(scaled, 1549082005);            // times log₂e with 30 binary digits
    let fraction = (power.x >> 22u) | (power.y << 10u);      // of 2³²
    let k = (bitcast<i32>(power.y) >> 22u) + i32(fraction >> 31u);
    let f = f32(bitcast<i32>(fraction)) * 2.3283064365386963e-10;
    let high = fma(fma(1.5453163e-4, f, 1.3390863e-3), f, 9.618083e-3);
    let low = fma(fma(fma(high, f, 5.550357e-2), f, 2.402265e-1), f, 6.931472e-1);
    return fma(low, f, 1.0) * bitcast<f32>(bitcast<u32>(k + 127) << 23u);
}

// Natural logarithm within 1.2e-7 (relative where |log| > 1) on every device, where WGSL promises 2⁻²¹ near 1.
// x is clamped to normal positive numbers. x = 2^k (1 + f) with 1 + f in [√½, √2), then a minimax polynomial.
fn precise_log(x: f32) -> f32 {
    let bits = bitcast<i32>(max(x, 1.1754944e-38));
    let exponent = (bits - 0x3f3504f3) >> 23u;
    let f = bitcast<f32>(bits - (exponent << 23u)) - 1.0;
    let k = f32(exponent);
    let z = f * f;
    let high = fma(fma(fma(6.9716115e-2, f, -0.11479734), f, 0.1168542), f, -0.12425687);
    let low = fma(fma(fma(fma(high, f, 0.14249058), f, -0.16667802), f, 0.20000716), f, -0.24999997);
    let tail = fma(low, f, 0.3333333);
    let small = fma(k, -2.1219444e-4, fma(z, -0.5, f * z * tail));
    return fma(k, 0.693359375, f + small);
}

// A running log Σ e^x: x = the largest term, y = Σ e^(term − largest). Terms above −10³⁸; none yet: LSE_EMPTY.
const LSE_EMPTY = vec2<f32>(-1.0e38, 0.0);

fn lse_merge(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let largest = max(a.x, b.x);
    return vec2<f32>(largest, fma(a.y, precise_exp(a.x - largest), b.y * precise_exp(b.x - largest)));
}

fn lse_add(sum: vec2<f32>, term: f32) -> vec2<f32> {
    return lse_merge(sum, vec2<f32>(term, 1.0));
}

fn lse_value(sum: vec2<f32>) -> f32 {
    return sum.x + precise_log(sum.y);
}

// Angles as u32 turns (2³² = one turn): harmonic k is the wrapping product turns · k, exact on every device.
// No builtin sine: WGSL promises only 2⁻¹¹ on [−π, π], and nothing outside.
// Twins: src/common/phase.rs.

#import common/fixed64

struct Waves4 {
    sine: vec4<f32>,
    cosine: vec4<f32>,
}

// sin of angles within a quarter turn either way, in units of 2⁻³² turns: y (1 + R(y²)) with y in quarter turns and R
// minimax. Written so that y = 1 gives exactly 1, and nothing more.
fn sine_of_quarter(angle: vec4<i32>) -> vec4<f32> {
    let y = vec4<f32>(angle) * 9.313225746154785e-10; // 2⁻³⁰
    let z = y * y;
    let tail = fma(z, fma(z, vec4<f32>(1.5082059e-4), vec4<f32>(-4.672228e-3)), vec4<f32>(7.968848e-2));
    let rest = fma(z, fma(z, tail, vec4<f32>(-0.6459634)), vec4<f32>(0.5707963));
    return fma(y, rest, y);
}

// As sincos_of_four where `quarter` is QUARTER; zeros where it and the turns are 0.
fn sincos_or_zero(turns: vec4<u32>, quarter: i32) -> Waves4 {
    let t = bitcast<vec4<i32>>(turns);
    return Waves4(sine_of_quarter(quarter - abs(t - quarter)), sine_of_quarter(quarter - abs(t)));
}

const QUARTER = 0x40000000i;

// sin and cos of four angles in turns. |t| and |t − ¼| fold the circle, exactly, onto the quarter turns around 0, where
// cos t = sin(¼ − |t|) and sin t = sin(¼ − |t − ¼|); nothing is selected or swapped. Error against f64 at most 1.3e-7,
// 0.95e-7 where fma rounds once (measured at every third of all 2³² phases: 1.20e-7 and 0.94e-7).
fn sincos_of_four(turns: vec4<u32>) -> Waves4 {
    return sincos_or_zero(turns, QUARTER);
}

// (sin, cos) of an angle in turns.
fn sincos_turns(turns: u32) -> vec2<f32> {
    let waves = sincos_of_four(vec4<u32>(turns));
    return vec2<f32>(waves.sine.x, waves.cosine.x);
}

// Turns of a fixed-point angle in degrees (unit 2⁻⁴⁰), rounded down: ⌊fixed / 92,160⌋ mod 2³²,
// since 360 · 2⁴⁰ / 2³² = 92,160 = 2¹¹ · 45.
fn turns_from_degrees(degrees: vec2<u32>) -> u32 {
    return div_i64_small(shr_i64(degrees, 11u), 45u).x;
}

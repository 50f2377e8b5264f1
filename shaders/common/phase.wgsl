// Angles as u32 turns (2³² = one turn): harmonic k is the wrapping product turns · k, exact on every device.
// No builtin sine: WGSL promises only 2⁻¹¹ on [−π, π], and nothing outside.
// Twins: src/common/phase.rs.

#import common/fixed64

struct Waves4 {
    sine: vec4<f32>,
    cosine: vec4<f32>,
}

// sin and cos of four angles in turns, each from one reduction; error against f64 at most 1.2e-7.
// The quadrant comes from the top two bits; the rest, in [−π/4, π/4), is converted in two exact pieces and scaled
// with 2π/2³² in two pieces; a driver that merges these loses 3e-8, which the bound allows.
fn sincos_of_four(turns: vec4<u32>) -> Waves4 {
    let quadrant = (turns + vec4<u32>(0x20000000u)) >> vec4<u32>(30u);
    let rest = bitcast<vec4<i32>>(turns - (quadrant << vec4<u32>(30u)));
    let coarse = vec4<f32>(rest >> vec4<u32>(8u));
    let fine = vec4<f32>(rest & vec4<i32>(255));
    let fine_turns = fma(fine, vec4<f32>(1.4629181e-9), coarse * -1.0421617e-14);
    let t = fma(coarse, vec4<f32>(3.7450704e-7), fine_turns);
    let z = t * t;
    var sine_tail = fma(z, vec4<f32>(2.7249896e-6), vec4<f32>(-1.9840087e-4));
    sine_tail = fma(z, fma(z, sine_tail, vec4<f32>(8.333332e-3)), vec4<f32>(-1.6666667e-1));
    let cosine_terms = fma(z, vec4<f32>(2.4547943e-5), vec4<f32>(-1.3888303e-3));
    let cosine_tail = fma(z, cosine_terms, vec4<f32>(4.1666666e-2));
    let sine = fma(t * z, sine_tail, t);
    let cosine = fma(z, fma(z, cosine_tail, vec4<f32>(-0.5)), vec4<f32>(1.0));
    let swap = (quadrant & vec4<u32>(1u)) == vec4<u32>(1u);
    let sine_sign = (quadrant & vec4<u32>(2u)) << vec4<u32>(30u);
    let cosine_sign = ((quadrant + vec4<u32>(1u)) & vec4<u32>(2u)) << vec4<u32>(30u);
    return Waves4(
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(select(sine, cosine, swap)) ^ sine_sign),
        bitcast<vec4<f32>>(bitcast<vec4<u32>>(select(cosine, sine, swap)) ^ cosine_sign),
    );
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

// Angles as u32 turns (2³² = one turn): harmonic k is the wrapping product turns · k, exact on every device.
// No builtin sine: WGSL promises only 2⁻¹¹ on [−π, π], and nothing outside.
// Twins: src/common/phase.rs.

#import common/fixed64

// (sin, cos) of an angle in turns, from one reduction; error against f64 at most 1.2e-7.
// The quadrant comes from the top two bits; the rest, in [−π/4, π/4), is converted in two exact pieces and scaled
// with 2π/2³² in two pieces; a driver that merges these loses 3e-8, which the bound allows.
fn sincos_turns(turns: u32) -> vec2<f32> {
    let quadrant = (turns + 0x20000000u) >> 30u;
    let rest = bitcast<i32>(turns - (quadrant << 30u));
    let coarse = f32(rest >> 8u);
    let fine = f32(rest & 255);
    let t = fma(coarse, 3.7450704e-7, fma(fine, 1.4629181e-9, coarse * -1.0421617e-14));
    let z = t * t;
    let sine_tail = fma(z, fma(z, fma(z, 2.7249896e-6, -1.9840087e-4), 8.333332e-3), -1.6666667e-1);
    let cosine_tail = fma(z, fma(z, 2.4547943e-5, -1.3888303e-3), 4.1666666e-2);
    let sine = fma(t * z, sine_tail, t);
    let cosine = fma(z, fma(z, cosine_tail, -0.5), 1.0);
    let swap = (quadrant & 1u) == 1u;
    let sine_sign = (quadrant & 2u) << 30u;
    let cosine_sign = ((quadrant + 1u) & 2u) << 30u;
    return vec2<f32>(
        bitcast<f32>(bitcast<u32>(select(sine, cosine, swap)) ^ sine_sign),
        bitcast<f32>(bitcast<u32>(select(cosine, sine, swap)) ^ cosine_sign),
    );
}

// Turns of a fixed-point angle in degrees (unit 2⁻⁴⁰), rounded down: ⌊fixed / 92,160⌋ mod 2³²,
// since 360 · 2⁴⁰ / 2³² = 92,160 = 2¹¹ · 45.
fn turns_from_degrees(degrees: vec2<u32>) -> u32 {
    return div_i64_small(shr_i64(degrees, 11u), 45u).x;
}

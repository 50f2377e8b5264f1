//! Angles as u32 turns (2³² = one turn); `shaders/common/phase.wgsl`, the same f32 operations in the same order.

/// (sin, cos) of an angle in turns; error against f64 at most 1.3e-7 on every device, 0.95e-7 here.
///
/// ```
/// let [sine, cosine] = gtca::common::phase::sincos_turns(1 << 30);
/// assert_eq!([sine, cosine], [1.0, 0.0]);
/// ```
pub fn sincos_turns(turns: u32) -> [f32; 2] {
    let t = turns as i32;
    let [from_quarter, from_zero] = [t.wrapping_sub(QUARTER), t].map(i32::wrapping_abs);
    [from_quarter, from_zero].map(|distance| sine_of_quarter(QUARTER.wrapping_sub(distance)))
}

const QUARTER: i32 = 1 << 30;

/// sin of an angle within a quarter turn either way.
fn sine_of_quarter(angle: i32) -> f32 {
    let y = angle as f32 * 2f32.powi(-30);
    let z = y * y;
    let tail = z.mul_add(z.mul_add(1.508_205_9e-4, -4.672_228e-3), 7.968_848e-2);
    let rest = z.mul_add(z.mul_add(tail, -0.645_963_4), 0.570_796_3);
    y.mul_add(rest, y)
}

/// Turns of a fixed-point angle in degrees (unit 2⁻⁴⁰), rounded down: ⌊fixed / 92,160⌋ mod 2³².
///
/// ```
/// use gtca::common::phase::turns_from_degrees;
/// assert_eq!(turns_from_degrees(90 << 40), 1 << 30);
/// assert_eq!(turns_from_degrees(-180 * (1 << 40)), turns_from_degrees(180 << 40));
/// ```
pub fn turns_from_degrees(degrees: i64) -> u32 {
    degrees.div_euclid(92_160) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(turns: u32) -> f64 {
        let angle = f64::from(turns) * std::f64::consts::TAU / 4_294_967_296.0;
        let [sine, cosine] = sincos_turns(turns);
        (f64::from(sine) - angle.sin()).abs().max((f64::from(cosine) - angle.cos()).abs())
    }

    #[test]
    fn sine_and_cosine_stay_within_their_bound() {
        let mut worst = 0f64;
        for k in 0..400_000u32 {
            // The golden ratio visits the circle evenly, in all bits.
            worst = worst.max(error(k.wrapping_mul(2_654_435_769)));
        }
        for eighth in 0..8u32 {
            for near in 0..2000u32 {
                let at = (eighth << 29).wrapping_add(near).wrapping_sub(1000);
                worst = worst.max(error(at));
            }
        }
        assert!(worst < 9.5e-8, "worst error {worst:e}");
    }

    #[test]
    fn harmonics_are_exact_products() {
        let year = 0x1234_5678u32;
        for k in [2u32, 8, 1024, 16_384] {
            let angle = (f64::from(year) / 4_294_967_296.0 * f64::from(k)).rem_euclid(1.0);
            let [sine, _] = sincos_turns(year.wrapping_mul(k));
            assert!((f64::from(sine) - (angle * std::f64::consts::TAU).sin()).abs() < 9.5e-8);
        }
    }

    #[test]
    fn quarter_turns_are_exact() {
        assert_eq!(sincos_turns(0), [0.0, 1.0]);
        assert_eq!(sincos_turns(1 << 30), [1.0, 0.0]);
        assert_eq!(sincos_turns(2 << 30)[1], -1.0);
        assert_eq!(sincos_turns(3 << 30)[0], -1.0);
    }

    #[test]
    fn degrees_become_turns_rounded_down() {
        assert_eq!(turns_from_degrees(-1), u32::MAX);
        assert_eq!(turns_from_degrees(92_159), 0);
        assert_eq!(turns_from_degrees(92_160), 1);
        assert_eq!(turns_from_degrees(-90 * (1i64 << 40)), 3 << 30);
    }
}

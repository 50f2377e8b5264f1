//! Places on the unit sphere and on the Equal Earth map, in 64-bit fixed point; `shaders/common/projection.wgsl`,
//! bit-equal.
//!
//! For encodings whose frequencies enlarge a place a thousandfold: the results keep more digits than any of them
//! uses. Angles are degrees in units of 2⁻⁴⁰, at most ±360; sines are odd and cosines even to the last bit.

use super::geodesy::{degrees_from_turns, polar};

/// 1/19!, 1/18!, … 1/0! with 60 binary digits.
const INVERSE_FACTORIALS: [i64; 20] = [
    9,
    180,
    3_241,
    55_104,
    881_658,
    13_224_869,
    185_148_170,
    2_406_926_208,
    28_883_114_493,
    317_714_259_426,
    3_177_142_594_265,
    28_594_283_348_384,
    228_754_266_787_073,
    1_601_279_867_509_510,
    9_607_679_205_057_058,
    48_038_396_025_285_291,
    192_153_584_101_141_163,
    576_460_752_303_423_488,
    1_152_921_504_606_846_976,
    1_152_921_504_606_846_976,
];

/// π/180 with 68 binary digits.
const RADIAN: i64 = 5_151_302_725_743_731_799;

/// √3/2 with 60 binary digits.
const HALF_ROOT_3: i64 = 998_459_311_558_907_194;

/// π/180 · 2/√3 · 66.50336/180 with 69 binary digits: the longitude's factor.
const EASTING: i64 = 4_395_289_844_874_234_710;

/// Equal Earth's A₄ … A₁ times 66.50336/180, with 60 binary digits.
const NORTHING: [i64; 4] =
    [1_616_951_622_780_170, 380_384_035_601_341, -34_548_071_211_066_510, 570_901_488_344_004_695];

/// 9 A₄, 7 A₃, 3 A₂, A₁ with 60 binary digits: the derivative of θ's polynomial.
const STRETCH: [i64; 4] =
    [39_388_410_283_388_320, 7_206_912_325_297_400, -280_526_554_657_928_793, 1_545_219_187_450_391_155];

/// ⌊a b / 2^point⌋, point in 33..=63.
fn mul_fixed(a: i64, b: i64, point: u32) -> i64 {
    ((i128::from(a) * i128::from(b)) >> point) as i64
}

/// The product of two numbers with 60 binary digits, with 56: to the nearest.
fn mul_to_q56(a: i64, b: i64) -> i64 {
    ((i128::from(a) * i128::from(b) + (1 << 63)) >> 64) as i64
}

fn with_sign(magnitude: i64, of: i64) -> i64 {
    if of < 0 { magnitude.wrapping_neg() } else { magnitude }
}

fn radians_q60(degrees: i64) -> i64 {
    mul_fixed(degrees, RADIAN, 48)
}

/// (sin, cos) with 60 binary digits, within 2⁻⁵⁶; exact at multiples of 90°.
///
/// ```
/// use gtca::common::projection::sincos_q60;
/// assert_eq!(sincos_q60(-90 << 40), [-1 << 60, 0]);
/// ```
pub fn sincos_q60(degrees: i64) -> [i64; 2] {
    let size = degrees.wrapping_abs();
    let quadrant = ((size as u64).wrapping_add(45 << 40) >> 41) / 45;
    let t = radians_q60(size.wrapping_sub((quadrant as i64).wrapping_mul(90 << 40)));
    let square = mul_fixed(t, t, 60);
    let (mut sine, mut cosine) = (0, 0);
    for pair in INVERSE_FACTORIALS.chunks_exact(2) {
        sine = pair[0] - mul_fixed(sine, square, 60);
        cosine = pair[1] - mul_fixed(cosine, square, 60);
    }
    sine = mul_fixed(sine, t, 60);
    let [sine, cosine] = if quadrant & 1 == 1 { [cosine, -sine] } else { [sine, cosine] };
    let [sine, cosine] = if quadrant & 2 == 2 { [-sine, -cosine] } else { [sine, cosine] };
    [with_sign(sine, degrees), cosine]
}

/// (cos lat cos lon, cos lat sin lon, sin lat) in units of 2⁻⁵⁶, within a unit and a half.
///
/// ```
/// use gtca::common::projection::unit_vector;
/// assert_eq!(unit_vector(0, 180 << 40), [-1 << 56, 0, 0]);
/// ```
pub fn unit_vector(lat: i64, lon: i64) -> [i64; 3] {
    let [up, out] = sincos_q60(lat);
    let [east, along] = sincos_q60(lon);
    [mul_to_q56(out, along), mul_to_q56(out, east), (up + 8) >> 4]
}

/// 1/a for a in 1/2..2, both with 60 binary digits, within 2⁻⁵⁴ of its size: two steps of Newton from a division.
fn reciprocal_q60(a: i64) -> i64 {
    let mut found = i64::from(u32::MAX / (a >> 45) as u32) << 43;
    for _ in 0..2 {
        found = mul_fixed(found, (1 << 61) - mul_fixed(a, found, 60), 60);
    }
    found
}

/// c₃ + z (c₂ + z² (c₁ + z c₀)).
fn polynomial(z: i64, c: [i64; 4]) -> i64 {
    let high = c[1] + mul_fixed(c[0], z, 60);
    c[3] + mul_fixed(c[2] + mul_fixed(high, mul_fixed(z, z, 60), 60), z, 60)
}

/// The Equal Earth map (x east, y north) of Šavrič, Patterson and Jenny (2018) in GeoCLIP's scale 66.50336/180, in
/// units of 2⁻⁵⁶, within 2⁻⁵⁰.
///
/// Within ±180° |x| stays below 1 and |y| below 0.4868.
///
/// ```
/// use gtca::common::projection::equal_earth;
/// let [x, y] = equal_earth(90 << 40, 180 << 40).map(|value| value as f64 / 2f64.powi(56));
/// assert!((x - 0.592_467).abs() < 1e-6 && (y - 0.486_717).abs() < 1e-6);
/// ```
pub fn equal_earth(lat: i64, lon: i64) -> [i64; 2] {
    let [sine, cosine] = sincos_q60(lat).map(i64::wrapping_abs);
    let target = mul_fixed(sine, HALF_ROOT_3, 60);
    // √(cos² + sin²/4) is the cosine of the arc sine.
    let level = polar((cosine >> 30) as i32, (sine >> 31) as i32).length;
    // CORDIC may end a little below 0 near the equator.
    let guess = degrees_from_turns(polar(level, (target >> 30) as i32).turns);
    let [sine, cosine] = sincos_q60(guess);
    let step = mul_fixed(target - sine, reciprocal_q60(cosine), 60);
    let theta = radians_q60(guess) + step;
    // The mean of both sines belongs to the middle of the step.
    let cosine = cosine - mul_fixed(step, (sine + target) >> 1, 60);
    let square = mul_fixed(theta, theta, 60);
    let y = mul_to_q56(theta, polynomial(square, NORTHING));
    let width = mul_fixed(mul_fixed(lon.wrapping_abs(), EASTING, 49), cosine, 60);
    let x = mul_to_q56(width, reciprocal_q60(polynomial(square, STRETCH)));
    [with_sign(x, lon), with_sign(y, lat)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::rng::draw4;

    const DEGREE: i64 = 1 << 40;

    fn random_places() -> impl Iterator<Item = (i64, i64)> {
        (0..20_000).map(|id| {
            let draw = draw4(9, 0, id, 0, 0).map(|word| i64::from(word as i32));
            ((draw[0] * 46_080) | (draw[2] & 0xff), (draw[1] * 92_160) | (draw[3] & 0xff))
        })
    }

    /// Poles, equator, antimeridian, the borders of the reduction, and the way to each from near to far.
    fn special_places() -> impl Iterator<Item = (i64, i64)> {
        let around = |degrees: i64, bound: i64| {
            let steps = (0..41).flat_map(|k| [1i64 << k, -1 << k]).chain([0]);
            steps.map(move |step| degrees * DEGREE + step).filter(move |angle| angle.abs() <= bound * DEGREE)
        };
        let lats = [-90, -60, -45, -30, 0, 30, 45, 60, 90].into_iter().flat_map(move |lat| around(lat, 90));
        let lons =
            [-180, -135, -90, -45, 0, 45, 90, 135, 180].into_iter().flat_map(move |lon| around(lon, 180));
        let lons: Vec<i64> = lons.collect();
        lats.enumerate().flat_map(move |(at, lat)| {
            let lons: Vec<i64> = lons.iter().copied().skip(at % 13).step_by(13).collect();
            lons.into_iter().map(move |lon| (lat, lon))
        })
    }

    fn places() -> impl Iterator<Item = (i64, i64)> {
        special_places().chain(random_places())
    }

    fn radians(fixed: i64) -> f64 {
        (fixed as f64 / DEGREE as f64).to_radians()
    }

    fn equal_earth_f64(lat: i64, lon: i64) -> [f64; 2] {
        let [a1, a2, a3, a4] = [1.340_264, -0.081_106, 0.000_893, 0.003_796];
        let root_3 = 3f64.sqrt();
        let theta = (root_3 / 2.0 * radians(lat).sin()).asin();
        let stretch = 9.0 * a4 * theta.powi(8) + 7.0 * a3 * theta.powi(6) + 3.0 * a2 * theta.powi(2) + a1;
        let x = 2.0 * root_3 * radians(lon) * theta.cos() / (3.0 * stretch);
        let y = a4 * theta.powi(9) + a3 * theta.powi(7) + a2 * theta.powi(3) + a1 * theta;
        [x * 66.503_36 / 180.0, y * 66.503_36 / 180.0]
    }

    #[test]
    fn sines_agree_with_sixty_digit_values() {
        // (degrees in units of 2⁻⁴⁰, sin · 2⁶⁰, cos · 2⁶⁰), by series in decimal arithmetic of 60 digits.
        for (degrees, sine, cosine) in [
            (1, 18_301, 1_152_921_504_606_846_976),
            (30 << 40, 576_460_752_303_423_488, 998_459_311_558_907_194),
            (45 << 40, 815_238_614_083_298_888, 815_238_614_083_298_888),
            (60 << 40, 998_459_311_558_907_194, 576_460_752_303_423_488),
            (49_678_267_711_488, 817_825_821_737_613_632, 812_643_169_591_742_082),
            (-32_363_456_495_616, -566_576_315_430_279_754, 1_004_101_227_256_676_553),
        ] {
            let found = sincos_q60(degrees);
            let error = (found[0] - sine).abs().max((found[1] - cosine).abs());
            assert!(error < 1 << 4, "{degrees}: {found:?}");
        }
    }

    #[test]
    fn sines_and_cosines_lie_on_the_circle_and_agree_with_f64() {
        for angle in places().flat_map(|(lat, lon)| [lat, lon]) {
            let [sine, cosine] = sincos_q60(angle);
            let norm = i128::from(sine).pow(2) + i128::from(cosine).pow(2);
            assert!((norm - (1 << 120)).abs() < 1 << 65, "{angle}: {:e}", (norm - (1 << 120)) as f64);
            // f64's own radians of 180° are off by 2⁻⁵².
            let [sine_f64, cosine_f64] = [radians(angle).sin(), radians(angle).cos()];
            let error = (sine as f64 / 2f64.powi(60) - sine_f64)
                .abs()
                .max((cosine as f64 / 2f64.powi(60) - cosine_f64).abs());
            assert!(error < 2f64.powi(-50), "{angle}: {error:e}");
            assert_eq!(sincos_q60(-angle), [-sine, cosine]);
        }
    }

    #[test]
    fn right_angles_are_exact() {
        for quadrant in -40..40i64 {
            let expected = [[0, 1], [1, 0], [0, -1], [-1, 0]][quadrant.rem_euclid(4) as usize];
            assert_eq!(sincos_q60(quadrant * 90 * DEGREE), expected.map(|value: i64| value << 60));
        }
        assert_eq!(unit_vector(90 * DEGREE, 77 * DEGREE), [0, 0, 1 << 56]);
        assert_eq!(unit_vector(0, -90 * DEGREE), [0, -1 << 56, 0]);
        for angle in [i64::MIN, i64::MAX] {
            let _ = (unit_vector(angle, angle), equal_earth(angle, angle));
        }
    }

    #[test]
    fn unit_vectors_have_length_one_and_agree_with_f64() {
        for (lat, lon) in places() {
            let found = unit_vector(lat, lon);
            let norm: i128 = found.iter().map(|&value| i128::from(value).pow(2)).sum();
            assert!((norm - (1 << 112)).abs() < 1 << 59, "{lat} {lon}: {:e}", (norm - (1 << 112)) as f64);
            let (lat, lon) = (radians(lat), radians(lon));
            let exact = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
            for (found, exact) in found.into_iter().zip(exact) {
                assert!((found as f64 / 2f64.powi(56) - exact).abs() < 2f64.powi(-50), "{lat} {lon}");
            }
        }
    }

    #[test]
    fn equal_earth_agrees_with_f64_and_is_odd() {
        for (lat, lon) in places() {
            let [x, y] = equal_earth(lat, lon);
            let exact = equal_earth_f64(lat, lon);
            let error =
                (x as f64 / 2f64.powi(56) - exact[0]).abs().max((y as f64 / 2f64.powi(56) - exact[1]).abs());
            assert!(error < 2f64.powi(-50), "{lat} {lon}: {error:e}");
            assert_eq!(equal_earth(-lat, lon), [x, -y]);
            assert_eq!(equal_earth(lat, -lon), [-x, y]);
        }
    }

    #[test]
    fn equal_earth_agrees_with_sixty_digit_values() {
        // (lat, lon, x · 2⁵⁶, y · 2⁵⁶), by series in decimal arithmetic of 60 digits.
        for (lat, lon, x, y) in [
            (0, 1 << 40, 400_319_940_617_576, 0),
            (90 << 40, 180 << 40, 42_691_735_825_782_990, 35_071_651_923_237_322),
            (45 << 40, -90 << 40, -30_878_368_916_514_925, 22_901_607_772_997_268),
            (60 << 40, 12 << 40, 3_619_008_515_043_366, 28_973_422_715_413_294),
            (-33 << 39, 151 << 40, 59_255_562_148_092_628, -8_834_197_336_516_339),
            (1, -1, -364, 491),
            (112_898, -90_219_015_744_775, -32_847_739_044_449_960, 55_377_789),
            ((-90 << 40) + 1, (180 << 40) - 1, 42_691_735_825_782_774, -35_071_651_923_237_322),
        ] {
            let found = equal_earth(lat, lon);
            let error = (found[0] - x).abs().max((found[1] - y).abs());
            assert!(error < 1 << 4, "{lat} {lon}: {found:?}");
        }
    }

    #[test]
    fn reciprocals_hold_their_bound() {
        for k in 0..50_000i64 {
            let a = (1 << 59) + k * 34_587_645_138_205;
            let error = i128::from(a) * i128::from(reciprocal_q60(a)) - (1 << 120);
            assert!(error.abs() < 1 << 66, "{a}");
        }
    }
}

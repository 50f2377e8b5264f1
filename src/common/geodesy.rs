//! Great circles on the sphere of radius 6,371,008.8 m, in integers; `shaders/common/geodesy.wgsl`, bit-equal.
//!
//! Bearings (clockwise from north) and central angles are u32 turns: one is 9.3 mm of ground. Errors are
//! centimetres, at most 0.2 m, at any distance and place, the poles and the antimeridian included.

use super::phase::turns_from_degrees;

/// Mean radius of the earth (IUGG) in kilometres.
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A place in fixed-point degrees, unit 2⁻⁴⁰ ([`fixed_from_degrees`](crate::records::fixed_from_degrees)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Latitude.
    pub lat: i64,
    /// Longitude.
    pub lon: i64,
}

/// Angle and length of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polar {
    /// The angle from the x axis.
    pub turns: u32,
    /// The length, in the components' unit.
    pub length: i32,
}

/// atan 2⁻ⁱ in turns.
const ARC_TURNS: [i32; 31] = [
    536_870_912,
    316_933_406,
    167_458_907,
    85_004_756,
    42_667_331,
    21_354_465,
    10_679_838,
    5_340_245,
    2_670_163,
    1_335_087,
    667_544,
    333_772,
    166_886,
    83_443,
    41_722,
    20_861,
    10_430,
    5_215,
    2_608,
    1_304,
    652,
    326,
    163,
    81,
    41,
    20,
    10,
    5,
    3,
    1,
    1,
];

/// 2³⁰ / Π √(1 + 4⁻ⁱ): undoes the growth that 31 rotations bring.
const CORDIC_SCALE: i32 = 652_032_874;

fn shift_round(a: i32, n: u32) -> i32 {
    (a + ((1i32 << n) >> 1)) >> n
}

fn mul_q30(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b) + (1 << 29)) >> 30) as i32
}

/// (sin, cos) with 30 binary digits; exact at quarter turns, else within 2e-8.
pub fn sincos_q30(turns: u32) -> [i32; 2] {
    let quadrant = turns.wrapping_add(0x2000_0000) >> 30;
    let mut rest = turns.wrapping_sub(quadrant << 30) as i32;
    let (mut x, mut y) = (if rest == 0 { 1 << 30 } else { CORDIC_SCALE }, 0);
    if rest != 0 {
        for (i, arc) in ARC_TURNS.iter().enumerate() {
            let sign = if rest >= 0 { 1 } else { -1 };
            let x_step = sign * shift_round(y, i as u32);
            y += sign * shift_round(x, i as u32);
            x -= x_step;
            rest -= sign * arc;
        }
    }
    let [sine, cosine] = if quadrant & 1 == 1 { [x, -y] } else { [y, x] };
    if quadrant & 2 == 2 { [-sine, -cosine] } else { [sine, cosine] }
}

/// Angle and length of a vector whose components lie within ±(2³⁰ + 2²⁸); along the axes both are exact.
pub fn polar(x: i32, y: i32) -> Polar {
    let (width, height) = (x.unsigned_abs(), y.unsigned_abs());
    let (long, short) = (width.max(height), width.min(height));
    let mut angle = 0i32;
    let mut length = long as i32;
    if short != 0 {
        let grow = long.leading_zeros();
        let scaled = |value: u32| (if grow < 3 { (value + 2) >> 2 } else { value << (grow - 3) }) as i32;
        let (mut along, mut across) = (scaled(long), scaled(short));
        for (i, arc) in ARC_TURNS.iter().enumerate() {
            let sign = if across >= 0 { 1 } else { -1 };
            let across_step = sign * shift_round(along, i as u32);
            along += sign * shift_round(across, i as u32);
            across -= across_step;
            angle += sign * arc;
        }
        let grown = mul_q30(along, CORDIC_SCALE);
        length = if grow < 3 { grown << 2 } else { shift_round(grown, grow - 3) };
    }
    if height > width {
        angle = 0x4000_0000 - angle;
    }
    let mut turns = angle as u32;
    if x < 0 {
        turns = 0x8000_0000u32.wrapping_sub(turns);
    }
    Polar { turns: if y < 0 { turns.wrapping_neg() } else { turns }, length }
}

pub(super) fn degrees_from_turns(turns: u32) -> i64 {
    i64::from(turns as i32) * 92_160
}

fn wrap_longitude(lon: i64) -> i64 {
    let (half, turn) = (180i64 << 40, 360i64 << 40);
    if lon > half {
        lon - turn
    } else if lon < -half {
        lon + turn
    } else {
        lon
    }
}

/// The place at a central angle of at most half a turn from `start`, in the direction of `bearing`.
///
/// ```
/// use gtca::common::geodesy::{Place, destination, turns_from_km};
/// use gtca::records::{degrees_from_fixed, fixed_from_degrees};
/// let start = Place { lat: 0, lon: fixed_from_degrees(179.5) };
/// // A degree of the equator is 111.195 km: across the antimeridian.
/// let east = destination(start, 1 << 30, turns_from_km(111.195_08));
/// assert!((degrees_from_fixed(east.lon) + 179.5).abs() < 1e-6);
/// ```
pub fn destination(start: Place, bearing: u32, angle: u32) -> Place {
    if angle == 0 {
        return start;
    }
    let lat = sincos_q30(turns_from_degrees(start.lat));
    let course = sincos_q30(bearing);
    let arc = sincos_q30(angle);
    let north = mul_q30(arc[0], course[1]);
    let east = mul_q30(arc[0], course[0]);
    let along = mul_q30(lat[1], arc[1]) - mul_q30(lat[0], north);
    let around = polar(along, east);
    // Half of ρ − A, which may reach 2; the doubled products may leave i32, their sums do not.
    let half_excess = (around.length >> 1) - (along >> 1);
    let sine = north.wrapping_sub(mul_q30(half_excess, lat[0]).wrapping_mul(2));
    let cosine = arc[1].wrapping_add(mul_q30(half_excess, lat[1]).wrapping_mul(2));
    let climb = polar(cosine, sine);
    Place {
        lat: (start.lat + degrees_from_turns(climb.turns)).clamp(-90 << 40, 90 << 40),
        lon: wrap_longitude(start.lon + degrees_from_turns(around.turns)),
    }
}

/// The central angle between two places, at most half a turn.
///
/// ```
/// use gtca::common::geodesy::{Place, central_angle, km_from_turns};
/// use gtca::records::fixed_from_degrees;
/// let place = |lat, lon| Place { lat: fixed_from_degrees(lat), lon: fixed_from_degrees(lon) };
/// let km = km_from_turns(central_angle(place(52.5200, 13.4050), place(48.8566, 2.3522)));
/// assert!((km - 877.464).abs() < 0.01, "{km}");
/// ```
pub fn central_angle(a: Place, b: Place) -> u32 {
    let lat_a = sincos_q30(turns_from_degrees(a.lat));
    let lat_b = sincos_q30(turns_from_degrees(b.lat));
    let climb = sincos_q30(turns_from_degrees(b.lat - a.lat));
    let around = turns_from_degrees(b.lon - a.lon) as i32;
    let lon = sincos_q30(around as u32);
    let half_lon = sincos_q30((around >> 1) as u32);
    let bend = mul_q30(mul_q30(lat_a[0], lat_b[1]), mul_q30(half_lon[0], half_lon[0]));
    let north = climb[0].wrapping_add(bend.wrapping_mul(2));
    let east = mul_q30(lat_b[1], lon[0]);
    let up = mul_q30(lat_a[0], lat_b[0]) + mul_q30(mul_q30(lat_a[1], lat_b[1]), lon[1]);
    polar(up, polar(north, east).length).turns
}

/// Ground distance of a central angle in kilometres.
pub fn km_from_turns(turns: u32) -> f32 {
    turns as f32 * 9.320_264e-6
}

/// Central angle of a ground distance; on the host, in f64. At most half a turn (20,015 km), to which it saturates.
pub fn turns_from_km(km: f64) -> u32 {
    let turns = km / (EARTH_RADIUS_KM * std::f64::consts::TAU) * 4_294_967_296.0;
    turns.round().clamp(0.0, 2_147_483_648.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::rng::draw4;
    use crate::records::{degrees_from_fixed, fixed_from_degrees};
    use std::f64::consts::{PI, TAU};

    fn unit_vector(place: Place) -> [f64; 3] {
        let (lat, lon) =
            (degrees_from_fixed(place.lat).to_radians(), degrees_from_fixed(place.lon).to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    }

    /// Distance by the angle between unit vectors, in metres: independent of the kernel's formula.
    fn metres(a: Place, b: Place) -> f64 {
        let (a, b) = (unit_vector(a), unit_vector(b));
        let chord = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
        2.0 * (chord / 2.0).min(1.0).asin() * EARTH_RADIUS_KM * 1000.0
    }

    /// The destination by rotating the start's unit vector in f64.
    fn exact_destination(start: Place, bearing: u32, angle: u32) -> [f64; 3] {
        let lat = degrees_from_fixed(start.lat).to_radians();
        let lon = degrees_from_fixed(start.lon).to_radians();
        let (bearing, angle) =
            (f64::from(bearing) / 2f64.powi(32) * TAU, f64::from(angle) / 2f64.powi(32) * TAU);
        let up = unit_vector(start);
        let north = [-lat.sin() * lon.cos(), -lat.sin() * lon.sin(), lat.cos()];
        let east = [-lon.sin(), lon.cos(), 0.0];
        std::array::from_fn(|i| {
            up[i] * angle.cos() + (north[i] * bearing.cos() + east[i] * bearing.sin()) * angle.sin()
        })
    }

    fn error_m(found: Place, exact: [f64; 3]) -> f64 {
        let found = unit_vector(found);
        (0..3).map(|i| (found[i] - exact[i]).powi(2)).sum::<f64>().sqrt() * EARTH_RADIUS_KM * 1000.0
    }

    fn places() -> Vec<Place> {
        let place = |lat, lon| Place { lat: fixed_from_degrees(lat), lon: fixed_from_degrees(lon) };
        let mut places = Vec::new();
        for lat in [-90.0, -89.999_999, -89.9, -60.0, -1e-9, 0.0, 33.3, 66.5, 89.999, 89.999_999_99, 90.0] {
            for lon in [-180.0, -179.999_999, -90.0, -0.1, 0.0, 12.5, 90.0, 179.999_999_9, 180.0] {
                places.push(place(lat, lon));
            }
        }
        for id in 0..300 {
            let draw = draw4(5, 0, id, 0, 0);
            let lat = (f64::from(draw[0]) / 2f64.powi(31) - 1.0).asin().to_degrees();
            places.push(place(lat, f64::from(draw[1] as i32) / 2f64.powi(31) * 180.0));
        }
        places
    }

    #[test]
    fn a_moved_point_lands_within_decimetres_of_the_exact_one() {
        for (id, start) in places().into_iter().enumerate() {
            for km in [0.0, 0.001, 1.0, 10.0, 100.0, 1000.0, 5000.0, 10_007.5, 15_000.0, 20_015.0] {
                let random = draw4(6, 0, id as u64, 0, 0);
                for bearing in [0, 1 << 30, 2 << 30, 3 << 30, random[0], random[1]] {
                    let found = destination(start, bearing, turns_from_km(km));
                    assert!((-90 << 40..=90 << 40).contains(&found.lat));
                    assert!((-180 << 40..=180 << 40).contains(&found.lon));
                    let error = error_m(found, exact_destination(start, bearing, turns_from_km(km)));
                    assert!(error < 0.2, "{start:?} {km} km at {bearing}: {error} m");
                }
            }
        }
    }

    #[test]
    fn a_moved_point_keeps_its_distance() {
        for start in places() {
            for km in [0.1, 10.0, 100.0, 1000.0, 19_000.0] {
                let moved = destination(start, 0x3456_789a, turns_from_km(km));
                let found = f64::from(central_angle(start, moved)) / 2f64.powi(32) * TAU * EARTH_RADIUS_KM;
                assert!((found - km).abs() < 2e-4, "{start:?}: {found} km, not {km}");
            }
        }
    }

    #[test]
    fn distances_agree_with_f64_everywhere() {
        let places = places();
        for (i, a) in places.iter().enumerate() {
            for b in places.iter().skip(i % 7).step_by(7) {
                let exact = metres(*a, *b);
                let found = f64::from(central_angle(*a, *b)) / 2f64.powi(32) * TAU * EARTH_RADIUS_KM * 1000.0;
                // The arc sine itself loses digits near the antipode.
                let allowed = if exact > 20_000e3 { 2.0 } else { 0.15 };
                assert!((found - exact).abs() < allowed, "{a:?} {b:?}: {found} m, not {exact}");
            }
            assert_eq!(central_angle(*a, *a), 0);
        }
    }

    #[test]
    fn no_distance_moves_nothing_and_due_north_keeps_the_longitude() {
        let start = Place { lat: fixed_from_degrees(51.0), lon: fixed_from_degrees(180.0) };
        assert_eq!(destination(start, 12_345, 0), start);
        assert_eq!(destination(start, 0, turns_from_km(100.0)).lon, start.lon);
    }

    #[test]
    fn sines_and_cosines_hold_their_bound() {
        for k in 0..200_000u32 {
            let turns = k.wrapping_mul(2_654_435_769);
            let angle = f64::from(turns) / 2f64.powi(31) * PI;
            let [sine, cosine] = sincos_q30(turns).map(|value| f64::from(value) / 2f64.powi(30));
            let error = (sine - angle.sin()).abs().max((cosine - angle.cos()).abs());
            assert!(error < 2e-8, "{turns:#x}: {error:e}");
        }
        assert_eq!(sincos_q30(3 << 30), [-(1 << 30), 0]);
    }

    #[test]
    fn angle_and_length_come_back_from_components() {
        for k in 0..20_000u32 {
            let turns = k.wrapping_mul(2_654_435_769);
            let angle = f64::from(turns) / 2f64.powi(31) * PI;
            for size in [2f64.powi(30), 1e6, 3000.0] {
                let (x, y) = ((angle.cos() * size).round() as i32, (angle.sin() * size).round() as i32);
                let found = polar(x, y);
                let exact = f64::from(y).atan2(f64::from(x)) / TAU * 2f64.powi(32);
                let error = (f64::from(found.turns) - exact + 100.0).rem_euclid(2f64.powi(32)) - 100.0;
                assert!(error.abs() < 20.0, "{x} {y}: {error} turns of 2^-32");
                let length = f64::from(x).hypot(f64::from(y));
                assert!((f64::from(found.length) - length).abs() < 3e-8 * length + 2.0);
            }
        }
        assert_eq!(polar(0, 0), Polar { turns: 0, length: 0 });
        assert_eq!(polar(-5, 0), Polar { turns: 1 << 31, length: 5 });
        assert_eq!(polar(0, -5), Polar { turns: 3 << 30, length: 5 });
    }

    #[test]
    fn kilometres_and_turns_agree() {
        assert_eq!(turns_from_km(1e9), 1 << 31);
        assert_eq!(turns_from_km(-1.0), 0);
        assert!((km_from_turns(turns_from_km(1000.0)) - 1000.0).abs() < 1e-3);
    }
}

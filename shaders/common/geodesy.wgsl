// Great circles on the sphere of radius 6,371,008.8 m, in integers: every device and the CPU agree bit for bit.
// Places are fixed-point degrees (unit 2⁻⁴⁰); bearings (clockwise from north) and central angles are u32 turns.
// One u32 turn of central angle is 9.3 mm of ground. Errors: centimetres, at most 0.2 m, at any distance and place.
//
// Sines, cosines, angles and lengths come from CORDIC (Volder 1959): rotations by atan 2⁻ⁱ, which only shift
// and add. Destinations are found as *differences* from the start, so nothing cancels near it and nothing breaks
// at the poles or the antimeridian.
// Twins: src/common/geodesy.rs.

#import common/fixed64
#import common/phase

// A place in fixed-point degrees, unit 2⁻⁴⁰.
struct Place {
    lat: vec2<u32>,
    lon: vec2<u32>,
}

struct Polar {
    turns: u32,
    length: i32,
}

// atan 2⁻ⁱ in turns.
const ARC_TURNS = array<i32, 31>(
    536870912, 316933406, 167458907, 85004756, 42667331, 21354465, 10679838, 5340245, 2670163, 1335087, 667544,
    333772, 166886, 83443, 41722, 20861, 10430, 5215, 2608, 1304, 652, 326, 163, 81, 41, 20, 10, 5, 3, 1, 1,
);

// 2³⁰ / Π √(1 + 4⁻ⁱ): undoes the growth that 31 rotations bring.
const CORDIC_SCALE = 652032874;

// a / 2ⁿ to the nearest.
fn shift_round(a: i32, n: u32) -> i32 {
    return (a + i32((1u << n) >> 1u)) >> n;
}

// Product of two numbers with 30 binary digits, to the nearest.
fn mul_q30(a: i32, b: i32) -> i32 {
    let product = add64(mul_i32_wide(a, b), vec2<u32>(1u << 29u, 0u));
    return bitcast<i32>((product.x >> 30u) | (product.y << 2u));
}

// (sin, cos) with 30 binary digits; exact at quarter turns, else within 2e-8.
fn sincos_q30(turns: u32) -> vec2<i32> {
    let quadrant = (turns + 0x20000000u) >> 30u;
    var rest = bitcast<i32>(turns - (quadrant << 30u));
    var x = select(CORDIC_SCALE, 1 << 30u, rest == 0);
    var y = 0;
    if rest != 0 {
        for (var i = 0u; i < 31u; i++) {
            let sign = select(-1, 1, rest >= 0);
            let x_step = sign * shift_round(y, i);
            y += sign * shift_round(x, i);
            x -= x_step;
            rest -= sign * ARC_TURNS[i];
        }
    }
    let swapped = select(vec2<i32>(y, x), vec2<i32>(x, -y), (quadrant & 1u) == 1u);
    return select(swapped, -swapped, (quadrant & 2u) == 2u);
}

// Angle and length of a vector whose components lie within ±(2³⁰ + 2²⁸); its unit is kept. Short vectors are
// enlarged first, so that their angle is as good. Along the axes both are exact.
fn polar(x: i32, y: i32) -> Polar {
    let width = u32(abs(x));
    let height = u32(abs(y));
    let long = max(width, height);
    let short = min(width, height);
    var angle = 0;
    var length = i32(long);
    if short != 0u {
        // The longer component gets its leading bit at 28: growth by 1.65 · √2 still fits.
        let grow = countLeadingZeros(long);
        var along = i32(select(long << (grow - 3u), (long + 2u) >> 2u, grow < 3u));
        var across = i32(select(short << (grow - 3u), (short + 2u) >> 2u, grow < 3u));
        for (var i = 0u; i < 31u; i++) {
            let sign = select(-1, 1, across >= 0);
            let across_step = sign * shift_round(along, i);
            along += sign * shift_round(across, i);
            across -= across_step;
            angle += sign * ARC_TURNS[i];
        }
        let grown = mul_q30(along, CORDIC_SCALE);
        length = select(shift_round(grown, grow - 3u), grown << 2u, grow < 3u);
    }
    angle = select(angle, 0x40000000 - angle, height > width);
    var turns = bitcast<u32>(angle);
    turns = select(turns, 0x80000000u - turns, x < 0);
    return Polar(select(turns, 0u - turns, y < 0), length);
}

// Turns as fixed-point degrees, signed: 360 · 2⁴⁰ / 2³² = 92,160.
fn degrees_from_turns(turns: u32) -> vec2<u32> {
    return mul_i32_wide(bitcast<i32>(turns), 92160);
}

// A longitude that has left ±180° by less than a turn, brought back; ±180° themselves stay as they are.
fn wrap_longitude(lon: vec2<u32>) -> vec2<u32> {
    let half = vec2<u32>(0u, 180u << 8u);
    let turn = vec2<u32>(0u, 360u << 8u);
    let lowered = select(lon, sub64(lon, turn), less_i64(half, lon));
    return select(lowered, add64(lon, turn), less_i64(lon, neg64(half)));
}

fn clamp_latitude(lat: vec2<u32>) -> vec2<u32> {
    let pole = vec2<u32>(0u, 90u << 8u);
    let lowered = select(lat, pole, less_i64(pole, lat));
    return select(lowered, neg64(pole), less_i64(lat, neg64(pole)));
}

// The place at a central angle of at most half a turn from `start`, in the direction of `bearing`.
// With A and E the destination's distance from the axis along and across the start's meridian,
// λ' − λ = atan2(E, A); with ρ = √(A² + E²), sin(φ' − φ) = sin δ cos θ − (ρ − A) sin φ and
// cos(φ' − φ) = cos δ + (ρ − A) cos φ.
fn destination(start: Place, bearing: u32, angle: u32) -> Place {
    if angle == 0u {
        return start;
    }
    let lat = sincos_q30(turns_from_degrees(start.lat));
    let course = sincos_q30(bearing);
    let arc = sincos_q30(angle);
    let north = mul_q30(arc.x, course.y);
    let east = mul_q30(arc.x, course.x);
    let along = mul_q30(lat.y, arc.y) - mul_q30(lat.x, north);
    let around = polar(along, east);
    // Half of ρ − A, which may reach 2.
    let half_excess = (around.length >> 1u) - (along >> 1u);
    let sine = north - 2 * mul_q30(half_excess, lat.x);
    let cosine = arc.y + 2 * mul_q30(half_excess, lat.y);
    let climb = polar(cosine, sine);
    return Place(
        clamp_latitude(add64(start.lat, degrees_from_turns(climb.turns))),
        wrap_longitude(add64(start.lon, degrees_from_turns(around.turns))),
    );
}

// The central angle between two places: atan2 of the length and the height of the second, seen from the first.
fn central_angle(a: Place, b: Place) -> u32 {
    let lat_a = sincos_q30(turns_from_degrees(a.lat));
    let lat_b = sincos_q30(turns_from_degrees(b.lat));
    let climb = sincos_q30(turns_from_degrees(sub64(b.lat, a.lat)));
    let around = bitcast<i32>(turns_from_degrees(sub64(b.lon, a.lon)));
    let lon = sincos_q30(bitcast<u32>(around));
    let half_lon = sincos_q30(bitcast<u32>(around >> 1u));
    // cos φ₁ sin φ₂ − sin φ₁ cos φ₂ cos Δλ, written so that it does not cancel for near places.
    let bend = mul_q30(mul_q30(lat_a.x, lat_b.y), mul_q30(half_lon.x, half_lon.x));
    let north = climb.x + 2 * bend;
    let east = mul_q30(lat_b.y, lon.x);
    let up = mul_q30(lat_a.x, lat_b.x) + mul_q30(mul_q30(lat_a.y, lat_b.y), lon.y);
    return polar(up, polar(north, east).length).turns;
}

// Ground distance of a central angle in kilometres: 2π · 6,371.0088 / 2³² per turn.
fn km_from_turns(turns: u32) -> f32 {
    return f32(turns) * 9.320264e-6;
}

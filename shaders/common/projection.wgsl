// Places on the unit sphere and on the Equal Earth map, in 64-bit fixed point: every device and the CPU agree bit for
// bit. For encodings whose frequencies enlarge a place a thousandfold: no f32 decides here.
// Angles are degrees in units of 2⁻⁴⁰, at most ±360. Bounds: sines 2⁻⁵⁶, unit vectors a unit and a half of 2⁻⁵⁶,
// Equal Earth 2⁻⁵⁰. Sines are odd and cosines even to the last bit. Loops: 10, 31 and 2 iterations.
// Twins: src/common/projection.rs.

#import common/fixed64
#import common/geodesy

// 1/19!, 1/18!, … 1/0! with 60 binary digits.
const INVERSE_FACTORIALS = array<vec2<u32>, 20>(
    vec2<u32>(0x9u, 0x0u), vec2<u32>(0xb4u, 0x0u),
    vec2<u32>(0xca9u, 0x0u), vec2<u32>(0xd740u, 0x0u),
    vec2<u32>(0xd73fau, 0x0u), vec2<u32>(0xc9cba5u, 0x0u),
    vec2<u32>(0xb09230au, 0x0u), vec2<u32>(0x8f76c780u, 0x0u),
    vec2<u32>(0xb99159fdu, 0x6u), vec2<u32>(0xf93edde2u, 0x49u),
    vec2<u32>(0xbc74aad9u, 0x2e3u), vec2<u32>(0xa01a01a0u, 0x1a01u),
    vec2<u32>(0xd00d01u, 0xd00du), vec2<u32>(0x5b05b06u, 0x5b05bu),
    vec2<u32>(0x22222222u, 0x222222u), vec2<u32>(0xaaaaaaabu, 0xaaaaaau),
    vec2<u32>(0xaaaaaaabu, 0x2aaaaaau), vec2<u32>(0x0u, 0x8000000u),
    vec2<u32>(0x0u, 0x10000000u), vec2<u32>(0x0u, 0x10000000u),
);

// π/180 with 68 binary digits.
const RADIAN = vec2<u32>(0x4a74e457u, 0x477d1a89u);

// √3/2 with 60 binary digits.
const HALF_ROOT_3 = vec2<u32>(0x2c26553au, 0xddb3d74u);

// π/180 · 2/√3 · 66.50336/180 with 69 binary digits: the longitude's factor.
const EASTING = vec2<u32>(0xa09c4b56u, 0x3cff34d3u);

// Equal Earth's A₄ … A₁ times 66.50336/180, with 60 binary digits.
const NORTHING = array<vec2<u32>, 4>(
    vec2<u32>(0xe318450au, 0x5be9bu), vec2<u32>(0xf51fbbdu, 0x159f5u),
    vec2<u32>(0x57ca1b72u, 0xff8542b6u), vec2<u32>(0xfe7c7857u, 0x7ec3fe0u),
);

// 9 A₄, 7 A₃, 3 A₂, A₁ with 60 binary digits: the derivative of θ's polynomial.
const STRETCH = array<vec2<u32>, 4>(
    vec2<u32>(0xeb356da0u, 0x8bef8cu), vec2<u32>(0x913a4f8u, 0x199aa6u),
    vec2<u32>(0xb78cc9a7u, 0xfc1b5e95u), vec2<u32>(0x192a73u, 0x1571b8aau),
);

// ⌊a b / 2^point⌋, point in 33..=63.
fn mul_fixed(a: vec2<u32>, b: vec2<u32>, point: u32) -> vec2<u32> {
    let product = mul_i64_wide(a, b);
    let bits = point - 32u;
    return (product.yz >> vec2<u32>(bits)) | (product.zw << vec2<u32>(32u - bits));
}

// The product of two numbers with 60 binary digits, with 56: to the nearest.
fn mul_to_q56(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let product = mul_i64_wide(a, b);
    return add64(product.zw, vec2<u32>(product.y >> 31u, 0u));
}

fn with_sign(magnitude: vec2<u32>, number: vec2<u32>) -> vec2<u32> {
    return select(magnitude, neg64(magnitude), is_negative64(number));
}

fn radians_q60(degrees: vec2<u32>) -> vec2<u32> {
    return mul_fixed(degrees, RADIAN, 48u);
}

// (sin, cos) with 60 binary digits as (low, high, low, high); exact at multiples of 90°. The quadrant is split off in
// degrees, and the rest, at most π/4, goes through the Taylor series to t¹⁹ (the next term is 2⁻⁶⁶).
fn sincos_q60(degrees: vec2<u32>) -> vec4<u32> {
    let size = abs64(degrees);
    let quadrant = div_u64_small(shr_u64(add64(size, vec2<u32>(0u, 45u << 8u)), 41u), 45u).x;
    let t = radians_q60(vec2<u32>(size.x, size.y - quadrant * (90u << 8u)));
    let square = mul_fixed(t, t, 60u);
    var sine = vec2<u32>(0u);
    var cosine = vec2<u32>(0u);
    for (var i = 0u; i < 20u; i += 2u) {
        sine = sub64(INVERSE_FACTORIALS[i], mul_fixed(sine, square, 60u));
        cosine = sub64(INVERSE_FACTORIALS[i + 1u], mul_fixed(cosine, square, 60u));
    }
    sine = mul_fixed(sine, t, 60u);
    let is_swapped = (quadrant & 1u) == 1u;
    let a = select(sine, cosine, is_swapped);
    let b = select(cosine, neg64(sine), is_swapped);
    let is_behind = (quadrant & 2u) == 2u;
    return vec4<u32>(with_sign(select(a, neg64(a), is_behind), degrees), select(b, neg64(b), is_behind));
}

// A vector of three numbers with 56 binary digits.
struct UnitVector {
    x: vec2<u32>,
    y: vec2<u32>,
    z: vec2<u32>,
}

// (cos lat cos lon, cos lat sin lon, sin lat).
fn unit_vector(lat: vec2<u32>, lon: vec2<u32>) -> UnitVector {
    let up = sincos_q60(lat);
    let around = sincos_q60(lon);
    return UnitVector(
        mul_to_q56(up.zw, around.zw),
        mul_to_q56(up.zw, around.xy),
        shr_i64(add64(up.xy, vec2<u32>(8u, 0u)), 4u),
    );
}

// 1/a for a in 1/2..2, both with 60 binary digits, within 2⁻⁵⁴ of its size: two steps of Newton from a division.
fn reciprocal_q60(a: vec2<u32>) -> vec2<u32> {
    var found = shl64(vec2<u32>(0xffffffffu / (a.y >> 13u), 0u), 43u);
    for (var i = 0u; i < 2u; i++) {
        let rest = sub64(vec2<u32>(0u, 1u << 29u), mul_fixed(a, found, 60u));
        found = mul_fixed(found, rest, 60u);
    }
    return found;
}

// c₃ + z (c₂ + z² (c₁ + z c₀)).
fn polynomial(z: vec2<u32>, c: array<vec2<u32>, 4>) -> vec2<u32> {
    let high = add64(c[1], mul_fixed(c[0], z, 60u));
    let low = add64(c[2], mul_fixed(high, mul_fixed(z, z, 60u), 60u));
    return add64(c[3], mul_fixed(low, z, 60u));
}

// The Equal Earth map (Šavrič, Patterson, Jenny 2018) in GeoCLIP's scale, as x and y with 56 binary digits:
// x = 2√3 λ cos θ / (3 (9 A₄ θ⁸ + 7 A₃ θ⁶ + 3 A₂ θ² + A₁)), y = A₄ θ⁹ + A₃ θ⁷ + A₂ θ³ + A₁ θ, times 66.50336/180,
// with sin θ = √3/2 sin φ. θ is CORDIC's, 2⁻²⁴ off and perhaps below 0, and one step of Newton.
fn equal_earth(lat: vec2<u32>, lon: vec2<u32>) -> vec4<u32> {
    let place = sincos_q60(lat);
    let height = abs64(place.xy);
    let sine = mul_fixed(height, HALF_ROOT_3, 60u);
    // √(cos² + sin²/4) is the cosine of the arc sine.
    let level = polar(bitcast<i32>(shr_u64(abs64(place.zw), 30u).x), bitcast<i32>(shr_u64(height, 31u).x)).length;
    let guess = degrees_from_turns(polar(level, bitcast<i32>(shr_u64(sine, 30u).x)).turns);
    let near = sincos_q60(guess);
    let step = mul_fixed(sub64(sine, near.xy), reciprocal_q60(near.zw), 60u);
    let theta = add64(radians_q60(guess), step);
    // The mean of both sines belongs to the middle of the step.
    let cosine = sub64(near.zw, mul_fixed(step, shr_i64(add64(near.xy, sine), 1u), 60u));
    let square = mul_fixed(theta, theta, 60u);
    let y = mul_to_q56(theta, polynomial(square, NORTHING));
    let width = mul_fixed(mul_fixed(abs64(lon), EASTING, 49u), cosine, 60u);
    let x = mul_to_q56(width, reciprocal_q60(polynomial(square, STRETCH)));
    return vec4<u32>(with_sign(x, lon), with_sign(y, lat));
}

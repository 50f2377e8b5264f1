// Cells of the S2 grid (s2geometry.io, quadratic projection) by integers alone: column ⌊2ᴸ s(u)⌋ and row ⌊2ᴸ s(v)⌋ of a
// cube's face, s(u) = ½ √(1 + 3u) for u ≥ 0, 1 − ½ √(1 − 3u) below. With u = n/d, c ≤ 2ᴸ s(u) is (2c)² d ≤ 4ᴸ (d + 3n):
// no root, no division, nothing rounded. Loops `level` times, at most 8. Twin: src/common/s2.rs, bit-equal.

#import common/projection

// Place of a quarter along the Hilbert curve: two bits for each orientation (0..4), column bit and row bit.
const S2_PLACES = 0x361e9cb4u;
// What a quarter changes of the orientation, two bits for each place along the curve.
const S2_TURNS = 0xc1u;

// A face of the cube, and u, v there as numerators over a common denominator.
struct S2Face {
    face: u32,
    u: vec2<u32>,
    v: vec2<u32>,
    denominator: vec2<u32>,
}

fn s2_face(point: UnitVector) -> S2Face {
    let wide = abs64(point.x);
    let deep = abs64(point.y);
    let high = abs64(point.z);
    // Of equal coordinates the later one counts.
    if less_u64(deep, wide) && less_u64(high, wide) {
        if is_negative64(point.x) {
            return S2Face(3u, neg64(point.z), neg64(point.y), wide);
        }
        return S2Face(0u, point.y, point.z, wide);
    }
    if less_u64(high, deep) {
        if is_negative64(point.y) {
            return S2Face(4u, neg64(point.z), point.x, deep);
        }
        return S2Face(1u, neg64(point.x), point.z, deep);
    }
    if is_negative64(point.z) {
        return S2Face(5u, point.y, point.x, high);
    }
    return S2Face(2u, neg64(point.x), neg64(point.y), high);
}

// a ≤ b of unsigned numbers of 128 bits, lowest word first.
fn at_most128(a: vec4<u32>, b: vec4<u32>) -> bool {
    return less_u64(a.zw, b.zw) || (equal64(a.zw, b.zw) && !less_u64(b.xy, a.xy));
}

// Whether c ≤ 2ˡᵉᵛᵉˡ s(n/d).
fn s2_reaches(c: u32, n: vec2<u32>, d: vec2<u32>, level: u32) -> bool {
    let below = is_negative64(n);
    let k = 2u * select(c, (1u << level) - c, below);
    let size = abs64(n);
    let square = mul64_wide(d, vec2<u32>(k * k, 0u));
    let scaled = mul64_wide(add64(d, add64(size, shl64(size, 1u))), vec2<u32>(1u << (2u * level), 0u));
    return select(at_most128(square, scaled), at_most128(scaled, square), below);
}

// Number of the cell that holds a point, along S2's curve through all cells of a level up to 8.
fn s2_cell_number(point: UnitVector, level: u32) -> u32 {
    let on = s2_face(point);
    var column = 0u;
    var row = 0u;
    var orientation = on.face & 1u;
    var number = on.face;
    for (var step = 1u; step <= min(level, 8u); step++) {
        let bit = level - step;
        let right = select(0u, 1u, s2_reaches(column | (1u << bit), on.u, on.denominator, level));
        let up = select(0u, 1u, s2_reaches(row | (1u << bit), on.v, on.denominator, level));
        column |= right << bit;
        row |= up << bit;
        let place = (S2_PLACES >> (2u * (4u * orientation + 2u * right + up))) & 3u;
        orientation ^= (S2_TURNS >> (2u * place)) & 3u;
        number = 4u * number + place;
    }
    return number;
}

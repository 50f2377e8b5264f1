//! Cells of the S2 grid (s2geometry.io, with its usual quadratic projection), by integers alone; `shaders/common/s2.wgsl`,
//! bit-equal.
//!
//! A cell of level L on the face u, v ∈ −1..=1 of a cube is column ⌊2ᴸ s(u)⌋ and row ⌊2ᴸ s(v)⌋, `s(u) = ½ √(1 + 3u)` for
//! u ≥ 0, `1 − ½ √(1 − 3u)` below. u is a ratio n/d of two coordinates, so `c ≤ 2ᴸ s(u)` is `(2c)² d ≤ 4ᴸ (d + 3n)`: no
//! root, no division, nothing rounded. S2's own libraries round in f64, so that a place within 1e-15 of a border may lie
//! on its other side there.

/// Highest level that the shader finds: 6 · 4⁸ cells are below 2¹⁹, as are all numbers that encodings read.
pub const MAX_DEVICE_LEVEL: u32 = 8;

/// Highest level of the grid.
pub const MAX_LEVEL: u32 = 30;

/// Place of a quarter along the Hilbert curve: two bits for each orientation (0..4), column bit and row bit.
const PLACES: u32 = 0x361e_9cb4;
/// What a quarter changes of the orientation, two bits for each place along the curve.
const TURNS: u32 = 0xc1;

/// Face of a point and its coordinates there as numerators over a common denominator: (face, [u, v], denominator).
fn face_of([x, y, z]: [i64; 3]) -> (u32, [i64; 2], i64) {
    let [wide, deep, high] = [x, y, z].map(i64::abs);
    // Of equal coordinates the later one counts.
    if wide > deep && wide > high {
        if x > 0 { (0, [y, z], x) } else { (3, [-z, -y], -x) }
    } else if deep > high {
        if y > 0 { (1, [-x, z], y) } else { (4, [-z, x], -y) }
    } else if z > 0 {
        (2, [-x, -y], z)
    } else {
        (5, [y, x], -z)
    }
}

/// Whether c ≤ 2ˡᵉᵛᵉˡ s(n/d).
fn reaches(c: u32, n: i64, d: i64, level: u32) -> bool {
    let square = |k: u32| (u128::from(k) * u128::from(k) * d as u128) << 2;
    let scaled = (d as u128 + 3 * u128::from(n.unsigned_abs())) << (2 * level);
    if n < 0 { square((1 << level) - c) >= scaled } else { square(c) <= scaled }
}

/// Number of the cell of a level (at most 30) that holds a point, 0..6·4ˡᵉᵛᵉˡ: its place along S2's curve through all
/// cells of that level. The point is [`unit_vector`](super::projection::unit_vector)'s; latitudes count as S2 counts them,
/// on a sphere.
///
/// ```
/// use gtca::common::{projection::unit_vector, s2::cell_number};
/// assert_eq!(cell_number(unit_vector(0, 0), 0), 0);
/// assert_eq!(cell_number(unit_vector(90 << 40, 0), 0), 2);
/// ```
pub fn cell_number(point: [i64; 3], level: u32) -> u64 {
    debug_assert!(level <= MAX_LEVEL);
    let (face, [u, v], d) = face_of(point);
    let (mut column, mut row) = (0, 0);
    let mut orientation = face & 1;
    let mut number = u64::from(face);
    for bit in (0..level).rev() {
        let right = reaches(column | 1 << bit, u, d, level);
        let up = reaches(row | 1 << bit, v, d, level);
        column |= u32::from(right) << bit;
        row |= u32::from(up) << bit;
        let quarter = 4 * orientation + 2 * u32::from(right) + u32::from(up);
        let place = PLACES >> (2 * quarter) & 3;
        orientation ^= TURNS >> (2 * place) & 3;
        number = 4 * number + u64::from(place);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::projection::unit_vector;

    #[test]
    fn the_shader_has_the_same_tables() {
        let shader = include_str!("../../shaders/common/s2.wgsl");
        assert!(shader.contains(&format!("const S2_PLACES = {PLACES:#x}u;")));
        assert!(shader.contains(&format!("const S2_TURNS = {TURNS:#x}u;")));
    }

    #[test]
    fn a_cell_lies_in_the_cells_above_it() {
        for k in 0..500i64 {
            let point = unit_vector((k * 0x2c_1237_91f3) % (90 << 40), (k * 0x6f_2137_7fe1) % (180 << 40));
            let cells: Vec<_> = (0..=MAX_LEVEL).map(|level| cell_number(point, level)).collect();
            assert!(cells.windows(2).all(|pair| pair[1] / 4 == pair[0]), "{k}");
            assert!(cells[30] < 6 << 60);
        }
    }
}

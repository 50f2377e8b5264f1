//! Cells of the S2 grid as ids of records.

use super::fixed_from_degrees;
use crate::Error;
use crate::common::projection::unit_vector;
use crate::common::s2::{MAX_LEVEL, cell_number};

/// A cell of Google's S2 grid (s2geometry.io): one of the six faces of a cube around the Earth, or a quarter of the cell
/// above it, down to level 30 (about a centimetre).
///
/// | level | cells | side |
/// |---|---|---|
/// | 4 | 1,536 | 580 km |
/// | 6 | 24,576 | 144 km |
/// | 8 | 393,216 | 36 km |
/// | 10 | 6,291,456 | 9 km |
///
/// As the id of a tile ([`Record::tile`](super::Record::tile)) for [`Block::Id`](crate::encode::Block::Id), which takes
/// 2²⁴ rows; [`Source::S2Cell`](crate::encode::Source::S2Cell) finds the same number on the device, up to level 8.
///
/// ```
/// use gtca::records::{Record, S2Cell};
/// let cell = S2Cell::at(47.6057, -122.3305, 8)?;
/// assert_eq!(cell.parent(2).token(), "55");
/// let record = Record::new().tile(cell.number() as u32); // a row of 6 · 4⁸
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S2Cell {
    number: u64,
    level: u32,
}

impl S2Cell {
    /// The cell of a level, 0..=30, that holds a place. A place within 1e-15 of a border may lie on its other side in
    /// S2's own libraries, which round.
    ///
    /// # Errors
    /// A coordinate outside ±90° or ±180° or NaN; a level above 30.
    pub fn at(lat_deg: f64, lon_deg: f64, level: u32) -> Result<Self, Error> {
        let refuse = |name, value: f64, rule: &str| {
            Err(Error::argument("s2", name, value, rule, "correct it or leave the tile out"))
        };
        if !(-90.0..=90.0).contains(&lat_deg) {
            return refuse("lat_deg", lat_deg, "it must lie in -90..=90");
        }
        if !(-180.0..=180.0).contains(&lon_deg) {
            return refuse("lon_deg", lon_deg, "it must lie in -180..=180");
        }
        if level > MAX_LEVEL {
            return refuse("level", level.into(), "levels run from 0 to 30");
        }
        let point = unit_vector(fixed_from_degrees(lat_deg), fixed_from_degrees(lon_deg));
        Ok(Self { number: cell_number(point, level), level })
    }

    /// The cell of S2's 64-bit id.
    ///
    /// ```
    /// use gtca::records::S2Cell;
    /// let cell = S2Cell::from_id(0x89c2_8400_0000_0000).unwrap(); // token 89c284, on Long Island
    /// assert_eq!((cell.level(), cell.face()), (9, 4));
    /// assert_eq!(S2Cell::at(40.812_535_5, -73.559_412_8, 9)?, cell);
    /// # Ok::<(), gtca::Error>(())
    /// ```
    ///
    /// # Errors
    /// Bits that are no cell's.
    pub fn from_id(id: u64) -> Result<Self, Error> {
        let zeros = id.trailing_zeros();
        if id >> 61 > 5 || zeros > 60 || !zeros.is_multiple_of(2) {
            let rule = "an id is a face below 6, quarters, a one and an even number of zeros";
            return Err(Error::argument("s2", "id", format!("{id:#x}"), rule, "pass the id of a cell"));
        }
        Ok(Self { number: id >> (zeros + 1), level: 30 - zeros / 2 })
    }

    /// S2's 64-bit id: face, quarters, a one.
    pub fn id(self) -> u64 {
        (2 * self.number + 1) << (60 - 2 * self.level)
    }

    /// The id in hexadecimal without the zeros at its end.
    pub fn token(self) -> String {
        format!("{:016x}", self.id()).trim_end_matches('0').to_owned()
    }

    /// 0..=30.
    pub fn level(self) -> u32 {
        self.level
    }

    /// 0..=5: the cube's faces around (0°, 0°), (0°, 90° E), the north pole, the antimeridian, (0°, 90° W), the south pole.
    pub fn face(self) -> u32 {
        (self.number >> (2 * self.level)) as u32
    }

    /// Its place among the 6·4ˡᵉᵛᵉˡ cells of its level, along S2's curve: a row of a table.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The cell of a coarser level that holds it; itself at its own level and finer ones.
    #[must_use]
    pub fn parent(self, level: u32) -> Self {
        let level = level.min(self.level);
        Self { number: self.number >> (2 * (self.level - level)), level }
    }
}

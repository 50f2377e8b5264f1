//! Global grids of codes: which climate zone, ecoregion or tile a place lies in.

use super::OP;
use crate::Error;
use crate::common::geodesy::Place;
use crate::gpu::{Dtype, View};
use crate::records::Field;

/// Largest number of rows or columns of a grid.
const MAX_SIDE: u32 = 65_535;

/// A global grid of codes: first row north, first column at −180°, cells of equal angle.
///
/// A place lies in the cell given by the floor of its fixed-point degrees; the south pole counts to the last row,
/// 180° to the first column. Code 0 and the codes named at its making mean "none here".
///
/// ```
/// use gtca::common::geodesy::Place;
/// use gtca::perturb::LookupGrid;
/// let halves = LookupGrid::new(1, 2, &[7u8, 9], &[])?;
/// assert_eq!(halves.code(Place { lat: 0, lon: -1 }), Some(7));
/// assert_eq!(halves.code(Place { lat: 0, lon: 0 }), Some(9));
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupGrid {
    rows: u32,
    columns: u32,
    /// log₂ of the codes in a word.
    packing: u32,
    words: Vec<u32>,
}

impl LookupGrid {
    /// Checks a grid of `rows · columns` codes (u8, u16 or u32), row by row from the north.
    ///
    /// # Errors
    /// A side outside 1..=65,535, or another number of codes.
    pub fn new<C: Copy + PartialEq + Into<u32>>(
        rows: u32,
        columns: u32,
        codes: &[C],
        no_data: &[C],
    ) -> Result<Self, Error> {
        for (name, side) in [("rows", rows), ("columns", columns)] {
            if !(1..=MAX_SIDE).contains(&side) {
                let rule = format!("a grid has 1 to {MAX_SIDE}");
                return Err(Error::argument(OP, name, side, rule, "use a coarser grid"));
            }
        }
        if codes.len() as u64 != u64::from(rows) * u64::from(columns) {
            let rule = format!("{rows} rows of {columns} need {}", u64::from(rows) * u64::from(columns));
            return Err(Error::argument(OP, "codes", codes.len(), rule, "check the grid's shape"));
        }
        let (per_word, bits) = (4 / size_of::<C>(), 8 * size_of::<C>());
        let code = |code: &C| if no_data.contains(code) { 0 } else { (*code).into() };
        let pack =
            |chunk: &[C]| chunk.iter().rev().fold(0, |word, c| ((u64::from(word) << bits) as u32) | code(c));
        let words = codes.chunks(per_word).map(pack).collect();
        Ok(Self { rows, columns, packing: per_word.ilog2(), words })
    }

    /// The code at a place, or none over the sea and wherever the grid has no data.
    pub fn code(&self, place: Place) -> Option<u32> {
        let cell = self.cell(place);
        let (within, bits) = (cell & ((1 << self.packing) - 1), 32 >> self.packing);
        let code = (self.words[cell >> self.packing] >> (within * bits)) & (u32::MAX >> (32 - bits));
        (code != 0).then_some(code)
    }

    fn cell(&self, place: Place) -> usize {
        let step = |offset: i64, cells: u32, degrees: i128| {
            (i128::from(offset) * i128::from(cells) / (degrees << 40)) as u32
        };
        let row = step((90 << 40) - place.lat, self.rows, 180).min(self.rows - 1);
        let column = step(place.lon + (180 << 40), self.columns, 360);
        (row * self.columns + if column >= self.columns { 0 } else { column }) as usize
    }
}

/// The grids that the ids of moved places follow; fields without a grid stay as they are.
///
/// ```
/// use gtca::perturb::{Lookup, LookupGrid};
/// let zones = LookupGrid::new(2, 4, &[1u8, 1, 2, 2, 3, 3, 32, 32], &[32])?;
/// let tiles = LookupGrid::new(1, 2, &[70_001u32, 70_002], &[])?;
/// let lookup = Lookup::new().climate_zone(zones).tile(tiles);
/// assert_eq!(lookup.words().len(), 4); // two words of zones, two of tiles: upload them once
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    grids: [Option<LookupGrid>; 3],
}

/// The fields that follow a place, in the order of the shader's grids.
pub(super) const FOLLOWERS: [Field; 3] = [Field::ClimateZone, Field::Ecoregion, Field::Tile];

impl Lookup {
    /// No grid.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the grid of climate zones.
    #[must_use]
    pub fn climate_zone(mut self, grid: LookupGrid) -> Self {
        self.grids[0] = Some(grid);
        self
    }

    /// Sets the grid of ecoregions.
    #[must_use]
    pub fn ecoregion(mut self, grid: LookupGrid) -> Self {
        self.grids[1] = Some(grid);
        self
    }

    /// Sets the grid of tiles. Number them from 1: code 0 means none.
    #[must_use]
    pub fn tile(mut self, grid: LookupGrid) -> Self {
        self.grids[2] = Some(grid);
        self
    }

    /// The grid of a field, if there is one.
    pub fn grid(&self, field: Field) -> Option<&LookupGrid> {
        let at = FOLLOWERS.iter().position(|follower| *follower == field)?;
        self.grids[at].as_ref()
    }

    /// All grids one behind the other, codes packed into words from the lowest bits: what [`Args::lookup`] holds.
    ///
    /// [`Args::lookup`]: super::Args::lookup
    pub fn words(&self) -> Vec<u32> {
        self.grids.iter().flatten().flat_map(|grid| &grid.words).copied().collect()
    }

    pub(super) fn check(&self, view: &View<'_>) -> Result<(), Error> {
        let words: usize = self.grids.iter().flatten().map(|grid| grid.words.len()).sum();
        match u32::try_from(words) {
            Ok(words) => view.check_rows(OP, "lookup", Dtype::U32, 1, words),
            Err(_) => {
                Err(Error::argument(OP, "lookup", words, "it must stay below 2³² words", "use coarser grids"))
            }
        }
    }

    /// Start, rows, columns and log₂ codes a word of each grid; columns 0 where there is none.
    pub(super) fn layout(&self, start: u32) -> [[u32; 4]; 3] {
        let mut at = start;
        self.grids.each_ref().map(|grid| {
            let Some(grid) = grid else { return [0; 4] };
            let layout = [at, grid.rows, grid.columns, grid.packing];
            at += grid.words.len() as u32;
            layout
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::fixed_from_degrees;

    fn place(lat: f64, lon: f64) -> Place {
        Place { lat: fixed_from_degrees(lat), lon: fixed_from_degrees(lon) }
    }

    #[test]
    fn cells_are_found_by_floor_with_clamped_rows_and_wrapped_columns() {
        let codes: Vec<u8> = (1..=18).collect();
        let wide: Vec<u16> = codes.iter().map(|&code| u16::from(code) + 1000).collect();
        let widest: Vec<u32> = codes.iter().map(|&code| u32::from(code) + 70_000).collect();
        let grid = LookupGrid::new(3, 6, &codes, &[5]).unwrap();
        let wide = LookupGrid::new(3, 6, &wide, &[1005]).unwrap();
        let widest = LookupGrid::new(3, 6, &widest, &[70_005]).unwrap();
        for (lat, lon, code) in [
            (90.0, -180.0, Some(1)),
            (30.000_001, -120.000_001, Some(1)),
            (30.0, -120.0, Some(8)),
            (-90.0, 179.999, Some(18)),
            (-90.0, 180.0, Some(13)),
            (89.0, 60.0, None),
        ] {
            assert_eq!(grid.code(place(lat, lon)), code, "{lat} {lon}");
            assert_eq!(wide.code(place(lat, lon)), code.map(|code| code + 1000), "{lat} {lon}");
            assert_eq!(widest.code(place(lat, lon)), code.map(|code| code + 70_000), "{lat} {lon}");
        }
        let lookup = Lookup::new().climate_zone(grid).tile(widest);
        assert_eq!(lookup.words()[4], 17 | 18 << 8);
        assert_eq!(lookup.layout(7), [[7, 3, 6, 2], [0; 4], [12, 3, 6, 0]]);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(LookupGrid::new(2, 2, &[1u8; 3], &[]).is_err());
        assert!(LookupGrid::new::<u8>(0, 2, &[], &[]).is_err());
    }
}

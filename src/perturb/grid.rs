//! A global grid of climate zones.

use super::OP;
use crate::Error;
use crate::common::geodesy::Place;

/// Largest number of rows or columns of a grid.
const MAX_SIDE: u32 = 65_535;

/// A global grid of zone codes: first row north, first column at −180°, cells of equal angle.
///
/// A place lies in the cell given by the floor of its fixed-point degrees; the south pole counts to the last row,
/// 180° to the first column. Code 0 and the codes named at its making mean "no zone".
///
/// ```
/// use gtca::common::geodesy::Place;
/// use gtca::perturb::ClimateGrid;
/// let halves = ClimateGrid::new(1, 2, vec![7, 9], &[])?;
/// assert_eq!(halves.zone(Place { lat: 0, lon: -1 }), Some(7));
/// assert_eq!(halves.zone(Place { lat: 0, lon: 0 }), Some(9));
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClimateGrid {
    rows: u32,
    columns: u32,
    codes: Vec<u8>,
    no_data: [u32; 8],
}

impl ClimateGrid {
    /// Checks a grid of `rows · columns` codes, row by row from the north.
    ///
    /// # Errors
    /// A side outside 1..=65,535, or another number of codes.
    pub fn new(rows: u32, columns: u32, codes: Vec<u8>, no_data: &[u8]) -> Result<Self, Error> {
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
        let mut missing = [0; 8];
        for code in no_data.iter().chain(&[0]) {
            missing[usize::from(code >> 5)] |= 1 << (code & 31);
        }
        Ok(Self { rows, columns, codes, no_data: missing })
    }

    /// The zone at a place, or none over the sea and wherever the grid has no data.
    pub fn zone(&self, place: Place) -> Option<u8> {
        let code = self.codes[self.cell(place)];
        let is_missing = (self.no_data[usize::from(code >> 5)] >> (code & 31)) & 1 == 1;
        (!is_missing).then_some(code)
    }

    /// The codes four to a word, the first in the lowest byte: what [`Args::grid`](super::Args::grid) holds.
    pub fn words(&self) -> Vec<u32> {
        let byte = |chunk: &[u8], at: usize| u32::from(chunk.get(at).copied().unwrap_or(0)) << (8 * at);
        self.codes.chunks(4).map(|chunk| (0..4).map(|at| byte(chunk, at)).sum()).collect()
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    pub(super) fn columns(&self) -> u32 {
        self.columns
    }

    pub(super) fn no_data(&self) -> [u32; 8] {
        self.no_data
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
        let grid = ClimateGrid::new(3, 6, codes, &[5]).unwrap();
        for (lat, lon, zone) in [
            (90.0, -180.0, Some(1)),
            (30.000_001, -120.000_001, Some(1)),
            (30.0, -120.0, Some(8)),
            (-90.0, 179.999, Some(18)),
            (-90.0, 180.0, Some(13)),
            (89.0, 60.0, None),
        ] {
            assert_eq!(grid.zone(place(lat, lon)), zone, "{lat} {lon}");
        }
        assert_eq!(grid.words()[4], 17 | 18 << 8);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        assert!(ClimateGrid::new(2, 2, vec![1; 3], &[]).is_err());
        assert!(ClimateGrid::new(0, 2, vec![], &[]).is_err());
    }
}

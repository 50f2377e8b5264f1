//! A global climate grid, from `--climate-grid FILE`.

use std::path::Path;

use gtca::perturb::{Lookup, LookupGrid};

use super::{Place, arrays};
use crate::Error;

/// Codes on a regular latitude-longitude grid, first row north, first column at -180°.
#[derive(Debug, Clone, PartialEq)]
pub struct ClimateGrid {
    /// Rows from north to south.
    pub rows: usize,
    /// Columns from -180° eastward.
    pub columns: usize,
    /// `[rows, columns]`, 0 = no data.
    pub codes: Vec<u8>,
}

impl ClimateGrid {
    /// Reads a two-dimensional u8 `.npy`; the `no_data` codes (ocean) become 0.
    ///
    /// # Errors
    /// The file cannot be read or is no such array.
    pub fn load(path: &Path, no_data: &[u8]) -> Result<Self, Error> {
        let (rows, columns, mut codes) = arrays::read_npy_u8_grid(path)?;
        for code in &mut codes {
            if no_data.contains(code) {
                *code = 0;
            }
        }
        Ok(Self { rows, columns, codes })
    }

    /// The cell of a place, by integer floor of fixed-point degrees (unit 2⁻⁴⁰): row clamped, longitude wrapped.
    pub fn cell(&self, place: Place) -> usize {
        const DEGREE: i128 = 1 << 40;
        let fixed = |degrees: f64| (degrees * DEGREE as f64).round() as i128;
        let south = 90 * DEGREE - fixed(place.lat_deg);
        let row = (south * self.rows as i128).div_euclid(180 * DEGREE).clamp(0, self.rows as i128 - 1);
        let east = (fixed(place.lon_deg) + 180 * DEGREE).rem_euclid(360 * DEGREE);
        let column = (east * self.columns as i128).div_euclid(360 * DEGREE);
        row as usize * self.columns + column as usize
    }

    /// The zone of a place, `None` for no data.
    pub fn zone(&self, place: Place) -> Option<u32> {
        Some(u32::from(self.codes[self.cell(place)])).filter(|&code| code != 0)
    }

    /// In the kernels' form.
    ///
    /// # Errors
    /// A grid larger than the kernels take.
    pub fn lookup(&self) -> Result<Lookup, Error> {
        let zones = LookupGrid::new(self.rows as u32, self.columns as u32, &self.codes, &[])?;
        Ok(Lookup::new().climate_zone(zones))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_up_clamps_rows_and_wraps_longitudes() {
        let grid = ClimateGrid { rows: 2, columns: 4, codes: (0..8).collect() };
        let zone = |lat_deg, lon_deg| grid.zone(Place { lat_deg, lon_deg });
        assert_eq!(zone(90.0, -180.0), None);
        assert_eq!(zone(45.0, -90.0), Some(1));
        assert_eq!(zone(45.0, -90.0 - 1e-9), None);
        assert_eq!(zone(0.0, 180.0), Some(4));
        assert_eq!(zone(-90.0, 179.9), Some(7));
        assert_eq!(zone(-90.0, 269.0), Some(4));
    }
}

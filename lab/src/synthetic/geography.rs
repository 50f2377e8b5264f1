//! Land, climate zones and tiles on a 1° grid; distances on the sphere.

use crate::data::{ClimateGrid, Place};

const ROWS: usize = 180;
const COLUMNS: usize = 360;
const TILE_DEG: usize = 10;
const TILE_COLUMNS: usize = COLUMNS / TILE_DEG;
/// Tiles of the globe.
pub(super) const TILES: usize = ROWS / TILE_DEG * TILE_COLUMNS;
/// Mean radius of the sphere on which distances are measured, km.
const RADIUS_KM: f64 = 6_371.008_8;

/// Three continents from 62° S to 68° N, with wavy climate belts.
pub(super) fn climate_grid() -> ClimateGrid {
    let codes = (0..ROWS * COLUMNS).map(|cell| code(centre(cell))).collect();
    ClimateGrid { rows: ROWS, columns: COLUMNS, codes }
}

fn code(place: Place) -> u8 {
    let Place { lat_deg, lon_deg } = place;
    let shore = 6.0 * (lat_deg / 12.0).sin();
    let land = [(-130.0, -40.0), (-20.0, 60.0), (80.0, 150.0)]
        .iter()
        .any(|(w, e)| (w + shore..e + shore).contains(&lon_deg));
    if !land || !(-62.0..68.0).contains(&lat_deg) {
        return 0;
    }
    let belt = lat_deg.abs() + 5.0 * (3.0 * lon_deg.to_radians()).sin();
    let dry_side = (5.0 * lon_deg.to_radians() + 0.5).sin() > -0.3;
    match belt {
        b if b < 18.0 => 1,
        b if b < 36.0 && dry_side => 2,
        b if b < 46.0 => 3,
        _ => 4,
    }
}

/// Middle of a cell.
pub(super) fn centre(cell: usize) -> Place {
    within(cell, 0.5, 0.5)
}

/// A place inside a cell, by its shares from the south and from the west.
pub(super) fn within(cell: usize, south: f64, west: f64) -> Place {
    let (row, column) = (cell / COLUMNS, cell % COLUMNS);
    Place { lat_deg: 89.0 - row as f64 + south, lon_deg: column as f64 - 180.0 + west }
}

/// Area of a cell, up to a constant.
pub(super) fn area(cell: usize) -> f64 {
    centre(cell).lat_deg.to_radians().cos()
}

pub(super) fn tile_of_cell(cell: usize) -> usize {
    (cell / COLUMNS / TILE_DEG) * TILE_COLUMNS + cell % COLUMNS / TILE_DEG
}

pub(super) fn south_of_equator(place: Place) -> bool {
    place.lat_deg < 0.0
}

/// Great-circle distance in km (haversine).
pub(super) fn distance_km(a: Place, b: Place) -> f64 {
    let (la, lb) = (a.lat_deg.to_radians(), b.lat_deg.to_radians());
    let half_lon = (b.lon_deg - a.lon_deg).to_radians() / 2.0;
    let h = ((lb - la) / 2.0).sin().powi(2) + la.cos() * lb.cos() * half_lon.sin().powi(2);
    2.0 * RADIUS_KM * h.sqrt().min(1.0).asin()
}

/// The place `km` along the great circle that leaves at `bearing` (radians clockwise from north).
pub(super) fn moved(from: Place, km: f64, bearing: f64) -> Place {
    let (lat, lon) = (from.lat_deg.to_radians(), from.lon_deg.to_radians());
    let arc = km / RADIUS_KM;
    let sin_lat = lat.sin() * arc.cos() + lat.cos() * arc.sin() * bearing.cos();
    let east = bearing.sin() * arc.sin() * lat.cos();
    let to = lon + east.atan2(arc.cos() - lat.sin() * sin_lat);
    let lon_deg = (to.to_degrees() + 180.0).rem_euclid(360.0) - 180.0;
    Place { lat_deg: sin_lat.asin().to_degrees(), lon_deg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_place_is_that_far_away() {
        for (lat_deg, lon_deg, km, bearing) in
            [(10.0, 20.0, 10.0, 0.3), (-60.0, 179.5, 1000.0, 1.5), (65.0, -100.0, 100.0, 4.0)]
        {
            let from = Place { lat_deg, lon_deg };
            let to = moved(from, km, bearing);
            assert!((distance_km(from, to) - km).abs() < 1e-6 * km.max(1.0));
            assert!((-180.0..180.0).contains(&to.lon_deg));
        }
    }

    #[test]
    fn every_zone_occurs_in_both_hemispheres_and_much_is_ocean() {
        let grid = climate_grid();
        for code in 0..=4 {
            for south in [false, true] {
                let here = |&c: &usize| grid.codes[c] == code && south_of_equator(centre(c)) == south;
                assert!((0..grid.codes.len()).filter(here).count() > 500, "zone {code}, south {south}");
            }
        }
        assert!(
            (0..grid.codes.len()).all(|c| grid.cell(centre(c)) == c && grid.cell(within(c, 0.01, 0.99)) == c)
        );
    }
}

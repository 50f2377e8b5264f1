//! Other places for samples: from the table itself, or from the land of the climate grid.

use std::sync::Arc;

use gtca::common::geodesy::Place;
use gtca::perturb::{DonorDesc, DonorKind, DonorPool, Lookup, LookupGrid};
use gtca::records::{Field, Record, Records, fixed_from_degrees};

use super::{SEED, Wrong};
use crate::Error;

/// A neighbour lies within so many kilometres.
const NEAR_KM: f64 = 50.0;
/// The same season is looked for beyond so many kilometres, within so many days.
const ELSEWHERE: (f64, u32) = (100.0, 15);
/// Far places lie beyond so many kilometres.
const FAR_KM: f64 = 2000.0;
/// Rows of the places on land: one every half degree of latitude.
const LAND_ROWS: u32 = 360;

/// Where another place comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// The nearest of the table.
    Neighbour,
    /// Far away on land, in the same climate zone.
    FarSame,
    /// Far away on land, in another climate zone.
    FarOther,
    /// A place of the table that was seen in the sample's season.
    SameSeason,
    /// Any of the table.
    Random,
}

impl Elsewhere {
    const ALL: [Self; 5] = [Self::Neighbour, Self::FarSame, Self::FarOther, Self::SameSeason, Self::Random];

    /// Its names, the one in results first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Neighbour => &["neighbour", "neighbor"],
            Self::FarSame => &["far, same climate", "far same climate", "far_same"],
            Self::FarOther => &["far, other climate", "far other climate", "far_other", "far_diff"],
            Self::SameSeason => &["same season elsewhere", "same season"],
            Self::Random => &["random place", "random"],
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.names()[0]
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.names().contains(&name))
    }

    /// Whether its places are the grid's land, where zones and distances are to be had that a table may lack.
    fn is_on_land(self) -> bool {
        matches!(self, Self::FarSame | Self::FarOther)
    }

    fn desc(self, step: u32) -> DonorDesc<'static> {
        let beyond = |km| [km, f64::INFINITY];
        let (kind, km) = match self {
            Self::Neighbour => (DonorKind::Neighbour, [0.0, NEAR_KM]),
            Self::FarSame => (DonorKind::SameClimate, beyond(FAR_KM)),
            Self::FarOther => (DonorKind::OtherClimate, beyond(FAR_KM)),
            Self::SameSeason => (DonorKind::SameSeason { days: ELSEWHERE.1 }, beyond(ELSEWHERE.0)),
            Self::Random => (DonorKind::Random, beyond(0.0)),
        };
        DonorDesc { kind, km, climate: None, seed: SEED, step }
    }
}

/// Chooses donors for rows in chunks of any size.
#[derive(Debug)]
pub(in crate::sweep) struct Finder {
    pool: DonorPool<'static>,
    places: Arc<Records>,
}

impl Finder {
    /// A donor for each record that has one.
    pub(in crate::sweep) fn of(&self, records: &Records) -> Result<Vec<Option<Record>>, Error> {
        let donors = self.pool.choose(records)?.into_iter();
        Ok(donors.map(|donor| donor.map(|at| self.places.get(at as usize))).collect())
    }
}

/// One for each wrong metadata that needs donors. The table's records are asked for only where one chooses from them.
pub(in crate::sweep) fn finders(
    wrong: &[Wrong],
    grid: Option<&Lookup>,
    table: impl FnOnce() -> Result<Vec<Record>, Error>,
) -> Result<Vec<Option<Finder>>, Error> {
    let needs = |on_land| wrong.iter().filter_map(|w| w.elsewhere).any(|kind| kind.is_on_land() == on_land);
    let pool = |records: Vec<Record>| Records::from_records(&records).map(Arc::new);
    let table = if needs(false) { Some(pool(table()?)?) } else { None };
    let zones = grid.and_then(|grid| grid.grid(Field::ClimateZone));
    let land = zones.filter(|_| needs(true)).map(|zones| pool(land(zones))).transpose()?;
    let finder = |wrong: &Wrong, kind: Elsewhere| {
        let places = if kind.is_on_land() { &land } else { &table };
        let places = places
            .clone()
            .ok_or_else(|| Error::argument("--wrong", format!("`{}` needs --climate-grid", wrong.name)))?;
        Ok(Finder { pool: DonorPool::new(&places, &kind.desc(wrong.step()))?, places })
    };
    wrong.iter().map(|wrong| wrong.elsewhere.map(|kind| finder(wrong, kind)).transpose()).collect()
}

/// Places on land with their zones, as many to an area everywhere.
fn land(zones: &LookupGrid) -> Vec<Record> {
    let row = |row: u32| {
        let lat_deg = 90.0 - (f64::from(row) + 0.5) * 180.0 / f64::from(LAND_ROWS);
        let columns = (2.0 * f64::from(LAND_ROWS) * lat_deg.to_radians().cos()).round().max(1.0);
        (0..columns as u32).filter_map(move |column| {
            let lon_deg = -180.0 + (f64::from(column) + 0.5) * 360.0 / columns;
            let place = Place { lat: fixed_from_degrees(lat_deg), lon: fixed_from_degrees(lon_deg) };
            Some(Record::new().lat_deg(lat_deg).lon_deg(lon_deg).climate_zone(zones.code(place)?))
        })
    };
    (0..LAND_ROWS).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn land_lies_where_the_grid_has_a_zone_and_as_densely_everywhere() {
        // Sea in the western half; zone 1 north of 30°, zone 2 south of it.
        let zones = LookupGrid::new(3, 2, &[0u8, 1, 0, 2, 0, 2], &[]).unwrap();
        let land = land(&zones);
        assert!(land.iter().all(|place| place.lon_deg.unwrap() > -1e-9));
        let of_zone = |zone| land.iter().filter(|place| place.climate_zone == Some(zone)).count() as f64;
        // A cap north of 30° is a quarter of the sphere.
        let share = of_zone(1) / (of_zone(1) + of_zone(2));
        assert!((share - 0.25).abs() < 1e-3 && land.len() > 80_000, "{share} of {}", land.len());
    }

    #[test]
    fn far_places_need_a_grid_and_the_table_is_read_only_where_it_is_chosen_from() {
        let wrong = |name: &str| [Wrong::parse(name).unwrap()];
        let unread = || -> Result<Vec<Record>, Error> { panic!("nobody chooses from the table") };
        let refused = finders(&wrong("far, same climate & +3 months"), None, unread).unwrap_err().to_string();
        assert!(refused.contains("`far, same climate & +3 months` needs --climate-grid"), "{refused}");
        assert!(finders(&wrong("10 km"), None, unread).unwrap()[0].is_none());

        let at = |lat, lon, zone, id| {
            Record::new().lat_deg(lat).lon_deg(lon).climate_zone(zone).month(6).sample_id(id)
        };
        let table = vec![at(10.0, 10.0, 2, 0), at(10.1, 10.0, 2, 1), at(40.0, 100.0, 1, 2)];
        let samples = Records::from_records(&table).unwrap();
        let zones = LookupGrid::new(3, 2, &[0u8, 1, 0, 2, 0, 2], &[]).unwrap();
        let lookup = Lookup::new().climate_zone(zones);
        let chosen = |name: &str| {
            let found = finders(&wrong(name), Some(&lookup), || Ok(table.clone())).unwrap();
            found[0].as_ref().unwrap().of(&samples).unwrap()
        };
        let lats =
            |name: &str| chosen(name).iter().map(|donor| donor.and_then(|d| d.lat_deg)).collect::<Vec<_>>();
        // The table's degrees come back from fixed point.
        let near = lats("neighbour");
        assert!((near[0].unwrap() - 10.1).abs() < 1e-9 && (near[1].unwrap() - 10.0).abs() < 1e-9);
        assert_eq!(near[2], None, "the nearest place is too far for a neighbour");
        assert!(
            lats("same season").iter().all(Option::is_some) && lats("random").iter().all(Option::is_some)
        );
        for (name, same) in [("far, same climate", true), ("far, other climate", false)] {
            for (sample, donor) in table.iter().zip(chosen(name)) {
                assert_eq!(donor.unwrap().climate_zone == sample.climate_zone, same, "{name}");
            }
        }
    }
}

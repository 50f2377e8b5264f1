//! `conflict.csv`: wrong places for the samples, by kind.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::table::Table;
use super::{ClimateGrid, Donor, Place};
use crate::Error;

pub(super) fn read(
    path: &Path,
    row_of: &HashMap<String, usize>,
    no_data: &[u8],
    grid: Option<&ClimateGrid>,
) -> Result<BTreeMap<String, Vec<Option<Donor>>>, Error> {
    let table = Table::read(path)?;
    let need = |name| table.required(name, "which every conflict file has");
    let (id, kind, lat, lon) = (need("id")?, need("kind")?, need("lat")?, need("lon")?);
    let zone = table.column("koppen_code");
    let mut kinds: BTreeMap<String, Vec<Option<Donor>>> = BTreeMap::new();
    for r in 0..table.len() {
        let row =
            *row_of.get(table.text(r, id)).ok_or_else(|| table.complain(r, id, "is no id of samples.csv"))?;
        if table.text(r, kind).is_empty() {
            return Err(table.complain(r, kind, "must name a kind, such as d10 or far_same"));
        }
        let place = Place {
            lat_deg: table.number_within(r, lat, -90.0, 90.0)?,
            lon_deg: table.number_within(r, lon, -180.0, 360.0)?,
        };
        let climate_zone = match zone {
            Some(_) => known_zone(table.optional_integer(r, zone, 0, 255)?, no_data),
            None => grid.and_then(|g| g.zone(place)),
        };
        let donors = kinds.entry(table.text(r, kind).to_owned()).or_insert_with(|| vec![None; row_of.len()]);
        if donors[row].replace(Donor { place, climate_zone }).is_some() {
            return Err(table.complain(r, id, format!("has kind {} twice", table.text(r, kind))));
        }
    }
    Ok(kinds)
}

/// 0 and the no-data codes are a missing zone.
pub(super) fn known_zone(code: Option<i64>, no_data: &[u8]) -> Option<u32> {
    let code = u8::try_from(code?).ok()?;
    (code != 0 && !no_data.contains(&code)).then_some(u32::from(code))
}

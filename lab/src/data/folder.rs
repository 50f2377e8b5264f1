//! Reads a folder; checks all of it before it returns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::arrays::Arrays;
use super::calendar::{days_in_month, month_and_day};
use super::description::Description;
use super::table::{Column, Table};
use super::{ClimateGrid, Dataset, Folds, Place, Protocol, Sample, When, conflict, fnv64, labels};
use crate::Error;

/// How climate codes are read.
#[derive(Debug, Clone)]
pub struct LoadOptions<'a> {
    /// Codes besides 0 that mean "no data", such as ocean.
    pub no_data: &'a [u8],
    /// Gives samples and donors their zone where the tables have no `koppen_code`.
    pub grid: Option<&'a ClimateGrid>,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { no_data: &[32], grid: None }
    }
}

/// Loads the data set in `folder`.
///
/// # Errors
/// A file is missing or broken; the error names file, row and column.
pub fn load(folder: &Path, options: &LoadOptions<'_>) -> Result<Dataset, Error> {
    let json = folder.join("dataset.json");
    let description = Description::read(&json)?;
    let table = Table::read(&folder.join("samples.csv"))?;
    if table.len() == 0 {
        return Err(Error::file(table.path(), "has no rows"));
    }
    let row_of = ids(&table)?;
    let samples = samples(&table, options)?;
    let shape = [table.len(), description.steps, description.channels.len()];
    let arrays = Arrays::read(folder, description.array.as_deref(), shape)?;
    check_arrays(&arrays, &samples, shape, &description)?;
    let tasks = description.tasks.iter().map(|t| labels::task(&json, &description, t, &table, &arrays));
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    let folds = folds(&folder.join("splits.csv"), &description, &row_of, &arrays)?;
    let conflict_path = folder.join("conflict.csv");
    let conflicts = match conflict_path.exists() {
        true => conflict::read(&conflict_path, &row_of, options.no_data, options.grid)?,
        false => BTreeMap::new(),
    };
    let months: BTreeSet<_> = samples.iter().filter_map(|s| s.when.month).collect();
    let month_varies = description.month_varies.unwrap_or(true) && months.len() > 1;
    let notes = notes(&samples, &arrays.series, &months, &conflicts);
    let fingerprint = fingerprint(folder, &arrays.series, options)?;
    Ok(Dataset {
        name: description.name.clone(),
        spectral: description.spectral_indices(&json)?,
        channels: description.channels,
        steps: description.steps,
        samples,
        series: arrays.series,
        tasks,
        folds,
        conflicts,
        month_varies,
        notes,
        fingerprint,
    })
}

fn ids(table: &Table) -> Result<HashMap<String, usize>, Error> {
    let id = table.required("id", "which every sample needs")?;
    let mut row_of = HashMap::new();
    for row in 0..table.len() {
        if table.text(row, id).is_empty() {
            return Err(table.complain(row, id, "must not be empty"));
        }
        if let Some(first) = row_of.insert(table.text(row, id).to_owned(), row) {
            return Err(table.complain(row, id, format!("is also the id of row {}", first + 1)));
        }
    }
    Ok(row_of)
}

/// Columns of `samples.csv` that carry metadata.
struct Columns {
    lat: Column,
    lon: Column,
    date: Option<Column>,
    year: Option<Column>,
    month: Option<Column>,
    day_of_year: Option<Column>,
    hour: Option<Column>,
    gsd: Option<Column>,
    zone: Option<Column>,
}

fn samples(table: &Table, options: &LoadOptions<'_>) -> Result<Vec<Sample>, Error> {
    let id = table.required("id", "which every sample needs")?;
    let columns = Columns {
        lat: table.required("lat", "which every sample needs")?,
        lon: table.required("lon", "which every sample needs")?,
        date: table.column("date"),
        year: table.column("year"),
        month: table.column("month"),
        day_of_year: table.column("doy"),
        hour: table.column("hour"),
        gsd: table.column("gsd_m"),
        zone: table.column("koppen_code"),
    };
    let mut out = Vec::with_capacity(table.len());
    for row in 0..table.len() {
        let place = Place {
            lat_deg: table.number_within(row, columns.lat, -90.0, 90.0)?,
            lon_deg: table.number_within(row, columns.lon, -180.0, 360.0)?,
        };
        let climate_zone = match columns.zone {
            Some(_) => {
                conflict::known_zone(table.optional_integer(row, columns.zone, 0, 255)?, options.no_data)
            }
            None => options.grid.and_then(|g| g.zone(place)),
        };
        out.push(Sample {
            id: table.text(row, id).to_owned(),
            place,
            when: when(table, row, &columns)?,
            gsd_m: table.optional_number(row, columns.gsd, 1e-3, 1e6)?,
            sensor: None,
            climate_zone,
            region: 0,
            site: 0,
        });
    }
    let sensors = numbered(table, table.column("sensor"), |_| String::new());
    let tile = |row: usize| {
        let Place { lat_deg, lon_deg } = out[row].place;
        format!("{} {}", (lat_deg / 2.0).floor(), (lon_deg / 2.0).floor())
    };
    let spot = |row: usize| format!("{:.4} {:.4}", out[row].place.lat_deg, out[row].place.lon_deg);
    let regions = numbered(table, table.column("region"), tile);
    let sites = numbered(table, table.column("site_id"), spot);
    for (row, sample) in out.iter_mut().enumerate() {
        sample.sensor = sensors[row];
        sample.region = regions[row].expect("a region falls back to its tile");
        sample.site = sites[row].expect("a site falls back to its coordinates");
    }
    Ok(out)
}

/// Numbers the distinct names in sorted order; an empty name is `None`.
fn numbered(table: &Table, column: Option<Column>, fall_back: impl Fn(usize) -> String) -> Vec<Option<u32>> {
    let name = |row: usize| match column.map(|c| table.text(row, c)) {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => fall_back(row),
    };
    let names: Vec<String> = (0..table.len()).map(name).collect();
    let sorted: BTreeSet<&str> = names.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    let number: HashMap<&str, u32> = sorted.into_iter().zip(0..).collect();
    names.iter().map(|n| number.get(n.as_str()).copied()).collect()
}

fn when(table: &Table, row: usize, columns: &Columns) -> Result<When, Error> {
    let hour = table.optional_number(row, columns.hour, 0.0, 24.0)?;
    let second_of_day = hour.map(|h| ((h * 3600.0).round() as u32).min(86_399));
    if let Some(date) = columns.date.filter(|&c| !table.text(row, c).is_empty()) {
        let parsed = parse_date(table.text(row, date));
        let (year, month, day) =
            parsed.ok_or_else(|| table.complain(row, date, "must be a date like 2018-06-30"))?;
        return Ok(When {
            year: Some(year),
            month: Some(month),
            day: Some(day),
            day_of_year: None,
            second_of_day,
        });
    }
    let year = table.optional_integer(row, columns.year, -9999, 9999)?.map(|y| y as i32);
    let month = table.optional_integer(row, columns.month, 1, 12)?.map(|m| m as u32);
    let day_of_year = table.optional_integer(row, columns.day_of_year, 1, 366)?.map(|d| d as u32);
    if let (Some(year), Some(day_of_year), Some(column)) = (year, day_of_year, columns.day_of_year) {
        let (month, day) = month_and_day(year, day_of_year)
            .ok_or_else(|| table.complain(row, column, format!("is no day of the year {year}")))?;
        return Ok(When {
            year: Some(year),
            month: Some(month),
            day: Some(day),
            day_of_year: None,
            second_of_day,
        });
    }
    Ok(When { year, month, day: None, day_of_year, second_of_day })
}

/// The date of `YYYY-MM-DD`, with or without a time behind it.
pub(crate) fn parse_date(text: &str) -> Option<(i32, u32, u32)> {
    let date = text.split(['T', ' ']).next()?;
    let (sign, digits) = date.strip_prefix('-').map_or((1, date), |rest| (-1, rest));
    let mut parts = digits.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (sign * year.parse::<i32>().ok()?, month.parse().ok()?, day.parse().ok()?);
    let fits = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    (parts.next().is_none() && fits).then_some((year, month, day))
}

/// The columns that the array file repeats must belong to the same rows.
fn check_arrays(
    arrays: &Arrays,
    samples: &[Sample],
    shape: [usize; 3],
    description: &Description,
) -> Result<(), Error> {
    if let Some((row, step, channel)) = arrays.first_infinite(shape) {
        let channel = &description.channels[channel];
        let rule = format!("`series`, row {}, step {step}, column {channel}: must be finite or NaN", row + 1);
        return Err(Error::file(&arrays.path, rule));
    }
    let lat: fn(&Sample) -> f64 = |s| s.place.lat_deg;
    let lon: fn(&Sample) -> f64 = |s| s.place.lon_deg;
    for (name, of) in [("lat", lat), ("lon", lon)] {
        for (row, (&found, sample)) in arrays.column(name).unwrap_or(&[]).iter().zip(samples).enumerate() {
            let want = of(sample);
            // The repeated coordinates may be f32, whose rounding is below 3e-5 degree.
            if (found - want).abs() <= 1e-4 {
                continue;
            }
            let rule = format!("column {name}, row {}: {found} is not samples.csv's {want}", row + 1);
            return Err(Error::file(&arrays.path, rule));
        }
    }
    Ok(())
}

fn folds(
    path: &Path,
    description: &Description,
    row_of: &HashMap<String, usize>,
    arrays: &Arrays,
) -> Result<Folds, Error> {
    let mut folds = Folds {
        of: BTreeMap::new(),
        year_eval: description.year_eval.clone(),
        year_names: description.year_folds.clone(),
    };
    if !path.exists() {
        return Ok(folds);
    }
    let table = Table::read(path)?;
    let id = table.required("id", "which ties folds to samples")?;
    let mut rows = Vec::with_capacity(table.len());
    let mut seen = vec![false; row_of.len()];
    for r in 0..table.len() {
        let row =
            *row_of.get(table.text(r, id)).ok_or_else(|| table.complain(r, id, "is no id of samples.csv"))?;
        if std::mem::replace(&mut seen[row], true) {
            return Err(table.complain(r, id, "occurs twice"));
        }
        rows.push(row);
    }
    if table.len() != row_of.len() {
        let rule = format!(
            "has {} rows, samples.csv has {}: every sample needs its folds",
            table.len(),
            row_of.len()
        );
        return Err(Error::file(path, rule));
    }
    for protocol in Protocol::ALL {
        let name = format!("fold_{}", protocol.name());
        let Some(column) = table.column(&name) else { continue };
        let mut of = vec![-1; row_of.len()];
        for (r, &row) in rows.iter().enumerate() {
            of[row] = table.integer_within(r, column, -1, 9999)?;
        }
        for (row, (&found, &want)) in arrays.column(&name).unwrap_or(&[]).iter().zip(&of).enumerate() {
            if found != want as f64 {
                let rule = format!("column {name}, row {}: {found} is not splits.csv's {want}", row + 1);
                return Err(Error::file(&arrays.path, rule));
            }
        }
        folds.of.insert(protocol, of);
    }
    if let Some(unknown) = table.header().iter().find(|h| h.starts_with("fold_") && !known_fold(h)) {
        let known = Protocol::ALL.map(|p| format!("fold_{}", p.name())).join(", ");
        return Err(Error::file(path, format!("row 1 (header): column {unknown} is none of {known}")));
    }
    Ok(folds)
}

fn known_fold(header: &str) -> bool {
    Protocol::parse(header.trim_start_matches("fold_")).is_some()
}

fn notes(
    samples: &[Sample],
    series: &[f32],
    months: &BTreeSet<u32>,
    conflicts: &BTreeMap<String, Vec<Option<super::Donor>>>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let missing = series.iter().filter(|v| v.is_nan()).count();
    if missing > 0 {
        let share = 100.0 * missing as f64 / series.len() as f64;
        notes.push(format!(
            "{missing} of {} series values ({share:.2} %) are missing: filled with the training mean and masked",
            series.len()
        ));
    }
    if months.len() == 1 {
        let month = months.first().expect("one month");
        notes.push(format!("the month is {month} in every sample: a month shift means nothing here"));
    }
    let n = samples.len();
    let mut absent = |name: &str, has: fn(&Sample) -> bool| {
        let without = samples.iter().filter(|s| !has(s)).count();
        if without == n {
            notes.push(format!("metadata field {name} is not in the data: missing everywhere"));
        } else if without > 0 {
            notes.push(format!("metadata field {name} is missing in {without} of {n} samples"));
        }
    };
    absent("year", |s| s.when.year.is_some());
    absent("month", |s| s.when.month.is_some());
    absent("day", |s| s.when.day.is_some() || s.when.day_of_year.is_some());
    absent("hour", |s| s.when.second_of_day.is_some());
    absent("gsd_m", |s| s.gsd_m.is_some());
    absent("sensor", |s| s.sensor.is_some());
    absent("climate zone", |s| s.climate_zone.is_some());
    for (kind, donors) in conflicts {
        let without = donors.iter().filter(|d| d.is_none()).count();
        if without > 0 {
            notes.push(format!("conflict.csv has no {kind} place for {without} of {n} samples"));
        }
    }
    notes
}

fn fingerprint(folder: &Path, series: &[f32], options: &LoadOptions<'_>) -> Result<u64, Error> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for name in ["dataset.json", "samples.csv", "splits.csv", "conflict.csv"] {
        let path = folder.join(name);
        parts.push(match path.exists() {
            true => std::fs::read(&path).map_err(Error::io(&path))?,
            false => Vec::new(),
        });
    }
    parts.push(series.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect());
    parts.push(options.no_data.to_vec());
    parts.push(options.grid.map_or_else(Vec::new, |g| g.codes.clone()));
    Ok(fnv64(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

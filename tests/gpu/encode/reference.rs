//! Encodings in plain f64, from degrees, dates and metres: no turns, no fixed point, no series.

use gtca::encode::{Block, Convention, Plan};
use gtca::records::{Field, Record};
use std::f64::consts::{PI, TAU};

/// A row of e, or of one block; NaN never appears.
pub type Row = Vec<f64>;

/// `e` of one record.
pub fn row(plan: &Plan, record: &Record, arena: &[f64]) -> Row {
    let mut e = Vec::new();
    for layout in plan.layouts() {
        let learned = &arena[layout.missing.start as usize..layout.table.end as usize];
        let width = layout.features.len();
        let features = block(&layout.block, record, learned);
        let known = f64::from(u8::from(features.is_some()));
        e.extend(features.unwrap_or_else(|| match layout.block {
            Block::ClayScalars { .. } => clay(record).0,
            Block::Harmonics { .. } => vec![0.0; width],
            _ => learned[..width].to_vec(),
        }));
        e.extend(layout.validity.map(|_| known));
    }
    e
}

fn block(block: &Block, record: &Record, learned: &[f64]) -> Option<Row> {
    match *block {
        Block::Place { degree } => Some(harmonics_of_place(record.lat_deg?, record.lon_deg?, degree)),
        Block::Harmonics { degree, convention, .. } => {
            Some(harmonics_of(convention, record.lat_deg?, record.lon_deg?, degree))
        }
        Block::Season => Some(waves((1..=8).map(f64::from), season(record)?.1)),
        Block::Day => Some(waves((1..=4).map(f64::from), day(record)?)),
        Block::Year => {
            let year = decimal_year(record)?;
            let periods = [4.0, 16.0, 64.0].map(|period: f64| period.recip());
            Some([vec![(year - 2015.0) / 10.0], waves(periods, year)].concat())
        }
        Block::Gsd => {
            let octaves = (record.gsd_m? / 10.0).log2();
            Some([vec![octaves], waves([1.0, 0.5, 0.25, 0.125], octaves)].concat())
        }
        Block::Id { field, rows, width } => {
            let id = match field {
                Field::Sensor => record.sensor,
                Field::ClimateZone => record.climate_zone,
                Field::Ecoregion => record.ecoregion,
                _ => record.tile,
            };
            let id = id.filter(|id| *id < rows)? as usize;
            let width = width as usize;
            Some((0..width).map(|j| learned[j] + learned[width * (1 + id) + j]).collect())
        }
        Block::ClayScalars { .. } => {
            let (features, known) = clay(record);
            known.then_some(features)
        }
        Block::GeoTime { ref phases, .. } => {
            let (lat, lon) = (record.lat_deg?.to_radians(), record.lon_deg?.to_radians());
            let r = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
            let (season, day) = (season(record)?.1, day(record)?);
            let turns = phases.iter().map(|phase| {
                let place: f64 = phase.place.iter().zip(r).map(|(b, r)| f64::from(*b) * r).sum();
                place + f64::from(phase.season) * season + f64::from(phase.day) * day
            });
            let cosines = turns.clone().map(|turns| (TAU * turns).cos());
            Some(cosines.chain(turns.map(|turns| (TAU * turns).sin())).collect())
        }
        _ => unreachable!("a block without a reference"),
    }
}

fn waves(frequencies: impl IntoIterator<Item = f64> + Clone, at: f64) -> Row {
    let sines = frequencies.clone().into_iter().map(|f| (TAU * f * at).sin());
    sines.chain(frequencies.into_iter().map(|f| (TAU * f * at).cos())).collect()
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_lengths(year: Option<i32>) -> [i32; 12] {
    let february = if year.is_some_and(is_leap) { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

pub fn year_length(year: Option<i32>) -> f64 {
    month_lengths(year).iter().sum::<i32>().into()
}

/// The local year (where known), and the fraction of it that has passed.
pub fn season(record: &Record) -> Option<(Option<i32>, f64)> {
    let months = month_lengths(record.year);
    let before = |month: i32| months[..month as usize - 1].iter().sum::<i32>();
    let year_day = match (record.month, record.day) {
        (Some(month), Some(day)) => Some(before(month) + day),
        _ => record.day_of_year,
    };
    let Some(year_day) = year_day else {
        let month = record.month?;
        let middle = f64::from(before(month)) + f64::from(months[month as usize - 1]) / 2.0;
        return Some((record.year, middle / year_length(record.year)));
    };
    let second = match (record.second_of_day, record.utc_offset_s) {
        (Some(second), offset) => second + offset.unwrap_or(0),
        _ => 43_200,
    };
    let mut year = record.year;
    let mut days = f64::from(year_day - 1) + f64::from(second) / 86_400.0;
    if days < 0.0 {
        year = year.map(|year| year - 1);
        days += year_length(year);
    } else if days >= year_length(year) {
        days -= year_length(year);
        year = year.map(|year| year + 1);
    }
    Some((year, days / year_length(year)))
}

fn day(record: &Record) -> Option<f64> {
    Some(f64::from(record.second_of_day? + record.utc_offset_s.unwrap_or(0)) / 86_400.0)
}

pub fn decimal_year(record: &Record) -> Option<f64> {
    let year = record.year?;
    let (local, fraction) = season(record).unwrap_or((Some(year), 0.5));
    Some(f64::from(local?) + fraction)
}

/// Channels, and whether all inputs are known.
fn clay(record: &Record) -> (Row, bool) {
    let date = record.year.and_then(|year| match (record.month, record.day, record.day_of_year) {
        (Some(month), Some(day), _) => jiff::civil::Date::new(year as i16, month as i8, day as i8).ok(),
        (_, _, Some(day)) => {
            Some(jiff::civil::date(year as i16, 1, 1).checked_add(jiff::Span::new().days(day - 1)).unwrap())
        }
        _ => None,
    });
    let week = date.map(|date| i32::from(date.iso_week_date().week())).or(record.iso_week);
    let hour = record.second_of_day.map(|second| second / 3600).or(record.hour);
    let angles = [
        week.map(|week| TAU * f64::from(week) / 52.0),
        hour.map(|hour| TAU * f64::from(hour) / 24.0),
        record.lat_deg.map(f64::to_radians),
        record.lon_deg.map(f64::to_radians),
    ];
    let pair = |angle: Option<f64>| angle.map_or([0.0; 2], |angle| [angle.sin(), angle.cos()]);
    (angles.into_iter().flat_map(pair).collect(), angles.iter().all(Option::is_some))
}

fn factorial(n: u32) -> f64 {
    (1..=n).map(f64::from).product()
}

/// Real spherical harmonics from the unit vector: Y_lm ∝ Re or Im (x + iy)^|m| · Q_lm(z), where Q_lm = P_lm / sin^|m| θ is
/// a polynomial, by the textbook's recursion over l of functions that are not normalised.
pub fn harmonics_of_place(lat_deg: f64, lon_deg: f64, degree: u32) -> Row {
    let (lat, lon) = (lat_deg.to_radians(), lon_deg.to_radians());
    let [x, y, z] = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
    let mut out = vec![0.0; (degree as usize + 1).pow(2)];
    let (mut real, mut imaginary) = (1.0, 0.0);
    // (2m − 1)!!
    let mut diagonal = 1.0;
    for m in 0..=degree {
        let (mut before, mut value) = (0.0, diagonal);
        for l in m..=degree {
            let norm = f64::from(2 * l + 1) / (4.0 * PI) * factorial(l - m) / factorial(l + m);
            let size = norm.sqrt() * value;
            let centre = l * l + l;
            let factor = if m == 0 { 1.0 } else { 2f64.sqrt() };
            out[(centre - m) as usize] = factor * size * imaginary;
            out[(centre + m) as usize] = factor * size * real;
            let next = (f64::from(2 * l + 1) * z * value - f64::from(l + m) * before) / f64::from(l + 1 - m);
            (before, value) = (value, next);
        }
        (real, imaginary) = (real * x - imaginary * y, real * y + imaginary * x);
        diagonal *= f64::from(2 * m + 1);
    }
    out
}

/// The published conventions as their sources state them, from ours: SatCLIP's angles are longitude + 180° and
/// latitude + 90°, its functions carry (−1)^m; its table has π at m = 0 and once more (−1)^m elsewhere.
pub fn harmonics_of(convention: Convention, lat_deg: f64, lon_deg: f64, degree: u32) -> Row {
    if convention == Convention::Orthonormal {
        return harmonics_of_place(lat_deg, lon_deg, degree);
    }
    let mut row = harmonics_of_place(-lat_deg, lon_deg + 180.0, degree);
    for l in 0..=degree as i32 {
        for m in -l..=l {
            let condon_shortley = if m % 2 == 0 { 1.0 } else { -1.0 };
            let table = match (convention, m) {
                (Convention::SatClip, _) => 1.0,
                (_, 0) => PI,
                _ => condon_shortley,
            };
            row[(l * l + l + m) as usize] *= condon_shortley * table;
        }
    }
    row
}

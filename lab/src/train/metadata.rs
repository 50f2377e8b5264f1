//! Metadata of a sample as a record, and as the numbers of the naive concatenation.

use crate::data::Sample;
use gtca::common::calendar;
use gtca::records::Record;
use std::f64::consts::TAU;

/// A sample's record; `row` keys its random draws. Fields that the data set does not have are missing.
pub fn record(sample: &Sample, row: usize) -> Record {
    let when = &sample.when;
    let mut record = Record::new().lat_deg(sample.place.lat_deg).lon_deg(wrapped(sample.place.lon_deg));
    record.year = when.year;
    record.month = when.month.map(|month| month as i32);
    record.day = when.day.map(|day| day as i32);
    // A full date says the day of the year itself.
    let dated = record.month.is_some() && record.day.is_some();
    record.day_of_year = when.day_of_year.filter(|_| !dated).map(|day| day as i32);
    record.second_of_day = when.second_of_day.map(|second| second as i32);
    record.gsd_m = sample.gsd_m;
    record.sensor = sample.sensor;
    record.climate_zone = sample.climate_zone;
    record.sample_id(row as u64)
}

/// Longitudes up to 360 are accepted in files.
fn wrapped(lon_deg: f64) -> f64 {
    if lon_deg > 180.0 { lon_deg - 360.0 } else { lon_deg }
}

/// Means and scales of latitude, longitude and year over the training part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatScale {
    mean: [f64; 3],
    scale: [f64; 3],
}

impl ConcatScale {
    /// Numbers a sample: latitude, longitude, sin and cos of the day of the year, year; then masks of place, season, year.
    pub const WIDTH: u32 = 8;

    /// Fits on the training part.
    pub fn fit(records: &[Record], rows: &[usize]) -> Self {
        let column =
            |i: usize| -> Vec<f64> { rows.iter().filter_map(|&row| raw(&records[row])[i]).collect() };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let columns = [0, 1, 2].map(column);
        let means = columns.each_ref().map(|values| mean(values));
        let scale = std::array::from_fn(|i| {
            let spread: Vec<f64> = columns[i].iter().map(|value| (value - means[i]).powi(2)).collect();
            let sd = mean(&spread).sqrt();
            if sd > 1e-9 { 1.0 / sd } else { 1.0 }
        });
        Self { mean: means, scale }
    }

    /// The numbers; what is missing is 0, and so is its mask.
    pub fn numbers(&self, record: &Record) -> [f32; Self::WIDTH as usize] {
        let raw = raw(record);
        let standard = |i: usize| raw[i].map_or(0.0, |value| (value - self.mean[i]) * self.scale[i]);
        let season = day_of_year(record).map(|day| TAU * (day - 0.5) / 365.25);
        [
            standard(0),
            standard(1),
            season.map_or(0.0, f64::sin),
            season.map_or(0.0, f64::cos),
            standard(2),
            f64::from(raw[0].is_some() && raw[1].is_some()),
            f64::from(season.is_some()),
            f64::from(raw[2].is_some()),
        ]
        .map(|value| value as f32)
    }
}

fn raw(record: &Record) -> [Option<f64>; 3] {
    [record.lat_deg, record.lon_deg, record.year.map(f64::from)]
}

/// The day of the year, the month's middle where only the month is known.
fn day_of_year(record: &Record) -> Option<f64> {
    match (record.month, record.day) {
        (Some(month), day) => {
            let year = record.year.unwrap_or(2001);
            let date = calendar::CivilDate { year, month, day: day.unwrap_or(15) };
            Some(f64::from(calendar::day_of_year(date)))
        }
        _ => record.day_of_year.map(f64::from),
    }
}

//! Where and when: the inputs of all schemes, as records and as plain f64 numbers.

use gtca::records::Record;
use jiff::civil::Date;
use std::ops::RangeInclusive;

/// What every record has beside.
pub const GSD_M: f64 = 30.0;
pub const WAVELENGTH_UM: f64 = 0.665;

/// A place and a time, UTC.
#[derive(Clone, Copy)]
pub struct At {
    pub lat: f64,
    pub lon: f64,
    pub date: Date,
    pub second: i32,
}

impl At {
    pub fn place(lat: f64, lon: f64) -> Self {
        Self { lat, lon, date: jiff::civil::date(2023, 6, 21), second: 43_200 }
    }

    /// Noon of a day.
    pub fn noon(date: Date) -> Self {
        Self { lat: 47.5, lon: 8.5, date, second: 43_200 }
    }

    /// So much of a year has passed.
    pub fn fraction(year: i16, fraction: f64) -> Self {
        let first = jiff::civil::date(year, 1, 1);
        let seconds = (fraction * 86_400.0 * f64::from(first.days_in_year())).round() as i64;
        let date = first.saturating_add(jiff::Span::new().days(seconds / 86_400));
        Self { second: (seconds % 86_400) as i32, ..Self::noon(date) }
    }

    pub fn record(&self) -> Record {
        self.time_alone().lat_deg(self.lat).lon_deg(self.lon)
    }

    /// Its record without the longitude.
    pub fn without_lon(&self) -> Record {
        self.time_alone().lat_deg(self.lat)
    }

    fn time_alone(&self) -> Record {
        let [month, day] = [self.date.month(), self.date.day()].map(i32::from);
        let record = Record::new().date(self.date.year().into(), month, day).second_of_day(self.second);
        record.gsd_m(GSD_M).wavelength_um(WAVELENGTH_UM)
    }

    pub fn year(&self) -> f64 {
        self.date.year().into()
    }

    /// Day of the year, from 1.
    pub fn day(&self) -> f64 {
        self.date.day_of_year().into()
    }

    /// The fraction of the actual year that has passed.
    pub fn season(&self) -> f64 {
        (self.day() - 1.0 + self.of_day()) / f64::from(self.date.days_in_year())
    }

    /// The fraction of the day that has passed.
    pub fn of_day(&self) -> f64 {
        f64::from(self.second) / 86_400.0
    }
}

/// The noons of some years.
pub fn noons(years: RangeInclusive<i16>) -> impl Iterator<Item = At> {
    years.flat_map(|year| {
        let first = jiff::civil::date(year, 1, 1);
        first.series(jiff::Span::new().days(1)).take(first.days_in_year() as usize).map(At::noon)
    })
}

/// Places all over the sphere, on the seams and beside them, at whole 1024ths of a degree, which records hold exactly.
pub fn places(count: u32) -> Vec<At> {
    let grain = |degrees: f64| (degrees * 1024.0).round() / 1024.0;
    let spiral = (0..count).map(|k| {
        let (k, n) = (f64::from(k) + 0.5, f64::from(count));
        let turns = k * 0.618_033_988_749_895;
        (grain((1.0 - 2.0 * k / n).asin().to_degrees()), grain(360.0 * turns.fract() - 180.0))
    });
    let seams = [-90.0, -89.5, -45.0, 0.0, 23.5, 89.5, 90.0]
        .into_iter()
        .flat_map(|lat| [-180.0, -179.9375, 0.0, 90.0, 179.9375, 180.0].map(|lon| (lat, lon)));
    spiral.chain(seams).map(|(lat, lon)| At::place(lat, lon)).collect()
}

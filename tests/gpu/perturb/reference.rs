//! The perturbations in plain f64 and by walking the calendar: no turns, no fixed point, none of the crate's geodesy
//! or calendar. Only the random words are the crate's; their known answers are tested beside them.

use gtca::common::rng::draw4;
use gtca::perturb::{
    Bearing, Distance, Donor, PURPOSE_DISPLACE, PURPOSE_TRAINING, Perturbation, STATUS_NO_DONOR,
    STATUS_NO_ID, TrainingMix,
};
use gtca::records::{Field, Record};
use std::f64::consts::TAU;

const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// One 2³²nd of the circumference.
const TURN_M: f64 = EARTH_RADIUS_M * TAU / 4_294_967_296.0;
/// Rows of the grid; it has twice as many columns, and this code for the sea.
const GRID_ROWS: usize = 180;
const SEA: u8 = 32;

/// The calendar's common and leap years, month by month.
const MONTH_LENGTHS: [[i32; 12]; 2] =
    [[31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]];
/// Has 365 days, as a year that is not known.
const COMMON_YEAR: i32 = 1;

const PLACE: &[Field] = &[Field::Lat, Field::Lon];
const DATE: &[Field] = &[
    Field::Year,
    Field::Month,
    Field::Day,
    Field::SecondOfDay,
    Field::UtcOffset,
    Field::DayOfYear,
    Field::IsoWeek,
    Field::Hour,
];
const SENSOR: &[Field] =
    &[Field::Sensor, Field::Gsd, Field::Wavelength, Field::CloudFraction, Field::SolarZenith];
const IDS: &[Field] = &[Field::ClimateZone, Field::Ecoregion, Field::Tile];

/// What does not change from record to record.
#[derive(Clone, Copy)]
pub struct Reference<'a> {
    pub perturbation: Perturbation,
    pub seed: u64,
    pub step: u32,
    pub codes: Option<&'a [u8]>,
}

/// What a record should have become.
pub struct Expected {
    pub record: Record,
    /// How far off its place may lie, in metres.
    pub slack_m: f64,
    /// The climate zones that are right: several where the place lies on a border of the grid.
    pub zones: Vec<Option<u32>>,
    /// The status that counts it, where it is left as it is.
    pub status: Option<u32>,
}

impl Expected {
    fn of(record: Record) -> Self {
        Self { record, slack_m: 0.0, zones: vec![record.climate_zone], status: None }
    }

    fn left(record: &Record, status: u32) -> Self {
        Self { status: Some(status), ..Self::of(*record) }
    }
}

impl Reference<'_> {
    pub fn of(&self, record: &Record, donor: Option<Donor>) -> Expected {
        match self.perturbation {
            Perturbation::Drop { fields } => {
                let mut left = *record;
                let mut dropped = [PLACE, DATE, SENSOR, IDS].concat();
                dropped.retain(|field| fields.contains(*field));
                drop_fields(&mut left, &dropped);
                Expected::of(left)
            }
            Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Degrees(degrees) } => {
                self.displaced(record, degrees.to_radians(), drawn_metres(Distance::Km(km), 0))
            }
            Perturbation::Displace { distance, bearing } => {
                let Some(id) = record.sample_id else { return Expected::left(record, STATUS_NO_ID) };
                let [_, _, course, far] = draw4(self.seed, PURPOSE_DISPLACE, id, self.step, 0);
                let course = match bearing {
                    Bearing::Degrees(degrees) => degrees.to_radians(),
                    _ => unit(course) * TAU,
                };
                self.displaced(record, course, drawn_metres(distance, far))
            }
            Perturbation::ShiftMonths { months } => Expected::of(months_later(record, months)),
            Perturbation::Set => self.set(record, donor),
            Perturbation::Training(mix) => self.mixed(record, &mix),
            _ => panic!("{:?} has no reference", self.perturbation),
        }
    }

    fn mixed(&self, record: &Record, mix: &TrainingMix) -> Expected {
        let Some(id) = record.sample_id else { return Expected::left(record, STATUS_NO_ID) };
        let draw = |number| draw4(self.seed, PURPOSE_TRAINING, id, self.step, number);
        let happens = |word: u32, share: f64| f64::from(word >> 1) / 2f64.powi(31) < share;
        let ([all, moves, course, far], groups) = (draw(0), draw(1));
        let mut left = *record;
        if happens(all, mix.drop_all) {
            drop_fields(&mut left, &[PLACE, DATE, SENSOR, IDS].concat());
            return Expected::of(left);
        }
        for (group, word) in [PLACE, DATE, SENSOR, IDS].into_iter().zip(groups) {
            if happens(word, mix.drop_group) {
                drop_fields(&mut left, group);
            }
        }
        if !happens(moves, mix.displace) {
            return Expected::of(left);
        }
        let [from, to] = mix.displace_km;
        self.displaced(&left, unit(course) * TAU, drawn_metres(Distance::LogUniformKm { from, to }, far))
    }

    fn displaced(&self, record: &Record, course: f64, [metres, off]: [f64; 2]) -> Expected {
        let (Some(lat), Some(lon)) = (record.lat_deg, record.lon_deg) else { return Expected::of(*record) };
        // What `common::geodesy` promises, and a course in whole turns.
        let slack_m = 0.2 + TURN_M / 2.0 + off;
        let [to_lat, to_lon] = destination(lat, lon, course, metres / EARTH_RADIUS_M);
        let record = record.lat_deg(to_lat).lon_deg(to_lon);
        Expected { record, slack_m, zones: self.zones(&record, [lat, lon], slack_m), status: None }
    }

    fn set(&self, record: &Record, donor: Option<Donor>) -> Expected {
        let Some(donor) = donor else { return Expected::left(record, STATUS_NO_DONOR) };
        let moved = record.lat_deg(donor.lat_deg).lon_deg(donor.lon_deg);
        // Donors are rounded to 2⁻⁴⁰ degrees, 0.1 µm.
        let slack_m = 1e-6;
        let zones = match (donor.climate_zone, record.lat_deg, record.lon_deg) {
            (Some(zone), ..) => vec![record.climate_zone.map(|_| zone)],
            (None, Some(lat), Some(lon)) => self.zones(&moved, [lat, lon], slack_m),
            _ => vec![record.climate_zone],
        };
        Expected { record: moved, slack_m, zones, status: None }
    }

    /// The zones that a moved record may have: the grid's where that differs from the one at the recorded place.
    fn zones(&self, moved: &Record, recorded: [f64; 2], slack_m: f64) -> Vec<Option<u32>> {
        let (Some(codes), Some(own)) = (self.codes, moved.climate_zone) else {
            return vec![moved.climate_zone];
        };
        let before = zone(codes, recorded);
        let after = |place| match zone(codes, place) {
            same if same == before => Some(own),
            other => other,
        };
        let slack = (slack_m / EARTH_RADIUS_M).to_degrees();
        let (lat, lon) = (moved.lat_deg.unwrap(), moved.lon_deg.unwrap());
        let around = (slack / lat.to_radians().cos().max(1e-12)).min(180.0);
        // From border to border in steps below a cell: close to a pole the slack reaches round it.
        let steps = (2.0 * around / 0.5).ceil().max(2.0);
        let lons = (0..=steps as u32).map(|i| lon - around + 2.0 * around * f64::from(i) / steps);
        lons.flat_map(|lon| [lat - slack, lat, lat + slack].map(|lat| after([lat, lon]))).collect()
    }
}

fn unit(word: u32) -> f64 {
    f64::from(word) / 2f64.powi(32)
}

/// The distance, and how far a kernel that counts whole turns may be off it.
fn drawn_metres(distance: Distance, word: u32) -> [f64; 2] {
    match distance {
        Distance::Km(km) => [km * 1000.0, TURN_M / 2.0],
        Distance::LogUniformKm { from, to } => {
            let metres = from * (to / from).powf(unit(word)) * 1000.0;
            // Both ends of the range are rounded; the logarithm has 26 binary digits, three times rounded, and its
            // power of two an error of 2e-8.
            let relative = TURN_M / 2.0 / (from * 1000.0) + 3.0 * 2f64.powi(-27) + 2e-8;
            [metres, TURN_M + metres * relative]
        }
        _ => panic!("{distance:?} has no reference"),
    }
}

/// The code of the cell; none at sea.
fn zone(codes: &[u8], [lat, lon]: [f64; 2]) -> Option<u32> {
    let row = ((90.0 - lat).floor().max(0.0) as usize).min(GRID_ROWS - 1);
    let column = (lon + 180.0).rem_euclid(360.0).floor() as usize % (2 * GRID_ROWS);
    let code = codes[row * 2 * GRID_ROWS + column];
    (code != SEA).then_some(code.into())
}

/// The end of a great circle: the start turned by an angle towards a course, as a unit vector.
fn destination(lat_deg: f64, lon_deg: f64, course: f64, angle: f64) -> [f64; 2] {
    let ((sin_lat, cos_lat), (sin_lon, cos_lon)) =
        (lat_deg.to_radians().sin_cos(), lon_deg.to_radians().sin_cos());
    let start = [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat];
    let (north, east) = ([-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat], [-sin_lon, cos_lon, 0.0]);
    let ahead = |i: usize| north[i] * course.cos() + east[i] * course.sin();
    let [x, y, z] = [0, 1, 2].map(|i| start[i] * angle.cos() + ahead(i) * angle.sin());
    [z.atan2(x.hypot(y)).to_degrees(), y.atan2(x).to_degrees()]
}

/// Distance along the ground in metres, by the chord.
pub fn metres(a: [f64; 2], b: [f64; 2]) -> f64 {
    let [a, b] = [a, b].map(|[lat, lon]| {
        let ((sin_lat, cos_lat), (sin_lon, cos_lon)) =
            (lat.to_radians().sin_cos(), lon.to_radians().sin_cos());
        [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
    });
    let chord = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
    2.0 * (chord / 2.0).min(1.0).asin() * EARTH_RADIUS_M
}

/// The course from one place to another, in turns clockwise from north.
pub fn course_turns([lat, lon]: [f64; 2], [to_lat, to_lon]: [f64; 2]) -> f64 {
    let [lat, to_lat, around] = [lat, to_lat, to_lon - lon].map(f64::to_radians);
    let north = lat.cos() * to_lat.sin() - lat.sin() * to_lat.cos() * around.cos();
    ((around.sin() * to_lat.cos()).atan2(north) / TAU).rem_euclid(1.0)
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn month_length(year: i32, month: i32) -> i32 {
    MONTH_LENGTHS[usize::from(is_leap(year))][month as usize - 1]
}

/// Day of the year.
pub fn ordinal(year: i32, month: i32, day: i32) -> i32 {
    (1..month).map(|month| month_length(year, month)).sum::<i32>() + day
}

/// The date of a day of the year; a day too many lies in the next.
fn date_of_ordinal(mut year: i32, mut day: i32) -> [i32; 3] {
    let mut month = 1;
    while day > month_length(year, month) {
        day -= month_length(year, month);
        [year, month] = one_month(year, month, 1);
    }
    [year, month, day]
}

fn one_month(year: i32, month: i32, by: i32) -> [i32; 2] {
    match month + by {
        0 => [year - 1, 12],
        13 => [year + 1, 1],
        month => [year, month],
    }
}

fn walk(mut year: i32, mut month: i32, months: i32) -> [i32; 2] {
    for _ in 0..months.abs() {
        [year, month] = one_month(year, month, months.signum());
    }
    [year, month]
}

/// Weekday of 1 January, 1 = Monday (Gauss).
fn first_weekday(year: i32) -> i32 {
    let past = year - 1;
    (5 * past.rem_euclid(4) + 4 * past.rem_euclid(100) + 6 * past.rem_euclid(400)).rem_euclid(7) + 1
}

fn weeks_in(year: i32) -> i32 {
    let first = first_weekday(year);
    if first == 4 || (first == 3 && is_leap(year)) { 53 } else { 52 }
}

/// ISO week of a day of the year: the one that its Thursday lies in.
fn week(year: i32, ordinal: i32) -> i32 {
    let weekday = (first_weekday(year) + ordinal - 2).rem_euclid(7) + 1;
    match (ordinal - weekday + 10) / 7 {
        0 => weeks_in(year - 1),
        week if week > weeks_in(year) => 1,
        week => week,
    }
}

fn months_later(record: &Record, months: i32) -> Record {
    let mut later = *record;
    if let Some(month) = record.month {
        // Without a year any February may have 29 days.
        let [year, month] = walk(record.year.unwrap_or(2000), month, months);
        let length = month_length(record.year.map_or(2000, |_| year), month);
        later.year = record.year.map(|_| year);
        later.month = Some(month);
        later.day = record.day.map(|day| day.min(length));
    }
    if let Some(day_of_year) = record.day_of_year {
        let [from_year, from_month, day] = date_of_ordinal(record.year.unwrap_or(COMMON_YEAR), day_of_year);
        let [year, month] = walk(from_year, from_month, months);
        let counted = record.year.map_or(COMMON_YEAR, |_| year);
        later.year = record.year.map(|_| year);
        later.day_of_year = Some(ordinal(counted, month, day.min(month_length(counted, month))));
    }
    let dated = match (later.year, later.month, later.day, later.day_of_year) {
        (Some(year), Some(month), Some(day), _) => Some((year, ordinal(year, month, day))),
        (Some(year), _, _, Some(day_of_year)) => Some((year, day_of_year)),
        _ => None,
    };
    let year_alone = record.month.is_none() && record.day_of_year.is_none();
    let weeks = |week: i32| week - 1 + (f64::from(months) * 4.348 + 0.5).floor() as i32;
    if let (Some(year), true) = (record.year, year_alone) {
        let years = record.iso_week.map_or(months / 12, |week| weeks(week).div_euclid(52));
        later.year = Some(year + years);
    }
    later.iso_week = record.iso_week.map(|given| match dated {
        Some((year, ordinal)) => week(year, ordinal),
        None => weeks(given).rem_euclid(52) + 1,
    });
    later
}

fn drop_fields(record: &mut Record, fields: &[Field]) {
    for field in fields {
        match field {
            Field::Lat => record.lat_deg = None,
            Field::Lon => record.lon_deg = None,
            Field::Year => record.year = None,
            Field::Month => record.month = None,
            Field::Day => record.day = None,
            Field::SecondOfDay => record.second_of_day = None,
            Field::UtcOffset => record.utc_offset_s = None,
            Field::Gsd => record.gsd_m = None,
            Field::Wavelength => record.wavelength_um = None,
            Field::CloudFraction => record.cloud_fraction = None,
            Field::SolarZenith => record.solar_zenith_deg = None,
            Field::Sensor => record.sensor = None,
            Field::ClimateZone => record.climate_zone = None,
            Field::Ecoregion => record.ecoregion = None,
            Field::Tile => record.tile = None,
            Field::DayOfYear => record.day_of_year = None,
            Field::IsoWeek => record.iso_week = None,
            Field::Hour => record.hour = None,
            _ => panic!("{field:?} is never dropped"),
        }
    }
}

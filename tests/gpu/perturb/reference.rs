//! The perturbations in plain f64, by walking the calendar and by jiff's: no turns, no fixed point, none of the crate's
//! geodesy or calendar. Only the random words are the crate's; their known answers are tested beside them.

use gtca::common::rng::draw4;
use gtca::perturb::{
    Bearing, Distance, PURPOSE_DISPLACE, PURPOSE_TRAINING, Perturbation, STATUS_NO_DONOR, STATUS_NO_ID,
    TrainingMix,
};
use gtca::records::{Field, Fields, Record};
use jiff::ToSpan;
use std::f64::consts::TAU;

const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// One 2³²nd of the circumference.
const TURN_M: f64 = EARTH_RADIUS_M * TAU / 4_294_967_296.0;
/// Rows of the grids; they have twice as many columns. The codes that mean none, by grid.
const GRID_ROWS: usize = 180;
const NONE: [u32; 3] = [32, 300, 70_001];

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
    /// Of which one at most moves the place.
    pub parts: &'a [Perturbation],
    pub seed: u64,
    pub step: u32,
    /// Of climate zones, ecoregions and tiles.
    pub codes: Option<&'a [Vec<u32>; 3]>,
}

/// What a record should have become.
pub struct Expected {
    pub record: Record,
    /// How far off its place may lie, in metres.
    pub slack_m: f64,
    /// The climate zones, ecoregions and tiles that are right: several where the place lies on a border of the grid.
    pub ids: [Vec<Option<u32>>; 3],
    /// The statuses that count it, where it is left as it is.
    pub status: Vec<u32>,
}

fn ids(record: &Record) -> [Option<u32>; 3] {
    [record.climate_zone, record.ecoregion, record.tile]
}

impl Expected {
    fn of(record: Record) -> Self {
        Self { record, slack_m: 0.0, ids: ids(&record).map(|id| vec![id]), status: vec![] }
    }

    fn left(record: &Record, status: u32) -> Self {
        Self { status: vec![status], ..Self::of(*record) }
    }
}

impl Reference<'_> {
    /// What the parts make of a record, one after the other.
    pub fn of(&self, record: &Record, donor: Option<Record>) -> Expected {
        let mut found = Expected::of(*record);
        let mut numbers = [0; 2];
        for part in self.parts {
            let one = self.part(part, &found.record, donor, &mut numbers);
            let moved = one.slack_m > 0.0;
            assert!(!moved || found.slack_m == 0.0, "one part at most moves the place");
            found.status.extend(one.status);
            found.slack_m = found.slack_m.max(one.slack_m);
            for (all, (new, recorded)) in
                found.ids.iter_mut().zip(one.ids.into_iter().zip(ids(&found.record)))
            {
                // What a part does not change stays as uncertain as it was.
                if moved || new != [recorded] {
                    *all = new;
                }
            }
            found.record = one.record;
        }
        found
    }

    /// One part; `numbers` counts the displacements and mixes before it.
    fn part(
        &self,
        part: &Perturbation,
        record: &Record,
        donor: Option<Record>,
        numbers: &mut [u32; 2],
    ) -> Expected {
        match *part {
            Perturbation::Drop { fields } => {
                let mut left = *record;
                drop_fields(&mut left, &listed(fields));
                Expected::of(left)
            }
            Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Degrees(degrees) } => {
                self.displaced(record, degrees.to_radians(), drawn_metres(Distance::Km(km), 0))
            }
            Perturbation::Displace { distance, bearing } => {
                numbers[0] += 2;
                let Some(id) = record.sample_id else { return Expected::left(record, STATUS_NO_ID) };
                let [_, _, course, far] = draw4(self.seed, PURPOSE_DISPLACE, id, self.step, numbers[0] - 2);
                let course = match bearing {
                    Bearing::Degrees(degrees) => degrees.to_radians(),
                    _ => unit(course) * TAU,
                };
                self.displaced(record, course, drawn_metres(distance, far))
            }
            Perturbation::ShiftMonths { months } => Expected::of(months_later(record, months)),
            Perturbation::ShiftYears { years } => Expected::of(years_later(record, years)),
            Perturbation::ShiftDays { days } => Expected::of(hours_later(record, days * 24)),
            Perturbation::ShiftHours { hours } => Expected::of(hours_later(record, hours)),
            Perturbation::Swap { fields } => match donor {
                Some(donor) => self.taken(record, &donor, &listed(fields)),
                None => Expected::left(record, STATUS_NO_DONOR),
            },
            Perturbation::Set { values } => self.set(record, &values),
            Perturbation::Scale { gsd } => {
                let unit = 2f64.powi(-32);
                let scaled =
                    |gsd_m: f64| ((gsd_m * gsd / unit + 0.5).floor() * unit).clamp(unit, 2f64.powi(31));
                let mut left = *record;
                left.gsd_m = record.gsd_m.map(scaled);
                Expected::of(left)
            }
            Perturbation::Training(mix) => {
                numbers[1] += 2;
                self.mixed(record, &mix, numbers[1] - 2)
            }
            _ => panic!("{part:?} has no reference"),
        }
    }

    fn mixed(&self, record: &Record, mix: &TrainingMix, first: u32) -> Expected {
        let Some(id) = record.sample_id else { return Expected::left(record, STATUS_NO_ID) };
        let draw = |number| draw4(self.seed, PURPOSE_TRAINING, id, self.step, first + number);
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
        Expected { record, slack_m, ids: self.ids(&record, [lat, lon], slack_m, &[]), status: vec![] }
    }

    fn set(&self, record: &Record, values: &Record) -> Expected {
        let mut fields = listed(Fields::METADATA);
        fields.retain(|field| known(values, *field));
        self.taken(record, values, &fields)
    }

    /// Fields from another record; derived ones without what they derive from make that missing.
    fn taken(&self, record: &Record, from: &Record, fields: &[Field]) -> Expected {
        let mut left = *record;
        for (derived, sources) in [
            (Field::DayOfYear, &[Field::Month, Field::Day][..]),
            (Field::IsoWeek, &[Field::Month, Field::Day, Field::DayOfYear]),
            (Field::Hour, &[Field::SecondOfDay]),
        ] {
            if fields.contains(&derived) {
                drop_fields(&mut left, sources);
            }
        }
        fields.iter().for_each(|field| copy_field(&mut left, from, *field));
        if let (Some(month), Some(day)) = (left.month, left.day) {
            left.day = Some(day.min(month_length(left.year.unwrap_or(2000), month)));
        }
        if let (Some(year), Some(day)) = (left.year, left.day_of_year) {
            left.day_of_year = Some(day.min(ordinal(year, 12, 31)));
        }
        if fields.iter().any(|field| DATE.contains(field)) {
            if let (Some(month), None, Some(day)) = (left.month, left.day, left.day_of_year) {
                let mut years = left.year.map_or(vec![COMMON_YEAR, 2000], |year| vec![year]);
                years.retain(|year| date_of_ordinal(*year, day)[..2] == [*year, month]);
                left.day_of_year = left.day_of_year.filter(|_| !years.is_empty());
            }
            derive_time(&mut left);
        }
        let places = [*record, left].map(|r| r.lat_deg.zip(r.lon_deg));
        // Places of records are rounded to 2⁻⁴⁰ degrees, 0.1 µm.
        let slack_m = if fields.iter().any(|field| PLACE.contains(field)) { 1e-6 } else { 0.0 };
        let ids = match places {
            [Some((lat, lon)), Some(_)] if slack_m > 0.0 => self.ids(&left, [lat, lon], slack_m, fields),
            _ => ids(&left).map(|id| vec![id]),
        };
        Expected {
            record: left,
            slack_m: if places[1].is_some() { slack_m } else { 0.0 },
            ids,
            status: vec![],
        }
    }

    /// The ids that a moved record may have: the grid's where that differs from the one at the recorded place.
    fn ids(
        &self,
        moved: &Record,
        recorded: [f64; 2],
        slack_m: f64,
        fields: &[Field],
    ) -> [Vec<Option<u32>>; 3] {
        let own = ids(moved);
        std::array::from_fn(|grid| match self.codes.zip(own[grid]) {
            Some((codes, own)) if !fields.contains(&IDS[grid]) => {
                let before = code(&codes[grid], NONE[grid], recorded);
                let after = |place| match code(&codes[grid], NONE[grid], place) {
                    same if same == before => Some(own),
                    other => other,
                };
                around(moved, slack_m).into_iter().map(after).collect()
            }
            _ => vec![own[grid]],
        })
    }
}

/// A record's place and some around it, from border to border of its slack in steps below a cell: close to a pole the
/// slack reaches round it.
fn around(moved: &Record, slack_m: f64) -> Vec<[f64; 2]> {
    let slack = (slack_m / EARTH_RADIUS_M).to_degrees();
    let (lat, lon) = (moved.lat_deg.unwrap(), moved.lon_deg.unwrap());
    let around = (slack / lat.to_radians().cos().max(1e-12)).min(180.0);
    let steps = (2.0 * around / 0.5).ceil().max(2.0);
    let lons = (0..=steps as u32).map(|i| lon - around + 2.0 * around * f64::from(i) / steps);
    lons.chain([lon]).flat_map(|lon| [lat - slack, lat, lat + slack].map(|lat| [lat, lon])).collect()
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

/// The code of the cell, or none.
fn code(codes: &[u32], none: u32, [lat, lon]: [f64; 2]) -> Option<u32> {
    let row = ((90.0 - lat).floor().max(0.0) as usize).min(GRID_ROWS - 1);
    let column = (lon + 180.0).rem_euclid(360.0).floor() as usize % (2 * GRID_ROWS);
    let code = codes[row * 2 * GRID_ROWS + column];
    (code != none).then_some(code)
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

fn years_later(record: &Record, years: i32) -> Record {
    let Some(year) = record.year else { return *record };
    let mut later = *record;
    later.year = Some(year + years);
    if let (Some(month), Some(day)) = (record.month, record.day) {
        later.day = Some(day.min(month_length(year + years, month)));
    }
    if let Some(day_of_year) = record.day_of_year {
        let [_, month, day] = date_of_ordinal(year, day_of_year);
        later.day_of_year = Some(ordinal(year + years, month, day.min(month_length(year + years, month))));
    }
    derive_time(&mut later);
    later
}

/// By jiff's calendar; where the date is not known by the rules that `shift_time_days` states.
fn hours_later(record: &Record, hours: i32) -> Record {
    let known = record.second_of_day.or(record.hour.map(|hour| hour * 3600));
    let second = i64::from(known.unwrap_or(43_200)) + i64::from(hours) * 3600;
    let (days, second) = (second.div_euclid(86_400) as i32, second.rem_euclid(86_400) as i32);
    let mut later = *record;
    later.second_of_day = record.second_of_day.map(|_| second);
    later.hour = record.hour.map(|_| second / 3600);
    if days == 0 {
        return later;
    }
    let date = match (record.month, record.day, record.day_of_year) {
        (Some(month), Some(day), _) => Some(ordinal(record.year.unwrap_or(COMMON_YEAR), month, day)),
        (_, _, Some(day_of_year)) => Some(day_of_year),
        (Some(month), ..) => Some(ordinal(record.year.unwrap_or(COMMON_YEAR), month, 15)),
        _ => None,
    };
    let alone = date.is_none();
    if let Some(day_of_year) = date {
        let (first, days) = match record.year {
            Some(year) => (year, day_of_year - 1 + days),
            None => (COMMON_YEAR, (day_of_year - 1 + days).rem_euclid(365)),
        };
        let date = jiff::civil::date(first as i16, 1, 1).checked_add(days.days()).unwrap();
        later.year = record.year.map(|_| date.year().into());
        later.month = record.month.map(|_| date.month().into());
        later.day = record.day.map(|_| date.day().into());
        later.day_of_year = record.day_of_year.map(|_| date.day_of_year().into());
    }
    let whole = later.year.is_some() && (later.day_of_year.is_some() || later.month.and(later.day).is_some());
    let weeks = (f64::from(days) / 7.0 + 0.5).floor() as i32;
    match (record.year, record.iso_week) {
        _ if whole => derive_time(&mut later),
        (year, Some(given)) if weeks != 0 => {
            later.iso_week = Some((given - 1 + weeks).rem_euclid(52) + 1);
            if alone {
                later.year = year.map(|year| year + (given - 1 + weeks).div_euclid(52));
            }
        }
        (Some(year), None) if alone => later.year = Some(year + (f64::from(days) / 365.2425).trunc() as i32),
        _ => {}
    }
    later
}

/// Derived fields that are given follow what they derive from.
fn derive_time(record: &mut Record) {
    let any = record.year.unwrap_or(COMMON_YEAR);
    if let (Some(month), Some(day), Some(_)) = (record.month, record.day, record.day_of_year) {
        record.day_of_year = Some(ordinal(any, month, day));
    }
    let of_date = record.month.zip(record.day).map(|(month, day)| ordinal(any, month, day));
    if let (Some(year), Some(day), Some(_)) = (record.year, of_date.or(record.day_of_year), record.iso_week) {
        record.iso_week = Some(week(year, day));
    }
    if let (Some(second), Some(_)) = (record.second_of_day, record.hour) {
        record.hour = Some(second / 3600);
    }
}

fn listed(fields: Fields) -> Vec<Field> {
    let mut all = [PLACE, DATE, SENSOR, IDS].concat();
    all.retain(|field| fields.contains(*field));
    all
}

/// Gives a record one field of another, missing or not.
fn copy_field(to: &mut Record, from: &Record, field: Field) {
    match field {
        Field::Lat => to.lat_deg = from.lat_deg,
        Field::Lon => to.lon_deg = from.lon_deg,
        Field::Year => to.year = from.year,
        Field::Month => to.month = from.month,
        Field::Day => to.day = from.day,
        Field::SecondOfDay => to.second_of_day = from.second_of_day,
        Field::UtcOffset => to.utc_offset_s = from.utc_offset_s,
        Field::Gsd => to.gsd_m = from.gsd_m,
        Field::Wavelength => to.wavelength_um = from.wavelength_um,
        Field::CloudFraction => to.cloud_fraction = from.cloud_fraction,
        Field::SolarZenith => to.solar_zenith_deg = from.solar_zenith_deg,
        Field::Sensor => to.sensor = from.sensor,
        Field::ClimateZone => to.climate_zone = from.climate_zone,
        Field::Ecoregion => to.ecoregion = from.ecoregion,
        Field::Tile => to.tile = from.tile,
        Field::DayOfYear => to.day_of_year = from.day_of_year,
        Field::IsoWeek => to.iso_week = from.iso_week,
        Field::Hour => to.hour = from.hour,
        _ => panic!("{field:?} stays"),
    }
}

fn drop_fields(record: &mut Record, fields: &[Field]) {
    fields.iter().for_each(|field| copy_field(record, &Record::new(), *field));
}

fn known(record: &Record, field: Field) -> bool {
    let mut one = Record::new();
    copy_field(&mut one, record, field);
    one != Record::new()
}

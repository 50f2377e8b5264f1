//! The perturbations on the CPU, bit-equal to `shaders/perturb`.

pub use super::shift::{shift_time_days, shift_time_hours, shift_time_months, shift_time_years};

use super::grid::FOLLOWERS;
use super::plan::{
    FACTOR_DIGITS, FIXED_ANGLE, KIND_DISPLACE, KIND_SCALE, KIND_SET, KIND_SHIFT_MONTHS, KIND_SWAP,
    KIND_TRAINING, Part,
};
use super::{Lookup, Perturb, STATUS_NO_DONOR, STATUS_NO_ID, STATUS_WORDS};
use crate::common::calendar::{
    day_number, days_before_month, days_in_month, days_in_year, is_leap_year, iso_week,
};
use crate::common::fixed64::{exp2_fixed, from_words, words};
use crate::common::geodesy::{Place, destination};
use crate::common::rng::draw4;
use crate::common::season::{TimeFields, derived_day_of_year, full_date};
use crate::records::{Field, Fields, RECORD_WORDS, Records, WORD_FIELDS, possible_fields};

/// What a perturbation gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Perturbed {
    /// The perturbed records.
    pub records: Records,
    /// Per sample: 0 where no metadata is left, else 1.
    pub v: Vec<f32>,
    /// Counts of impossible values by validity bit, and of what was left out for want of a donor or an id.
    pub status: [u32; STATUS_WORDS as usize],
}

/// What a batch is perturbed with, beside itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct With<'a> {
    /// One index a sample into the pool, [`NO_DONOR`](super::NO_DONOR) where there is none; for `Swap`.
    pub donors: Option<(&'a [u32], &'a Records)>,
    /// The grids that the ids of moved places follow.
    pub lookup: Option<&'a Lookup>,
    /// The training step, or the index k of the perturbation.
    pub step: u32,
}

/// Perturbs a batch.
///
/// # Panics
/// When `Swap` has no donors, or not one a sample.
///
/// ```
/// use gtca::perturb::{Perturb, PerturbDesc, Perturbation, twin::{With, perturb}};
/// use gtca::records::{Record, Records};
/// let parts = &[Perturbation::ShiftMonths { months: 6 }, Perturbation::ShiftHours { hours: 30 }];
/// let later = Perturb::new(&PerturbDesc { parts, seed: 0 })?;
/// let records = Records::from_records(&[Record::new().date(2024, 8, 31).hour(20)])?;
/// let moved = perturb(&later, &records, With::default()).records.get(0);
/// assert_eq!(moved, Record::new().date(2025, 3, 2).hour(2));
/// # Ok::<(), gtca::Error>(())
/// ```
pub fn perturb(op: &Perturb, records: &Records, with: With<'_>) -> Perturbed {
    let len = records.len();
    if let Some((indices, _)) = with.donors {
        assert_eq!(indices.len(), len, "one donor a sample");
    }
    let mut status = [0; STATUS_WORDS as usize];
    let mut out = vec![0; len * RECORD_WORDS as usize];
    let mut v = Vec::with_capacity(len);
    for sample in 0..len {
        let record = records.record_words(sample);
        let mut one =
            Sample { seed: op.seed, with, sample, record, valid: Fields::NONE, status: &mut status };
        one.perturb(&op.parts);
        for (word, value) in one.record.into_iter().enumerate() {
            out[word * len + sample] = value;
        }
        v.push(if (one.valid & Fields::METADATA).is_empty() { 0.0 } else { 1.0 });
    }
    let records = Records::from_words(out).expect("the batch has whole records");
    Perturbed { records, v, status }
}

/// One sample on its way.
struct Sample<'a> {
    seed: u64,
    with: With<'a>,
    sample: usize,
    record: [u32; RECORD_WORDS as usize],
    valid: Fields,
    status: &'a mut [u32; STATUS_WORDS as usize],
}

impl Sample<'_> {
    /// Before each part, and once more at the end, what is impossible becomes missing and the ids of places follow.
    fn perturb(&mut self, parts: &[Part]) {
        let mut old = None;
        let mut taken = Fields::NONE;
        for part in parts.iter().map(Some).chain([None]) {
            let claimed = Fields::from_bits(self.record[0]);
            self.valid = possible_fields(&self.record);
            self.count(claimed & !self.valid);
            if !(taken & Fields::DATE).is_empty() {
                self.derive_time();
            }
            let place = self.has_place().then(|| self.place());
            if let (Some(old), Some(new)) = (old, place) {
                self.follow(old, new, taken);
            }
            if let Some(part) = part {
                old = place;
                taken = self.apply(part);
            }
            self.record[0] = self.valid.bits();
        }
    }

    fn count(&mut self, fields: Fields) {
        for (bit, count) in self.status.iter_mut().enumerate() {
            *count += (fields.bits() >> bit) & 1;
        }
    }

    /// Applies one part; the fields that it took from elsewhere.
    fn apply(&mut self, part: &Part) -> Fields {
        let mut draw = [0; 4];
        if part.purpose != 0 {
            if !self.valid.contains(Field::SampleId) {
                self.status[STATUS_NO_ID as usize] += 1;
                return Fields::NONE;
            }
            draw = self.draws(part, 0);
        }
        match part.kind {
            KIND_SET => return self.take(part, part.values.first_chunk().expect("values hold a record")),
            KIND_SWAP => {
                let (indices, pool) = self.with.donors.expect("Swap needs donors");
                let donor = indices[self.sample] as usize;
                if donor >= pool.len() {
                    self.status[STATUS_NO_DONOR as usize] += 1;
                    return Fields::NONE;
                }
                return self.take(part, &pool.record_words(donor));
            }
            KIND_DISPLACE => self.displace(part, draw),
            KIND_TRAINING => {
                self.thin_out(part, draw);
                if happens(draw[1], part.displace) {
                    self.displace(part, draw);
                }
            }
            KIND_SCALE => {
                let length = scaled(self.get64(Field::Gsd) as u64, part.factor());
                self.put64(Field::Gsd, length as i64);
            }
            KIND_SHIFT_MONTHS if part.years != 0 => self.put_time(shift_time_years(&self.time(), part.years)),
            KIND_SHIFT_MONTHS => self.put_time(shift_time_months(&self.time(), part.months)),
            _ => self.put_time(shift_time_days(&self.time(), part.days, part.seconds)),
        }
        Fields::NONE
    }

    fn has_place(&self) -> bool {
        self.valid & Fields::PLACE == Fields::PLACE
    }

    fn get64(&self, field: Field) -> i64 {
        let at = field.info().word as usize;
        from_words([self.record[at], self.record[at + 1]])
    }

    fn place(&self) -> Place {
        Place { lat: self.get64(Field::Lat), lon: self.get64(Field::Lon) }
    }

    fn time(&self) -> TimeFields {
        TimeFields { valid: self.valid, ..TimeFields::from_words(&self.record) }
    }

    fn put(&mut self, field: Field, value: u32) {
        self.record[field.info().word as usize] = value;
    }

    fn put64(&mut self, field: Field, value: i64) {
        let at = field.info().word as usize;
        self.record[at..at + 2].copy_from_slice(&words(value));
    }

    fn put_time(&mut self, time: TimeFields) {
        for (field, value) in [
            (Field::Year, time.year),
            (Field::Month, time.month),
            (Field::Day, time.day),
            (Field::SecondOfDay, time.second_of_day),
            (Field::DayOfYear, time.day_of_year),
            (Field::IsoWeek, time.iso_week),
            (Field::Hour, time.hour),
        ] {
            self.put(field, value as u32);
        }
    }

    /// The ids of a place that moved: the grid's where it says another at the new place than at the old one.
    fn follow(&mut self, old: Place, new: Place, taken: Fields) {
        let Some(lookup) = self.with.lookup.filter(|_| new != old) else { return };
        for field in FOLLOWERS {
            let Some(grid) = lookup.grid(field) else { continue };
            let code = grid.code(new);
            if !self.valid.contains(field) || taken.contains(field) || code == grid.code(old) {
                continue;
            }
            self.put(field, code.unwrap_or(0));
            if code.is_none() {
                self.valid = self.valid & !Fields::from(field);
            }
        }
    }

    fn displace(&mut self, part: &Part, draw: [u32; 4]) {
        if !self.has_place() {
            return;
        }
        let bearing = if part.bearing_is_random == 1 { draw[2] } else { part.bearing };
        let angle = match part.angle_span {
            FIXED_ANGLE => part.angle,
            span => exp2_fixed(part.angle + ((u64::from(draw[3]) * u64::from(span)) >> 32) as u32),
        };
        let moved = destination(self.place(), bearing, angle);
        self.put64(Field::Lat, moved.lat);
        self.put64(Field::Lon, moved.lon);
    }

    /// Fields with their validity from another record.
    fn take(&mut self, part: &Part, given: &[u32; RECORD_WORDS as usize]) -> Fields {
        let [taken, dropped] = [part.taken, part.dropped].map(Fields::from_bits);
        for word in 1..RECORD_WORDS as usize {
            if !(WORD_FIELDS[word] & taken).is_empty() {
                self.record[word] = given[word];
            }
        }
        self.valid = (self.valid & !(dropped | taken)) | (Fields::from_bits(given[0]) & taken);
        self.clamp_days();
        taken
    }

    /// Days past the end of another month or year become its last; those that no month or year has stay impossible.
    fn clamp_days(&mut self) {
        let time = self.time();
        let has = |field| time.valid.contains(field);
        let year = has(Field::Year).then_some(time.year);
        if has(Field::Month) && has(Field::Day) && time.day <= 31 {
            let length = days_in_month(year.unwrap_or(2000), time.month.clamp(1, 12));
            self.put(Field::Day, time.day.min(length) as u32);
        }
        if let Some(year) = year.filter(|_| has(Field::DayOfYear) && time.day_of_year <= 366) {
            self.put(Field::DayOfYear, time.day_of_year.min(days_in_year(year)) as u32);
        }
    }

    /// Derived fields of a date or time that was taken follow what they derive from; a day of the year outside a month
    /// that has no day becomes missing.
    fn derive_time(&mut self) {
        if self.valid & MONTH_DATE == MONTH_AND_DAY_OF_YEAR && !is_in_month(&self.time()) {
            self.valid = self.valid & !Fields::from(Field::DayOfYear);
        }
        let time = self.time();
        if let Some(day_of_year) = derived_day_of_year(&time) {
            self.put(Field::DayOfYear, day_of_year as u32);
        }
        if let Some(date) = full_date(&time) {
            self.put(Field::IsoWeek, iso_week(day_number(date)).week as u32);
        }
        if self.valid.contains(Field::SecondOfDay) {
            self.put(Field::Hour, time.second_of_day as u32 / 3600);
        }
    }

    fn draws(&self, part: &Part, number: u32) -> [u32; 4] {
        let id = self.get64(Field::SampleId) as u64;
        draw4(self.seed, part.purpose, id, self.with.step, part.draw + number)
    }

    /// Leaves the fields that the mix of training keeps.
    fn thin_out(&mut self, part: &Part, draw: [u32; 4]) {
        if happens(draw[0], part.drop_all) {
            self.valid = self.valid & !Fields::METADATA;
            return;
        }
        let groups = [Fields::PLACE, Fields::DATE, Fields::SENSOR, Fields::IDS];
        for (group, draw) in groups.into_iter().zip(self.draws(part, 1)) {
            if happens(draw, part.drop_group) {
                self.valid = self.valid & !group;
            }
        }
    }
}

const MONTH_AND_DAY_OF_YEAR: Fields = Fields::of(&[Field::Month, Field::DayOfYear]);
const MONTH_DATE: Fields = Fields::of(&[Field::Month, Field::Day, Field::DayOfYear]);

/// Whether the day of the year lies in the month; where the year is missing, in some year's.
fn is_in_month(time: &TimeFields) -> bool {
    let (least, most) = if time.valid.contains(Field::Year) { (time.year, time.year) } else { (1, 2000) };
    let before = |year| days_before_month(is_leap_year(year), time.month);
    (before(least) + 1..=before(most) + days_in_month(most, time.month)).contains(&time.day_of_year)
}

/// length · factor to the nearest, halves up, within 2⁻³²..=2³¹ metres.
fn scaled(length: u64, factor: u64) -> u64 {
    let product = u128::from(length) * u128::from(factor);
    ((product + (1 << (FACTOR_DIGITS - 1))) >> FACTOR_DIGITS).clamp(1, 1 << 63) as u64
}

/// True with a probability in units of 2⁻³¹.
fn happens(draw: u32, probability: u32) -> bool {
    (draw >> 1) < probability
}

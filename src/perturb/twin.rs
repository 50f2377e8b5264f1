//! The perturbations on the CPU, bit-equal to `shaders/perturb`.

use super::donor::NO_ZONE;
use super::{
    ClimateGrid, DONOR_WORDS, KIND_DISPLACE, KIND_DROP, KIND_SET, KIND_SHIFT_MONTHS, Perturb, Plan,
    STATUS_NO_DONOR, STATUS_NO_ID, STATUS_WORDS,
};
use crate::common::calendar::{
    CivilDate, date_of_year_day, day_number, day_of_year, days_in_month, iso_week, shift_months,
};
use crate::common::fixed64::{exp2_fixed, from_words, words};
use crate::common::geodesy::{Place, destination};
use crate::common::rng::draw4;
use crate::common::season::{TimeFields, full_date};
use crate::records::{Field, Fields, RECORD_WORDS, Records};

/// What a perturbation gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Perturbed {
    /// The perturbed records.
    pub records: Records,
    /// Per sample: 0 where no metadata is left, else 1.
    pub v: Vec<f32>,
    /// Counts of impossible values by validity bit, and of records left as they are for want of a donor or an id.
    pub status: [u32; STATUS_WORDS as usize],
}

/// Perturbs a batch; `donors` as [`donor_words`](super::donor_words) makes them.
///
/// # Panics
/// When `Set` has no donors, or not one a sample.
///
/// ```
/// use gtca::perturb::{Perturb, PerturbDesc, Perturbation, twin::perturb};
/// use gtca::records::{Record, Records};
/// let later = Perturb::new(&PerturbDesc { perturbation: Perturbation::ShiftMonths { months: 6 }, seed: 0 })?;
/// let records = Records::from_records(&[Record::new().date(2024, 8, 31)])?;
/// let moved = perturb(&later, &records, None, None, 0).records.get(0);
/// assert_eq!((moved.year, moved.month, moved.day), (Some(2025), Some(2), Some(28)));
/// # Ok::<(), gtca::Error>(())
/// ```
pub fn perturb(
    op: &Perturb,
    records: &Records,
    donors: Option<&[u32]>,
    grid: Option<&ClimateGrid>,
    step: u32,
) -> Perturbed {
    let len = records.len();
    let mut status = [0; STATUS_WORDS as usize];
    let mut out = vec![0; len * RECORD_WORDS as usize];
    let mut v = Vec::with_capacity(len);
    for sample in 0..len {
        let recorded = records.record_words(sample);
        let donor = donors.map(|donors| {
            assert_eq!(donors.len(), len * DONOR_WORDS as usize, "one donor a sample");
            std::array::from_fn(|word| donors[word * len + sample])
        });
        let valid = records.possible_fields(sample);
        let mut one =
            Sample { plan: &op.plan, grid, step, recorded, out: recorded, valid, status: &mut status };
        one.count(records.fields(sample) & !valid);
        one.perturb(op.is_random(), donor);
        let valid = one.valid;
        one.out[0] = valid.bits();
        for (word, value) in one.out.into_iter().enumerate() {
            out[word * len + sample] = value;
        }
        v.push(if (valid & Fields::METADATA).is_empty() { 0.0 } else { 1.0 });
    }
    let records = Records::from_words(out).expect("the batch has whole records");
    Perturbed { records, v, status }
}

/// One sample on its way.
struct Sample<'a> {
    plan: &'a Plan,
    grid: Option<&'a ClimateGrid>,
    step: u32,
    recorded: [u32; RECORD_WORDS as usize],
    out: [u32; RECORD_WORDS as usize],
    valid: Fields,
    status: &'a mut [u32; STATUS_WORDS as usize],
}

impl Sample<'_> {
    fn count(&mut self, fields: Fields) {
        for (bit, count) in self.status.iter_mut().enumerate() {
            *count += (fields.bits() >> bit) & 1;
        }
    }

    fn perturb(&mut self, is_random: bool, donor: Option<[u32; DONOR_WORDS as usize]>) {
        if is_random && !self.valid.contains(Field::SampleId) {
            self.status[STATUS_NO_ID as usize] += 1;
            return;
        }
        match self.plan.kind {
            KIND_DROP => self.drop_fields(self.plan.fields),
            KIND_DISPLACE => self.displace(self.draws(0)),
            KIND_SHIFT_MONTHS => self.shift_date(),
            KIND_SET => self.set_place(donor.expect("Set needs donors")),
            _ => self.training_mix(),
        }
    }

    fn drop_fields(&mut self, fields: Fields) {
        self.valid = self.valid & !(fields & Fields::METADATA);
    }

    fn has_place(&self) -> bool {
        self.valid & Fields::PLACE == Fields::PLACE
    }

    fn recorded64(&self, field: Field) -> i64 {
        let at = field.info().word as usize;
        from_words([self.recorded[at], self.recorded[at + 1]])
    }

    fn recorded_place(&self) -> Place {
        Place { lat: self.recorded64(Field::Lat), lon: self.recorded64(Field::Lon) }
    }

    fn put(&mut self, field: Field, value: u32) {
        self.out[field.info().word as usize] = value;
    }

    fn put_place(&mut self, place: Place) {
        for (field, value) in [(Field::Lat, place.lat), (Field::Lon, place.lon)] {
            let at = field.info().word as usize;
            self.out[at..at + 2].copy_from_slice(&words(value));
        }
        let Some(grid) = self.grid.filter(|_| self.has_place()) else { return };
        let zone = grid.zone(place);
        if zone == grid.zone(self.recorded_place()) || !self.valid.contains(Field::ClimateZone) {
            return;
        }
        match zone {
            Some(zone) => self.put(Field::ClimateZone, zone.into()),
            None => self.drop_fields(Field::ClimateZone.into()),
        }
    }

    fn displace(&mut self, draw: [u32; 4]) {
        if !self.has_place() {
            return;
        }
        let plan = self.plan;
        let bearing = if plan.bearing_is_random { draw[2] } else { plan.bearing };
        let angle = match plan.angle_span {
            Some(span) => exp2_fixed(plan.angle + ((u64::from(draw[3]) * u64::from(span)) >> 32) as u32),
            None => plan.angle,
        };
        self.put_place(destination(self.recorded_place(), bearing, angle));
    }

    fn set_place(&mut self, donor: [u32; DONOR_WORDS as usize]) {
        let [lat, lon] = [[donor[0], donor[1]], [donor[2], donor[3]]].map(from_words);
        if lat.unsigned_abs() > 90 << 40 || lon.unsigned_abs() > 180 << 40 {
            self.status[STATUS_NO_DONOR as usize] += 1;
            return;
        }
        let had_zone = self.valid & Field::ClimateZone;
        self.put_place(Place { lat, lon });
        self.valid = self.valid | Fields::PLACE;
        if donor[4] != NO_ZONE {
            self.put(Field::ClimateZone, donor[4]);
            self.valid = self.valid | had_zone;
        }
    }

    fn shift_date(&mut self) {
        let mut time = TimeFields::from_words(&self.recorded);
        time.valid = self.valid;
        let moved = shift_time_months(&time, self.plan.months);
        for (field, value) in [
            (Field::Year, moved.year),
            (Field::Month, moved.month),
            (Field::Day, moved.day),
            (Field::DayOfYear, moved.day_of_year),
            (Field::IsoWeek, moved.iso_week),
        ] {
            self.put(field, value as u32);
        }
    }

    fn draws(&self, number: u32) -> [u32; 4] {
        let id = self.recorded64(Field::SampleId) as u64;
        draw4(self.plan.seed, self.plan.purpose, id, self.step, number)
    }

    fn training_mix(&mut self) {
        let draw = self.draws(0);
        if happens(draw[0], self.plan.drop_all) {
            return self.drop_fields(Fields::METADATA);
        }
        let groups = [Fields::PLACE, Fields::DATE, Fields::SENSOR, Fields::IDS];
        for (group, draw) in groups.into_iter().zip(self.draws(1)) {
            if happens(draw, self.plan.drop_group) {
                self.drop_fields(group);
            }
        }
        if happens(draw[1], self.plan.displace) {
            self.displace(draw);
        }
    }
}

/// True with a probability in units of 2⁻³¹.
fn happens(draw: u32, probability: u32) -> bool {
    (draw >> 1) < probability
}

/// A record's time so many months later, with whatever it knows; `shaders/perturb/shift.wgsl`.
///
/// Year, month and day by the calendar; without a year the month wraps. The day of the year moves with the date that
/// it stands for. A week alone moves by 4.348 weeks a month; a year alone by whole years.
pub fn shift_time_months(time: &TimeFields, months: i32) -> TimeFields {
    let mut moved = *time;
    let has = |field| time.valid.contains(field);
    let (has_year, has_month) = (has(Field::Year), has(Field::Month));
    let (has_day_of_year, has_week) = (has(Field::DayOfYear), has(Field::IsoWeek));
    if has_month && has_year {
        let day = if has(Field::Day) { time.day } else { 1 };
        let date = shift_months(CivilDate::new(time.year, time.month, day), months);
        (moved.year, moved.month, moved.day) = (date.year, date.month, date.day);
    } else if has_month {
        moved.month = (time.month - 1 + months).rem_euclid(12) + 1;
        moved.day = time.day.min(days_in_month(2000, moved.month));
    }
    if has_day_of_year {
        let start = date_of_year_day(if has_year { time.year } else { 1 }, time.day_of_year);
        let date = shift_months(start, months);
        if has_year && !has_month {
            moved.year = date.year;
        }
        let year = if has_year { moved.year } else { 1 };
        let day = date.day.min(days_in_month(year, date.month));
        moved.day_of_year = day_of_year(CivilDate::new(year, date.month, day));
    }
    let year_is_alone = has_year && !has_month && !has_day_of_year;
    if let Some(date) = full_date(&moved) {
        moved.iso_week = iso_week(day_number(date)).week;
    } else if has_week {
        let week = time.iso_week - 1 + (months * 4348 + 500).div_euclid(1000);
        moved.iso_week = week.rem_euclid(52) + 1;
        if year_is_alone {
            moved.year = time.year + week.div_euclid(52);
        }
    } else if year_is_alone {
        moved.year = time.year + months / 12;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::super::{Bearing, Distance, Donor, PerturbDesc, Perturbation, TrainingMix, donor_words};
    use super::*;
    use crate::common::geodesy::{central_angle, km_from_turns};
    use crate::records::{Record, fixed_from_degrees};

    fn op(perturbation: Perturbation) -> Perturb {
        Perturb::new(&PerturbDesc { perturbation, seed: 11 }).unwrap()
    }

    fn one(perturbation: Perturbation, record: Record) -> Record {
        let records = Records::from_records(&[record]).unwrap();
        perturb(&op(perturbation), &records, None, None, 0).records.get(0)
    }

    fn place(record: &Record) -> Place {
        Place {
            lat: fixed_from_degrees(record.lat_deg.unwrap()),
            lon: fixed_from_degrees(record.lon_deg.unwrap()),
        }
    }

    #[test]
    fn a_moved_point_keeps_its_distance_and_everything_else() {
        let record = Record::new().lat_deg(-12.0).lon_deg(-55.0).date(2016, 9, 1).gsd_m(250.0).sample_id(5);
        for km in [10.0, 100.0, 1000.0] {
            let distance = Distance::Km(km);
            let moved = one(Perturbation::Displace { distance, bearing: Bearing::Random }, record);
            let found = km_from_turns(central_angle(place(&record), place(&moved)));
            assert!((f64::from(found) - km).abs() < 1e-3, "{found} km");
            let back = Record { lat_deg: record.lat_deg, lon_deg: record.lon_deg, ..moved };
            assert_eq!(back, record);
        }
    }

    #[test]
    fn months_shift_with_whatever_is_known() {
        let shift = |record, months| one(Perturbation::ShiftMonths { months }, record);
        let new = Record::new;
        for (record, months, expected) in [
            (new().date(2020, 2, 29), 12, new().date(2021, 2, 28)),
            (new().date(2020, 1, 31), -2, new().date(2019, 11, 30)),
            (new().year(2020).month(11), 3, new().year(2021).month(2)),
            (new().month(11).day(30), 3, new().month(2).day(29)),
            (new().year(2020).day_of_year(61), 12, new().year(2021).day_of_year(60)),
            (new().year(2019).day_of_year(1), -1, new().year(2018).day_of_year(335)),
            (new().day_of_year(200), 6, new().day_of_year(19)),
            // 31 August to the end of a February: of a year of 365 days, whichever way.
            (new().day_of_year(243), 6, new().day_of_year(59)),
            (new().day_of_year(243), -6, new().day_of_year(59)),
            (new().iso_week(30), 6, new().iso_week(4)),
            (new().year(2020).iso_week(30), 6, new().year(2021).iso_week(4)),
            (new().year(2020), 6, new().year(2020)),
            (new().year(2020), -12, new().year(2019)),
            (new().second_of_day(5), 6, new().second_of_day(5)),
        ] {
            assert_eq!(shift(record, months), expected, "{record:?} by {months}");
        }
        // A week given beside the date moves with it.
        assert_eq!(shift(new().date(2020, 1, 15).iso_week(3), 6).iso_week, Some(29));
    }

    #[test]
    fn the_zone_follows_only_where_the_grid_says_another() {
        // West half zone 1, east half zone 2, the last quarter sea.
        let grid = ClimateGrid::new(1, 4, vec![1, 1, 2, 32], &[32]).unwrap();
        let east =
            op(Perturbation::Displace { distance: Distance::Km(1000.0), bearing: Bearing::Degrees(90.0) });
        let at = |lon: f64| Record::new().lat_deg(0.0).lon_deg(lon).climate_zone(9);
        let records = [at(-100.0), at(-1.0), at(89.0), at(179.0), Record { climate_zone: None, ..at(-1.0) }];
        let moved = perturb(&east, &Records::from_records(&records).unwrap(), None, Some(&grid), 0).records;
        let zones: Vec<_> = (0..5).map(|sample| moved.get(sample).climate_zone).collect();
        // The record's own zone 9 stays while the grid sees no change.
        assert_eq!(zones, [Some(9), Some(2), None, Some(1), None]);
    }

    #[test]
    fn a_donor_gives_its_place_and_zone() {
        let record = Record::new().lat_deg(1.0).lon_deg(2.0).climate_zone(4);
        let records = Records::from_records(&[record, record, Record::new().year(2000)]).unwrap();
        let donor = Donor { lat_deg: 50.0, lon_deg: -60.0, climate_zone: Some(7) };
        let donors = donor_words(&[Some(donor), None, Some(donor)]).unwrap();
        let set = perturb(&op(Perturbation::Set), &records, Some(&donors), None, 0);
        assert_eq!(set.records.get(0), Record::new().lat_deg(50.0).lon_deg(-60.0).climate_zone(7));
        assert_eq!(set.records.get(1), record);
        // A record without a zone is not given one.
        assert_eq!(set.records.get(2), Record::new().year(2000).lat_deg(50.0).lon_deg(-60.0));
        assert_eq!((set.status[STATUS_NO_DONOR as usize], set.status.iter().sum::<u32>()), (1, 1));
    }

    #[test]
    fn dropping_all_metadata_clears_v_and_keeps_the_id() {
        let record = Record::new().lat_deg(1.0).lon_deg(2.0).year(2000).sample_id(3);
        let records = Records::from_records(&[record, Record::new().sample_id(4)]).unwrap();
        let kept = perturb(&op(Perturbation::Drop { fields: Fields::PLACE }), &records, None, None, 0);
        assert_eq!(kept.v, [1.0, 0.0]);
        let none = perturb(&op(Perturbation::Drop { fields: Fields::METADATA }), &records, None, None, 0);
        assert_eq!(none.v, [0.0, 0.0]);
        assert_eq!(none.records.get(0), Record::new().sample_id(3));
    }

    #[test]
    fn the_training_mix_has_its_shares() {
        let record = Record::new().lat_deg(40.0).lon_deg(170.0).date(2020, 6, 1).gsd_m(10.0).tile(1);
        let count = 20_000u64;
        let batch: Vec<Record> = (0..count).map(|id| record.sample_id(id)).collect();
        let records = Records::from_records(&batch).unwrap();
        let mix = op(Perturbation::Training(TrainingMix::default()));
        let drawn = perturb(&mix, &records, None, None, 3);
        let share = |predicate: &dyn Fn(&Record) -> bool| {
            let hits = (0..records.len()).filter(|&sample| predicate(&drawn.records.get(sample))).count();
            hits as f64 / count as f64
        };
        let all =
            share(&|r| r.tile.is_none() && r.gsd_m.is_none() && r.year.is_none() && r.lat_deg.is_none());
        // Standard error at most 0.0035; the exact share is 0.2 + 0.8 · 10⁻⁴.
        assert!((all - 0.2).abs() < 0.015, "{all}");
        for missing in [
            share(&|r| r.tile.is_none()),
            share(&|r| r.gsd_m.is_none()),
            share(&|r| r.month.is_none()),
            share(&|r| r.lon_deg.is_none()),
        ] {
            assert!((missing - 0.28).abs() < 0.015, "{missing}");
        }
        let moved = share(&|r| r.lat_deg.is_some_and(|lat| lat != 40.0));
        assert!((moved - 0.8 * 0.9 * 0.3).abs() < 0.015, "{moved}");
        let kms: Vec<f32> = (0..records.len())
            .map(|sample| drawn.records.get(sample))
            .filter(|r| r.lat_deg.is_some_and(|lat| lat != 40.0))
            .map(|r| km_from_turns(central_angle(place(&record), place(&r))))
            .collect();
        assert!(kms.iter().all(|km| (0.999..1000.1).contains(km)));
        let below_ten = kms.iter().filter(|km| **km < 10.0).count() as f64 / kms.len() as f64;
        assert!((below_ten - 1.0 / 3.0).abs() < 0.03, "{below_ten}");
        assert_ne!(perturb(&mix, &records, None, None, 4).records, drawn.records);
    }

    #[test]
    fn a_draw_does_not_depend_on_the_batch() {
        let record = Record::new().lat_deg(40.0).lon_deg(170.0).year(2020);
        let batch: Vec<Record> = (0..50).map(|id| record.sample_id(id * 977)).collect();
        let mix = op(Perturbation::Training(TrainingMix::default()));
        let together = perturb(&mix, &Records::from_records(&batch).unwrap(), None, None, 9);
        for (sample, record) in batch.iter().enumerate() {
            let alone = perturb(&mix, &Records::from_records(&[*record]).unwrap(), None, None, 9);
            assert_eq!(alone.records.get(0), together.records.get(sample));
        }
    }

    #[test]
    fn random_draws_without_an_id_are_left_out_and_counted() {
        let record = Record::new().lat_deg(40.0).lon_deg(170.0);
        let records = Records::from_records(&[record]).unwrap();
        let mix = op(Perturbation::Training(TrainingMix { drop_all: 1.0, ..Default::default() }));
        let left = perturb(&mix, &records, None, None, 0);
        assert_eq!(left.records, records);
        assert_eq!(left.status[STATUS_NO_ID as usize], 1);
    }
}

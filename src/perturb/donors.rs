//! Donors: which other record gives a sample its place, or all its metadata. Chosen on the host, in integers: the same
//! on every platform, for every batch.

use super::tree::{Point, Ring, Tree, point};
use super::{LookupGrid, OP, PURPOSE_DONOR, check_ids};
use crate::Error;
use crate::common::calendar::{CivilDate, date_of_year_day, days_before_month};
use crate::common::geodesy::{EARTH_RADIUS_KM, Place};
use crate::common::rng::draw4;
use crate::common::season::TimeFields;
use crate::records::{Field, Fields, RECORD_WORDS, Records};
use std::collections::BTreeMap;

/// In place of a donor's index: there is none.
pub const NO_DONOR: u32 = u32::MAX;

/// Days of the year that seasons are told by: 29 February counts as 1 March.
const SEASON_DAYS: i32 = 365;

/// Which records may be donors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DonorKind {
    /// Any within the range of distances, drawn.
    #[default]
    Random,
    /// The nearest within the range.
    Neighbour,
    /// One of the same climate zone, drawn.
    SameClimate,
    /// One of another climate zone, drawn.
    OtherClimate,
    /// One whose date lies within so many days of the sample's, whatever the years, drawn.
    SameSeason {
        /// Days, 0..=182.
        days: u32,
    },
}

/// How donors are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DonorDesc<'a> {
    /// Which records may be donors.
    pub kind: DonorKind,
    /// Least and largest distance of a donor in kilometres. A record at the very place of the sample (within 6 mm) is
    /// never its donor, so that a pool may hold the samples themselves.
    pub km: [f64; 2],
    /// Tells the climate zones of samples and pool from their places; none: their own `climate_zone` counts.
    pub climate: Option<&'a LookupGrid>,
    /// Seed of the random draws.
    pub seed: u64,
    /// The index k of the perturbation: part of the random draws' counter.
    pub step: u32,
}

impl Default for DonorDesc<'_> {
    fn default() -> Self {
        Self { kind: DonorKind::Random, km: [0.0, f64::INFINITY], climate: None, seed: 0, step: 0 }
    }
}

/// Chooses a donor from a pool of records for each sample, as indices into the pool; none where no record fits, or where
/// the sample lacks what the choice needs: a place, a climate zone, a date.
///
/// A drawn donor is any of those that fit, all equally likely, and depends on the seed, the step, the sample's place,
/// zone, date and `sample_id`, and on the pool: not on the other samples. Nor does it depend on the pool's order where
/// its records have ids of their own. Of equally near neighbours the one with the lowest id counts.
///
/// A tree over the pool finds them: 100,000 samples take seconds from a pool of 100,000.
///
/// ```
/// use gtca::perturb::{DonorDesc, DonorKind, choose_donors, donor_indices};
/// use gtca::records::{Record, Records};
/// let at = |lat, lon, zone, id| Record::new().lat_deg(lat).lon_deg(lon).climate_zone(zone).sample_id(id);
/// let zurich = at(47.4, 8.5, 15, 0);
/// let pool = [zurich, at(46.9, 7.4, 15, 1), at(43.1, 141.3, 15, 2), at(-3.1, -60.0, 1, 3)];
/// let (samples, pool) = (Records::from_records(&[zurich])?, Records::from_records(&pool)?);
///
/// let near = DonorDesc { kind: DonorKind::Neighbour, ..Default::default() };
/// assert_eq!(choose_donors(&samples, &pool, &near)?, [Some(1)]);
/// let far = [1000.0, f64::INFINITY];
/// let same = DonorDesc { kind: DonorKind::SameClimate, km: far, ..Default::default() };
/// assert_eq!(choose_donors(&samples, &pool, &same)?, [Some(2)]);
/// let other = DonorDesc { kind: DonorKind::OtherClimate, km: far, ..Default::default() };
/// let donors = choose_donors(&samples, &pool, &other)?;
/// assert_eq!(donors, [Some(3)]);
/// let words = donor_indices(&donors); // to upload, with the pool's words
/// # assert_eq!(words, [3]);
/// # Ok::<(), gtca::Error>(())
/// ```
///
/// # Errors
/// A range of distances that is not increasing from 0; more than 182 days; for a drawn donor, a sample without
/// `sample_id`.
pub fn choose_donors(
    samples: &Records,
    pool: &Records,
    desc: &DonorDesc<'_>,
) -> Result<Vec<Option<u32>>, Error> {
    let [from, to] = desc.km;
    if !(0.0 <= from && from <= to) {
        let rule = "distances increase from 0";
        return Err(Error::argument(OP, "km", format!("{from} to {to}"), rule, "give least and largest"));
    }
    if matches!(desc.kind, DonorKind::SameSeason { days } if days > 182) {
        let rule = "a season reaches 182 days either way";
        return Err(Error::argument(OP, "days", format!("{:?}", desc.kind), rule, "draw any date"));
    }
    if desc.kind != DonorKind::Neighbour {
        check_ids(samples)?;
    }
    let ring = Ring::of_angles(desc.km.map(|km| km / EARTH_RADIUS_KM));
    let pool = Pool::new(pool, desc);
    let donor = |sample| pool.donor(desc, ring, &Sight::of(samples, sample, desc)?);
    Ok((0..samples.len()).map(donor).collect())
}

/// The words of donors to upload: the index, or [`NO_DONOR`].
///
/// ```
/// assert_eq!(gtca::perturb::donor_indices(&[Some(4), None]), [4, u32::MAX]);
/// ```
pub fn donor_indices(donors: &[Option<u32>]) -> Vec<u32> {
    donors.iter().map(|donor| donor.unwrap_or(NO_DONOR)).collect()
}

/// One group id a sample: `group`, or [`u32::MAX`] where there is no donor.
///
/// A record without a donor is not perturbed, so its prediction does not move; counted, it would make a model look
/// stable. Given to the one chunk of [`sensitivity`](crate::sensitivity) that compares this perturbation, these ids
/// put such samples into the slot behind the last group, and every group holds perturbed samples alone.
///
/// ```
/// assert_eq!(gtca::perturb::donor_groups(&[Some(4), None], 0), [0, u32::MAX]);
/// ```
pub fn donor_groups<D>(donors: &[Option<D>], group: u32) -> Vec<u32> {
    donors.iter().map(|donor| if donor.is_some() { group } else { u32::MAX }).collect()
}

/// What the choice sees of a record.
struct Sight {
    point: Point,
    /// Climate zone or day of the season; 0 where neither counts.
    key: u32,
    id: u64,
}

impl Sight {
    fn of(records: &Records, index: usize, desc: &DonorDesc<'_>) -> Option<Self> {
        let mut words = records.record_words(index);
        words[0] = records.possible_fields(index).bits();
        let valid = Fields::from_bits(words[0]);
        if valid & Fields::PLACE != Fields::PLACE {
            return None;
        }
        let place = Place { lat: wide(&words, Field::Lat) as i64, lon: wide(&words, Field::Lon) as i64 };
        let own_zone =
            || valid.contains(Field::ClimateZone).then(|| words[Field::ClimateZone.info().word as usize]);
        let key = match desc.kind {
            DonorKind::Random | DonorKind::Neighbour => 0,
            DonorKind::SameClimate | DonorKind::OtherClimate => match desc.climate {
                Some(grid) => grid.code(place)?,
                None => own_zone()?,
            },
            DonorKind::SameSeason { .. } => season_day(&TimeFields::from_words(&words))? as u32,
        };
        Some(Self { point: point(place), key, id: wide(&words, Field::SampleId) })
    }
}

fn wide(words: &[u32; RECORD_WORDS as usize], field: Field) -> u64 {
    let at = field.info().word as usize;
    u64::from(words[at]) | (u64::from(words[at + 1]) << 32)
}

/// Day in a year of 365 days, from 0; a month alone counts by its 15th.
fn season_day(time: &TimeFields) -> Option<i32> {
    let known = |field, value: i32| time.valid.contains(field).then_some(value);
    let month = known(Field::Month, time.month);
    let date = match (month, known(Field::Day, time.day), known(Field::DayOfYear, time.day_of_year)) {
        (Some(month), Some(day), _) => CivilDate::new(1, month, day),
        (_, _, Some(day)) => date_of_year_day(known(Field::Year, time.year).unwrap_or(1), day),
        (Some(month), ..) => CivilDate::new(1, month, 15),
        _ => return None,
    };
    Some(days_before_month(false, date.month) + date.day - 1)
}

/// The pool's places by zone or day.
struct Pool {
    trees: BTreeMap<u32, Tree>,
    /// The pool's records in the order of their ids.
    order: Vec<u32>,
}

impl Pool {
    fn new(pool: &Records, desc: &DonorDesc<'_>) -> Self {
        let mut seen: Vec<(u64, u32, Sight)> = (0..pool.len())
            .filter_map(|index| Some((index as u32, Sight::of(pool, index, desc)?)))
            .map(|(index, sight)| (sight.id, index, sight))
            .collect();
        seen.sort_unstable_by_key(|(id, index, _)| (*id, *index));
        let mut points: BTreeMap<u32, Vec<(Point, u32)>> = BTreeMap::new();
        for (rank, (_, _, sight)) in (0..).zip(&seen) {
            points.entry(sight.key).or_default().push((sight.point, rank));
        }
        let trees = points.into_iter().map(|(key, points)| (key, Tree::new(points))).collect();
        Self { trees, order: seen.into_iter().map(|(_, index, _)| index).collect() }
    }

    fn donor(&self, desc: &DonorDesc<'_>, ring: Ring, sample: &Sight) -> Option<u32> {
        let trees = self.trees_for(desc.kind, sample.key);
        let rank = if desc.kind == DonorKind::Neighbour {
            trees.first()?.nearest(&sample.point, ring)?
        } else {
            let counts: Vec<u64> = trees.iter().map(|tree| tree.count(&sample.point, ring)).collect();
            let total = counts.iter().sum::<u64>();
            let draw = draw4(desc.seed, PURPOSE_DONOR, sample.id, desc.step, 0);
            let draw = u64::from(draw[0]) | (u64::from(draw[1]) << 32);
            let mut n = ((u128::from(draw) * u128::from(total)) >> 64) as u64;
            let (tree, _) = trees.iter().zip(&counts).find(|(_, count)| {
                let is_here = n < **count;
                n -= if is_here { 0 } else { **count };
                is_here
            })?;
            tree.nth(&sample.point, ring, n)?
        };
        Some(self.order[rank as usize])
    }

    /// The trees of the records that fit but for their distance.
    fn trees_for(&self, kind: DonorKind, key: u32) -> Vec<&Tree> {
        match kind {
            DonorKind::OtherClimate => {
                self.trees.iter().filter(|(zone, _)| **zone != key).map(|(_, tree)| tree).collect()
            }
            DonorKind::SameSeason { days } => {
                let days = days as i32;
                let around = (-days..=days).map(|day| (key as i32 + day).rem_euclid(SEASON_DAYS) as u32);
                around.filter_map(|day| self.trees.get(&day)).collect()
            }
            _ => self.trees.get(&key).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Record;
    use std::f64::consts::PI;

    /// Places in clusters and alone, poles, antimeridian and doubles among them, with zones and dates.
    fn places(count: u64, seed: u64) -> Vec<Record> {
        let draw = |id, number| draw4(seed, 0, id, 0, number).map(|word| f64::from(word) / 2f64.powi(32));
        (0..count)
            .map(|id| {
                let ([a, b, c, d], [month, day, near, zone]) = (draw(id, 0), draw(id, 1));
                let [x, y, ..] = draw(id % 7, 2);
                let (lat, lon) = match (near * 5.0) as u32 {
                    0 => (x * 160.0 - 80.0 + a, y * 350.0 - 175.0 + b),
                    1 => ([90.0, -90.0, 0.0][(c * 3.0) as usize], [180.0, -180.0, 179.9][(d * 3.0) as usize]),
                    _ => ((2.0 * a - 1.0).asin().to_degrees(), b * 360.0 - 180.0),
                };
                let record = Record::new().lat_deg(lat).lon_deg(lon).sample_id(id * 3 + 5);
                let record = record.month(1 + (month * 12.0) as i32).day(1 + (day * 28.0) as i32);
                if zone < 0.1 { record } else { record.climate_zone((zone * 6.0) as u32) }
            })
            .collect()
    }

    fn km_between(a: &Record, b: &Record) -> f64 {
        let vector = |record: &Record| {
            let (lat, lon) = (record.lat_deg.unwrap().to_radians(), record.lon_deg.unwrap().to_radians());
            [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
        };
        let (a, b) = (vector(a), vector(b));
        let chord = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
        2.0 * (chord / 2.0).min(1.0).asin() * EARTH_RADIUS_KM
    }

    fn fits(kind: DonorKind, sample: &Record, other: &Record) -> bool {
        let day = |record: &Record| {
            let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            lengths[..record.month.unwrap() as usize - 1].iter().sum::<i32>() + record.day.unwrap()
        };
        let zones = [sample, other].map(|record| record.climate_zone);
        match kind {
            DonorKind::Random | DonorKind::Neighbour => true,
            DonorKind::SameClimate => zones[0].is_some() && zones[0] == zones[1],
            DonorKind::OtherClimate => zones.iter().all(Option::is_some) && zones[0] != zones[1],
            DonorKind::SameSeason { days } => {
                let apart = (day(sample) - day(other)).rem_euclid(365);
                apart.min(365 - apart) <= days as i32
            }
        }
    }

    const KINDS: [DonorKind; 5] = [
        DonorKind::Random,
        DonorKind::Neighbour,
        DonorKind::SameClimate,
        DonorKind::OtherClimate,
        DonorKind::SameSeason { days: 10 },
    ];

    const RANGES: [[f64; 2]; 5] =
        [[0.0, f64::INFINITY], [1000.0, f64::INFINITY], [1.0, 50.0], [5000.0, 6000.0], [19_000.0, 20_016.0]];

    #[test]
    fn donors_agree_with_a_search_of_every_pair() {
        let (samples, pool) = (places(150, 1), places(400, 2));
        let [sample_records, pool_records] = [&samples, &pool].map(|r| Records::from_records(r).unwrap());
        for kind in KINDS {
            for km in RANGES {
                let desc = DonorDesc { kind, km, seed: 3, ..Default::default() };
                let donors = choose_donors(&sample_records, &pool_records, &desc).unwrap();
                for (sample, donor) in samples.iter().zip(&donors) {
                    let apart: Vec<f64> = pool.iter().map(|other| km_between(sample, other)).collect();
                    // Within a few centimetres of the range's ends either answer is right.
                    let within = |km_apart: f64, slack: f64| {
                        km_apart >= (km[0] - slack).max(1e-5) && km_apart <= km[1] + slack
                    };
                    let could = |i: usize, slack| fits(kind, sample, &pool[i]) && within(apart[i], slack);
                    match donor {
                        Some(donor) => {
                            let donor = *donor as usize;
                            assert!(could(donor, 5e-5), "{kind:?} {km:?}: {} km", apart[donor]);
                            if kind == DonorKind::Neighbour {
                                let nearer = |i: &usize| could(*i, -5e-5) && apart[*i] < apart[donor] - 5e-5;
                                assert_eq!((0..pool.len()).find(nearer), None, "{kind:?} {km:?}");
                            }
                        }
                        None => {
                            assert_eq!((0..pool.len()).find(|&i| could(i, -5e-5)), None, "{kind:?} {km:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_choice_depends_on_neither_batch_nor_order() {
        let samples = places(300, 4);
        let reversed: Vec<Record> = samples.iter().rev().copied().collect();
        let [ordered, backwards] = [&samples, &reversed].map(|r| Records::from_records(r).unwrap());
        for kind in KINDS {
            let desc = DonorDesc { kind, km: [10.0, 12_000.0], seed: 8, ..Default::default() };
            let whole = choose_donors(&ordered, &ordered, &desc).unwrap();
            assert!(whole.iter().flatten().count() > 200, "{kind:?}");
            let id = |donor: Option<u32>, of: &[Record]| donor.map(|donor| of[donor as usize].sample_id);
            let turned = choose_donors(&backwards, &backwards, &desc).unwrap();
            for (sample, donor) in whole.iter().enumerate() {
                assert_eq!(id(*donor, &samples), id(turned[samples.len() - 1 - sample], &reversed));
            }
            let chunk = Records::from_records(&samples[100..130]).unwrap();
            assert_eq!(choose_donors(&chunk, &ordered, &desc).unwrap(), whole[100..130]);
            if kind != DonorKind::Neighbour {
                let next = DonorDesc { step: 1, ..desc };
                assert_ne!(choose_donors(&ordered, &ordered, &next).unwrap(), whole, "{kind:?}");
            }
        }
    }

    #[test]
    fn drawn_donors_are_equally_likely() {
        let pool = places(40, 5);
        let here = Record::new().lat_deg(10.0).lon_deg(20.0).climate_zone(77).month(7).day(1);
        let samples: Vec<Record> = (0..20_000).map(|id| here.sample_id(id)).collect();
        let [samples, pool_records] = [&samples, &pool].map(|r| Records::from_records(r).unwrap());
        let desc = DonorDesc { kind: DonorKind::OtherClimate, km: [3000.0, 1e9], ..Default::default() };
        let mut counts = vec![0.0; pool.len()];
        for donor in choose_donors(&samples, &pool_records, &desc).unwrap() {
            counts[donor.unwrap() as usize] += 1.0;
        }
        let can = |other: &&Record| other.climate_zone.is_some() && km_between(&here, other) >= 3000.0;
        let able = pool.iter().filter(can).count() as f64;
        assert_eq!(counts.iter().filter(|count| **count > 0.0).count() as f64, able);
        let mean = 20_000.0 / able;
        let chi_square: f64 =
            counts.iter().filter(|count| **count > 0.0).map(|count| (count - mean).powi(2) / mean).sum();
        // Mean able − 1, variance 2 (able − 1): five standard deviations.
        assert!(chi_square < able + 5.0 * (2.0 * able).sqrt(), "{chi_square} of {able}");
    }

    #[test]
    fn who_lacks_what_a_choice_needs_has_no_donor() {
        let full = places(20, 6);
        let pool = Records::from_records(&full).unwrap();
        let blank = Record::new().sample_id(1);
        let samples = Records::from_records(&[blank, blank.lat_deg(1.0).lon_deg(2.0)]).unwrap();
        let donors =
            |kind| choose_donors(&samples, &pool, &DonorDesc { kind, ..Default::default() }).unwrap();
        assert!(donors(DonorKind::Random)[0].is_none() && donors(DonorKind::Random)[1].is_some());
        assert_eq!(donors(DonorKind::SameClimate), [None, None]);
        assert_eq!(donors(DonorKind::SameSeason { days: 182 }), [None, None]);
        // With a grid the place tells the zone.
        let grid = LookupGrid::new(1, 1, &[3u8], &[]).unwrap();
        let desc = DonorDesc { kind: DonorKind::SameClimate, climate: Some(&grid), ..Default::default() };
        assert!(choose_donors(&samples, &pool, &desc).unwrap()[1].is_some());
    }

    #[test]
    fn bad_choices_are_refused_by_name() {
        let one = Records::from_records(&[Record::new().lat_deg(1.0).lon_deg(1.0)]).unwrap();
        let refusal = |desc: DonorDesc<'_>| choose_donors(&one, &one, &desc).unwrap_err().to_string();
        for km in [[-1.0, 5.0], [5.0, 4.0], [f64::NAN, 4.0], [0.0, f64::NAN]] {
            assert!(refusal(DonorDesc { km, ..Default::default() }).contains("`km`"), "{km:?}");
        }
        let kind = DonorKind::SameSeason { days: 183 };
        assert!(refusal(DonorDesc { kind, ..Default::default() }).contains("`days`"));
        assert!(refusal(DonorDesc::default()).contains("record 0: `sample_id`"));
        assert!(
            choose_donors(&one, &one, &DonorDesc { kind: DonorKind::Neighbour, ..Default::default() })
                .is_ok()
        );
    }

    #[test]
    fn a_hundred_thousand_samples_find_donors_in_a_pool_as_large() {
        let records = places(100_000, 7);
        let records = Records::from_records(&records).unwrap();
        let far = DonorDesc {
            kind: DonorKind::SameClimate,
            km: [1000.0, PI * EARTH_RADIUS_KM],
            ..Default::default()
        };
        let none = choose_donors(&records, &records, &far).unwrap().iter().filter(|d| d.is_none()).count();
        // A tenth has no zone.
        assert!((9_000..11_000).contains(&none), "{none}");
    }
}

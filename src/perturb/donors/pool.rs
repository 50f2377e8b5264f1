//! The records that may be donors, sorted by what a choice asks for.

use super::tree::{Point, Ring, Tree, point};
use super::{DonorDesc, DonorKind};
use crate::common::calendar::{CivilDate, date_of_year_day, days_before_month};
use crate::common::geodesy::Place;
use crate::common::rng::draw4;
use crate::common::season::TimeFields;
use crate::perturb::PURPOSE_DONOR;
use crate::records::{Field, Fields, RECORD_WORDS, Records};
use std::collections::BTreeMap;

/// Days of the year that seasons are told by: 29 February counts as 1 March.
const SEASON_DAYS: i32 = 365;

/// What the choice sees of a record.
pub(super) struct Sight {
    point: Point,
    /// Climate zone or day of the season; 0 where neither counts.
    key: u32,
    id: u64,
}

impl Sight {
    pub(super) fn of(records: &Records, index: usize, desc: &DonorDesc<'_>) -> Option<Self> {
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
        let id = if valid.contains(Field::SampleId) { wide(&words, Field::SampleId) } else { 0 };
        Some(Self { point: point(place), key, id })
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
#[derive(Debug)]
pub(super) struct Pool {
    trees: BTreeMap<u32, Tree>,
    /// The pool's records in the order of their ids.
    order: Vec<u32>,
}

impl Pool {
    pub(super) fn new(pool: &Records, desc: &DonorDesc<'_>) -> Self {
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

    pub(super) fn donor(&self, desc: &DonorDesc<'_>, ring: Ring, sample: &Sight) -> Option<u32> {
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

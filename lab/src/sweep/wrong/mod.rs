//! Wrong metadata by name: what it does to records, which of them it applies to, and the records that come of it.
//!
//! Every draw is keyed by [`SEED`], the sample's number and the name: the same for every model, chunk, part and list.

mod donors;
mod name;

use gtca::gpu::{Dtype, Gpu, View};
use gtca::perturb::{
    Args, Donors, Perturb, PerturbDesc, Perturbation, donor_indices, shift_time_days, shift_time_hours,
    shift_time_months, shift_time_years,
};
use gtca::records::{FIELDS, Field, Fields, RECORD_WORDS, Record, Records};

use crate::Error;
use crate::data::fnv64;
use crate::train::{DeviceGrid, Perturbed};
use donors::Elsewhere;

pub(super) use donors::{Finder, finders};
pub(crate) use name::FORMS;

/// Seed of every draw.
const SEED: u64 = 1;
/// Counted up where the same names come to mean other draws: what was stored before is then not used.
pub(crate) const DRAWS: u32 = 2;
/// A place comes with the ids found there.
const SWAP: Perturbation = Perturbation::Swap {
    fields: Fields::of(&[Field::Lat, Field::Lon, Field::ClimateZone, Field::Ecoregion, Field::Tile]),
};
/// What is swept where nothing is asked for.
const DEFAULTS: [&str; 8] =
    ["10 km", "100 km", "1000 km", "-6 months", "-3 months", "+3 months", "+6 months", "missing"];
/// And, where there is a climate grid, the rest of the four-way test.
const FOUR_WAY: [&str; 3] = ["neighbour", "far, same climate", "far, other climate"];

/// One way in which metadata is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    name: String,
    parts: Vec<Perturbation>,
    /// Where the swap among the parts gets its donors.
    elsewhere: Option<Elsewhere>,
}

impl Wrong {
    /// What the names say, in their order; none: the sweep's own list.
    ///
    /// # Errors
    /// A name that means nothing, or two that mean the same.
    pub fn list(names: &[String], has_grid: bool) -> Result<Vec<Self>, Error> {
        if names.is_empty() {
            return Ok(Self::defaults(has_grid));
        }
        let mut all: Vec<Self> = Vec::with_capacity(names.len());
        for name in names {
            let wrong = Self::parse(name)?;
            if all.iter().any(|other| other.name == wrong.name) {
                return Err(Error::argument("--wrong", format!("`{}` is given twice", wrong.name)));
            }
            all.push(wrong);
        }
        Ok(all)
    }

    /// Distances, months and no metadata at all; with a grid also other places.
    pub(super) fn defaults(has_grid: bool) -> Vec<Self> {
        let names = DEFAULTS.into_iter().chain(FOUR_WAY.into_iter().filter(|_| has_grid));
        names.map(|name| Self::parse(name).expect("the lists hold names")).collect()
    }

    /// Other places that a file gives, whatever they are called.
    pub(super) fn places(name: &str) -> Self {
        Self { name: name.to_owned(), parts: vec![SWAP], elsewhere: None }
    }

    /// Its name in results.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn needs_donors(&self) -> bool {
        self.elsewhere.is_some()
    }

    pub(super) fn shifts_months(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Perturbation::ShiftMonths { .. }))
    }

    /// Counter of its draws, from its name alone.
    fn step(&self) -> u32 {
        fnv64(&[self.name.as_bytes()]) as u32
    }

    /// Which records have what it makes wrong: every part of it has something to change.
    pub(super) fn is_there(
        &self,
        records: &Records,
        donors: Option<&[Option<Record>]>,
    ) -> Result<Vec<bool>, Error> {
        let mut is_there = vec![true; records.len()];
        for part in &self.parts {
            let changes = changes(part, records, donors)?;
            is_there.iter_mut().enumerate().for_each(|(row, is_there)| *is_there &= changes(row));
        }
        Ok(is_there)
    }

    /// The wrong records of `[RECORD_WORDS, rows]`; a record that it does not apply to is not to be looked at.
    pub(super) fn apply(
        &self,
        gpu: &Gpu,
        records: View<'_>,
        donors: Option<&[Option<Record>]>,
        grid: Option<&DeviceGrid>,
    ) -> Result<Perturbed, Error> {
        let out = Perturbed::new(gpu, records.width());
        let uploaded = donors.map(|donors| upload(gpu, donors)).transpose()?;
        let args = Args {
            records,
            out: out.records(),
            v: out.validity(),
            donors: uploaded.as_ref().map(|[indices, pool]| Donors {
                indices: View::vector(indices, records.width()).of(Dtype::U32),
                pool: View::matrix(pool, RECORD_WORDS, records.width()).of(Dtype::U32),
            }),
            lookup: grid.map(DeviceGrid::lookup),
            status: None,
            step: self.step(),
        };
        let perturb = Perturb::new(&PerturbDesc { parts: &self.parts, seed: SEED })?;
        gpu.run(|recorder| perturb.record(recorder, &args))?;
        Ok(out)
    }
}

/// Each row's donor, and a pool in which they stand row by row.
fn upload(gpu: &Gpu, donors: &[Option<Record>]) -> Result<[gtca::wgpu::Buffer; 2], Error> {
    let own: Vec<Option<u32>> = (0..).zip(donors).map(|(row, donor)| donor.map(|_| row)).collect();
    let pool: Vec<Record> = donors.iter().map(|donor| donor.unwrap_or_default()).collect();
    Ok([
        gpu.upload("donors", &donor_indices(&own)),
        gpu.upload("places", Records::from_records(&pool)?.words()),
    ])
}

/// Whether a part of wrong metadata changes a row: it leaves alone what has no place, date, field or donor.
fn changes<'a>(
    part: &'a Perturbation,
    records: &'a Records,
    donors: Option<&'a [Option<Record>]>,
) -> Result<Box<dyn Fn(usize) -> bool + 'a>, Error> {
    let time = move |row| records.time(row);
    Ok(match *part {
        // The prediction from the image alone is there for every row.
        Perturbation::Drop { fields: Fields::METADATA } => Box::new(|_| true),
        Perturbation::Drop { fields } => Box::new(move |row| !(records.fields(row) & fields).is_empty()),
        Perturbation::Displace { .. } => {
            Box::new(move |row| records.fields(row) & Fields::PLACE == Fields::PLACE)
        }
        Perturbation::ShiftMonths { months } => {
            Box::new(move |row| shift_time_months(&time(row), months) != time(row))
        }
        Perturbation::ShiftDays { days } => {
            Box::new(move |row| shift_time_days(&time(row), days, 0) != time(row))
        }
        Perturbation::ShiftYears { years } => {
            Box::new(move |row| shift_time_years(&time(row), years) != time(row))
        }
        Perturbation::ShiftHours { hours } => {
            Box::new(move |row| shift_time_hours(&time(row), hours) != time(row))
        }
        Perturbation::Swap { .. } => Box::new(move |row| donors.is_some_and(|donors| donors[row].is_some())),
        Perturbation::Set { values } => {
            let wanted = Records::from_records(&[values])?;
            Box::new(move |row| !holds(records, row, &wanted))
        }
        Perturbation::Scale { .. } => Box::new(move |row| records.fields(row).contains(Field::Gsd)),
        _ => Box::new(|_| true),
    })
}

/// Whether a row has all that the one record has.
fn holds(records: &Records, row: usize, wanted: &Records) -> bool {
    let word = |of: &Records, row: usize, word: u32| of.words()[word as usize * of.len() + row];
    FIELDS.iter().filter(|info| wanted.fields(0).contains(info.field)).all(|info| {
        let mut words = info.word..info.word + info.kind.words();
        records.fields(row).contains(info.field) && words.all(|n| word(records, row, n) == word(wanted, 0, n))
    })
}

#[cfg(test)]
mod tests;

//! Which wrong metadata a data set allows, and the wrong records of a part.

use gtca::gpu::{Dtype, Gpu, View};
use gtca::perturb::Lookup;
use gtca::records::{RECORD_WORDS, Record, Records};

use super::wrong::{Wrong, finders};
use crate::Error;
use crate::data::{Dataset, Task};
use crate::train::{DeviceGrid, Part, Perturbed, record};

/// The kind of conflict.csv that stands for a wrong place.
const KINDS: [(&str, &str); 6] = [
    ("10 km", "d10"),
    ("100 km", "d100"),
    ("1000 km", "d1000"),
    ("neighbour", "neighbour"),
    ("far, same climate", "far_same"),
    ("far, other climate", "far_diff"),
];

/// All that a data set allows.
#[derive(Clone, Debug)]
pub struct Perturbations {
    /// With a donor for each of the task's rows that has one, where it needs some.
    wrong: Vec<(Wrong, Option<Vec<Option<Record>>>)>,
    grid: Option<Lookup>,
    /// What it does not allow, with the reason.
    pub skipped: Vec<String>,
}

/// The records of a part under one perturbation.
#[derive(Debug)]
pub struct WrongMetadata {
    /// The perturbation in words.
    pub name: String,
    /// On the device.
    pub device: Perturbed,
    /// On the host.
    pub host: Records,
    /// Whether the row is perturbed: not where it has no such wrong place, or no date to shift.
    pub is_there: Vec<bool>,
}

impl Perturbations {
    /// What the data allow: places from conflict.csv where it has the kind; else displacements by the kernel, and donors
    /// as a sweep chooses them where there is a grid.
    ///
    /// Rows for which there is no place of a kind are left out of that perturbation's measures, and counted in
    /// [`skipped`](Self::skipped).
    ///
    /// # Errors
    /// Samples that no record may hold.
    pub fn of(data: &Dataset, task: &Task, grid: Option<Lookup>) -> Result<Self, Error> {
        let mut this = Self { wrong: Vec::new(), grid, skipped: Vec::new() };
        for wrong in Wrong::defaults(true) {
            let (name, has_donors) = (wrong.name().to_owned(), this.grid.is_some() || !wrong.needs_donors());
            if let Some(places) = places(data, task, &name) {
                this.wrong.push((Wrong::places(&name), Some(places)));
            } else if wrong.shifts_months() && !data.month_varies {
                this.skipped.push(format!("{name}: the month never varies in {}", data.name));
            } else if name == "neighbour" && (!has_donors || !data.conflicts.is_empty()) {
                // Ten kilometres stand for it.
            } else if !has_donors {
                let rule = "has neither such places in conflict.csv nor a climate grid to find some";
                this.skipped.push(format!("{name}: {} {rule}", data.name));
            } else {
                this.wrong.push((wrong, None));
            }
        }
        this.choose(data, task)?;
        Ok(this)
    }

    /// Donors for what no file gives them to, and how many rows are without.
    fn choose(&mut self, data: &Dataset, task: &Task) -> Result<(), Error> {
        let all: Vec<Wrong> = self.wrong.iter().map(|(wrong, _)| wrong.clone()).collect();
        let record = |row: usize| record(&data.samples[row], row);
        let finders =
            finders(&all, self.grid.as_ref(), || Ok((0..data.samples.len()).map(record).collect()))?;
        let rows: Vec<Record> = task.rows.iter().map(|&row| record(row)).collect();
        let rows = Records::from_records(&rows)?;
        for ((wrong, donors), finder) in self.wrong.iter_mut().zip(finders) {
            if let Some(finder) = finder {
                *donors = Some(finder.of(&rows)?);
            }
            let donors = donors.as_deref().unwrap_or_default();
            let without = donors.iter().filter(|donor| donor.is_none()).count();
            if without > 0 {
                let (name, of) = (wrong.name(), donors.len());
                self.skipped.push(format!("{name}: {without} of {of} samples have no such place"));
            }
        }
        Ok(())
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.wrong.iter().map(|(wrong, _)| wrong.name().to_owned()).collect()
    }

    /// The climate grid for the kernels.
    pub fn grid(&self) -> Option<&Lookup> {
        self.grid.as_ref()
    }

    /// The wrong records of a part whose rows these are.
    ///
    /// # Errors
    /// The GPU's.
    pub fn apply(&self, gpu: &Gpu, part: &Part, rows: &[usize]) -> Result<Vec<WrongMetadata>, Error> {
        let grid = self.grid.as_ref().map(|grid| DeviceGrid::new(gpu, grid));
        let words = gpu.upload("records", part.host_records.words());
        let records = View::matrix(&words, RECORD_WORDS, part.len).of(Dtype::U32);
        let apply = |(wrong, donors): &(Wrong, Option<Vec<Option<Record>>>)| {
            let donors: Option<Vec<Option<Record>>> =
                donors.as_ref().map(|donors| rows.iter().map(|&row| donors[row]).collect());
            let is_there = wrong.is_there(&part.host_records, donors.as_deref())?;
            let device = wrong.apply(gpu, records, donors.as_deref(), grid.as_ref())?;
            let host = Records::from_words(gpu.read_u32_blocking(&device.records())?)?;
            Ok(WrongMetadata { name: wrong.name().to_owned(), device, host, is_there })
        };
        self.wrong.iter().map(apply).collect()
    }
}

/// Places of conflict.csv for the task's rows.
fn places(data: &Dataset, task: &Task, name: &str) -> Option<Vec<Option<Record>>> {
    let (_, kind) = KINDS.iter().find(|(of, _)| *of == name)?;
    let places = data.conflicts.get(*kind)?;
    let donor = |row: &usize| {
        places[*row].map(|donor| {
            let mut record = Record::new().lat_deg(donor.place.lat_deg).lon_deg(donor.place.lon_deg);
            record.climate_zone = donor.climate_zone;
            record
        })
    };
    Some(task.rows.iter().map(donor).collect())
}

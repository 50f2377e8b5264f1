//! Data of one task, and what all methods share on one of its splits: tokens on the device, labels, records, wrong records.

use crate::settings::Settings;
use burn::tensor::{Device, Int, Tensor, TensorData};
use gtca::common::rng;
use gtca::encode::{IdTables, Plan};
use gtca::gpu::Gpu;
use gtca::perturb::twin::{Perturbed, perturb};
use gtca::perturb::{self, Perturb, PerturbDesc, Perturbation, TrainingMix};
use gtca::records::{Record, Records};
use gtca_burn::encode::upload;
use gtca_lab::data::{self, Dataset, Evidence, LoadOptions, Standardiser, Task};
use gtca_lab::synthetic::{SyntheticOptions, World};
use gtca_lab::train::record;
use std::error::Error;
use std::path::Path;

/// Kinds of wrong places, as the data have them, and their names in the report.
pub(crate) const WRONG: [(&str, &str); 3] =
    [("d100", "100 km"), ("d1000", "1000 km"), ("far_diff", "far, other climate")];

/// What random draws are for, so that unlike ones differ.
const BATCH: u32 = 101;
const HIDDEN: u32 = 102;

/// Reads the data set that the settings name, or makes a small world.
pub(crate) fn load(settings: &Settings) -> Result<Dataset, Box<dyn Error>> {
    let Some(name) = &settings.data else {
        let options =
            SyntheticOptions { seed: settings.seed, samples: 600, sites: 150, ..Default::default() };
        return Ok(World::new(options).dataset());
    };
    let root =
        std::env::var_os("GTCA_DATA").ok_or("--data needs GTCA_DATA, the folder that holds data sets")?;
    let folder = Path::new(&root).join(name);
    if !folder.exists() {
        return Err(
            format!("there is no {name} in GTCA_DATA; without --data a synthetic world is used").into()
        );
    }
    Ok(data::load(&folder, &LoadOptions::default())?)
}

/// A task on a device.
#[derive(Clone, Debug)]
pub(crate) struct Study {
    pub(crate) gpu: Gpu,
    /// With autodiff.
    pub(crate) device: Device,
    pub(crate) labels: Vec<u32>,
    pub(crate) classes: usize,
    pub(crate) steps: usize,
    pub(crate) channels: usize,
    pub(crate) plan: Plan,
    evidence: Evidence,
    records: Vec<Record>,
    /// Donors of wrong places by kind.
    donors: Vec<Vec<Option<perturb::Donor>>>,
    training_mix: Perturb,
    set_place: Perturb,
}

/// Records on the device, and whether anything of them is known.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) records: Tensor<2, Int>,
    pub(crate) validity: Tensor<2>,
}

impl Study {
    pub(crate) fn new(
        gpu: &Gpu,
        device: &Device,
        data: &Dataset,
        task: &Task,
        seed: u64,
    ) -> Result<Self, Box<dyn Error>> {
        let ids =
            IdTables { sensor: data.sensors(), climate_zone: data.climate_zones(), ..Default::default() };
        let perturbation = Perturbation::Training(TrainingMix::default());
        let donors = WRONG.iter().map(|(kind, _)| donors(data, task, kind));
        Ok(Self {
            gpu: gpu.clone(),
            device: device.clone(),
            labels: task.labels.clone(),
            classes: task.classes.len(),
            steps: task.steps.len(),
            channels: data.spectral.len(),
            plan: Plan::gtca(&ids)?,
            evidence: Evidence::of(data, task),
            records: task.rows.iter().map(|&row| record(&data.samples[row], row)).collect(),
            donors: donors.collect(),
            training_mix: Perturb::new(&PerturbDesc { perturbation, seed })?,
            set_place: Perturb::new(&PerturbDesc { perturbation: Perturbation::Set, seed })?,
        })
    }

    /// Tokens of all rows, `[rows, steps, 2·channels]`: values that are standardised by the given rows, then 1 where a value was
    /// observed and 0 where it is missing.
    pub(crate) fn tokens(&self, train: &[usize]) -> Tensor<3> {
        let values = Standardiser::fit(&self.evidence, train).apply(&self.evidence);
        let shape = [self.labels.len(), 2, self.steps, self.channels];
        let halves: Tensor<4> = Tensor::from_data(TensorData::new(values, shape), &self.device);
        halves.swap_dims(1, 2).reshape([shape[0], self.steps, 2 * self.channels])
    }

    /// Positions on the device.
    pub(crate) fn positions(&self, rows: &[usize]) -> Tensor<1, Int> {
        let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        Tensor::from_ints(rows.as_slice(), &self.device)
    }

    pub(crate) fn labels(&self, rows: &[usize]) -> Tensor<1, Int> {
        let labels: Vec<i32> = rows.iter().map(|&row| self.labels[row] as i32).collect();
        Tensor::from_ints(labels.as_slice(), &self.device)
    }

    /// The recorded metadata.
    pub(crate) fn metadata(&self, rows: &[usize]) -> Result<Metadata, gtca::Error> {
        self.upload(self.recorded(rows)?)
    }

    /// The metadata of a training step: some of it dropped, some places moved.
    pub(crate) fn disturbed(&self, rows: &[usize], step: usize) -> Result<Metadata, gtca::Error> {
        let recorded = self.recorded(rows)?.records;
        self.upload(perturb(&self.training_mix, &recorded, None, None, step as u32))
    }

    /// The metadata of wrong places, and for which rows the data have such a place: group 0 there, else none.
    pub(crate) fn misplaced(
        &self,
        rows: &[usize],
        kind: usize,
    ) -> Result<(Metadata, Tensor<1, Int>), gtca::Error> {
        let donors: Vec<_> = rows.iter().map(|&row| self.donors[kind][row]).collect();
        let (words, recorded) = (perturb::donor_words(&donors)?, self.recorded(rows)?.records);
        let groups: Vec<i32> = perturb::donor_groups(&donors, 0).iter().map(|&group| group as i32).collect();
        let groups = Tensor::from_ints(groups.as_slice(), &self.device);
        Ok((self.upload(perturb(&self.set_place, &recorded, Some(&words), None, 0))?, groups))
    }

    fn recorded(&self, rows: &[usize]) -> Result<Perturbed, gtca::Error> {
        let records: Vec<Record> = rows.iter().map(|&row| self.records[row]).collect();
        let records = Records::from_records(&records)?;
        Ok(Perturbed { v: vec![1.0; rows.len()], records, status: Default::default() })
    }

    fn upload(&self, Perturbed { records, v, .. }: Perturbed) -> Result<Metadata, gtca::Error> {
        let validity = TensorData::new(v, [records.len(), 1]);
        let validity = Tensor::from_data(validity, &self.device);
        Ok(Metadata { records: upload(&records, &self.device), validity })
    }
}

/// The task's donors of a kind; none where the data have no such kind.
fn donors(data: &Dataset, task: &Task, kind: &str) -> Vec<Option<perturb::Donor>> {
    let of_data = data.conflicts.get(kind);
    let donor = |donor: &data::Donor| perturb::Donor {
        lat_deg: donor.place.lat_deg,
        lon_deg: donor.place.lon_deg,
        climate_zone: donor.climate_zone,
    };
    task.rows.iter().map(|&row| of_data?[row].as_ref().map(donor)).collect()
}

/// The rows of a step, drawn with replacement: the same for every method.
pub(crate) fn batch(train: &[usize], size: usize, seed: u64, step: usize) -> Vec<usize> {
    let row = |i: usize| {
        let share = f64::from(uniform(seed, BATCH, i, step));
        train[((share * train.len() as f64) as usize).min(train.len() - 1)]
    };
    (0..size).map(row).collect()
}

/// Which steps of a batch are hidden, `[size · steps]` of 0 and 1.
pub(crate) fn hidden(count: usize, share: f32, seed: u64, step: usize) -> Vec<f32> {
    let hide = |i| if uniform(seed, HIDDEN, i, step) < share { 1.0 } else { 0.0 };
    (0..count).map(hide).collect()
}

fn uniform(seed: u64, purpose: u32, i: usize, step: usize) -> f32 {
    rng::uniform01(rng::draw4(seed, purpose, i as u64, step as u32, 0)[0])
}

/// The number of a loss; waits for it.
pub(crate) fn scalar(loss: Tensor<1>) -> f32 {
    values(loss)[0]
}

/// A tensor's numbers; waits for them.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}

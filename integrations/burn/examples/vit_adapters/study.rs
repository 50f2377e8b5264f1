//! Data on a device, as all methods of a split share them: tokens, labels, metadata as recorded and wrong.

use crate::data::{Data, Purpose, uniform};
use burn::tensor::{Device, Int, Tensor, TensorData};
use gtca::encode::{IdTables, Plan};
use gtca::gpu::Gpu;
use gtca::perturb::twin::{Perturbed, With, perturb};
use gtca::perturb::{Bearing, Distance, Perturb, PerturbDesc, Perturbation, TrainingMix};
use gtca::records::{Record, Records};
use gtca_burn::encode::upload;

/// How metadata are wrong, when a model is judged.
pub(crate) const WRONG: [&str; 3] = ["100 km", "1000 km", "another's"];
const DISPLACED_KM: [f64; 2] = [100.0, 1000.0];

/// Data on a device.
#[derive(Clone, Debug)]
pub(crate) struct Study {
    pub(crate) gpu: Gpu,
    /// With autodiff.
    pub(crate) device: Device,
    pub(crate) data: Data,
    pub(crate) plan: Plan,
    training_mix: Perturb,
    displace: [Perturb; 2],
}

/// Records on the device, and whether anything of them is known.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) records: Tensor<2, Int>,
    pub(crate) validity: Tensor<2>,
}

impl Study {
    pub(crate) fn new(gpu: &Gpu, device: &Device, data: Data, seed: u64) -> Result<Self, gtca::Error> {
        let zones = data.records.iter().filter_map(|record| record.climate_zone).max();
        let ids = IdTables { climate_zone: zones.map_or(0, |zone| zone + 1), ..Default::default() };
        let new = |part| Perturb::new(&PerturbDesc { parts: &[part], seed });
        let displace =
            |km| new(Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random });
        let [near, far] = DISPLACED_KM.map(displace);
        Ok(Self {
            gpu: gpu.clone(),
            device: device.clone(),
            plan: Plan::gtca(&ids)?,
            data,
            training_mix: new(Perturbation::Training(TrainingMix::default()))?,
            displace: [near?, far?],
        })
    }

    /// Tokens of all samples, `[samples, steps, 2·channels]`: values in deviations from the mean of the given rows, 0 where one is
    /// missing; then 1 where one was observed, else 0.
    pub(crate) fn tokens(&self, train: &[usize]) -> Tensor<3> {
        let Data { series, steps, channels, labels, .. } = &self.data;
        let width = steps * channels;
        let scale = |feature: usize| {
            let seen =
                || train.iter().map(|row| series[row * width + feature]).filter(|value| !value.is_nan());
            let count = seen().count().max(1) as f32;
            let mean = seen().sum::<f32>() / count;
            let variance = seen().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
            (mean, if variance > 1e-12 { variance.sqrt().recip() } else { 1.0 })
        };
        let scales: Vec<(f32, f32)> = (0..width).map(scale).collect();
        let mut tokens = Vec::with_capacity(2 * series.len());
        for (at, token) in series.chunks_exact(*channels).enumerate() {
            let of_step = &scales[at % steps * channels..][..*channels];
            let value = |(value, (mean, scale)): (&f32, &(f32, f32))| {
                if value.is_nan() { 0.0 } else { (value - mean) * scale }
            };
            tokens.extend(token.iter().zip(of_step).map(value));
            tokens.extend(token.iter().map(|value| if value.is_nan() { 0.0 } else { 1.0 }));
        }
        Tensor::from_data(TensorData::new(tokens, [labels.len(), *steps, 2 * channels]), &self.device)
    }

    /// Positions on the device.
    pub(crate) fn positions(&self, rows: &[usize]) -> Tensor<1, Int> {
        self.integers(rows.iter().map(|&row| row as i32))
    }

    pub(crate) fn labels(&self, rows: &[usize]) -> Tensor<1, Int> {
        self.integers(rows.iter().map(|&row| self.data.labels[row] as i32))
    }

    fn integers(&self, values: impl Iterator<Item = i32>) -> Tensor<1, Int> {
        Tensor::from_ints(values.collect::<Vec<_>>().as_slice(), &self.device)
    }

    /// The recorded metadata.
    pub(crate) fn metadata(&self, rows: &[usize]) -> Result<Metadata, gtca::Error> {
        let records = self.recorded(rows)?;
        Ok(self.upload(&records, vec![1.0; rows.len()]))
    }

    /// The metadata of a training step: some of it dropped, some places moved.
    pub(crate) fn disturbed(&self, rows: &[usize], step: usize) -> Result<Metadata, gtca::Error> {
        self.perturbed(&self.training_mix, rows, step)
    }

    /// Metadata that are wrong in the way of [`WRONG`].
    pub(crate) fn wrong(&self, rows: &[usize], way: usize) -> Result<Metadata, gtca::Error> {
        if let Some(displace) = self.displace.get(way) {
            return self.perturbed(displace, rows, way);
        }
        let another: Vec<usize> = (0..rows.len()).map(|i| rows[(i + rows.len() / 2) % rows.len()]).collect();
        self.metadata(&another)
    }

    fn perturbed(&self, how: &Perturb, rows: &[usize], step: usize) -> Result<Metadata, gtca::Error> {
        let with = With { step: step as u32, ..Default::default() };
        let Perturbed { records, v, .. } = perturb(how, &self.recorded(rows)?, with);
        Ok(self.upload(&records, v))
    }

    fn recorded(&self, rows: &[usize]) -> Result<Records, gtca::Error> {
        Records::from_records(&rows.iter().map(|&row| self.data.records[row]).collect::<Vec<Record>>())
    }

    fn upload(&self, records: &Records, validity: Vec<f32>) -> Metadata {
        let validity = TensorData::new(validity, [records.len(), 1]);
        let validity = Tensor::from_data(validity, &self.device);
        Metadata { records: upload(records, &self.device), validity }
    }
}

/// The rows of a step, drawn with replacement: the same for every method.
pub(crate) fn batch(train: &[usize], size: usize, seed: u64, step: usize) -> Vec<usize> {
    let row = |i| (uniform(seed, Purpose::Batch, i, step) * train.len() as f32) as usize;
    (0..size).map(|i| train[row(i).min(train.len() - 1)]).collect()
}

/// The number of a loss; waits for it.
pub(crate) fn scalar(loss: Tensor<1>) -> f32 {
    values(loss)[0]
}

/// A tensor's numbers; waits for them.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}

//! Logits to scores, through `gtca::metrics` and `gtca::sensitivity`.

use super::WrongMetadata;
use crate::Error;
use crate::report::{Bin, Scores, Sensitivity};
use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::metrics::{self, Meter, MeterDesc};
use gtca::sensitivity::{External, Probe, ProbeDesc};

/// Scores and reliability diagram of logits `[rows, classes]`.
///
/// # Errors
/// The GPU's.
pub fn score(gpu: &Gpu, logits: &[f32], labels: &[u32]) -> Result<(Scores, Vec<Bin>), Error> {
    let (rows, classes) = (labels.len() as u32, (logits.len() / labels.len()) as u32);
    let meter = Meter::new(&MeterDesc { classes, groups: 1 })?;
    let (logits, labels, sums) =
        (gpu.upload("logits", logits), gpu.upload("labels", labels), meter.sums(gpu));
    let mut encoder = gpu.encoder();
    let args = metrics::Args {
        logits: View::matrix(&logits, rows, classes),
        labels: View::matrix(&labels, rows, 1).of(Dtype::U32),
        groups: None,
        sums: meter.view(&sums),
        mode: Mode::Overwrite,
    };
    meter.record(&mut gpu.recorder(&mut encoder), &args)?;
    gpu.submit(encoder)?;
    let counted = pollster::block_on(meter.read(gpu, &meter.view(&sums)))?.overall();
    let scores = Scores {
        accuracy: counted.accuracy().unwrap_or(0.0),
        macro_f1: counted.macro_f1().unwrap_or(0.0),
        nll: counted.nll().value().unwrap_or(0.0),
        ece: counted.ece().unwrap_or(0.0),
    };
    let bin = |bin: &gtca::common::measure::ReliabilityBin| Bin {
        count: bin.count,
        accuracy: bin.correct as f64 / bin.count.max(1) as f64,
        confidence: bin.confidence_units as f64 / f64::from(1 << 26) / bin.count.max(1) as f64,
    };
    Ok((scores, counted.reliability().iter().map(bin).collect()))
}

/// Logits under wrong metadata.
#[derive(Clone, Debug)]
pub struct Variant<'a> {
    /// The wrong metadata.
    pub wrong: &'a WrongMetadata,
    /// `[rows, classes]`.
    pub logits: Vec<f32>,
}

/// How far predictions move from `base` to each variant, over the rows that have such wrong metadata; a variant
/// that no row has is left out.
///
/// # Errors
/// The GPU's.
pub fn sensitivity(
    gpu: &Gpu,
    base: &[f32],
    variants: &[Variant<'_>],
    labels: &[u32],
) -> Result<Vec<Sensitivity>, Error> {
    if variants.is_empty() {
        return Ok(Vec::new());
    }
    let (rows, classes) = (labels.len() as u32, (base.len() / labels.len()) as u32);
    let perturbations = variants.len() as u32;
    let probe = Probe::new(&ProbeDesc { classes, groups: 1, perturbations })?;
    let (base, labels, sums) = (gpu.upload("base", base), gpu.upload("labels", labels), probe.sums(gpu));
    let labels = View::matrix(&labels, rows, 1).of(Dtype::U32);
    for (first_perturbation, variant) in (0..).zip(variants) {
        let (logits, groups) =
            (gpu.upload("variant", &variant.logits), gpu.upload("groups", &variant.wrong.groups));
        let mut encoder = gpu.encoder();
        let args = External {
            base: View::matrix(&base, rows, classes),
            variants: View::tokens(&logits, [1, rows, classes]),
            labels: Some(labels),
            groups: Some(View::matrix(&groups, rows, 1).of(Dtype::U32)),
            per_sample: None,
            first_perturbation,
            sums: probe.view(&sums),
            mode: Mode::Accumulate,
        };
        probe.external(&mut gpu.recorder(&mut encoder), &args)?;
        gpu.submit(encoder)?;
    }
    let table = pollster::block_on(probe.read(gpu, &probe.view(&sums)))?;
    let of = |(k, variant): (u32, &Variant<'_>)| {
        let tally = table.group(k, 0).filter(|tally| tally.count() + tally.invalid() > 0)?;
        Some(Sensitivity {
            perturbation: variant.wrong.name.clone(),
            flips: tally.flip_rate().unwrap_or(f64::NAN),
            kl: tally.kl().value().unwrap_or(f64::NAN),
            js: tally.js().value().unwrap_or(f64::NAN),
            tv: tally.tv().value().unwrap_or(f64::NAN),
            accuracy: tally.accuracy().unwrap_or(f64::NAN),
            nll: tally.nll().value().unwrap_or(f64::NAN),
        })
    };
    Ok((0..).zip(variants).filter_map(of).collect())
}

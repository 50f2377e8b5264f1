//! What a method costs, and what its model is worth: scores, and predictions that wrong places change.

use crate::clock::cpu_ms;
use crate::settings::Settings;
use crate::study::{Study, WRONG, batch, values};
use crate::tuned::{Frozen, Method, Tuned, optimiser};
use burn::tensor::Tensor;
use gtca::metrics::{GroupMetrics, MeterDesc, Metrics};
use gtca::sensitivity::ProbeDesc;
use gtca_burn::sensitivity::{Samples, Sweep};
use std::error::Error;
use std::time::Instant;

/// Steps of each method before the first that counts.
const WARM_UP: usize = 3;

/// What a training step takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) method: Method,
    /// Trainable numbers.
    pub(crate) parameters: usize,
    /// Median by the clock, from the batch's rows to an idle device.
    pub(crate) wall_ms: f64,
    /// Median processor time of this process.
    pub(crate) cpu_ms: f64,
    /// Bytes that Burn's allocator has in use between forward and backward, above those before the step: what is kept for gradients.
    pub(crate) kept_bytes: u64,
}

/// Times steps of all methods in turn, so that a busy machine disturbs all alike.
pub(crate) fn costs(
    study: &Study,
    frozen: &Frozen,
    train: &[usize],
    settings: &Settings,
) -> Result<Vec<Cost>, Box<dyn Error>> {
    let mut timed = Vec::new();
    for method in Method::TIMED {
        let tuned = Tuned::new(method, study, frozen, settings, settings.seed)?;
        timed.push((tuned, optimiser(), Vec::new(), Vec::new(), 0));
    }
    for step in 0..WARM_UP + settings.timed {
        let rows = batch(train, settings.batch, settings.seed, step);
        for (tuned, optimiser, wall, cpu, kept) in &mut timed {
            study.device.sync()?;
            let (start, cpu_start) = (Instant::now(), cpu_ms());
            (*tuned, _) = tuned.clone().step(study, frozen, optimiser, &rows, step, settings.rate)?;
            study.device.sync()?;
            if step >= WARM_UP {
                wall.push(start.elapsed().as_secs_f64() * 1e3);
                cpu.push(cpu_ms() - cpu_start);
            } else {
                *kept = kept_bytes(study, frozen, tuned, &rows, step)?;
            }
        }
    }
    let cost = |(tuned, _, wall, cpu, kept_bytes): (Tuned, _, _, _, _)| Cost {
        method: tuned.method,
        parameters: tuned.trainable(frozen),
        wall_ms: median(wall),
        cpu_ms: median(cpu),
        kept_bytes,
    };
    Ok(timed.into_iter().map(cost).collect())
}

fn kept_bytes(
    study: &Study,
    frozen: &Frozen,
    tuned: &Tuned,
    rows: &[usize],
    step: usize,
) -> Result<u64, Box<dyn Error>> {
    let in_use = || -> Result<u64, Box<dyn Error>> {
        study.device.sync()?;
        Ok(study.device.memory_pool_usage().map_or(0, |usage| usage.bytes_in_use))
    };
    let before = in_use()?;
    let loss = tuned.loss(study, frozen, rows, step)?;
    let between = in_use()?;
    drop(loss.backward());
    Ok(between.saturating_sub(before))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A model on a test part.
#[derive(Clone, Debug)]
pub(crate) struct Worth {
    pub(crate) accuracy: f64,
    pub(crate) macro_f1: f64,
    /// In nats.
    pub(crate) nll: f64,
    /// For every way of wrong metadata: share of predictions that change, and accuracy there; none where nothing is gated.
    pub(crate) wrong: Vec<[f64; 2]>,
}

pub(crate) fn worth(
    study: &Study,
    frozen: &Frozen,
    tuned: &Tuned,
    test: &[usize],
) -> Result<Worth, gtca::Error> {
    let logits = tuned.predict(study, frozen, test)?;
    let (classes, rows) = (study.data.classes(), values(logits.clone()));
    let mut counted = Metrics::new(&MeterDesc { classes: classes as u32, groups: 1 })?;
    for (logits, &row) in rows.chunks_exact(classes).zip(test) {
        counted.add(logits, study.data.labels[row], None)?;
    }
    let scores: GroupMetrics = counted.overall();
    let of = |score: Option<f64>| score.unwrap_or(f64::NAN);
    Ok(Worth {
        accuracy: of(scores.accuracy()),
        macro_f1: of(scores.macro_f1()),
        nll: of(scores.nll().value()),
        wrong: if tuned.method.is_gated() { wrong(study, frozen, tuned, test, logits)? } else { Vec::new() },
    })
}

fn wrong(
    study: &Study,
    frozen: &Frozen,
    tuned: &Tuned,
    test: &[usize],
    logits: Tensor<2>,
) -> Result<Vec<[f64; 2]>, gtca::Error> {
    let [classes, perturbations] = [study.data.classes(), WRONG.len()].map(|count| count as u32);
    let mut sweep = Sweep::new(&study.gpu, &ProbeDesc { classes, groups: 1, perturbations }, &study.device)?;
    let samples = Samples { labels: Some(study.labels(test)), groups: None };
    for way in 0..WRONG.len() {
        let gates = tuned.gates(&study.wrong(test, way)?, 1.0);
        let moved = tuned.logits(frozen, frozen.entering(study, test), gates);
        sweep.external(logits.clone(), moved.unsqueeze(), way as u32, &samples);
    }
    let table = sweep.read()?;
    let of = |way: u32| {
        let tally = table.overall(way);
        [tally.and_then(|tally| tally.flip_rate()), tally.and_then(|tally| tally.accuracy())]
            .map(|share| share.unwrap_or(f64::NAN))
    };
    Ok((0..perturbations).map(of).collect())
}

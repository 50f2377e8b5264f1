//! What a run measures under wrong metadata: every model's test predictions, through the same sweep as files take.
//!
//! A split's test part is a part of the rows; where the test parts of a protocol do not overlap (folds), their results
//! add up to one over all samples, each predicted by a model that never saw it.

use std::path::PathBuf;

use gtca::gpu::Gpu;

use crate::Error;
use crate::data::{Dataset, fnv64};
use crate::report::{self, Results, Sensitivity, SplitResult};
use crate::run::Run;
use crate::splits::Split;
use crate::sweep::{
    Chunk, Grouping, Partial, Perturbations, Row, Subject, Sweep, Vocabulary, WrongMetadata, block,
};
use crate::train::record;

/// One model on one split.
pub(crate) struct Swept<'a> {
    pub(crate) model: &'a str,
    pub(crate) split: &'a Split,
    pub(crate) seed: u64,
    /// Positions within the task.
    pub(crate) rows: &'a [usize],
    pub(crate) wrong: &'a [WrongMetadata],
    /// Logits, `[rows, classes]`; the variants in the order of `wrong`.
    pub(crate) base: Vec<f32>,
    pub(crate) variants: Vec<Vec<f32>>,
    pub(crate) known: Option<(Vec<f32>, Vec<Vec<f32>>)>,
}

/// Where a run keeps its sweeps.
pub(crate) struct Sweeps<'a> {
    run: &'a Run<'a>,
    out: PathBuf,
    fingerprint: u64,
    perturbations: Vec<String>,
    groupings: Vec<Grouping>,
    /// Every row of the task.
    rows: Vec<Row>,
}

impl<'a> Sweeps<'a> {
    pub(crate) fn new(
        run: &'a Run<'a>,
        perturbations: &Perturbations,
        out: &std::path::Path,
        fingerprint: u64,
    ) -> Result<Self, Error> {
        let mut rows: Vec<Row> = (0..run.task.rows.len()).map(|at| row(run, at)).collect();
        let mut groupings = Vec::new();
        for (column, names) in &run.group_by {
            let name = |at: usize| match names.get(run.task.rows[at]) {
                Some(name) => name,
                None => &run.task.classes[run.task.labels[at] as usize],
            };
            let mut vocabulary = Vocabulary::default();
            (0..rows.len()).try_for_each(|at| vocabulary.see(column, name(at)))?;
            groupings.push(vocabulary.number(column));
            rows.iter_mut().enumerate().for_each(|(at, row)| row.groups.push(vocabulary.of(name(at))));
        }
        if groupings.is_empty() {
            groupings.push(Grouping { column: "all".to_owned(), groups: vec!["all".to_owned()] });
            rows.iter_mut().for_each(|row| row.groups.push(0));
        }
        let out = out.join("sweeps");
        Ok(Self { run, out, fingerprint, perturbations: perturbations.names(), groupings, rows })
    }

    fn subject(&self, model: &str, protocol: &str, seed: u64) -> Subject {
        let parts = [&self.fingerprint.to_le_bytes(), protocol.as_bytes(), &seed.to_le_bytes()];
        Subject {
            dataset: format!("{} / {}", self.run.data.name, self.run.task.name),
            model: model.to_owned(),
            classes: self.run.task.classes.clone(),
            perturbations: self.perturbations.clone(),
            groupings: self.groupings.clone(),
            resample: self.run.resample.clone(),
            inputs: format!("{:016x}", fnv64(&parts)),
        }
    }

    fn path(&self, model: &str, protocol: &str, index: usize, seed: u64) -> PathBuf {
        let model = model.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        self.out.join(format!("{protocol}-{index}-{seed}-{model}.safetensors"))
    }

    /// Sweeps, stores, and says what the run's tables show.
    pub(crate) fn add(&self, gpu: &Gpu, swept: &Swept<'_>) -> Result<Vec<Sensitivity>, Error> {
        let (protocol, width) = (swept.split.protocol.name(), self.run.task.classes.len());
        let rows = swept.rows.iter().map(|&at| self.rows[at].clone()).collect();
        let mut variants = swept.variants.clone();
        for (logits, wrong) in variants.iter_mut().zip(swept.wrong) {
            let rows = logits.chunks_exact_mut(width).zip(&wrong.is_there);
            rows.filter(|(_, is_there)| !**is_there).for_each(|(row, _)| row.fill(f32::NAN));
        }
        let mut sweep = Sweep::new(gpu, Partial::new(self.subject(swept.model, protocol, swept.seed))?)?;
        sweep.add(&Chunk { rows, base: swept.base.clone(), variants, known: swept.known.clone() })?;
        let partial = sweep.finish()?;
        partial.store(&self.path(swept.model, protocol, swept.split.index, swept.seed))?;
        Ok(measures(&partial))
    }

    /// Whether the sweeps of a stored split are there too.
    pub(crate) fn are_there(&self, split: &SplitResult) -> bool {
        split.models.iter().filter(|model| !model.sensitivity.is_empty()).all(|model| {
            let subject = self.subject(&model.model, &split.protocol, split.seed);
            let path = self.path(&model.model, &split.protocol, split.index, split.seed);
            Partial::load(&path).is_ok_and(|partial| partial.subject == subject)
        })
    }

    /// One page a protocol beside the report, from the first seed's splits; says what was left out.
    pub(crate) fn report(&self, results: &Results) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        let mut protocols: Vec<&str> = results.splits.iter().map(|split| split.protocol.as_str()).collect();
        protocols.dedup();
        protocols.sort_unstable();
        protocols.dedup();
        for protocol in protocols {
            let of_first_seed =
                |split: &&SplitResult| split.protocol == protocol && split.seed == results.seed;
            let splits: Vec<&SplitResult> = results.splits.iter().filter(of_first_seed).collect();
            let (models, left_out) = self.models(&splits)?;
            if left_out > 0 {
                notes.push(format!(
                    "{protocol}: the sensitivity page shows {} of {} splits; the others test samples again",
                    splits.len() - left_out,
                    splits.len()
                ));
            }
            if !models.is_empty() {
                let page =
                    report::sensitivity::Page::new(models, report::sensitivity::REPLICATES, self.run.seed)?;
                page.write(&self.out.with_file_name(report::sensitivity::file_name(protocol)))?;
            }
        }
        Ok(notes)
    }

    /// Every model's results added over the splits that do not overlap, and how many splits do.
    fn models(&self, splits: &[&SplitResult]) -> Result<(Vec<Partial>, usize), Error> {
        let (mut models, mut left_out): (Vec<Partial>, _) = (Vec::new(), 0);
        for split in splits {
            let mut overlaps = false;
            for model in split.models.iter().filter(|model| !model.sensitivity.is_empty()) {
                let more = Partial::load(&self.path(&model.model, &split.protocol, split.index, split.seed))?;
                match models.iter_mut().find(|sum| sum.subject.model == model.model) {
                    Some(sum) if sum.rows.join(&more.rows).is_err() => overlaps = true,
                    Some(sum) => sum.merge(&more)?,
                    None => models.push(more),
                }
            }
            left_out += usize::from(overlaps);
        }
        Ok((models, left_out))
    }
}

/// A row of the task, without its groups.
fn row(run: &Run<'_>, at: usize) -> Row {
    let data: &Dataset = run.data;
    let number = run.task.rows[at];
    let sample = &data.samples[number];
    let place = [sample.place.lat_deg, sample.place.lon_deg];
    let when = &sample.when;
    let date = [when.year, when.month.map(|m| m as i32), when.day.map(|d| d as i32)];
    Row {
        number: number as u64,
        id: sample.id.clone(),
        place: Some([place[0], if place[1] > 180.0 { place[1] - 360.0 } else { place[1] }]),
        date: date
            .iter()
            .map_while(|part| part.map(|part| format!("{part:02}")))
            .collect::<Vec<_>>()
            .join("-"),
        label: Some(run.task.labels[at]),
        groups: Vec::new(),
        record: record(sample, number),
        unit: if run.resample == "block" { block(place) } else { number as u64 },
    }
}

/// The run's own table: a perturbation that no row has is left out.
fn measures(partial: &Partial) -> Vec<Sensitivity> {
    let of = |(k, name): (usize, &String)| {
        let tally = partial.overall(k).filter(|tally| tally.count() + tally.invalid() > 0)?;
        Some(Sensitivity {
            perturbation: name.clone(),
            flips: tally.flip_rate().unwrap_or(f64::NAN),
            kl: tally.kl().value().unwrap_or(f64::NAN),
            js: tally.js().value().unwrap_or(f64::NAN),
            tv: tally.tv().value().unwrap_or(f64::NAN),
            accuracy: tally.accuracy().unwrap_or(f64::NAN),
            nll: tally.nll().value().unwrap_or(f64::NAN),
        })
    };
    partial.subject.perturbations.iter().enumerate().filter_map(of).collect()
}

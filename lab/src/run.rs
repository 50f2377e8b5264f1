//! One run: every split and seed of a task, each stored as it ends and skipped on restart.

use crate::data::{Dataset, Task};
use crate::report::{self, ModelResult, MuPoint, Results, SplitResult};
use crate::splits::{ProtocolSplits, Split, splits};
use crate::sweep::{Perturbations, Variant, WrongMetadata, score, sensitivity};
use crate::synthetic::{Known, Law, Seen, World};
use crate::train::{
    Backbone, ConcatScale, Config, Features, Gtca, Kind, Material, Outcome, Part, Plain, record,
};
use crate::{Error, data};
use gtca::encode::{IdTables, Plan};
use gtca::gpu::Gpu;
use gtca::perturb::ClimateGrid;
use gtca::records::{Record, Records};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::time::Instant;

/// Metadata weights of the μ curve.
const MU: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// What is run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The data.
    pub data: &'a Dataset,
    /// The task.
    pub task: &'a Task,
    /// The world behind synthetic data, whose posteriors are known.
    pub world: Option<&'a World>,
    /// Climate zones by place, for displaced records.
    pub grid: Option<ClimateGrid>,
    /// First model seed; also that of drawn splits.
    pub seed: u64,
    /// How many model seeds.
    pub seeds: u32,
    /// At most so many splits of each protocol.
    pub most_splits: usize,
    /// Sizes and schedule.
    pub config: Config,
}

/// A climate grid in the kernels' form.
///
/// # Errors
/// A grid larger than the kernels take.
pub fn kernel_grid(grid: &data::ClimateGrid, no_data: &[u8]) -> Result<ClimateGrid, Error> {
    Ok(ClimateGrid::new(grid.rows as u32, grid.columns as u32, grid.codes.clone(), no_data)?)
}

impl Run<'_> {
    /// Runs what is not yet stored under `out` and returns all results.
    ///
    /// # Errors
    /// The GPU's; a folder that cannot be written.
    pub fn run(&self, gpu: &Gpu, out: &Path) -> Result<Results, Error> {
        let perturbations = Perturbations::of(self.data, self.task, self.grid.clone());
        let mut protocols = splits(self.data, self.task, self.seed);
        protocols.iter_mut().for_each(|protocol| protocol.splits.truncate(self.most_splits));
        let mut results = self.start(gpu, &protocols, &perturbations);
        let total =
            protocols.iter().map(|protocol| protocol.splits.len()).sum::<usize>() * self.seeds as usize;
        let bar = ProgressBar::new(total as u64).with_style(style());
        let fingerprint = self.fingerprint(gpu);
        for seed in (0..u64::from(self.seeds)).map(|i| self.seed + i) {
            for split in protocols.iter().flat_map(|protocol| &protocol.splits) {
                bar.set_message(format!("{} {}, seed {seed}", split.protocol.name(), split.name));
                let (protocol, index) = (split.protocol.name(), split.index);
                let result = match report::splits::load(out, protocol, index, seed, fingerprint) {
                    Some(result) => result,
                    None => {
                        let result = self.split(gpu, split, seed, &perturbations)?;
                        report::splits::store(out, &result, fingerprint)?;
                        result
                    }
                };
                results.splits.push(result);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(results)
    }

    fn start(&self, gpu: &Gpu, protocols: &[ProtocolSplits], perturbations: &Perturbations) -> Results {
        let mut notes = self.data.notes.clone();
        notes.extend(protocols.iter().filter(|p| !p.splits.is_empty()).map(|protocol| {
            format!("{}: {} splits, {}", protocol.protocol.name(), protocol.splits.len(), protocol.origin)
        }));
        let mut skipped: Vec<String> =
            protocols.iter().flat_map(|protocol| protocol.skipped.clone()).collect();
        skipped.extend(perturbations.skipped.clone());
        Results {
            dataset: self.data.name.clone(),
            task: self.task.name.clone(),
            classes: self.task.classes.clone(),
            adapter: gpu.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.seed,
            seeds: self.seeds,
            notes,
            skipped,
            splits: Vec::new(),
        }
    }

    /// Names data, task, configuration and device: a stored split of another one is not used.
    fn fingerprint(&self, gpu: &Gpu) -> u64 {
        let (task, config, seed, grid) = (&self.task.name, &self.config, self.seed, self.grid.is_some());
        let text = format!("{task} {config:?} {seed} {grid} {gpu}");
        data::fnv64(&[
            &self.data.fingerprint.to_le_bytes(),
            text.as_bytes(),
            env!("CARGO_PKG_VERSION").as_bytes(),
        ])
    }

    /// Trains and measures every model on one split.
    fn split(
        &self,
        gpu: &Gpu,
        split: &Split,
        seed: u64,
        perturbations: &Perturbations,
    ) -> Result<SplitResult, Error> {
        let start = Instant::now();
        let evidence = data::Evidence::of(self.data, self.task);
        let standardiser = data::Standardiser::fit(&evidence, &split.train);
        let values = standardiser.apply(&evidence);
        let material = Material {
            evidence: &values,
            width: standardiser.width() as u32,
            labels: &self.task.labels,
            classes: self.task.classes.len() as u32,
        };
        let backbone = Backbone::train(gpu, &material, &split.train, &split.validation, &self.config, seed)?;
        let [x, y, logits] = backbone.run(&material)?;
        let records: Vec<Record> =
            self.task.rows.iter().map(|&row| record(&self.data.samples[row], row)).collect();
        let concat = ConcatScale::fit(&records, &split.train);
        let features =
            Features { width: self.config.width, x, y, labels: self.task.labels.clone(), records, concat };
        let test = Part::new(gpu, &features, &split.test)?;
        let labels: Vec<u32> = split.test.iter().map(|&row| self.task.labels[row]).collect();
        let case = Case {
            run: self,
            gpu,
            backbone: &backbone,
            features: &features,
            train: Part::shuffled(gpu, &features, &split.train, seed)?,
            validation: Part::new(gpu, &features, &split.validation)?,
            wrong: perturbations.apply(gpu, &test, &split.test)?,
            test,
            labels,
            rows: &split.test,
            seed,
        };
        let classes = self.task.classes.len();
        let alone: Vec<f32> =
            split.test.iter().flat_map(|&row| logits[row * classes..][..classes].to_vec()).collect();
        let base = case.model("no metadata", &alone, &[], backbone.outcome, start)?;
        let mut models = vec![base, case.plain(Kind::Lora)?, case.plain(Kind::Concat)?];
        models.push(case.gtca(perturbations.grid())?);
        if let Some(world) = self.world {
            models.extend(case.posteriors(world)?);
        }
        Ok(SplitResult {
            protocol: split.protocol.name().to_owned(),
            index: split.index,
            name: split.name.clone(),
            seed,
            train: split.train.len(),
            validation: split.validation.len(),
            test: split.test.len(),
            models,
        })
    }

    /// The encoder's blocks, with id tables as large as the data need.
    fn plan(&self) -> Result<Plan, Error> {
        let on_grid = self.grid.as_ref().map_or(0, |_| 256);
        let climate_zone = self.data.climate_zones().max(on_grid);
        Ok(Plan::gtca(&IdTables { sensor: self.data.sensors(), climate_zone, ..Default::default() })?)
    }
}

fn style() -> ProgressStyle {
    let template = "{bar:30} {pos}/{len} splits, {elapsed} gone, {eta} to go: {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Everything about one split that the models share.
struct Case<'a> {
    run: &'a Run<'a>,
    gpu: &'a Gpu,
    backbone: &'a Backbone,
    features: &'a Features,
    train: Part,
    validation: Part,
    test: Part,
    wrong: Vec<WrongMetadata>,
    labels: Vec<u32>,
    rows: &'a [usize],
    seed: u64,
}

impl Case<'_> {
    /// Scores and sensitivity of a model from its logits.
    fn model(
        &self,
        name: &str,
        logits: &[f32],
        variants: &[Variant<'_>],
        outcome: Outcome,
        start: Instant,
    ) -> Result<ModelResult, Error> {
        let (scores, reliability) = score(self.gpu, logits, &self.labels)?;
        Ok(ModelResult {
            model: name.to_owned(),
            scores,
            reliability,
            sensitivity: sensitivity(self.gpu, logits, variants, &self.labels)?,
            mu_curve: Vec::new(),
            steps: outcome.best_step,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Plain LoRA or the concatenation.
    fn plain(&self, kind: Kind) -> Result<ModelResult, Error> {
        let start = Instant::now();
        let config = &self.run.config;
        let (model, outcome) =
            Plain::train(self.gpu, kind, self.backbone, &self.train, &self.validation, config, self.seed)?;
        let logits = model.logits(&self.test, None)?;
        if kind == Kind::Lora {
            return self.model("LoRA", &logits, &[], outcome, start);
        }
        let variants: Result<Vec<_>, Error> = (self.wrong.iter())
            .map(|wrong| {
                let logits = model.logits(&self.test, Some(&self.concatenated(&wrong.host)))?;
                Ok(Variant { wrong, logits })
            })
            .collect();
        self.model("concat", &logits, &variants?, outcome, start)
    }

    /// The test part's inputs of the concatenation under other records.
    fn concatenated(&self, records: &Records) -> Vec<f32> {
        let width = self.features.width as usize;
        let mut inputs = Vec::new();
        for (sample, &row) in self.rows.iter().enumerate() {
            inputs.extend_from_slice(&self.features.x[row * width..][..width]);
            inputs.extend(self.features.concat.numbers(&records.get(sample)));
        }
        inputs
    }

    fn gtca(&self, grid: Option<&ClimateGrid>) -> Result<ModelResult, Error> {
        let start = Instant::now();
        let parts = [&self.train, &self.validation];
        let (model, outcome) =
            Gtca::train(self.gpu, self.run.plan()?, self.backbone, parts, &self.run.config, grid, self.seed)?;
        let logits = model.logits(&self.test, None, 1.0)?;
        let variants: Result<Vec<_>, Error> = (self.wrong.iter())
            .map(|wrong| Ok(Variant { wrong, logits: model.logits(&self.test, Some(&wrong.device), 1.0)? }))
            .collect();
        let mut result = self.model("GTCA", &logits, &variants?, outcome, start)?;
        for mu in MU {
            let (scores, _) = score(self.gpu, &model.logits(&self.test, None, mu)?, &self.labels)?;
            // Through the text, so that 0.2 is 0.2 in the files.
            result.mu_curve.push(MuPoint { mu: format!("{mu}").parse().unwrap_or(f64::from(mu)), scores });
        }
        Ok(result)
    }

    /// What could be known: the posteriors of the synthetic world, and of its biased sample.
    fn posteriors(&self, world: &World) -> Result<Vec<ModelResult>, Error> {
        let none = Outcome { best_step: 0, validation_nll: 0.0 };
        let data = self.run.data;
        let step = data.steps * data.channels.len();
        let series = |&row: &usize| &data.series[self.run.task.rows[row] * step..][..step];
        let seen: Vec<Seen> = self.rows.iter().map(|row| world.look(series(row))).collect();
        let mut models = Vec::new();
        for (name, law, knows) in [
            ("Bayes p(y|x)", Law::World, false),
            ("Bayes p(y|x,m)", Law::World, true),
            ("Bayes of the sample", Law::Sample, true),
        ] {
            let start = Instant::now();
            let logits = |records: &Records| posterior(world, &seen, records, law, knows);
            let wrong = if knows { &self.wrong[..] } else { &[] };
            let variants: Vec<_> =
                wrong.iter().map(|wrong| Variant { wrong, logits: logits(&wrong.host) }).collect();
            models.push(self.model(name, &logits(&self.test.host_records), &variants, none, start)?);
        }
        Ok(models)
    }
}

/// Log posteriors of what was seen, under records where `knows`.
fn posterior(world: &World, seen: &[Seen], records: &Records, law: Law, knows: bool) -> Vec<f32> {
    let mut logits = Vec::new();
    for (sample, seen) in seen.iter().enumerate() {
        let record = records.get(sample);
        let place = match (record.lat_deg, record.lon_deg) {
            (Some(lat_deg), Some(lon_deg)) => Some(data::Place { lat_deg, lon_deg }),
            _ => None,
        };
        let known = Known { place, month: record.month.map(|month| month as u32) };
        let known = if knows { known } else { Known::default() };
        // Far below every score's clip; a probability of 0 has no logarithm.
        logits.extend(world.posterior(seen, known, law).map(|p| p.max(1e-30).ln() as f32));
    }
    logits
}

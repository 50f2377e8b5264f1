//! One run: every split and seed of a task, each stored as it ends and skipped on restart.

use crate::data::{Dataset, Task};
use crate::report::{self, ModelResult, MuPoint, Results, SplitResult};
use crate::splits::{ProtocolSplits, Split, splits};
use crate::sweep::{DRAWS, Perturbations, WrongMetadata, score};
use crate::swept::{Sweeps, Swept};
use crate::synthetic::{Known, Law, Seen, World};
use crate::train::{
    Backbone, ConcatScale, Config, Features, Gtca, Kind, Material, Outcome, Part, Plain, record,
};
use crate::{Error, data};
use gtca::encode::{IdTables, Plan};
use gtca::gpu::Gpu;
use gtca::perturb::Lookup;
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
    pub grid: Option<Lookup>,
    /// First model seed; also that of drawn splits.
    pub seed: u64,
    /// How many model seeds.
    pub seeds: u32,
    /// At most so many splits of each protocol.
    pub most_splits: usize,
    /// Groups of the sensitivity tables: a name, and the group of every row of the data.
    pub group_by: Vec<(String, Vec<String>)>,
    /// What the bootstrap resamples: `sample` or `block`.
    pub resample: String,
    /// Sizes and schedule.
    pub config: Config,
}

impl Run<'_> {
    /// Runs what is not yet stored under `out` and returns all results.
    ///
    /// # Errors
    /// The GPU's; a folder that cannot be written.
    pub fn run(&self, gpu: &Gpu, out: &Path) -> Result<Results, Error> {
        let perturbations = Perturbations::of(self.data, self.task, self.grid.clone())?;
        let mut protocols = splits(self.data, self.task, self.seed);
        protocols.iter_mut().for_each(|protocol| protocol.splits.truncate(self.most_splits));
        let mut results = self.start(gpu, &protocols, &perturbations);
        let total =
            protocols.iter().map(|protocol| protocol.splits.len()).sum::<usize>() * self.seeds as usize;
        let bar = ProgressBar::new(total as u64).with_style(style());
        let fingerprint = self.fingerprint(gpu);
        let sweeps = Sweeps::new(self, &perturbations, out, fingerprint)?;
        for seed in (0..u64::from(self.seeds)).map(|i| self.seed + i) {
            for split in protocols.iter().flat_map(|protocol| &protocol.splits) {
                bar.set_message(format!("{} {}, seed {seed}", split.protocol.name(), split.name));
                let (protocol, index) = (split.protocol.name(), split.index);
                let stored = report::splits::load(out, protocol, index, seed, fingerprint);
                let result = match stored.filter(|result| sweeps.are_there(result)) {
                    Some(result) => result,
                    None => {
                        let result = self.split(gpu, split, seed, &perturbations, &sweeps)?;
                        report::splits::store(out, &result, fingerprint)?;
                        result
                    }
                };
                results.splits.push(result);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        results.notes.extend(sweeps.report(&results)?);
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
        let groups: Vec<&str> = self.group_by.iter().map(|group| group.0.as_str()).collect();
        let text = format!("{task} {config:?} {seed} {grid} {groups:?} {} {gpu}", self.resample);
        data::fnv64(&[
            &self.data.fingerprint.to_le_bytes(),
            text.as_bytes(),
            env!("CARGO_PKG_VERSION").as_bytes(),
            &DRAWS.to_le_bytes(),
        ])
    }

    /// Trains and measures every model on one split.
    fn split(
        &self,
        gpu: &Gpu,
        split: &Split,
        seed: u64,
        perturbations: &Perturbations,
        sweeps: &Sweeps<'_>,
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
            sweeps,
            split,
            known: None,
        };
        let case = Case { known: case.known(), ..case };
        let classes = self.task.classes.len();
        let alone: Vec<f32> =
            split.test.iter().flat_map(|&row| logits[row * classes..][..classes].to_vec()).collect();
        let base = case.model("no metadata", &alone, Vec::new(), backbone.outcome, start)?;
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
    sweeps: &'a Sweeps<'a>,
    split: &'a Split,
    /// Log posteriors of the synthetic world, under the recorded and under every wrong metadata.
    known: Option<(Vec<f32>, Vec<Vec<f32>>)>,
}

impl Case<'_> {
    /// Scores and sensitivity of a model from its logits, recorded and under every wrong metadata.
    fn model(
        &self,
        name: &str,
        logits: &[f32],
        variants: Vec<Vec<f32>>,
        outcome: Outcome,
        start: Instant,
    ) -> Result<ModelResult, Error> {
        let (scores, reliability) = score(self.gpu, logits, &self.labels)?;
        let sensitivity = match variants.is_empty() {
            true => Vec::new(),
            false => self.sweeps.add(self.gpu, &self.swept(name, logits, variants))?,
        };
        Ok(ModelResult {
            model: name.to_owned(),
            scores,
            reliability,
            sensitivity,
            mu_curve: Vec::new(),
            steps: outcome.best_step,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn swept<'b>(&'b self, model: &'b str, base: &[f32], variants: Vec<Vec<f32>>) -> Swept<'b> {
        let (split, seed, rows) = (self.split, self.seed, self.rows);
        let wrong = &self.wrong;
        Swept { model, split, seed, rows, wrong, base: base.to_vec(), variants, known: self.known.clone() }
    }

    /// Plain LoRA or the concatenation.
    fn plain(&self, kind: Kind) -> Result<ModelResult, Error> {
        let start = Instant::now();
        let config = &self.run.config;
        let (model, outcome) =
            Plain::train(self.gpu, kind, self.backbone, &self.train, &self.validation, config, self.seed)?;
        let logits = model.logits(&self.test, None)?;
        if kind == Kind::Lora {
            return self.model("LoRA", &logits, Vec::new(), outcome, start);
        }
        let variants: Result<Vec<_>, Error> = (self.wrong.iter())
            .map(|wrong| model.logits(&self.test, Some(&self.concatenated(&wrong.host))))
            .collect();
        self.model("concat", &logits, variants?, outcome, start)
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

    fn gtca(&self, grid: Option<&Lookup>) -> Result<ModelResult, Error> {
        let start = Instant::now();
        let parts = [&self.train, &self.validation];
        let (model, outcome) =
            Gtca::train(self.gpu, self.run.plan()?, self.backbone, parts, &self.run.config, grid, self.seed)?;
        let logits = model.logits(&self.test, None, 1.0)?;
        let variants: Result<Vec<_>, Error> =
            (self.wrong.iter()).map(|wrong| model.logits(&self.test, Some(&wrong.device), 1.0)).collect();
        let mut result = self.model("GTCA", &logits, variants?, outcome, start)?;
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
        let mut models = Vec::new();
        for (name, law, knows) in [
            ("Bayes p(y|x)", Law::World, false),
            ("Bayes p(y|x,m)", Law::World, true),
            ("Bayes of the sample", Law::Sample, true),
        ] {
            let start = Instant::now();
            let (base, mut variants) = self.posterior(world, law, knows);
            variants.truncate(if knows { usize::MAX } else { 0 });
            models.push(self.model(name, &base, variants, none, start)?);
        }
        Ok(models)
    }

    /// The posteriors that a model may follow.
    fn known(&self) -> Option<(Vec<f32>, Vec<Vec<f32>>)> {
        self.run.world.map(|world| self.posterior(world, Law::World, true))
    }

    /// Log posteriors under the recorded, and under every wrong metadata.
    fn posterior(&self, world: &World, law: Law, knows: bool) -> (Vec<f32>, Vec<Vec<f32>>) {
        let data = self.run.data;
        let step = data.steps * data.channels.len();
        let series = |&row: &usize| &data.series[self.run.task.rows[row] * step..][..step];
        let seen: Vec<Seen> = self.rows.iter().map(|row| world.look(series(row))).collect();
        let logits = |records: &Records| posterior(world, &seen, records, law, knows);
        (logits(&self.test.host_records), self.wrong.iter().map(|wrong| logits(&wrong.host)).collect())
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

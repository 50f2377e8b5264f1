//! What a run found, in the shape of `results.json`.

use serde::{Deserialize, Serialize};

/// All results of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Data set.
    pub dataset: String,
    /// Task.
    pub task: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// The GPU, in one line.
    pub adapter: String,
    /// Version of the lab.
    pub version: String,
    /// First model seed.
    pub seed: u64,
    /// How many model seeds.
    pub seeds: u32,
    /// What a reader has to know about the data.
    pub notes: Vec<String>,
    /// What could not be run, with the reason.
    pub skipped: Vec<String>,
    /// Every split and seed.
    pub splits: Vec<SplitResult>,
}

/// One split under one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitResult {
    /// How the test part was held out.
    pub protocol: String,
    /// Which split of the protocol.
    pub index: usize,
    /// What is held out, in words.
    pub name: String,
    /// Model seed.
    pub seed: u64,
    /// Rows that gradients saw.
    pub train: usize,
    /// Rows that chose the stopping step.
    pub validation: usize,
    /// Held-out rows.
    pub test: usize,
    /// Every model.
    pub models: Vec<ModelResult>,
}

/// One model on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// Model's name.
    pub model: String,
    /// Scores on the test part under the recorded metadata.
    pub scores: Scores,
    /// Reliability diagram, 15 bins.
    pub reliability: Vec<Bin>,
    /// Under wrong metadata; empty for models without metadata.
    pub sensitivity: Vec<Sensitivity>,
    /// Over the metadata weight; the adapter's only.
    pub mu_curve: Vec<MuPoint>,
    /// Step whose parameters were kept; 0 where nothing is trained.
    pub steps: u32,
    /// Wall time of its training; not part of the files, which are the same for every run.
    #[serde(skip)]
    pub seconds: f64,
}

/// Scores of a test part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean F1 over the classes present in the test part.
    pub macro_f1: f64,
    /// Mean negative log-likelihood in nats, p clipped at 1e-6.
    pub nll: f64,
    /// Expected calibration error of the top label, 15 equal bins.
    pub ece: f64,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Samples.
    pub count: u64,
    /// Share of right answers; 0 in an empty bin.
    pub accuracy: f64,
    /// Mean top probability; 0 in an empty bin.
    pub confidence: f64,
}

/// How far predictions move under one perturbation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The perturbation in words.
    pub perturbation: String,
    /// Share of predictions that change.
    pub flips: f64,
    /// Mean KL(p₀‖p_k) in nats.
    pub kl: f64,
    /// Mean Jensen-Shannon divergence in nats.
    pub js: f64,
    /// Mean total variation.
    pub tv: f64,
    /// Accuracy under the wrong metadata.
    pub accuracy: f64,
    /// Negative log-likelihood under the wrong metadata.
    pub nll: f64,
}

/// Scores at one metadata weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MuPoint {
    /// μ.
    pub mu: f64,
    /// Scores there.
    pub scores: Scores,
}

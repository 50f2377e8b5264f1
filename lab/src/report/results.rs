//! What a run found. The same types are written to `results.json`.

use serde::{Deserialize, Deserializer, Serialize};

/// All results of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the task within the data set.
    pub task: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// The adapter that computed it, in one line.
    pub adapter: String,
    /// Version of the lab.
    pub version: String,
    /// Seed of the run.
    pub seed: u64,
    /// Number of model seeds per split.
    pub seeds: u32,
    /// Remarks for the reader, a sentence each.
    pub notes: Vec<String>,
    /// What was not run, each with its reason.
    pub skipped: Vec<String>,
    /// Every split under every model seed, in the order they ran.
    pub splits: Vec<SplitResult>,
}

/// One split under one model seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitResult {
    /// How the test part was held out: `random`, `site`, `region`, `block` or `year`.
    pub protocol: String,
    /// Number of the split within its protocol.
    pub index: usize,
    /// What is held out, in words.
    pub name: String,
    /// The model seed.
    pub seed: u64,
    /// Samples that gradients saw.
    pub train: usize,
    /// Samples that chose the stopping step.
    pub validation: usize,
    /// Samples held out.
    pub test: usize,
    /// The models in the order of the tables.
    pub models: Vec<ModelResult>,
}

/// One model on the test part of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// `no metadata`, `LoRA`, `concat`, `GTCA`; in the synthetic world also `Bayes p(y|x)`, `Bayes p(y|x,m)` and
    /// `Bayes of the sample`.
    pub model: String,
    /// Scores under the recorded metadata.
    pub scores: Scores,
    /// Reliability bins of equal width over the confidence, from 0 to 1.
    pub reliability: Vec<Bin>,
    /// What changes under wrong or missing metadata.
    pub sensitivity: Vec<Sensitivity>,
    /// Scores at metadata weights μ from 0 to 1.
    pub mu_curve: Vec<MuPoint>,
    /// Training steps until the chosen state.
    pub steps: u32,
    /// Wall-clock seconds of the training; in no file, for files are the same when a run is repeated.
    #[serde(skip)]
    pub seconds: f64,
}

/// Scores of predictions against labels. A number that could not be computed is NaN (`null` in JSON).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right predictions, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub accuracy: f64,
    /// Mean of the classes' F1, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub macro_f1: f64,
    /// Mean negative log-likelihood of the label, in nat.
    #[serde(deserialize_with = "or_nan")]
    pub nll: f64,
    /// Expected calibration error, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub ece: f64,
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Predictions in the bin.
    pub count: u64,
    /// Share of them that is right.
    #[serde(deserialize_with = "or_nan")]
    pub accuracy: f64,
    /// Mean probability of the predicted class.
    #[serde(deserialize_with = "or_nan")]
    pub confidence: f64,
}

/// How far predictions move when only the metadata changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// `10 km`, `100 km`, `1000 km`, `+3 months`, `−3 months`, `+6 months`, `−6 months`, `missing`,
    /// `far, same climate` or `far, other climate`.
    pub perturbation: String,
    /// Share of samples whose predicted class changes, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub flips: f64,
    /// Mean KL(recorded ‖ changed), in nat.
    #[serde(deserialize_with = "or_nan")]
    pub kl: f64,
    /// Mean Jensen-Shannon divergence, in nat.
    #[serde(deserialize_with = "or_nan")]
    pub js: f64,
    /// Mean total variation, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub tv: f64,
    /// Accuracy under the changed metadata.
    #[serde(deserialize_with = "or_nan")]
    pub accuracy: f64,
    /// Negative log-likelihood under the changed metadata, in nat.
    #[serde(deserialize_with = "or_nan")]
    pub nll: f64,
}

/// Scores at one metadata weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MuPoint {
    /// The metadata weight, in [0, 1].
    #[serde(deserialize_with = "or_nan")]
    pub mu: f64,
    /// Scores at that weight.
    pub scores: Scores,
}

/// JSON has no NaN: it is written as `null` and read back here.
fn or_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

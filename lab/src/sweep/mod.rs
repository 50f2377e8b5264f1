//! Scores and sensitivity of trained models on the test part, measured by the kernels.

mod perturbations;
mod scores;

pub use perturbations::{Perturbations, WrongMetadata};
pub use scores::{Variant, score, sensitivity};

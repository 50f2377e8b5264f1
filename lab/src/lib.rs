//! Experiments on the kernels of [`gtca`]: data, splits, a synthetic world, training, baselines, sensitivity
//! sweeps and reports.

pub mod cli;
pub mod data;
mod draw;
mod error;
pub mod report;
pub mod run;
pub mod shards;
pub mod splits;
pub mod sweep;
mod swept;
pub mod synthetic;
pub mod train;

pub use error::Error;

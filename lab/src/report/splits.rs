//! Finished splits, one file each, so that an interrupted run goes on where it stopped.

use super::SplitResult;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A split as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    fingerprint: u64,
    result: SplitResult,
}

fn file(out: &Path, protocol: &str, index: usize, seed: u64) -> PathBuf {
    out.join("splits").join(format!("{protocol}-{index}-{seed}.json"))
}

/// A stored split; none where there is none or it belongs to another configuration.
pub fn load(out: &Path, protocol: &str, index: usize, seed: u64, fingerprint: u64) -> Option<SplitResult> {
    let text = std::fs::read_to_string(file(out, protocol, index, seed)).ok()?;
    let stored: Stored = serde_json::from_str(&text).ok()?;
    (stored.fingerprint == fingerprint).then_some(stored.result)
}

/// Stores a finished split.
///
/// # Errors
/// The folder cannot be written.
pub fn store(out: &Path, result: &SplitResult, fingerprint: u64) -> Result<(), Error> {
    let path = file(out, &result.protocol, result.index, result.seed);
    let stored = Stored { fingerprint, result: result.clone() };
    let text =
        serde_json::to_string_pretty(&stored).map_err(|error| Error::file(&path, error.to_string()))?;
    super::write_whole(&path, &text)
}

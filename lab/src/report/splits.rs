//! Finished splits on disk, so that a restarted run does not train them again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SplitResult, atomic};
use crate::Error;

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    fingerprint: u64,
    split: T,
}

/// Writes a finished split to `splits/<protocol>-<index>-<seed>.json` under `out`.
///
/// `fingerprint` stands for all that the result depends on (data, options, version).
///
/// # Errors
/// [`Error::Io`] where the folder or the file cannot be written.
pub fn store(out: &Path, split: &SplitResult, fingerprint: u64) -> Result<(), Error> {
    let path = path(out, &split.protocol, split.index, split.seed);
    let text = atomic::json(&Stored { fingerprint, split }, &path)?;
    let folder = out.join("splits");
    std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    atomic::replace(&path, &text)
}

/// The stored split, or `None` where there is none, it is not readable, or its fingerprint is another one.
///
/// Training seconds are not stored: they read as 0.
pub fn load(out: &Path, protocol: &str, index: usize, seed: u64, fingerprint: u64) -> Option<SplitResult> {
    let text = std::fs::read_to_string(path(out, protocol, index, seed)).ok()?;
    let stored: Stored<SplitResult> = serde_json::from_str(&text).ok()?;
    let split = stored.split;
    let same = stored.fingerprint == fingerprint
        && split.protocol == protocol
        && split.index == index
        && split.seed == seed;
    same.then_some(split)
}

fn path(out: &Path, protocol: &str, index: usize, seed: u64) -> PathBuf {
    // Some systems refuse blanks and signs in file names; `load` checks the protocol's full name.
    let protocol = protocol.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    out.join("splits").join(format!("{protocol}-{index}-{seed}.json"))
}

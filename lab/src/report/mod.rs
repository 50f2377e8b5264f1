//! The report of a run: `results.json`, `results.csv`, `report.html`, and the table that the program prints.
//!
//! Everything is a function of [`Results`] alone, without dates or durations; so a repeated run writes the same bytes.

pub(crate) mod atomic;
mod html;
mod long_table;
mod plots;
mod results;
pub mod sensitivity;
pub mod splits;
mod summary;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

pub use results::{Bin, ModelResult, MuPoint, Results, Scores, Sensitivity, SplitResult};
pub use text::table;

use crate::Error;

/// Writes `results.json`, `results.csv` and `report.html` into the folder `out`, which is made if it is not there.
///
/// All three are made before the first is written, and each replaces its predecessor in one step.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be made or a file cannot be written.
pub fn write(results: &Results, out: &Path) -> Result<(), Error> {
    let files = [
        ("results.json", atomic::json(results, &out.join("results.json"))?),
        ("results.csv", long_table::csv(results, &out.join("results.csv"))?),
        ("report.html", html::page(results, &out.join("report.html"))?),
    ];
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    files.iter().try_for_each(|(name, text)| atomic::replace(&out.join(name), text))
}

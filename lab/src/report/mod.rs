//! Results as files and as a table.

mod results;
pub mod splits;

pub use results::{Bin, ModelResult, MuPoint, Results, Scores, Sensitivity, SplitResult};

use crate::Error;
use std::path::Path;

/// Writes a file beside its place and moves it there: a reader never sees half of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    }
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text).map_err(Error::io(&partial))?;
    std::fs::rename(&partial, path).map_err(Error::io(path))
}

/// Writes `results.json`.
///
/// # Errors
/// The folder cannot be written.
pub fn write(results: &Results, out: &Path) -> Result<(), Error> {
    let path = out.join("results.json");
    let text =
        serde_json::to_string_pretty(results).map_err(|error| Error::file(&path, error.to_string()))?;
    write_whole(&path, &text)
}

/// The summary that the program prints: per protocol and model the mean and deviation over splits and seeds.
pub fn table(results: &Results) -> String {
    let mut protocols: Vec<&str> = Vec::new();
    for split in &results.splits {
        if !protocols.contains(&split.protocol.as_str()) {
            protocols.push(&split.protocol);
        }
    }
    let mut text =
        String::from("protocol  model                 accuracy        macro-F1        NLL             ECE\n");
    for protocol in protocols {
        let splits: Vec<_> = results.splits.iter().filter(|split| split.protocol == protocol).collect();
        for (i, model) in splits[0].models.iter().enumerate() {
            let cell = |of: &dyn Fn(&Scores) -> f64| {
                let values: Vec<f64> = splits.iter().map(|split| of(&split.models[i].scores)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
                format!("{mean:.3} ± {:.3}", variance.sqrt())
            };
            text += &format!(
                "{protocol:<9} {:<21} {:<15} {:<15} {:<15} {}\n",
                model.model,
                cell(&|s| s.accuracy),
                cell(&|s| s.macro_f1),
                cell(&|s| s.nll),
                cell(&|s| s.ece)
            );
        }
    }
    text
}

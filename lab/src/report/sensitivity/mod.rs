//! The page of a sweep: what wrong metadata do to one or several models on one data set.
//!
//! `NAME.html` needs nothing else; `NAME.csv` and `NAME.parquet` hold its numbers, one a row.

mod figures;
mod html;
mod map;
mod numbers;
mod text;

use std::path::Path;

pub use text::table;

use crate::Error;
use crate::report::atomic;
use crate::sweep::{Diagnosis, Effect, Partial};

/// Resamples of the bootstrap behind the intervals.
pub const REPLICATES: usize = 1000;

/// The file of a run's protocol.
pub(crate) fn file_name(protocol: &str) -> String {
    format!("sensitivity-{protocol}.html")
}

/// Models of one data set under the same wrong metadata.
#[derive(Debug)]
pub struct Page {
    models: Vec<Model>,
    replicates: usize,
}

#[derive(Debug)]
struct Model {
    partial: Partial,
    diagnosis: Diagnosis,
}

impl Model {
    fn effect(&self, perturbation: usize) -> &Effect {
        &self.diagnosis.effects[perturbation]
    }
}

impl Page {
    /// Diagnoses every model; `replicates` resamples, drawn with `seed`.
    ///
    /// # Errors
    /// No model; models of other data, perturbations or groups.
    pub fn new(models: Vec<Partial>, replicates: usize, seed: u64) -> Result<Self, Error> {
        let first =
            models.first().ok_or_else(|| Error::argument("results", "there are none"))?.subject.clone();
        for model in &models {
            let named_alike = crate::sweep::Subject {
                model: first.model.clone(),
                inputs: first.inputs.clone(),
                ..model.subject.clone()
            };
            first.same(&named_alike)?;
        }
        let diagnose = |partial: Partial| {
            let diagnosis = Diagnosis::of(&partial.bags, &partial.subject.perturbations, replicates, seed);
            Model { partial, diagnosis }
        };
        Ok(Self { models: models.into_iter().map(diagnose).collect(), replicates })
    }

    /// Writes the page and, under the same name, its numbers as `.csv` and `.parquet`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let page = html::page(self).map_err(|e| Error::file(path, e.to_string()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let rows = numbers::rows(self);
        atomic::replace(&path.with_extension("csv"), numbers::csv(&rows, path)?)?;
        numbers::parquet(&rows, &path.with_extension("parquet"))?;
        atomic::replace(path, page)
    }

    /// Verdicts as plain text.
    pub fn text(&self) -> String {
        let verdict = |model: &Model| {
            let lines: String = model.diagnosis.verdict.iter().map(|line| format!("  {line}\n")).collect();
            format!("{}\n{}\n{lines}", table(&model.partial), model.partial.subject.model)
        };
        self.models.iter().map(verdict).collect::<Vec<_>>().join("\n")
    }

    fn perturbations(&self) -> &[String] {
        &self.models[0].partial.subject.perturbations
    }
}

#[cfg(test)]
mod tests;

//! `dataset.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::Error;

/// The keys of `dataset.json` that the lab reads; others are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) array: Option<String>,
    pub(crate) channels: Vec<String>,
    #[serde(default)]
    pub(crate) spectral: Option<Vec<String>>,
    pub(crate) steps: usize,
    #[serde(default)]
    pub(crate) classes: Option<Vec<String>>,
    pub(crate) tasks: Vec<TaskDescription>,
    #[serde(default)]
    pub(crate) protocols: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) year_folds: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) year_eval: Option<Vec<i64>>,
    #[serde(default)]
    pub(crate) month_varies: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TaskDescription {
    pub(crate) name: String,
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) filter: Option<String>,
    #[serde(default)]
    pub(crate) steps: Option<Vec<usize>>,
}

impl Description {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let this: Self = serde_json::from_str(&text).map_err(|e| Error::file(path, e.to_string()))?;
        this.check(path)?;
        Ok(this)
    }

    fn check(&self, path: &Path) -> Result<(), Error> {
        if self.channels.is_empty() || self.steps == 0 {
            return Err(Error::file(
                path,
                "`channels` and `steps` must name at least one channel and one step",
            ));
        }
        if let Some(twice) = repeated(&self.channels) {
            return Err(Error::file(path, format!("`channels`: {twice} occurs twice")));
        }
        self.spectral_indices(path)?;
        if self.tasks.is_empty() {
            return Err(Error::file(path, "`tasks` is empty; at least one task is needed"));
        }
        for task in &self.tasks {
            for &step in task.steps.iter().flatten() {
                if step >= self.steps {
                    let (name, steps) = (&task.name, self.steps);
                    return Err(Error::file(
                        path,
                        format!("task {name}, `steps`: {step} must be below {steps}"),
                    ));
                }
            }
            if task.steps.as_ref().is_some_and(Vec::is_empty) {
                return Err(Error::file(path, format!("task {}, `steps`: is empty", task.name)));
            }
        }
        for name in self.protocols.keys() {
            if !self.tasks.iter().any(|t| &t.name == name) {
                return Err(Error::file(path, format!("`protocols`: there is no task {name}")));
            }
        }
        if let Some(twice) = self.classes.as_deref().and_then(repeated) {
            return Err(Error::file(path, format!("`classes`: {twice} occurs twice")));
        }
        Ok(())
    }

    /// Positions of the channels that are image evidence (all, where `spectral` is absent).
    pub(crate) fn spectral_indices(&self, path: &Path) -> Result<Vec<usize>, Error> {
        let Some(spectral) = &self.spectral else { return Ok((0..self.channels.len()).collect()) };
        if spectral.is_empty() {
            return Err(Error::file(path, "`spectral` is empty; the backbone needs at least one channel"));
        }
        let find = |name: &String| {
            self.channels
                .iter()
                .position(|c| c == name)
                .ok_or_else(|| Error::file(path, format!("`spectral`: {name} is not among `channels`")))
        };
        spectral.iter().map(find).collect()
    }
}

fn repeated(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)).map(|(_, n)| n)
}

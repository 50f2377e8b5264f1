//! Means over splits, in one place for the page and for the printed table.

use super::{ModelResult, Results, Scores, Sensitivity, SplitResult};

/// The model that others are compared with.
pub(super) const BASELINE: &str = "no metadata";

/// One score: its name and how to read it.
pub(super) struct Metric {
    /// Name in files.
    pub(super) key: &'static str,
    /// Name in tables.
    pub(super) label: &'static str,
    /// Takes it from the scores.
    pub(super) of: fn(&Scores) -> f64,
}

/// The scores in the order of the tables.
pub(super) const METRICS: [Metric; 4] = [
    Metric { key: "accuracy", label: "accuracy", of: |s| s.accuracy },
    Metric { key: "macro_f1", label: "macro-F1", of: |s| s.macro_f1 },
    Metric { key: "nll", label: "NLL", of: |s| s.nll },
    Metric { key: "ece", label: "ECE", of: |s| s.ece },
];

/// Mean and spread of a number over splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// Splits it was measured on.
    pub(super) count: usize,
    pub(super) mean: f64,
    /// Standard deviation with n − 1; none for a single split.
    pub(super) sd: Option<f64>,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// None for no values. A value that is NaN makes the mean NaN, so that it is seen.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        (!values.is_empty()).then(|| Self {
            count: values.len(),
            mean,
            sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The splits of one protocol.
pub(super) struct Group<'a> {
    pub(super) protocol: &'a str,
    pub(super) splits: Vec<&'a SplitResult>,
}

/// Protocols in the order in which they first occur.
pub(super) fn groups(results: &Results) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for split in &results.splits {
        match groups.iter_mut().find(|g| g.protocol == split.protocol) {
            Some(group) => group.splits.push(split),
            None => groups.push(Group { protocol: &split.protocol, splits: vec![split] }),
        }
    }
    groups
}

impl<'a> Group<'a> {
    /// Model names in the order in which they first occur.
    pub(super) fn models(&self) -> Vec<&'a str> {
        distinct(self.splits.iter().flat_map(|s| &s.models).map(|m| m.model.as_str()))
    }

    /// Perturbations in the order in which they first occur.
    pub(super) fn perturbations(&self) -> Vec<&'a str> {
        let all = self.splits.iter().flat_map(|s| &s.models).flat_map(|m| &m.sensitivity);
        distinct(all.map(|s| s.perturbation.as_str()))
    }

    /// A model's results on all splits that have it.
    pub(super) fn results_of(&self, model: &str) -> impl Iterator<Item = &'a ModelResult> {
        self.splits.iter().filter_map(move |s| find(s, model))
    }

    /// Mean and spread of a score.
    pub(super) fn score(&self, model: &str, metric: &Metric) -> Option<Spread> {
        Spread::of(self.results_of(model).map(|m| (metric.of)(&m.scores)))
    }

    /// Mean and spread of a score's difference to the model without metadata, split by split.
    pub(super) fn gain(&self, model: &str, metric: &Metric) -> Option<Spread> {
        let pairs = self.splits.iter().filter_map(|s| Some((find(s, model)?, find(s, BASELINE)?)));
        Spread::of(pairs.map(|(m, base)| (metric.of)(&m.scores) - (metric.of)(&base.scores)))
    }

    /// Mean and spread of a measure under a perturbation.
    pub(super) fn sensitivity(
        &self,
        model: &str,
        perturbation: &str,
        of: fn(&Sensitivity) -> f64,
    ) -> Option<Spread> {
        let all = self.results_of(model).flat_map(|m| &m.sensitivity);
        Spread::of(all.filter(|s| s.perturbation == perturbation).map(of))
    }
}

/// A split's result of a model.
pub(super) fn find<'a>(split: &'a SplitResult, model: &str) -> Option<&'a ModelResult> {
    split.models.iter().find(|m| m.model == model)
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

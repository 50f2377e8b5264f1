//! `results.csv`: one number a row.

use std::path::Path;

use super::summary::METRICS;
use super::{ModelResult, Results, Sensitivity};
use crate::Error;

const HEADER: [&str; 11] =
    ["dataset", "task", "protocol", "split", "name", "seed", "model", "kind", "condition", "metric", "value"];

/// Measures of a perturbation by column name.
type Measure = (&'static str, fn(&Sensitivity) -> f64);
const MEASURES: [Measure; 6] = [
    ("flips", |s| s.flips),
    ("kl", |s| s.kl),
    ("js", |s| s.js),
    ("tv", |s| s.tv),
    ("accuracy", |s| s.accuracy),
    ("nll", |s| s.nll),
];

/// The whole file; `path` is for the error.
pub(super) fn csv(results: &Results, path: &Path) -> Result<String, Error> {
    let fail = |e: String| Error::file(path, e);
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(HEADER).map_err(|e| fail(e.to_string()))?;
    for split in &results.splits {
        let (index, seed) = (split.index.to_string(), split.seed.to_string());
        for model in &split.models {
            for [kind, condition, metric, value] in rows(model) {
                let row = [
                    &results.dataset,
                    &results.task,
                    &split.protocol,
                    &index,
                    &split.name,
                    &seed,
                    &model.model,
                    &kind,
                    &condition,
                    &metric,
                    &value,
                ];
                out.write_record(row).map_err(|e| fail(e.to_string()))?;
            }
        }
    }
    let bytes = out.into_inner().map_err(|e| fail(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| fail(e.to_string()))
}

/// Kind, condition, metric and value of every number of a model.
fn rows(model: &ModelResult) -> Vec<[String; 4]> {
    let row = |kind: &str, condition: &str, metric: &str, value: f64| {
        [kind.to_owned(), condition.to_owned(), metric.to_owned(), number(value)]
    };
    let mut rows = Vec::new();
    rows.extend(METRICS.iter().map(|m| row("score", "", m.key, (m.of)(&model.scores))));
    for s in &model.sensitivity {
        rows.extend(MEASURES.iter().map(|(name, of)| row("sensitivity", &s.perturbation, name, of(s))));
    }
    for point in &model.mu_curve {
        let mu = point.mu.to_string();
        rows.extend(METRICS.iter().map(|m| row("mu", &mu, m.key, (m.of)(&point.scores))));
    }
    rows
}

/// The shortest text that reads back as the same number; an empty cell for a number that is not there.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

//! Every number of the page, one a row: `.csv` and `.parquet`.

use std::path::Path;

use gtca::sensitivity::Tally;

use super::{Model, Page};
use crate::Error;
use crate::shards::{RowWriter, Values};
use crate::sweep::{Effect, Estimate};

const HEADER: [&str; 8] =
    ["dataset", "model", "perturbation", "grouping", "group", "measure", "value", "low"];

/// One number; `low` and `high` are NaN where there is no interval.
pub(super) struct Row {
    words: [String; 6],
    numbers: [f64; 3],
}

type Measure = (&'static str, fn(&Tally) -> Option<f64>);
const MEASURES: [Measure; 21] = [
    ("samples", |t| Some(t.count() as f64)),
    ("invalid", |t| Some(t.invalid() as f64)),
    ("flips", Tally::flip_rate),
    ("kl", |t| t.kl().value()),
    ("js", |t| t.js().value()),
    ("tv", |t| t.tv().value()),
    ("tv_p05", |t| t.tv_quantile(0.05)),
    ("tv_p50", |t| t.tv_quantile(0.5)),
    ("tv_p95", |t| t.tv_quantile(0.95)),
    ("top_change", |t| t.top_change().value()),
    ("top_change_abs", |t| t.top_change_abs().value()),
    ("entropy_change", |t| t.entropy_change().value()),
    ("logit_change", |t| t.logit_change().value()),
    ("labelled", |t| Some(t.labelled() as f64)),
    ("accuracy", Tally::accuracy),
    ("accuracy_before", Tally::accuracy_before),
    ("broken", |t| Some(t.broken() as f64)),
    ("fixed", |t| Some(t.fixed() as f64)),
    ("nll", |t| t.nll().value()),
    ("brier", |t| t.brier().value()),
    ("ece", Tally::ece),
];

type Interval = (&'static str, fn(&Effect) -> Option<Estimate>);
const INTERVALS: [Interval; 10] = [
    ("flips", |e| e.flips),
    ("tv", |e| e.change),
    ("accuracy_before", |e| e.accuracy_before),
    ("accuracy_change", |e| e.accuracy),
    ("nll_change", |e| e.nll),
    ("settled_change", |e| e.settled),
    ("settled_share", |e| e.settled_share),
    ("justified_share", |e| e.justified_share),
    ("uptake", |e| e.uptake),
    ("unjustified_change", |e| e.unjustified),
];

pub(super) fn rows(page: &Page) -> Vec<Row> {
    page.models.iter().flat_map(of_model).collect()
}

fn of_model(model: &Model) -> Vec<Row> {
    let subject = &model.partial.subject;
    let mut rows = Vec::new();
    for (k, perturbation) in subject.perturbations.iter().enumerate() {
        let mut push = |grouping: &str, group: &str, measure: &str, numbers: [f64; 3]| {
            let words =
                [&subject.dataset, &subject.model, perturbation, grouping, group, measure].map(str::to_owned);
            rows.push(Row { words, numbers });
        };
        for (measure, of) in INTERVALS {
            if let Some(found) = of(&model.diagnosis.effects[k]) {
                push("all", "all", measure, [found.value, found.low, found.high]);
            }
        }
        let overall = model.partial.overall(k);
        let alone = MEASURES.iter().filter(|(measure, _)| INTERVALS.iter().all(|(name, _)| name != measure));
        for (measure, of) in alone {
            if let Some(value) = overall.as_ref().and_then(of) {
                push("all", "all", measure, [value, f64::NAN, f64::NAN]);
            }
        }
        for (table, grouping) in model.partial.tables.iter().zip(&subject.groupings) {
            for (group, name) in (0..).zip(&grouping.groups) {
                let Some(tally) = table.group(k as u32, group).filter(|t| t.count() + t.invalid() > 0) else {
                    continue;
                };
                for (measure, of) in MEASURES {
                    if let Some(value) = of(&tally) {
                        push(&grouping.column, name, measure, [value, f64::NAN, f64::NAN]);
                    }
                }
            }
        }
    }
    rows
}

pub(super) fn csv(rows: &[Row], path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |e: String| Error::file(path, e);
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(HEADER.iter().chain(&["high"])).map_err(|e| fail(e.to_string()))?;
    for row in rows {
        let number = |value: &f64| if value.is_nan() { String::new() } else { value.to_string() };
        let cells = row.words.iter().cloned().chain(row.numbers.iter().map(number));
        out.write_record(cells).map_err(|e| fail(e.to_string()))?;
    }
    out.into_inner().map_err(|e| fail(e.to_string()))
}

pub(super) fn parquet(rows: &[Row], path: &Path) -> Result<(), Error> {
    let names: Vec<String> = HEADER.iter().chain(&["high"]).map(|name| (*name).to_owned()).collect();
    let words = (0..6).map(|n| Values::Text(rows.iter().map(|row| row.words[n].clone()).collect()));
    let numbers = (0..3).map(|n| Values::Double(rows.iter().map(|row| row.numbers[n]).collect()));
    let columns: Vec<Values> = words.chain(numbers).collect();
    let mut writer = RowWriter::create(path, &names, &columns)?;
    writer.write(&columns)?;
    writer.finish()
}

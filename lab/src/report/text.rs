//! The table that the program prints.

use super::Results;
use super::summary::{BASELINE, Group, METRICS, Spread, groups};

/// Scores of every protocol and model as plain text: mean ± standard deviation over the runs (splits and model
/// seeds), and behind it the mean difference to the model without metadata in the same runs; then the share of
/// flipped predictions.
pub fn table(results: &Results) -> String {
    let mut rows = vec![score_header()];
    let mut flips = Vec::new();
    for group in groups(results) {
        rows.extend(group.models().iter().map(|model| score_row(&group, model)));
        flips.extend(flip_rows(&group));
    }
    let mut text = format!("{} / {}\n{}", results.dataset, results.task, columns(&rows));
    if !flips.is_empty() {
        text += "\nflipped predictions, % of the test samples\n";
        text += &columns(&flips);
    }
    results.skipped.iter().for_each(|line| text += &format!("skipped: {line}\n"));
    text
}

fn score_header() -> Vec<String> {
    let mut row: Vec<String> = ["protocol", "runs", "model"].map(str::to_owned).into();
    METRICS.iter().for_each(|m| row.extend([m.label.to_owned(), "diff".to_owned()]));
    row
}

fn score_row(group: &Group<'_>, model: &str) -> Vec<String> {
    let count = group.results_of(model).count();
    let mut row = vec![group.protocol.to_owned(), count.to_string(), model.to_owned()];
    for metric in &METRICS {
        row.push(group.score(model, metric).map_or(String::new(), plain));
        let gain = group.gain(model, metric).filter(|_| model != BASELINE);
        row.push(gain.map_or(String::new(), |s| signed(s.mean)));
    }
    row
}

/// A header and a row a model, for a protocol on which perturbations were measured.
fn flip_rows(group: &Group<'_>) -> Vec<Vec<String>> {
    let perturbations = group.perturbations();
    if perturbations.is_empty() {
        return Vec::new();
    }
    let mut header: Vec<String> = [group.protocol, "", ""].map(str::to_owned).into();
    header.extend(perturbations.iter().map(|p| p.replace(" climate", "")));
    let mut rows = vec![header];
    for model in group.models() {
        let flips: Vec<Option<Spread>> =
            perturbations.iter().map(|p| group.sensitivity(model, p, |s| s.flips)).collect();
        if flips.iter().any(Option::is_some) {
            let mut row = vec![String::new(), String::new(), model.to_owned()];
            row.extend(flips.iter().map(|s| s.map_or("-".to_owned(), |s| format!("{:.1}", 100.0 * s.mean))));
            rows.push(row);
        }
    }
    rows
}

fn plain(spread: Spread) -> String {
    match spread.sd {
        Some(sd) => format!("{:.3} ± {sd:.3}", spread.mean),
        None => format!("{:.3}", spread.mean),
    }
}

/// Three decimals with a sign; what rounds to zero has none.
pub(super) fn signed(value: f64) -> String {
    let text = format!("{value:+.3}");
    if text == "+0.000" || text == "-0.000" { "0.000".to_owned() } else { text }
}

/// Lines up the columns: words to the left (the first three), numbers to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let wide = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| t.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..wide).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(c, (cell, &w))| match c {
            0 | 2 => format!("{cell:<w$}"),
            _ => format!("{cell:>w$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text += line.trim_end();
        text.push('\n');
    }
    text
}

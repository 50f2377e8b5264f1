//! Results as tables: for people on stdout and in results.md, for programs in results.csv and costs.csv.

use crate::measure::{Cost, Worth};
use crate::study::WRONG;
use crate::tuned::Method;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

/// A method's model on one split.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) protocol: &'static str,
    pub(crate) split: usize,
    pub(crate) method: Method,
    /// Samples of the training and of the test part.
    pub(crate) samples: [usize; 2],
    pub(crate) worth: Worth,
}

/// Writes all files, and gives the text of results.md.
pub(crate) fn write(out: &Path, title: &str, rows: &[Row], costs: &[Cost]) -> Result<String, Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    results(&out.join("results.csv"), rows)?;
    let mut table = csv::Writer::from_path(out.join("costs.csv"))?;
    table.write_record(["method", "parameters", "wall_ms", "cpu_ms", "kept_bytes"])?;
    for Cost { method, parameters, wall_ms, cpu_ms, kept_bytes } in costs {
        let numbers =
            [parameters.to_string(), wall_ms.to_string(), cpu_ms.to_string(), kept_bytes.to_string()];
        table.write_record(std::iter::once(method.name()).chain(numbers.iter().map(String::as_str)))?;
    }
    table.flush()?;
    let text = text(title, rows, costs)?;
    std::fs::write(out.join("results.md"), &text)?;
    Ok(text)
}

fn results(path: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    let mut table = csv::Writer::from_path(path)?;
    let fixed = ["protocol", "split", "method", "train", "test", "accuracy", "macro_f1", "nll", "ece"];
    let of_kinds = WRONG.iter().flat_map(|(kind, _)| [format!("{kind}_flips"), format!("{kind}_accuracy")]);
    table.write_record(fixed.map(str::to_owned).into_iter().chain(of_kinds))?;
    for Row { protocol, split, method, samples: [train, test], worth } in rows {
        let scores = &worth.scores;
        let mut record = vec![(*protocol).to_owned(), split.to_string(), method.name().to_owned()];
        record.extend([train, test].map(usize::to_string));
        record.extend([scores.accuracy, scores.macro_f1, scores.nll, scores.ece].map(|x| x.to_string()));
        let wrong = worth.wrong.iter().flatten().map(f64::to_string);
        record.extend(wrong.chain(std::iter::repeat(String::new())).take(2 * WRONG.len()));
        table.write_record(record)?;
    }
    Ok(table.flush()?)
}

fn text(title: &str, rows: &[Row], costs: &[Cost]) -> Result<String, std::fmt::Error> {
    let mut text = format!("{title}\n\n| protocol | splits | method | accuracy | macro-F1 | NLL |");
    for (_, name) in WRONG {
        write!(text, " {name}: flips (accuracy) |")?;
    }
    writeln!(text, "\n|{}", "---|".repeat(6 + WRONG.len()))?;
    let mut protocols: Vec<&str> = rows.iter().map(|row| row.protocol).collect();
    protocols.dedup();
    for (protocol, method) in protocols.iter().flat_map(|p| Method::LEARNING.map(|method| (p, method))) {
        let of: Vec<&Worth> = rows
            .iter()
            .filter(|row| row.protocol == *protocol && row.method == method)
            .map(|row| &row.worth)
            .collect();
        let [accuracy, macro_f1, nll] = [
            (|worth| worth.scores.accuracy) as fn(&Worth) -> f64,
            |worth| worth.scores.macro_f1,
            |worth| worth.scores.nll,
        ]
        .map(|number| spread(of.iter().map(|worth| number(worth)).collect()));
        let count = of.len();
        write!(text, "| {protocol} | {count} | {} | {accuracy} | {macro_f1} | {nll} |", method.name())?;
        for kind in 0..WRONG.len() {
            let [flips, accuracy] =
                [0, 1].map(|i| mean(of.iter().filter_map(|worth| worth.wrong.get(kind)).map(|w| w[i])));
            match method.is_gated() {
                true => write!(text, " {flips:.3} ({accuracy:.3}) |")?,
                false => write!(text, " – |")?,
            }
        }
        writeln!(text)?;
    }
    writeln!(text, "\n| method | trained numbers | step: ms | processor ms | kept for gradients: MB |")?;
    writeln!(text, "|---|---|---|---|---|")?;
    for Cost { method, parameters, wall_ms, cpu_ms, kept_bytes } in costs {
        let kept = *kept_bytes as f64 * 1e-6;
        writeln!(text, "| {} | {parameters} | {wall_ms:.0} | {cpu_ms:.0} | {kept:.2} |", method.name())?;
    }
    Ok(text)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    sum / f64::from(count)
}

/// Mean ± population deviation.
fn spread(values: Vec<f64>) -> String {
    let middle = mean(values.iter().copied());
    let deviation = mean(values.iter().map(|value| (value - middle).powi(2))).sqrt();
    format!("{middle:.3} ± {deviation:.3}")
}

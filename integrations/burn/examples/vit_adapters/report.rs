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
    pub(crate) protocol: String,
    pub(crate) fold: i32,
    pub(crate) method: Method,
    /// Samples of the training and of the test part.
    pub(crate) samples: [usize; 2],
    pub(crate) worth: Worth,
}

/// Writes all files, and gives the text of results.md.
pub(crate) fn write(out: &Path, title: &str, rows: &[Row], costs: &[Cost]) -> Result<String, Box<dyn Error>> {
    std::fs::create_dir_all(out)?;
    std::fs::write(out.join("results.csv"), results(rows)?)?;
    std::fs::write(out.join("costs.csv"), costs_of(costs)?)?;
    let text = text(title, rows, costs)?;
    std::fs::write(out.join("results.md"), &text)?;
    Ok(text)
}

fn results(rows: &[Row]) -> Result<String, std::fmt::Error> {
    let mut table = String::from("protocol,fold,method,train,test,accuracy,macro_f1,nll");
    for way in WRONG {
        write!(table, ",{way}: flips,{way}: accuracy")?;
    }
    for Row { protocol, fold, method, samples: [train, test], worth } in rows {
        write!(table, "\n{protocol},{fold},{},{train},{test}", method.name())?;
        write!(table, ",{},{},{}", worth.accuracy, worth.macro_f1, worth.nll)?;
        for way in 0..WRONG.len() {
            match worth.wrong.get(way) {
                Some([flips, accuracy]) => write!(table, ",{flips},{accuracy}")?,
                None => write!(table, ",,")?,
            }
        }
    }
    Ok(table + "\n")
}

fn costs_of(costs: &[Cost]) -> Result<String, std::fmt::Error> {
    let mut table = String::from("method,parameters,wall_ms,cpu_ms,kept_bytes\n");
    for Cost { method, parameters, wall_ms, cpu_ms, kept_bytes } in costs {
        writeln!(table, "{},{parameters},{wall_ms},{cpu_ms},{kept_bytes}", method.name())?;
    }
    Ok(table)
}

fn text(title: &str, rows: &[Row], costs: &[Cost]) -> Result<String, std::fmt::Error> {
    let mut text = format!("{title}\n\n| protocol | splits | method | accuracy | macro-F1 | NLL |");
    for way in WRONG {
        write!(text, " {way}: flips (accuracy) |")?;
    }
    writeln!(text, "\n|{}", "---|".repeat(6 + WRONG.len()))?;
    let mut protocols: Vec<&str> = rows.iter().map(|row| row.protocol.as_str()).collect();
    protocols.dedup();
    for (protocol, method) in protocols.iter().flat_map(|p| Method::LEARNING.map(|method| (p, method))) {
        let of: Vec<&Worth> = rows
            .iter()
            .filter(|row| row.protocol == *protocol && row.method == method)
            .map(|row| &row.worth)
            .collect();
        let [accuracy, macro_f1, nll] =
            [(|worth| worth.accuracy) as fn(&Worth) -> f64, |worth| worth.macro_f1, |worth| worth.nll]
                .map(|number| spread(of.iter().map(|worth| number(worth)).collect()));
        let count = of.len();
        write!(text, "| {protocol} | {count} | {} | {accuracy} | {macro_f1} | {nll} |", method.name())?;
        for way in 0..WRONG.len() {
            let [flips, accuracy] =
                [0, 1].map(|i| mean(of.iter().filter_map(|worth| worth.wrong.get(way)).map(|w| w[i])));
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

/// Mean ± population deviation; one value has none.
fn spread(values: Vec<f64>) -> String {
    let middle = mean(values.iter().copied());
    if values.len() == 1 {
        return format!("{middle:.3}");
    }
    let deviation = mean(values.iter().map(|value| (value - middle).powi(2))).sqrt();
    format!("{middle:.3} ± {deviation:.3}")
}

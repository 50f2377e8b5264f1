//! The statistics as a table, as JSON, and against limits.

use crate::radv::Statistics;
use serde_json::json;
use std::fmt;
use std::ops::RangeInclusive;

/// Columns: heading, and the driver's name of the statistic. Waves are those that one SIMD can hold at a time.
const COLUMNS: [(&str, &str); 9] = [
    ("VGPRs", "VGPRs"),
    ("SGPRs", "SGPRs"),
    (SPILLS[0], SPILLS[0]),
    (SPILLS[1], SPILLS[1]),
    ("scratch B", "Scratch size"),
    ("LDS B", LDS),
    ("waves/SIMD", WAVES),
    ("instructions", "Instructions"),
    ("code B", "Code size"),
];
const SPILLS: [&str; 2] = ["Spilled VGPRs", "Spilled SGPRs"];
const LDS: &str = "LDS size";
const WAVES: &str = "Subgroups per SIMD";

/// One variant of a kernel.
pub(crate) struct Row {
    pub(crate) kernel: &'static str,
    pub(crate) flags: String,
    pub(crate) statistics: Statistics,
}

/// What `--check` allows.
pub(crate) struct Limits {
    pub(crate) min_waves: u64,
    pub(crate) max_lds: u64,
}

/// All variants under one driver.
pub(crate) struct Report {
    pub(crate) driver: String,
    pub(crate) one_buffer: bool,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// What breaks a limit, a line each. A statistic that the driver does not report breaks it too.
    pub(crate) fn problems(&self, limits: &Limits) -> Vec<String> {
        let rules = [
            (SPILLS[0], 0..=0, "no spill".to_owned()),
            (SPILLS[1], 0..=0, "no spill".to_owned()),
            (LDS, 0..=limits.max_lds, format!("at most {}", limits.max_lds)),
            (WAVES, limits.min_waves..=u64::MAX, format!("at least {}", limits.min_waves)),
        ];
        let of_row = |row: &Row| {
            let broken = |(name, allowed, rule): &(&str, RangeInclusive<u64>, String)| {
                let value = row.statistics.get(*name);
                let shown = value.map_or("not reported".into(), u64::to_string);
                let variant = format!("{} {}", row.kernel, row.flags);
                let line = format!("{}: {name} is {shown}, the limit is {rule}", variant.trim());
                (!value.is_some_and(|value| allowed.contains(value))).then_some(line)
            };
            rules.iter().filter_map(broken).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of_row).collect()
    }

    /// Everything that the driver reports.
    pub(crate) fn json(&self) -> String {
        let row =
            |row: &Row| json!({ "kernel": row.kernel, "flags": row.flags, "statistics": row.statistics });
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let all = json!({
            "what": "compiler statistics, not timings",
            "driver": self.driver,
            "one_buffer": self.one_buffer,
            "kernels": rows,
        });
        format!("{all:#}\n")
    }
}

/// A Markdown table, with columns of even width.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Compiler statistics, not timings: {}\n", self.driver)?;
        let headings = ["kernel", "flags"].into_iter().chain(COLUMNS.map(|(heading, _)| heading));
        let mut lines = vec![headings.map(str::to_owned).collect::<Vec<_>>()];
        for row in &self.rows {
            let value = |(_, name)| row.statistics.get(name).map_or("–".into(), u64::to_string);
            lines.push(
                [row.kernel.to_owned(), row.flags.clone()].into_iter().chain(COLUMNS.map(value)).collect(),
            );
        }
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
        for (index, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).enumerate();
            let cell = |(column, (cell, &width)): (usize, (&String, &usize))| {
                if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            };
            writeln!(f, "| {} |", cells.map(cell).collect::<Vec<_>>().join(" | "))?;
            if index == 0 {
                let rule = |(column, &width): (usize, &usize)| {
                    if column < 2 { "-".repeat(width) } else { format!("{}:", "-".repeat(width - 1)) }
                };
                let rules = widths.iter().enumerate().map(rule).collect::<Vec<_>>();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(numbers: &[(&str, u64)]) -> Report {
        let statistics = numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let row = Row { kernel: "encode/forward", flags: "TOKENS".into(), statistics };
        Report { driver: "a driver".into(), one_buffer: false, rows: vec![row] }
    }

    const LIMITS: Limits = Limits { min_waves: 6, max_lds: 16_384 };

    #[test]
    fn each_limit_is_checked_and_a_missing_statistic_is_a_problem() {
        let good = [(SPILLS[0], 0), (SPILLS[1], 0), (LDS, 16_384), (WAVES, 6)];
        assert!(report(&good).problems(&LIMITS).is_empty());
        for (index, bad) in [1, 1, 16_385, 5].into_iter().enumerate() {
            let mut numbers = good;
            numbers[index].1 = bad;
            let problems = report(&numbers).problems(&LIMITS);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(numbers[index].0) && problems[0].contains("encode/forward TOKENS"));
            assert_eq!(report(&[&good[..index], &good[index + 1..]].concat()).problems(&LIMITS).len(), 1);
        }
    }

    #[test]
    fn the_table_has_a_row_a_variant_and_json_keeps_what_the_table_leaves_out() {
        let report = report(&[("VGPRs", 32), ("Latency", 7)]);
        let table = report.to_string();
        assert!(table.starts_with("Compiler statistics, not timings"));
        assert!(table.lines().last().unwrap().starts_with("| encode/forward | TOKENS |    32 |"), "{table}");
        assert!(report.json().contains("\"Latency\": 7"));
    }
}

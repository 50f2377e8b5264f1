//! One line per group.

use super::case::{Case, GoldenFile};
use super::outcome::Outcome;
use super::{Check, INFORMATIONAL, NOT_YET, TABLE};
use gtca::gpu::Gpu;
use std::fmt;

struct Line {
    group: String,
    cases: usize,
    outcome: Option<Outcome>,
    note: String,
    failed: bool,
}

/// What came out, group by group.
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    pub fn of(gpu: &'static Gpu, files: &[GoldenFile]) -> Self {
        let groups = files.iter().flat_map(|file| file.groups().into_iter().map(move |group| (file, group)));
        Self { lines: groups.map(|(file, group)| Line::of(gpu, file, group)).collect() }
    }

    /// What has to be mended, a line each.
    pub fn failures(&self) -> Vec<String> {
        self.lines.iter().filter(|line| line.failed).map(ToString::to_string).collect()
    }
}

impl Line {
    fn of(gpu: &'static Gpu, file: &GoldenFile, group: &str) -> Self {
        let is = |(of_file, of_group): &(&str, &str)| (*of_file, *of_group) == (file.stem.as_str(), group);
        let find = |table: &[(&str, &str, Check)]| {
            table.iter().find(|(of_file, of_group, _)| is(&(of_file, of_group))).map(|row| row.2)
        };
        let (check, informational) = (find(TABLE), find(INFORMATIONAL));
        let not_yet = NOT_YET.iter().any(is);
        let cases: Vec<Case<'_>> = file.cases(group).collect();
        let mut line = Self {
            group: format!("{}.{group}", file.stem),
            cases: cases.len(),
            outcome: None,
            note: String::new(),
            failed: true,
        };
        match check {
            _ if cases.is_empty() => line.note = "no output in this group".into(),
            Some(_) if not_yet => line.note = "listed as not yet there, but it is".into(),
            Some(check) => line.check(gpu, check, &cases),
            None if not_yet => (line.failed, line.note) = (false, "not yet".into()),
            None => match informational {
                Some(distance) => line.inform(gpu, distance, &cases),
                None => {
                    line.note = "unknown group: add a row to the table in tests/golden_groups/mod.rs".into()
                }
            },
        }
        line
    }

    /// Upstream's distance from ours, case by case, by name.
    fn inform(&mut self, gpu: &'static Gpu, distance: Check, cases: &[Case<'_>]) {
        let of = |case: &Case<'_>| {
            let worst = distance(gpu, case).map_err(|error| format!("{}: {error}", case.name()))?;
            Ok(format!("{} {:.1e}", case.variant(), worst.worst))
        };
        let all: Result<Vec<_>, String> = cases.iter().map(of).collect();
        self.failed = all.is_err();
        self.note = all
            .map_or_else(|error| error, |all| format!("informational, upstream's own: {}", all.join(", ")));
    }

    fn check(&mut self, gpu: &'static Gpu, check: Check, cases: &[Case<'_>]) {
        self.failed = false;
        for case in cases {
            match check(gpu, case) {
                Ok(outcome) => {
                    if !outcome.passes() {
                        self.note = format!("{}{} is over its bound; ", self.note, case.name());
                        self.failed = true;
                    }
                    self.outcome = Some(self.outcome.map_or(outcome, |worst| worst.and(outcome)));
                }
                Err(error) => {
                    self.note = format!("{}{}: {error}; ", self.note, case.name());
                    self.failed = true;
                }
            }
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1e}"));
        let (worst, bound) = (number(self.outcome.map(|o| o.worst)), number(self.outcome.map(|o| o.bound)));
        let failed = if self.failed { "FAILED " } else { "" };
        let Self { group, cases, note, .. } = self;
        write!(f, "{group:<26} | {cases:>5} | {worst:>11} | {bound:>7} | {failed}{note}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} | cases | worst error |   bound | note", "golden group")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{}", line.to_string().trim_end()))
    }
}

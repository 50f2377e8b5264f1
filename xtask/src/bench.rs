//! `cargo xtask bench`: times against the adapter's own roofs, as JSON lines.

use crate::driver;
use crate::process::{self, Failure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Time every kernel against this adapter's own roofs and print JSON lines.
///
/// The roofs (add, read and write bandwidth, FMA rate) are calibrated in the same run, and each job's result is
/// checked before it is timed. The first line says date, commit, adapter and driver, the second holds the roofs,
/// then follows one line a job. roof_pct = 100 · max(bytes / add bandwidth, flops / FMA rate) / median time, where
/// bytes and flops are the least that any implementation needs; jobs named `…_naive` do the same from unfused ops.
///
/// Numbers of a software adapter say nothing about a GPU. On one, cpu_ms and cpu_roof_pct measure job and roofs by
/// processor time (on all cores together), which a busy machine disturbs less than the clock. GTCA_ADAPTER, GTCA_BACKEND and GTCA_POWER choose the adapter.
///
/// Examples:
///   cargo xtask bench --job lora_forward
///   cargo xtask bench --repeats 30 --out docs/results/my-gpu.jsonl
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    #[command(flatten)]
    driver: driver::Options,
    /// Only jobs whose name and shape contain this, for example `encode` or `lora_forward 32x256x768,r=16`
    #[arg(long, value_name = "PART")]
    job: Option<String>,
    /// Timed repetitions of each job and roof, after two warm-ups
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Also write the lines to this file, once all jobs are done
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A remark for the first line, for example what else the machine was doing
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    driver::ensure(&options.driver)?;
    let mut cargo = process::cargo();
    cargo.args(cargo_args(options, &commit()));
    println!("bench: {}", process::typed(&cargo));
    let mut lines = String::new();
    process::run_reading(&mut cargo, |line| {
        if line.starts_with('{') {
            lines.push_str(line);
            lines.push('\n');
        }
    })?;
    match &options.out {
        Some(file) => write(file, &lines),
        None => Ok(()),
    }
}

fn cargo_args(options: &Options, commit: &str) -> Vec<String> {
    let repeats = options.repeats.to_string();
    let mut words = vec!["bench", "-p", "gtca", "--bench", "roofline", "--"];
    words.extend(["--repeats", &repeats, "--commit", commit]);
    for (flag, value) in [("--job", &options.job), ("--note", &options.note)] {
        words.extend(value.iter().flat_map(|value| [flag, value]));
    }
    words.into_iter().map(str::to_owned).collect()
}

/// The checked-out commit, marked where files differ from it.
fn commit() -> String {
    let mut git: Command = process::command("git");
    let text = process::output_of(git.args(["describe", "--always", "--dirty", "--exclude=*"]));
    text.map_or_else(|| "unknown".into(), |text| text.trim().to_owned())
}

/// The path is the reader's own, so it counts from where they are, not from the workspace.
fn write(file: &Path, lines: &str) -> Result<(), Failure> {
    let failed = |e| Failure::new(format!("cannot write {}: {e}", file.display()));
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, lines).map_err(failed)?;
    println!("bench: wrote {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn the_readers_words_reach_the_benchmark() {
        let line = "bench --job lora --repeats 3 --out a.jsonl --note quiet";
        let options = Line::parse_from(line.split(' ')).options;
        let words = cargo_args(&options, "abc").join(" ");
        let tail = "--repeats 3 --commit abc --job lora --note quiet";
        assert_eq!(words, format!("bench -p gtca --bench roofline -- {tail}"));
    }

    #[test]
    fn no_repetition_at_all_is_refused() {
        assert!(Line::try_parse_from(["bench", "--repeats", "0"]).is_err());
    }
}

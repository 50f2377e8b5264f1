//! The outputs of every published encoder's own code, compared with ours: every tensor of every `*.safetensors` in the
//! folder that `GTCA_GOLDEN` names (default `tests/golden`).
//!
//! Sizes and case counts come from the files. A group that `golden_groups/mod.rs` does not know fails the test.
//! A table of all groups is written to the standard error stream, whether the test passes or not.

#![allow(unreachable_pub, reason = "modules of one test binary")]

mod golden_groups;
#[path = "gpu/support.rs"]
#[allow(dead_code, reason = "shared with the GPU suite, which uses all of it")]
mod support;

use golden_groups::case::GoldenFile;
use golden_groups::report::Report;
use std::io::Write;
use std::path::PathBuf;

fn folder() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    std::env::var_os("GTCA_GOLDEN").map_or_else(|| default.into(), PathBuf::from)
}

fn files() -> Vec<GoldenFile> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no *.safetensors", folder.display());
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        GoldenFile::parse(stem, &bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_golden_case_lies_within_its_bound() {
    let Some(gpu) = support::gpu() else { return };
    let report = Report::of(gpu, &files());
    // Past the test harness, which would keep a passing test's table to itself.
    write!(std::io::stderr(), "\n{report}").unwrap();
    let failures = report.failures();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_unknown_group_is_a_failure() {
    let Some(gpu) = support::gpu() else { return };
    let file = golden_groups::case::tests::file("clay", &[("no_such_group.out_f32", &[0.0])]);
    let failures = Report::of(gpu, &[file]).failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains("clay.no_such_group"), "{}", failures[0]);
}

#[test]
fn a_group_without_outputs_is_a_failure() {
    let Some(gpu) = support::gpu() else { return };
    let file = golden_groups::case::tests::file("clay", &[("latlon.in.latlon_deg", &[0.0, 1.0])]);
    let failures = Report::of(gpu, &[file]).failures();
    assert!(failures[0].contains("no output"), "{failures:?}");
}

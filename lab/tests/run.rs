//! Whole runs on the kernels, small: what is written, what is repeated, what is skipped.
#![allow(missing_docs, reason = "a test file")]

mod common;

use std::path::Path;
use std::time::SystemTime;

use clap::Parser;
use common::{Folder, tiny};
use gtca::gpu::{Gpu, OpenOptions};
use gtca_lab::cli::{self, Arguments};
use gtca_lab::data::Protocol;
use gtca_lab::report::{self, Results};
use gtca_lab::run::{Run, kernel_grid};
use gtca_lab::synthetic::{SyntheticOptions, World};
use gtca_lab::train::Config;

/// None, said aloud, where there is no adapter; an error where one is required.
fn gpu() -> Option<Gpu> {
    match Gpu::open_blocking(&OpenOptions::default()) {
        Ok(gpu) => Some(gpu),
        Err(error) if std::env::var("GTCA_REQUIRE_ADAPTER").is_ok_and(|v| v == "1") => panic!("{error}"),
        Err(error) => {
            common::skip(&format!("no adapter: {error}"));
            None
        }
    }
}

/// Two protocols, one split each, a few steps.
fn small(gpu: &Gpu, out: &Path) -> Results {
    let mut options = SyntheticOptions::default();
    (options.samples, options.sites) = (150, 50);
    let world = World::new(options);
    let mut data = world.dataset();
    data.tasks[0].protocols = vec![Protocol::Random, Protocol::Region];
    let run = Run {
        task: data.task(None).unwrap(),
        data: &data,
        world: Some(&world),
        grid: Some(kernel_grid(world.grid(), &[]).unwrap()),
        seed: 0,
        seeds: 1,
        most_splits: 1,
        config: Config { backbone_steps: 6, adapter_steps: 6, look_every: 3, batch: 32, ..Config::default() },
    };
    let results = run.run(gpu, out).unwrap();
    report::write(&results, out).unwrap();
    results
}

fn file(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(name)).unwrap()
}

fn changed(folder: &Folder, name: &str) -> SystemTime {
    std::fs::metadata(folder.path().join(name)).unwrap().modified().unwrap()
}

#[test]
fn a_run_repeats_bit_for_bit_and_a_restart_trains_only_what_is_missing() {
    let Some(gpu) = gpu() else { return };
    let (first, second) = (Folder::new("first"), Folder::new("second"));
    let results = small(&gpu, first.path());
    assert_eq!(results.splits.len(), 2);
    for split in &results.splits {
        let names: Vec<&str> = split.models.iter().map(|m| m.model.as_str()).collect();
        assert_eq!(names[..4], ["no metadata", "LoRA", "concat", "GTCA"]);
        for model in &split.models {
            let scores = [model.scores.accuracy, model.scores.macro_f1, model.scores.nll, model.scores.ece];
            assert!(scores.iter().all(|v| v.is_finite() && *v >= 0.0), "{} {scores:?}", model.model);
        }
        let curve = &split.models[3].mu_curve;
        assert_eq!((curve.len(), curve[5].mu), (6, 1.0));
        assert_eq!(curve[5].scores, split.models[3].scores, "μ = 1 is the adapter as trained");
        assert_eq!(split.models[3].sensitivity.len(), 10);
    }
    small(&gpu, second.path());
    let files = ["report.html", "results.csv", "results.json"];
    let stored = ["splits/random-0-0.json", "splits/region-0-0.json"];
    for name in files.iter().chain(&stored) {
        assert!(file(&first, name) == file(&second, name), "{name} must repeat");
    }
    second.remove(stored[1]);
    let kept = changed(&second, stored[0]);
    small(&gpu, second.path());
    assert_eq!(changed(&second, stored[0]), kept, "a stored split is not run again");
    for name in files.iter().chain(&stored) {
        assert!(file(&first, name) == file(&second, name), "{name} must be the same after a restart");
    }
}

#[test]
fn broken_input_writes_nothing() {
    let (folder, out) = (tiny("broken-run"), Folder::new("broken-out"));
    folder.edit("samples.csv", "-10.25", "91");
    let run = |more: &[&str]| {
        let out = out.path().join("results");
        let [data, out] = [folder.path(), &out].map(|path| path.to_str().unwrap());
        let arguments = [&["gtca-lab", "--data", data, "--out", out][..], more].concat();
        cli::run(&Arguments::parse_from(arguments)).unwrap_err().to_string()
    };
    let message = run(&[]);
    assert!(message.contains("samples.csv, row 1") && message.contains("column lat"), "{message}");
    folder.edit("samples.csv", "91", "-10.25");
    assert!(run(&["--task", "roof"]).contains("it has cover, all"));
    assert!(run(&["--climate-grid", "no.npy"]).contains("no.npy"));
    assert!(run(&["--seeds", "0"]).contains("--seeds"));
    assert!(std::fs::read_dir(out.path()).unwrap().next().is_none(), "nothing was written");
}

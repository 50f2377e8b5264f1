//! Whole runs on the kernels, small: what is written, what is repeated, what is skipped.
#![allow(missing_docs, reason = "a test file")]

mod common;

use std::path::Path;
use std::time::SystemTime;

use clap::Parser;
use common::{Folder, tiny};
use gtca::gpu::{Gpu, OpenOptions};
use gtca::records::Record;
use gtca_lab::cli::{self, Arguments};
use gtca_lab::data::{Dataset, Place, Protocol};
use gtca_lab::report::{self, Results};
use gtca_lab::run::Run;
use gtca_lab::sweep::{Chunk, Grouping, Partial, Perturbations, Row, Subject, Sweep};
use gtca_lab::synthetic::{SyntheticOptions, World};
use gtca_lab::train::{ConcatScale, Config, Features, Part, record};

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
        grid: Some(world.grid().lookup().unwrap()),
        seed: 0,
        seeds: 1,
        group_by: vec![("class".to_owned(), Vec::new())],
        resample: "block".to_owned(),
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
    let files =
        ["report.html", "results.csv", "results.json", "sensitivity-random.html", "sensitivity-random.csv"];
    let stored = ["splits/random-0-0.json", "splits/region-0-0.json"];
    let swept = ["sweeps/random-0-0-GTCA.safetensors", "sweeps/region-0-0-concat.safetensors"];
    for name in files.iter().chain(&stored).chain(&swept) {
        assert!(file(&first, name) == file(&second, name), "{name} must repeat");
    }
    let page = String::from_utf8(file(&first, files[3])).unwrap();
    for part in ["Shortcut diagnosis", "Worst cases", "The known posterior justifies", "GTCA by class"] {
        assert!(page.contains(part), "the page of a protocol has {part}");
    }
    second.remove(stored[1]);
    second.remove(swept[1]);
    let kept = changed(&second, stored[0]);
    small(&gpu, second.path());
    assert_eq!(changed(&second, stored[0]), kept, "a stored split is not run again");
    for name in files.iter().chain(&stored).chain(&swept) {
        assert!(file(&first, name) == file(&second, name), "{name} must be the same after a restart");
    }
}

/// Rows of a data set, for their metadata alone.
fn part(gpu: &Gpu, data: &Dataset, rows: &[usize]) -> Part {
    let records: Vec<_> = rows.iter().map(|&row| record(&data.samples[row], row)).collect();
    let concat = ConcatScale::fit(&records, rows);
    let [x, y] = [0, 1].map(|_| vec![0.0; rows.len()]);
    let features = Features { width: 1, x, y, labels: vec![0; rows.len()], records, concat };
    Part::new(gpu, &features, rows).unwrap()
}

#[test]
fn a_data_set_without_wrong_places_gets_other_ones_of_its_own_and_of_the_climate_grid() {
    let Some(gpu) = gpu() else { return };
    let mut options = SyntheticOptions::default();
    (options.samples, options.sites) = (60, 20);
    let world = World::new(options);
    let mut data = world.dataset();
    data.conflicts.clear();
    // A sample without a date has no months that can be shifted.
    (data.samples[7].when.month, data.samples[7].when.day) = (None, None);
    // Two samples are neighbours; sites lie far from one another.
    data.samples[1].place = data.samples[0].place;
    data.samples[1].place.lat_deg += 0.1;
    data.samples[1].climate_zone = world.grid().zone(data.samples[1].place);
    let perturbations = |grid| Perturbations::of(&data, data.task(None).unwrap(), grid).unwrap();
    let without = perturbations(None);
    assert_eq!((without.names().len(), without.skipped.len()), (8, 2), "{:?}", without.skipped);
    assert!(without.skipped[0].contains("far, same climate: synthetic has neither"), "{:?}", without.skipped);

    let rows: Vec<usize> = (0..60).collect();
    let part = part(&gpu, &data, &rows);
    let all = perturbations(Some(world.grid().lookup().unwrap())).apply(&gpu, &part, &rows).unwrap();
    let of = |name: &str| all.iter().find(|wrong| wrong.name == name).unwrap();
    let place =
        |record: &Record| Place { lat_deg: record.lat_deg.unwrap(), lon_deg: record.lon_deg.unwrap() };
    for (name, same) in [("far, same climate", true), ("far, other climate", false)] {
        for &row in &rows {
            let (recorded, moved) = (part.host_records.get(row), of(name).host.get(row));
            assert_eq!(moved.climate_zone, world.grid().zone(place(&moved)), "{name}");
            assert_eq!(moved.climate_zone == recorded.climate_zone, same, "{name}");
            assert!(of(name).is_there[row] && moved.month == recorded.month, "{name}");
        }
    }
    let near = of("neighbour");
    for (row, other) in [(0, 1), (1, 0)] {
        let (recorded, moved) = (part.host_records.get(other), near.host.get(row));
        assert!(near.is_there[row] && place(&moved) == place(&recorded));
        assert_eq!(moved.climate_zone, recorded.climate_zone);
    }
    assert!(near.is_there.iter().filter(|is_there| !**is_there).count() > 30);
    assert!(!of("+3 months").is_there[7] && of("+3 months").is_there[8]);
}

#[test]
fn a_sample_without_a_wrong_place_is_left_out_of_that_perturbation() {
    let Some(gpu) = gpu() else { return };
    let mut options = SyntheticOptions::default();
    (options.samples, options.sites) = (12, 12);
    let mut data = World::new(options).dataset();
    // Every third sample has no place 100 km away, and none has one in another climate.
    let has_donor = |row: usize| !row.is_multiple_of(3);
    let near = data.conflicts.get_mut("d100").unwrap().iter_mut().enumerate();
    near.filter(|(row, _)| !has_donor(*row)).for_each(|(_, donor)| *donor = None);
    data.conflicts.get_mut("far_diff").unwrap().fill(None);
    let perturbations = Perturbations::of(&data, data.task(None).unwrap(), None).unwrap();
    let said = perturbations.skipped.join("; ");
    assert!(said.contains("100 km: 4 of 12 samples have no such place"), "{said}");

    let rows: Vec<usize> = (0..12).collect();
    let part = part(&gpu, &data, &rows);
    let wrong = perturbations.apply(&gpu, &part, &rows).unwrap();
    let near = wrong.iter().find(|wrong| wrong.name == "100 km").unwrap();
    for &row in &rows {
        let (moved, recorded) = (near.host.get(row), part.host_records.get(row));
        assert_eq!(moved != recorded, has_donor(row), "row {row} keeps its place where there is no other");
    }

    // Predictions turn over exactly where there is a wrong place; the others must not dilute the share.
    let flipped: Vec<f32> =
        rows.iter().flat_map(|&row| if has_donor(row) { [0.0, 1.0] } else { [1.0, 0.0] }).collect();
    let variant = |is_there: &[bool]| {
        let mut logits = flipped.clone();
        let absent = logits.chunks_exact_mut(2).zip(is_there).filter(|(_, is_there)| !**is_there);
        absent.for_each(|(row, _)| row.fill(f32::NAN));
        logits
    };
    let row = |&number: &usize| Row {
        number: number as u64,
        id: number.to_string(),
        place: None,
        date: String::new(),
        label: Some(0),
        groups: vec![0],
        record: Record::new(),
        unit: number as u64,
    };
    let chunk = Chunk {
        rows: rows.iter().map(row).collect(),
        base: [1.0, 0.0].repeat(12),
        variants: wrong.iter().map(|wrong| variant(&wrong.is_there)).collect(),
        known: None,
    };
    let subject = Subject {
        dataset: "d".to_owned(),
        model: "m".to_owned(),
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        perturbations: perturbations.names(),
        groupings: vec![Grouping { column: "all".to_owned(), groups: vec!["all".to_owned()] }],
        resample: "sample".to_owned(),
        inputs: String::new(),
    };
    let mut sweep = Sweep::new(&gpu, Partial::new(subject).unwrap()).unwrap();
    let changes = sweep.add(&chunk).unwrap();
    let found = sweep.finish().unwrap();
    let of = |name: &str| {
        let k = wrong.iter().position(|wrong| wrong.name == name).unwrap();
        assert_eq!(
            changes.iter().filter(|row| row[k].is_some()).count() as u64,
            found.overall(k).unwrap().count()
        );
        found.overall(k).unwrap()
    };
    assert_eq!((of("100 km").count(), of("100 km").flip_rate()), (8, Some(1.0)));
    assert_eq!((of("10 km").count(), of("10 km").flip_rate()), (12, Some(8.0 / 12.0)));
    assert_eq!(of("far, other climate").count(), 0, "what no sample has is not measured");
}

#[test]
fn broken_input_writes_nothing() {
    let (folder, out) = (tiny("broken-run"), Folder::new("broken-out"));
    folder.edit("samples.csv", "-10.25", "91");
    let run = |more: &[&str]| {
        let out = out.path().join("results");
        let [data, out] = [folder.path(), &out].map(|path| path.to_str().unwrap());
        let arguments = [&["gtca-lab", "run", "--data", data, "--out", out][..], more].concat();
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

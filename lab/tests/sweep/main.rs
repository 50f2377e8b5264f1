//! Sweeps over files: exact whatever the order, the chunks, the shards and the interruptions.
#![allow(missing_docs, reason = "a test file")]

mod adapter;
#[path = "../common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use common::Folder;
use gtca::gpu::{Gpu, OpenOptions};
use gtca_lab::cli::{self, Arguments};
use gtca_lab::sweep::{Diagnosis, Partial};

const CLASSES: usize = 3;
const NAMES: [&str; 5] = ["10 km", "1000 km", "missing", "far, same climate", "far, other climate"];

fn has_adapter() -> bool {
    match Gpu::open_blocking(&OpenOptions::default()) {
        Ok(_) => true,
        Err(error) if std::env::var("GTCA_REQUIRE_ADAPTER").is_ok_and(|v| v == "1") => panic!("{error}"),
        Err(error) => {
            common::skip(&format!("no adapter: {error}"));
            false
        }
    }
}

/// A number in 0..1 that depends on its place alone.
fn noise(row: usize, array: usize, class: usize) -> f32 {
    let mut z = (row * 131 + array * 17 + class) as u64 ^ 0x5851_f42d;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
}

/// Logits of array 0 (base) or of a variant: the further the array, the more it differs; every 7th row has no far
/// place in another climate.
fn logit(row: usize, array: usize, class: usize) -> f32 {
    if array == NAMES.len() && row.is_multiple_of(7) {
        return f32::NAN;
    }
    4.0 * noise(row, 0, class) + if array > 0 { array as f32 * (noise(row, array, class) - 0.5) } else { 0.0 }
}

fn label(row: usize) -> usize {
    (noise(row, 90, 0) * CLASSES as f32) as usize
}

fn is_urban(row: usize) -> bool {
    noise(row, 91, 0) < 0.3
}

/// The table and three shards of the rows.
struct Case {
    folder: Folder,
    rows: usize,
}

impl Case {
    fn new(name: &str, rows: usize) -> Self {
        let folder = Folder::new(name);
        let mut table = "id,lat,lon,date,crop,urban\n".to_owned();
        for row in 0..rows {
            let (lat, lon) = (-60.0 + 120.0 * noise(row, 92, 0), -170.0 + 340.0 * noise(row, 93, 0));
            let crop = ["maize", "rice", "wheat"][label(row)];
            table += &format!("s{row},{lat},{lon},2020-07-{:02},{crop},{}\n", row % 28 + 1, is_urban(row));
        }
        folder.write("samples.csv", &table);
        let this = Self { folder, rows };
        for (n, part) in [0..rows / 4, rows / 4..rows / 2, rows / 2..rows].into_iter().enumerate() {
            this.shard(&format!("logits-{n}.safetensors"), part);
        }
        this
    }

    fn shard(&self, name: &str, rows: std::ops::Range<usize>) {
        use safetensors::tensor::{Dtype, TensorView};
        let names = ["base"].iter().chain(&NAMES).enumerate();
        let arrays: Vec<(&str, Vec<u8>)> = names
            .map(|(array, name)| {
                let row = |row| (0..CLASSES).flat_map(move |class| logit(row, array, class).to_le_bytes());
                (*name, rows.clone().flat_map(row).collect())
            })
            .collect();
        let shape = vec![rows.len(), CLASSES];
        let view = |bytes| TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        let views: Vec<_> = arrays.iter().map(|(name, bytes)| (*name, view(bytes))).collect();
        std::fs::write(self.path(name), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, out: &str, more: &[&str]) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut all = ["gtca-lab", "sweep", "--label", "crop", "--group-by", "class", "--group-by", "urban"]
            .map(str::to_owned)
            .to_vec();
        all.extend(["--group-by", "latitude-band", "--metadata"].map(str::to_owned));
        all.extend([
            text(self.path("samples.csv")),
            "--out".to_owned(),
            text(self.path(out)),
            "--shards".to_owned(),
        ]);
        all.extend((0..3).map(|n| text(self.path(&format!("logits-{n}.safetensors")))));
        all.extend(more.iter().map(|word| (*word).to_owned()));
        all
    }

    fn sweep(&self, out: &str, more: &[&str]) -> Partial {
        cli::run(&Arguments::parse_from(self.arguments(out, more))).unwrap();
        Partial::load(&self.path(out)).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    cli::run(&Arguments::parse_from(arguments)).map_err(|e| e.to_string())
}

fn argmax(row: usize, array: usize) -> usize {
    (0..CLASSES).rev().max_by(|a, b| logit(row, array, *a).total_cmp(&logit(row, array, *b))).unwrap()
}

fn probability(row: usize, array: usize, class: usize) -> f64 {
    let exp = |class| f64::from(logit(row, array, class)).exp();
    exp(class) / (0..CLASSES).map(exp).sum::<f64>()
}

#[test]
fn a_sweep_over_files_gives_what_a_plain_loop_over_the_rows_gives() {
    if !has_adapter() {
        return;
    }
    let case = Case::new("plain-loop", 400);
    let found = case.sweep("all.safetensors", &["--per-sample", case.path("changes").to_str().unwrap()]);
    assert_eq!(
        (found.rows.len(), &found.subject.groupings[1].groups[..]),
        (400, &["false", "true"].map(str::to_owned)[..])
    );
    let diagnosis = Diagnosis::of(&found.bags, &found.subject.perturbations, 50, 0);
    for (k, name) in found.subject.perturbations.iter().enumerate() {
        let array = 1 + NAMES.iter().position(|other| other == name).unwrap();
        let rows: Vec<usize> = (0..case.rows).filter(|&row| !logit(row, array, 0).is_nan()).collect();
        let share = |rows: &[usize], is: &dyn Fn(usize) -> bool| {
            rows.iter().filter(|row| is(**row)).count() as f64 / rows.len() as f64
        };
        let flips = |row| argmax(row, array) != argmax(row, 0);
        let all = found.overall(k).unwrap();
        assert_eq!(all.count(), rows.len() as u64, "{name}");
        assert_eq!(all.flip_rate().unwrap(), share(&rows, &flips), "{name}");
        assert_eq!(all.accuracy().unwrap(), share(&rows, &|row| argmax(row, array) == label(row)), "{name}");
        let urban: Vec<usize> = rows.iter().copied().filter(|&row| is_urban(row)).collect();
        let group = found.tables[1].group(k as u32, 1).unwrap();
        assert_eq!(
            (group.count() as usize, group.flip_rate().unwrap()),
            (urban.len(), share(&urban, &flips))
        );
        // The bootstrap's sums are of the same rows, through the twin.
        let effect = &diagnosis.effects[k];
        assert_eq!(effect.flips.unwrap().value, share(&rows, &flips));
        let change = |row: usize| {
            let change = |class| (probability(row, array, class) - probability(row, 0, class)).abs();
            0.5 * (0..CLASSES).map(change).sum::<f64>()
        };
        let mean = rows.iter().map(|&row| change(row)).sum::<f64>() / rows.len() as f64;
        assert!(
            (effect.change.unwrap().value - mean).abs() < 1e-6
                && (all.tv().value().unwrap() - mean).abs() < 1e-6
        );
        let gain = share(&rows, &|row| argmax(row, array) == label(row))
            - share(&rows, &|row| argmax(row, 0) == label(row));
        assert!((effect.accuracy.unwrap().value - gain).abs() < 1e-12);
        let weight = |row: usize| {
            let p = |class| probability(row, 3, class);
            1.0 + (0..CLASSES).map(|class| p(class) * p(class).ln()).sum::<f64>() / (CLASSES as f64).ln()
        };
        let settled = rows.iter().map(|&row| weight(row) * change(row)).sum::<f64>() / rows.len() as f64;
        assert!((effect.settled.unwrap().value - settled).abs() < 1e-6, "{name}");
        // The worst case is the largest change, with its id.
        let worst = &found.worst.of(k)[0];
        let largest = rows.iter().copied().max_by(|a, b| change(*a).total_cmp(&change(*b))).unwrap();
        assert_eq!((worst.id.as_str(), worst.date.len()), (format!("s{largest}").as_str(), 10));
    }
    assert_eq!(found.sketch.points().len(), 400);
    let changes = std::fs::read_dir(case.path("changes")).unwrap().count();
    assert_eq!(changes, 1, "one file for the one checkpoint");
}

#[test]
fn parts_in_any_order_and_chunks_of_any_size_add_up_to_the_same_bytes() {
    if !has_adapter() {
        return;
    }
    let case = Case::new("merge", 300);
    case.sweep("all.safetensors", &[]);
    case.sweep("chunks.safetensors", &["--chunk-rows", "7", "--checkpoint", "3"]);
    assert!(case.bytes("all.safetensors") == case.bytes("chunks.safetensors"), "chunks do not matter");
    for part in ["1/3", "2/3", "3/3"] {
        case.sweep(&format!("part-{}.safetensors", &part[..1]), &["--part", part, "--chunk-rows", "50"]);
    }
    let parts = ["3", "1", "2"].map(|n| case.path(&format!("part-{n}.safetensors")));
    let parts: Vec<&str> = parts.iter().map(|path| path.to_str().unwrap()).collect();
    let (sum, all) = (case.path("sum.safetensors"), case.path("all.safetensors"));
    let merge = |parts: &[&str]| {
        run(&[&["gtca-lab", "merge"][..], parts, &["--out", sum.to_str().unwrap()]].concat())
    };
    merge(&parts).unwrap();
    assert!(
        case.bytes("all.safetensors") == case.bytes("sum.safetensors"),
        "the sum of the parts is the whole"
    );

    let twice = merge(&[parts[0], parts[1], parts[0]]).unwrap_err();
    assert!(twice.contains("part-3.safetensors") && twice.contains("rows 200 to 299"), "{twice}");
    case.sweep("other.safetensors", &["--part", "1/3", "--model", "another"]);
    let other = merge(&[parts[0], case.path("other.safetensors").to_str().unwrap()]).unwrap_err();
    assert!(other.contains("differ in their model"), "{other}");
    case.sweep("sample.safetensors", &["--part", "1/3", "--resample", "sample"]);
    let unit = merge(&[parts[0], case.path("sample.safetensors").to_str().unwrap()]).unwrap_err();
    assert!(unit.contains("resampling unit"), "{unit}");

    let page = case.path("page.html");
    run(&["gtca-lab", "report", all.to_str().unwrap(), "--out", page.to_str().unwrap()]).unwrap();
    let html = String::from_utf8(case.bytes("page.html")).unwrap();
    for said in ["Shortcut diagnosis", "map of changes", "By urban", "reliability under wrong metadata", "s1"]
    {
        assert!(html.contains(said), "the page shows {said}");
    }
    assert!(!html.replace("http://www.w3.org/2000/svg", "").contains("http"), "a page needs nothing else");
    assert!(case.path("page.csv").exists() && case.path("page.parquet").exists());
}

#[test]
fn a_killed_sweep_goes_on_where_it_stopped_and_ends_with_the_same_bytes() {
    if !has_adapter() {
        return;
    }
    let case = Case::new("killed", 3000);
    let cut = ["--chunk-rows", "10", "--checkpoint", "2", "--per-sample"];
    let cut = |folder: &str| {
        [&cut.map(str::to_owned)[..], &[case.path(folder).to_str().unwrap().to_owned()]].concat()
    };
    let words = |out: &str, folder: &str| [case.arguments(out, &[]), cut(folder)].concat();
    cli::run(&Arguments::parse_from(words("whole.safetensors", "whole"))).unwrap();

    let start = || {
        Command::new(env!("CARGO_BIN_EXE_gtca-lab")).args(&words("killed.safetensors", "killed")[1..]).spawn()
    };
    let mut child = start().unwrap();
    let out = case.path("killed.safetensors");
    while !out.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let stopped = Partial::load(&out).unwrap().rows;
    assert!(stopped.len() < 3000, "it was killed before its end, and what it left can be read");
    assert!(start().unwrap().wait().unwrap().success());
    assert!(case.bytes("killed.safetensors") == case.bytes("whole.safetensors"), "the result is the same");
    let files = |folder: &str| {
        let finished = |path: &Path| path.extension().is_some_and(|extension| extension == "parquet");
        let all = std::fs::read_dir(case.path(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = all.filter(|path| finished(path)).collect();
        files.sort();
        files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    assert!(
        files("killed").len() == 150 && files("killed") == files("whole"),
        "and so are the samples' files"
    );
    // A result of other inputs at the same place is not overwritten.
    case.folder.edit("samples.csv", "s5,", "s5b,");
    let refused =
        cli::run(&Arguments::parse_from(words("killed.safetensors", "killed"))).unwrap_err().to_string();
    assert!(refused.contains("killed.safetensors") && refused.contains("inputs"), "{refused}");
}

#[test]
fn unusable_input_is_refused_by_name() {
    let case = Case::new("refused", 20);
    let says = |more: &[&str], part: &str| {
        let error =
            cli::run(&Arguments::parse_from(case.arguments("no.safetensors", more))).unwrap_err().to_string();
        assert!(error.contains(part), "{error} must say {part}");
    };
    says(&["--group-by", "colour"], "colour");
    says(&["--group-by", "id", "--resample", "roof"], "roof");
    says(&["--classes", "maize,rice"], "--classes");
    case.folder.edit("samples.csv", "s19,", "s19,1,1,2020-01-01,rice,true\ns20,");
    says(&[], "the table has 21 rows, the shards 20");
    case.shard("logits-2.safetensors", 10..21);
    case.folder.edit("samples.csv", "rice,true\ns20", "oats,true\ns20");
    says(&["--classes", "maize,rice,wheat"], "oats");
    assert!(!case.path("no.safetensors").exists(), "nothing was written");
}

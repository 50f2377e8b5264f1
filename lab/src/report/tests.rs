//! The report of invented results.

use std::path::PathBuf;

use super::summary::{METRICS, Spread, groups};
use super::*;

const PERTURBATIONS: [(&str, f64); 10] = [
    ("10 km", 0.02),
    ("100 km", 0.1),
    ("1000 km", 0.5),
    ("+3 months", 0.5),
    ("−3 months", 0.45),
    ("+6 months", 0.9),
    ("−6 months", 0.95),
    ("missing", 0.4),
    ("far, same climate", 0.3),
    ("far, other climate", 1.0),
];

/// A model whose numbers follow from its name, the split and a strength of its reaction to metadata.
fn model(name: &str, gain: f64, reaction: f64, split: usize) -> ModelResult {
    let wave = 0.02 * (split as f64 * 1.7).sin();
    let scores =
        |g: f64| Scores { accuracy: 0.8 + g + wave, macro_f1: 0.74 + g + wave, nll: 0.6 - g, ece: 0.05 };
    let bins = (0_u32..15).map(|b| {
        let confidence = (f64::from(b) + 0.5) / 15.0;
        let count = u64::from(b > 2) * (10 + u64::from(b) * 9);
        Bin { count, confidence, accuracy: (confidence - 0.08 + gain).clamp(0.0, 1.0) }
    });
    let sensitivity = PERTURBATIONS.iter().map(|(perturbation, size)| Sensitivity {
        perturbation: (*perturbation).to_owned(),
        flips: (reaction * size * (1.0 + 15.0 * wave)).max(0.0),
        kl: reaction * size / 7.0,
        js: reaction * size / 30.0,
        tv: reaction * size / 3.0,
        accuracy: 0.8 + gain - reaction * size / 2.0,
        nll: 0.6 + reaction * size,
    });
    let mu = (0..=10).map(|m| f64::from(m) / 10.0);
    let curve = mu.map(|mu| MuPoint { mu, scores: scores(gain * mu * (1.7 - mu) / 0.7) });
    let with_metadata = reaction > 0.0;
    ModelResult {
        model: name.to_owned(),
        scores: scores(gain),
        reliability: bins.collect(),
        sensitivity: if name.starts_with("Bayes") { Vec::new() } else { sensitivity.collect() },
        mu_curve: if with_metadata && name == "GTCA" { curve.collect() } else { Vec::new() },
        steps: 400,
        seconds: 1.5 + split as f64,
    }
}

fn split(protocol: &str, index: usize) -> SplitResult {
    let mut models = vec![
        model("no metadata", 0.0, 0.0, index),
        model("LoRA", 0.011, 0.0, index),
        model("concat", 0.021, 0.3, index),
        model("GTCA", 0.038, 0.08, index),
    ];
    if protocol == "random" {
        models.extend(
            ["Bayes p(y|x)", "Bayes p(y|x,m)", "Bayes of the sample"].map(|b| model(b, 0.06, 0.0, index)),
        );
    }
    SplitResult {
        protocol: protocol.to_owned(),
        index,
        name: format!("{protocol} {index}"),
        seed: 7,
        train: 1020,
        validation: 180,
        test: 300,
        models,
    }
}

fn invented() -> Results {
    Results {
        dataset: "invented".to_owned(),
        task: "cover <6>".to_owned(),
        classes: ["forest", "savanna", "pasture"].map(str::to_owned).into(),
        adapter: "llvmpipe (Vulkan)".to_owned(),
        version: "0.1.0".to_owned(),
        seed: 7,
        seeds: 1,
        notes: vec!["Numbers are invented.".to_owned()],
        skipped: vec!["year: every sample is of one year".to_owned()],
        splits: (0..5).map(|i| split("random", i)).chain((0..5).map(|i| split("block", i))).collect(),
    }
}

/// A folder of this process and test.
fn folder(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gtca-lab-report-{test}-{}", std::process::id()));
    std::fs::remove_dir_all(&path).ok();
    path
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_same_results_give_the_same_bytes_whatever_time_they_took() {
    let (a, b) = (folder("first"), folder("second"));
    let mut slower = invented();
    slower.splits.iter_mut().flat_map(|s| &mut s.models).for_each(|m| m.seconds *= 3.0);
    write(&invented(), &a).unwrap();
    write(&slower, &b).unwrap();
    for name in ["results.json", "results.csv", "report.html"] {
        assert_eq!(read(a.join(name)), read(b.join(name)), "{name}");
    }
    assert_eq!(std::fs::read_dir(&a).unwrap().count(), 3, "no temporary file is left");
    for path in [a, b] {
        std::fs::remove_dir_all(path).unwrap();
    }
}

#[test]
fn the_page_needs_nothing_from_outside_and_escapes_names() {
    let page = html::page(&invented(), "report.html".as_ref()).unwrap();
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("@import"));
    assert!(page.contains("cover &lt;6&gt;") && !page.contains("cover <6>"));
    assert_eq!(page.matches("<svg ").count(), 2 * 5);
    assert!(!page.contains("NaN") && !page.contains("inf"));
    assert!(page.contains("year: every sample is of one year") && page.contains("Numbers are invented."));
}

#[test]
fn results_without_splits_perturbations_or_numbers_still_make_a_report() {
    let mut bare = invented();
    bare.splits.clear();
    assert!(html::page(&bare, "report.html".as_ref()).unwrap().contains("Skipped"));
    let mut poor = split("site", 0);
    for model in &mut poor.models {
        (model.sensitivity, model.mu_curve, model.reliability) = (Vec::new(), Vec::new(), Vec::new());
        model.scores.ece = f64::NAN;
    }
    bare.splits = vec![poor];
    let page = html::page(&bare, "report.html".as_ref()).unwrap();
    assert!(page.contains("Not measured here.") && !page.contains("NaN"));
}

#[test]
fn json_gives_back_the_results_to_the_last_bit_and_nan_as_nan() {
    let mut results = invented();
    results.splits.iter_mut().flat_map(|s| &mut s.models).for_each(|m| m.seconds = 0.0);
    results.splits[0].models[0].scores.nll = 0.1 + 0.2;
    let text = atomic::json(&results, "results.json".as_ref()).unwrap();
    assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    results.splits[0].models[0].scores.ece = f64::NAN;
    let text = atomic::json(&results, "results.json".as_ref()).unwrap();
    let back: Results = serde_json::from_str(&text).unwrap();
    assert!(back.splits[0].models[0].scores.ece.is_nan());
}

#[test]
fn the_long_table_has_a_row_for_every_number() {
    let results = invented();
    let text = long_table::csv(&results, "results.csv".as_ref()).unwrap();
    let models = results.splits.iter().flat_map(|s| &s.models);
    let rows: usize = models.map(|m| 4 + 6 * m.sensitivity.len() + 4 * m.mu_curve.len()).sum();
    assert_eq!(text.lines().count(), 1 + rows);
    assert!(text.starts_with("dataset,task,protocol,split,name,seed,model,kind,condition,metric,value\n"));
    assert!(text.contains("invented,cover <6>,block,0,block 0,7,GTCA,score,,ece,0.05\n"));
    assert!(text.contains(",GTCA,sensitivity,\"far, same climate\",flips,"));
    assert!(text.contains(",GTCA,mu,0.3,nll,"));
}

#[test]
fn spread_is_the_sample_deviation_and_a_single_split_has_none() {
    let spread = Spread::of([1.0, 2.0, 4.0]).unwrap();
    assert!((spread.mean - 7.0 / 3.0).abs() < 1e-15);
    assert!((spread.sd.unwrap() - (7.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    assert_eq!((spread.count, spread.least, spread.most), (3, 1.0, 4.0));
    assert_eq!(Spread::of([0.5]).unwrap().sd, None);
    assert_eq!(Spread::of([]), None);
    assert!(Spread::of([1.0, f64::NAN]).unwrap().mean.is_nan());
}

#[test]
fn differences_are_taken_on_the_splits_that_both_models_have() {
    let mut results = invented();
    results.splits.retain(|s| s.protocol == "block");
    results.splits[0].models.retain(|m| m.model != "no metadata");
    let group = &groups(&results)[0];
    let gain = group.gain("GTCA", &METRICS[0]).unwrap();
    assert_eq!(gain.count, 4);
    assert!((gain.mean - 0.038).abs() < 1e-12 && gain.sd.unwrap() < 1e-12);
}

#[test]
fn the_printed_table_names_every_protocol_and_model_once() {
    let text = table(&invented());
    assert!(text.starts_with("invented / cover <6>\nprotocol  runs  model"), "{text}");
    assert_eq!(text.matches("block ").count(), 4 + 1, "{text}");
    assert!(text.contains("+0.038") && text.contains("skipped: year"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
}

#[test]
fn a_stored_split_comes_back_only_under_its_own_fingerprint() {
    let out = folder("splits");
    let mut split = split("block", 3);
    split.models.iter_mut().for_each(|m| m.seconds = 0.0);
    assert_eq!(splits::load(&out, "block", 3, 7, 11), None);
    splits::store(&out, &split, u64::MAX).unwrap();
    assert_eq!(splits::load(&out, "block", 3, 7, u64::MAX), Some(split));
    assert_eq!(splits::load(&out, "block", 3, 7, 11), None);
    assert_eq!(splits::load(&out, "block", 3, 8, u64::MAX), None);
    std::fs::write(out.join("splits/block-3-7.json"), "{").unwrap();
    assert_eq!(splits::load(&out, "block", 3, 7, u64::MAX), None);
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn ticks_are_round_and_enclose_the_range() {
    let labels = |from, to, scale| plots::tick_labels(from, to, scale);
    assert_eq!(labels(0.0, 0.37, 100.0), ["0", "10", "20", "30", "40"]);
    assert_eq!(labels(0.0, 0.01, 100.0), ["0.0", "0.5", "1.0"]);
    assert_eq!(labels(0.79, 0.84, 1.0), ["0.78", "0.80", "0.82", "0.84"]);
}

//! `metrics` against its twin and an f64 reference; merging, order and sharding bit for bit.

use crate::support::*;
use gtca::gpu::{Gpu, Mode};
use gtca::metrics::{Args, GroupMetrics, Meter, MeterDesc, Metrics};

const UNIT: f64 = 1.0 / (1u64 << 26) as f64;

/// Labelled logits with groups.
#[derive(Clone)]
struct Case {
    desc: MeterDesc,
    logits: Vec<f32>,
    labels: Vec<u32>,
    groups: Option<Vec<u32>>,
}

impl Case {
    /// Every 7th sample has a tie at the top, every 13th no label, every 11th a group outside.
    fn new(samples: usize, classes: u32, groups: u32) -> Self {
        let mut random = Random(samples as u64 * 1009 + u64::from(classes * 31 + groups));
        let width = classes as usize;
        let mut logits: Vec<f32> = random.f32s(samples * width).iter().map(|l| l * 6.0).collect();
        for row in logits.chunks_exact_mut(width).step_by(7) {
            (row[width / 2], row[width - 1]) = (7.0, 7.0);
        }
        let labels = (0..samples).map(|i| if i % 13 == 12 { classes } else { random.below(classes) });
        let labels = labels.collect();
        let ids = (0..samples).map(|i| if i % 11 == 10 { groups + 5 } else { random.below(groups) });
        let groups_of = (groups > 1).then(|| ids.collect());
        Self { desc: MeterDesc { classes, groups }, logits, labels, groups: groups_of }
    }

    fn samples(&self) -> usize {
        self.labels.len()
    }

    fn row(&self, i: usize) -> &[f32] {
        let width = self.desc.classes as usize;
        &self.logits[i * width..][..width]
    }

    /// Some samples, in the order given.
    fn pick(&self, order: &[usize]) -> Self {
        Self {
            desc: self.desc,
            logits: order.iter().flat_map(|&i| self.row(i).to_vec()).collect(),
            labels: order.iter().map(|&i| self.labels[i]).collect(),
            groups: self.groups.as_ref().map(|groups| order.iter().map(|&i| groups[i]).collect()),
        }
    }

    fn run(&self, gpu: &'static Gpu, layout: Layout) -> Metrics {
        run_parts(gpu, layout, std::slice::from_ref(self))
    }

    fn twin(&self) -> Metrics {
        let mut metrics = Metrics::new(&self.desc).unwrap();
        for i in 0..self.samples() {
            let group = self.groups.as_ref().map_or(0, |groups| groups[i]);
            metrics.add(self.row(i), self.labels[i], Some(group)).unwrap();
        }
        metrics
    }
}

/// Parts measured one after the other into the same poisoned buffer.
fn run_parts(gpu: &'static Gpu, layout: Layout, parts: &[Case]) -> Metrics {
    let meter = Meter::new(&parts[0].desc).unwrap();
    let words = meter.sums_words() as u32;
    let mut t = Tensors::new(gpu, layout);
    let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
    let inputs: Vec<_> = parts
        .iter()
        .map(|part| {
            let samples = part.samples() as u32;
            let logits = t.f32([samples, 1, part.desc.classes], &part.logits);
            let labels = t.u32([samples, 1, 1], &part.labels);
            (logits, labels, part.groups.as_ref().map(|groups| t.u32([samples, 1, 1], groups)))
        })
        .collect();
    t.run(|recorder| {
        for (i, (logits, labels, groups)) in inputs.iter().enumerate() {
            let mode = if i == 0 { Mode::Overwrite } else { Mode::Accumulate };
            let groups = groups.map(|groups| t.view(groups));
            let (logits, labels, sums) = (t.view(*logits), t.view(*labels), t.view(sums));
            meter.record(recorder, &Args { logits, labels, groups, sums, mode })?;
        }
        Ok(())
    })
    .unwrap();
    pollster::block_on(meter.read(gpu, &t.view(sums))).unwrap()
}

/// The f64 reference of one group: (count, NLL, Brier, accuracy, confidence sum, confusion).
fn reference(case: &Case, keep: impl Fn(u32) -> bool) -> (u64, f64, f64, u64, f64, Vec<u64>) {
    let classes = case.desc.classes as usize;
    let mut out = (0, 0.0, 0.0, 0, 0.0, vec![0; classes * classes]);
    for i in 0..case.samples() {
        let row = wide(case.row(i));
        let label = case.labels[i] as usize;
        let group = case.groups.as_ref().map_or(0, |groups| groups[i]);
        if !keep(group.min(case.desc.groups)) || label >= classes || row.iter().any(|l| !l.is_finite()) {
            continue;
        }
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        let prediction = row.iter().position(|&l| l == top).unwrap();
        let total: f64 = row.iter().map(|l| (l - top).exp()).sum();
        let p: Vec<f64> = row.iter().map(|l| (l - top).exp() / total).collect();
        out.0 += 1;
        out.1 -= p[label].max(1e-6).ln();
        out.2 +=
            p.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == label))).powi(2)).sum::<f64>();
        out.3 += u64::from(prediction == label);
        out.4 += p[prediction];
        out.5[label * classes + prediction] += 1;
    }
    out
}

/// Per sample: f32 softmax of `classes` terms in blocks of 128, logits below 16 (their halves' differences err by an
/// ulp of 8), exp and log within 2 and 1 ulp, one unit of rounding.
fn sample_bound(classes: u32) -> f64 {
    let ulps = 8.0 + f64::from(classes.min(128)) + f64::from(classes) / 128.0;
    ulps * f64::from(f32::EPSILON) + UNIT
}

fn check(name: &str, case: &Case, group: &GroupMetrics, keep: impl Fn(u32) -> bool) {
    let (count, nll, brier, correct, confidence, confusion) = reference(case, keep);
    let classes = case.desc.classes;
    assert_eq!(group.count(), count, "{name}: count");
    let counted: Vec<u64> =
        (0..classes * classes).map(|i| group.confusion(i / classes, i % classes)).collect();
    assert_eq!(counted, confusion, "{name}: confusion");
    let bound = count as f64 * sample_bound(classes);
    let bins = group.reliability();
    let found = bins.iter().map(|bin| bin.confidence_units).sum::<i64>() as f64 * UNIT;
    for (what, found, expected, bound) in [
        ("NLL", group.nll().units() as f64 * UNIT, nll, bound * 4.0),
        ("Brier", group.brier().units() as f64 * UNIT, brier, bound * 4.0),
        ("confidence", found, confidence, bound),
    ] {
        assert!(
            (found - expected).abs() <= bound,
            "{name}: {what} {found} against {expected}, bound {bound:e}"
        );
    }
    assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), count, "{name}: bins");
    assert_eq!(bins.iter().map(|bin| bin.correct).sum::<u64>(), correct, "{name}: right ones");
    assert_eq!(group.accuracy(), (count > 0).then(|| correct as f64 / count as f64), "{name}: accuracy");
}

#[test]
fn every_shape_matches_the_reference_in_every_group() {
    let Some(gpu) = gpu() else { return };
    let samples = [1, 2, 63, 255, 256, 257, 300];
    for (i, classes) in [2, 3, 5, 16, 17, 100].into_iter().enumerate() {
        for (j, groups) in [1, 2, 7].into_iter().enumerate() {
            let case = Case::new(samples[(i * 3 + j * 2) % samples.len()], classes, groups);
            for layout in LAYOUTS {
                let metrics = case.run(gpu, layout);
                let name = format!("{} x {classes}, {groups} groups, {layout:?}", case.samples());
                for group in 0..=groups {
                    check(&name, &case, &metrics.group(group).unwrap(), |id| id == group);
                }
                check(&name, &case, &metrics.overall(), |_| true);
            }
        }
    }
}

#[test]
fn the_twin_agrees_to_the_last_units() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, 17, 2);
    let (metrics, twin) = (case.run(gpu, Layout::Separate).overall(), case.twin().overall());
    let bound = (300.0 * sample_bound(17) / UNIT) as u64;
    assert!(metrics.nll().units().abs_diff(twin.nll().units()) <= bound);
    assert!(metrics.brier().units().abs_diff(twin.brier().units()) <= bound);
    assert_eq!((metrics.accuracy(), metrics.macro_f1()), (twin.accuracy(), twin.macro_f1()));
    assert_eq!((metrics.count(), metrics.unlabelled()), (twin.count(), twin.unlabelled()));
}

#[test]
fn any_order_sharding_chunking_and_layout_gives_the_same_words() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(700, 16, 7);
    let whole = case.run(gpu, Layout::Separate);
    assert!(whole.overall().count() > 600);
    let reversed: Vec<usize> = (0..700).rev().collect();
    assert_eq!(case.pick(&reversed).run(gpu, Layout::OneBuffer), whole, "reversed");
    // Shards of unequal size and mixed order, chunk by chunk into one buffer, and merged on the host.
    let scattered: Vec<usize> = (0..700).map(|i| i * 297 % 700).collect();
    let cuts = [0, 1, 257, 258, 600, 700];
    let shards: Vec<Case> = cuts.windows(2).map(|cut| case.pick(&scattered[cut[0]..cut[1]])).collect();
    for layout in LAYOUTS {
        assert_eq!(run_parts(gpu, layout, &shards), whole, "chunks, {layout:?}");
    }
    let mut merged = Metrics::new(&case.desc).unwrap();
    for shard in shards.iter().rev() {
        merged.merge(&shard.run(gpu, Layout::Separate)).unwrap();
    }
    assert_eq!(merged.to_words(), whole.to_words(), "merged");
}

#[test]
fn twenty_repeats_give_the_same_words() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(1000, 5, 2);
    let first = case.run(gpu, Layout::Separate);
    for repeat in 0..20 {
        assert_eq!(case.run(gpu, LAYOUTS[repeat % 2]), first);
    }
}

#[test]
fn more_groups_than_workgroup_memory_holds_change_nothing() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(400, 3, 7);
    let few = case.run(gpu, Layout::Separate);
    case.desc.groups = 40;
    let many = case.run(gpu, Layout::Separate);
    for group in 0..7 {
        assert_eq!(many.group(group), few.group(group));
    }
    assert_eq!(many.overall(), few.overall());
}

#[test]
fn a_sample_with_a_logit_that_is_not_finite_is_left_out_and_counted() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(64, 5, 2);
    let clean = case.run(gpu, Layout::Separate);
    let bad = [(3, f32::NAN), (17, f32::INFINITY), (40, f32::NEG_INFINITY)];
    for (row, value) in bad {
        case.logits[row * 5 + row % 5] = value;
    }
    let rest: Vec<usize> = (0..64).filter(|i| bad.iter().all(|(row, _)| row != i)).collect();
    let metrics = case.run(gpu, Layout::OneBuffer);
    let left = case.pick(&rest).run(gpu, Layout::Separate);
    assert_eq!((clean.overall().invalid(), metrics.overall().invalid()), (0, 3));
    assert_eq!(metrics.overall().nll(), left.overall().nll());
    assert_eq!(metrics.overall().count(), left.overall().count());
}

#[test]
fn huge_logits_neither_overflow_nor_lose_the_label() {
    let Some(gpu) = gpu() else { return };
    let desc = MeterDesc { classes: 3, groups: 1 };
    let logits = vec![3.0e38, -3.0e38, 0.0, 3.0e38, 3.0e38, -3.0e38];
    let case = Case { desc, logits, labels: vec![1, 1], groups: None };
    let overall = case.run(gpu, Layout::Separate).overall();
    assert_eq!((overall.count(), overall.invalid()), (2, 0));
    let expected = (-(1e-6f64.ln()) + 2f64.ln()) / 2.0;
    assert!((overall.nll().value().unwrap() - expected).abs() < 2e-6);
    assert_eq!((overall.confusion(1, 0), overall.accuracy()), (2, Some(0.0)));
}

#[test]
fn derived_numbers_follow_their_definitions() {
    let mut metrics = Metrics::new(&MeterDesc { classes: 3, groups: 1 }).unwrap();
    // Labels 0, 0, 1; predicted 0, 1, 1; class 2 is absent.
    for (logits, label) in [([9.0, 0.0, 0.0], 0), ([0.0, 9.0, 0.0], 0), ([0.0, 9.0, 0.0], 1)] {
        metrics.add(&logits, label, Some(0)).unwrap();
    }
    let overall = metrics.overall();
    assert_eq!(overall.accuracy(), Some(2.0 / 3.0));
    assert_eq!((overall.f1(0), overall.f1(2)), (Some(2.0 / 3.0), None));
    assert!((overall.macro_f1().unwrap() - 2.0 / 3.0).abs() < 1e-12);
    assert!((overall.ece().unwrap() - 1.0 / 3.0).abs() < 1e-3);
    let stored = metrics.to_words();
    assert_eq!(Metrics::from_words(&stored).unwrap(), metrics);
    assert!(Metrics::from_words(&stored[..40]).is_err());
    let mut other = stored.clone();
    other[1] += 1;
    assert!(Metrics::from_words(&other).unwrap_err().to_string().contains("version"));
}

#[test]
fn two_hundred_thousand_samples_are_all_counted() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(200_000, 3, 2);
    let metrics = case.run(gpu, Layout::Separate);
    check("200,000", &case, &metrics.overall(), |_| true);
    assert_eq!(metrics.overall().unlabelled(), 200_000 / 13);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    for (classes, groups, name) in [(1, 1, "`classes`"), (30_000, 1, "`classes`"), (2, 0, "`groups`")] {
        let error = Meter::new(&MeterDesc { classes, groups }).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let meter = Meter::new(&MeterDesc { classes: 3, groups: 1 }).unwrap();
    let words = meter.sums_words() as u32;
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let logits = t.f32([4, 1, 3], &[0.0; 12]);
    let labels = t.u32([4, 1, 1], &[0; 4]);
    let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
    let good = Args {
        logits: t.view(logits),
        labels: t.view(labels),
        groups: None,
        sums: t.view(sums),
        mode: Mode::Overwrite,
    };
    let message = |args: Args<'_>| t.run(|recorder| meter.record(recorder, &args)).unwrap_err().to_string();
    assert!(message(Args { labels: t.view(logits), ..good }).contains("`labels`"));
    assert!(message(Args { groups: Some(t.view(logits)), ..good }).contains("`groups`"));
    assert!(message(Args { sums: t.view(labels), ..good }).contains("`sums`"));
    assert!(message(Args { sums: t.view(sums).at(t.view(logits).offset), ..good }).contains("overlap"));
    assert!(t.read_u32(sums).iter().all(|&word| word == POISON), "nothing may have been recorded");
}

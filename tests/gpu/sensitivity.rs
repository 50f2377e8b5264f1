//! `sensitivity` against its twin and an f64 reference; order, sharding, chunking and paths bit for bit.

use crate::support::*;
use gtca::common::measure::{CHANGE_BINS, change_bin, change_edge};
use gtca::common::sum64::measure_units;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::sensitivity::{
    Change, External, Factored, Form, Probe, ProbeDesc, Sensitivity, Tally, Worst, twin,
};

const UNIT: f64 = 1.0 / (1u64 << 26) as f64;

/// Logits of a base and its variants, with labels and groups.
#[derive(Clone)]
struct Case {
    desc: ProbeDesc,
    base: Vec<f32>,
    /// `[perturbations, samples, classes]`.
    variants: Vec<f32>,
    labels: Option<Vec<u32>>,
    groups: Option<Vec<u32>>,
    /// Of the probe; none: the device's.
    form: Option<Form>,
}

impl Case {
    /// Changes run from none (k = 0) over tiny to large; every 7th sample has a tie, every 13th no label, every 11th
    /// a group outside.
    fn new(samples: usize, desc: ProbeDesc) -> Self {
        let ProbeDesc { classes, groups, perturbations } = desc;
        let width = classes as usize;
        let seed = samples as u64 * 1009 + u64::from(classes * 31 + groups + perturbations * 7);
        let mut random = Random(seed);
        let mut base: Vec<f32> = random.f32s(samples * width).iter().map(|l| l * 6.0).collect();
        for row in base.chunks_exact_mut(width).step_by(7) {
            (row[width / 2], row[width - 1]) = (7.0, 7.0);
        }
        let mut variants = Vec::new();
        for k in 0..perturbations {
            let size = [0.0, 1e-3, 0.3, 8.0][k as usize % 4];
            variants.extend(base.iter().map(|l| l + size * (random.unit() as f32 - 0.5)));
        }
        let labels = (0..samples).map(|i| if i % 13 == 12 { classes } else { random.below(classes) });
        let labels = Some(labels.collect());
        let ids = (0..samples).map(|i| if i % 11 == 10 { groups + 5 } else { random.below(groups) });
        let groups = (groups > 1).then(|| ids.collect());
        Self { desc, base, variants, labels, groups, form: None }
    }

    fn width(&self) -> usize {
        self.desc.classes as usize
    }

    fn samples(&self) -> usize {
        self.base.len() / self.width()
    }

    fn perturbations(&self) -> usize {
        self.variants.len() / self.base.len()
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.base[i * self.width()..][..self.width()]
    }

    fn variant(&self, k: usize, i: usize) -> &[f32] {
        &self.variants[(k * self.samples() + i) * self.width()..][..self.width()]
    }

    fn label(&self, i: usize) -> Option<usize> {
        let label = self.labels.as_ref().map(|labels| labels[i] as usize);
        label.filter(|&label| label < self.width())
    }

    /// Some samples and perturbations, in the order given.
    fn pick(&self, ks: std::ops::Range<usize>, order: &[usize]) -> Self {
        let only = |values: &Option<Vec<u32>>| {
            values.as_ref().map(|values| order.iter().map(|&i| values[i]).collect())
        };
        let variants = ks.flat_map(|k| order.iter().flat_map(move |&i| self.variant(k, i).to_vec()));
        Self {
            desc: self.desc,
            base: order.iter().flat_map(|&i| self.row(i).to_vec()).collect(),
            variants: variants.collect(),
            labels: only(&self.labels),
            groups: only(&self.groups),
            form: self.form,
        }
    }

    fn probe(&self) -> Probe {
        let probe = Probe::new(&self.desc).unwrap();
        self.form.map_or(probe, |form| probe.with_form(form))
    }

    fn run(&self, gpu: &'static Gpu, layout: Layout) -> Sensitivity {
        run_parts(gpu, layout, &[(0, self.clone())]).0
    }

    fn twin(&self) -> Sensitivity {
        let mut table = Sensitivity::new(&self.desc).unwrap();
        for k in 0..self.perturbations() {
            for i in 0..self.samples() {
                let group = self.groups.as_ref().map_or(0, |groups| groups[i]);
                let label = self.labels.as_ref().map(|labels| labels[i]);
                table.add(k as u32, self.row(i), self.variant(k, i), label, Some(group)).unwrap();
            }
        }
        table
    }
}

/// Parts (first perturbation, data) measured one after the other into the same poisoned buffer; also the changes of
/// the last.
fn run_parts(gpu: &'static Gpu, layout: Layout, parts: &[(u32, Case)]) -> (Sensitivity, Vec<Change>) {
    let probe = parts[0].1.probe();
    let words = probe.sums_words() as u32;
    let mut t = Tensors::new(gpu, layout);
    let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
    let mut inputs = Vec::new();
    for (first, part) in parts {
        let (samples, classes) = (part.samples() as u32, part.desc.classes);
        let count = part.perturbations() as u32;
        let base = t.f32([samples, 1, classes], &part.base);
        let variants = t.f32([count, samples, classes], &part.variants);
        let per_sample = t.poisoned([count, samples, 4]);
        let [labels, groups] = [&part.labels, &part.groups]
            .map(|values| values.as_ref().map(|values| t.u32([samples, 1, 1], values)));
        inputs.push((*first, base, variants, labels, groups, per_sample));
    }
    t.run(|recorder| {
        for (i, (first, base, variants, labels, groups, per_sample)) in inputs.iter().enumerate() {
            let args = External {
                base: t.view(*base),
                variants: t.view(*variants),
                labels: labels.map(|labels| t.view(labels)),
                groups: groups.map(|groups| t.view(groups)),
                per_sample: Some(t.view(*per_sample)),
                first_perturbation: *first,
                sums: t.view(sums),
                mode: if i == 0 { Mode::Overwrite } else { Mode::Accumulate },
            };
            probe.external(recorder, &args)?;
        }
        Ok(())
    })
    .unwrap();
    let table = pollster::block_on(probe.read(gpu, &t.view(sums))).unwrap();
    (table, inputs.last().map(|input| changes(&t.read(input.5))).unwrap())
}

fn changes(read_back: &[f32]) -> Vec<Change> {
    bytemuck::cast_slice(read_back).to_vec()
}

fn assert_same_changes(name: &str, a: &[Change], b: &[Change]) {
    assert_same_bits(name, bytemuck::cast_slice(a), bytemuck::cast_slice(b));
}

/// One pair in f64, from the definitions: flip, then KL, JS, TV, top change, its size, entropy change, logit change,
/// and with a label NLL, Brier, correct.
struct Exact {
    is_flip: bool,
    measures: [f64; 7],
    /// NLL, Brier, right after, right before.
    scores: Option<(f64, f64, bool, bool)>,
    prediction: usize,
    confidence: f64,
}

fn exact(base: &[f32], variant: &[f32], label: Option<usize>) -> Option<Exact> {
    let (l, m) = (wide(base), wide(variant));
    if l.iter().chain(&m).any(|x| !x.is_finite()) {
        return None;
    }
    let log_softmax = |x: &[f64]| {
        let top = x.iter().copied().fold(f64::MIN, f64::max);
        let log_total = x.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
        (x.iter().map(|x| x - top - log_total).collect::<Vec<_>>(), x.iter().position(|&x| x == top).unwrap())
    };
    let ((lp, p_class), (lq, q_class)) = (log_softmax(&l), log_softmax(&m));
    let sum = |f: &dyn Fn(f64, f64) -> f64| lp.iter().zip(&lq).map(|(&a, &b)| f(a, b)).sum::<f64>();
    let half = |a: f64, b: f64| {
        let middle = ((a.exp() + b.exp()) / 2.0).max(f64::MIN_POSITIVE).ln();
        0.5 * (a.exp() * (a - middle) + b.exp() * (b - middle))
    };
    let top_change = lq[p_class].exp() - lp[p_class].exp();
    let mean = l.iter().zip(&m).map(|(l, m)| m - l).sum::<f64>() / l.len() as f64;
    let logit_change = l.iter().zip(&m).map(|(l, m)| (m - l - mean).abs()).fold(0.0, f64::max);
    let scores = label.map(|y| {
        let brier = lq.iter().enumerate().map(|(c, q)| (q.exp() - f64::from(u8::from(c == y))).powi(2)).sum();
        (-lq[y].max(1e-6f64.ln()), brier, q_class == y, p_class == y)
    });
    Some(Exact {
        is_flip: p_class != q_class,
        measures: [
            sum(&|a, b| a.exp() * (a - b)),
            sum(&half),
            0.5 * sum(&|a, b| (a.exp() - b.exp()).abs()),
            top_change,
            top_change.abs(),
            sum(&|a, b| a.exp() * a - b.exp() * b),
            logit_change,
        ],
        scores,
        prediction: q_class,
        confidence: lq[q_class].exp(),
    })
}

/// Per pair, in probabilities and nats: logits below 16 lose at most half an ulp of 16 by being halved and shifted,
/// f32 sums of `classes` terms in blocks of 128, exp and log within 2 and 1 ulp, weights up to |log p| ≤ 24, one unit.
fn pair_bound(classes: u32) -> f64 {
    let ulps = 24.0 + f64::from(classes.min(128)) + f64::from(classes) / 128.0;
    2.0 * ulps * f64::from(f32::EPSILON) + UNIT
}

fn measures(tally: &Tally) -> [f64; 7] {
    let logits = tally.logit_change().units() as f64 / f64::from(1 << 20);
    let [kl, js, tv, top, size, entropy] = [
        tally.kl(),
        tally.js(),
        tally.tv(),
        tally.top_change(),
        tally.top_change_abs(),
        tally.entropy_change(),
    ]
    .map(|mean| mean.units() as f64 * UNIT);
    [kl, js, tv, top, size, entropy, logits]
}

fn check(name: &str, case: &Case, k: usize, tally: &Tally, keep: impl Fn(u32) -> bool) {
    let (mut count, mut invalid, mut flips, mut labelled, mut correct) = (0, 0, 0, 0, 0);
    let (mut before, mut broken) = (0, 0);
    let (mut sums, mut nll, mut brier, mut confidence) = ([0.0; 7], 0.0, 0.0, 0.0);
    for i in 0..case.samples() {
        let group = case.groups.as_ref().map_or(0, |groups| groups[i]);
        if !keep(group.min(case.desc.groups)) {
            continue;
        }
        let Some(pair) = exact(case.row(i), case.variant(k, i), case.label(i)) else {
            invalid += 1;
            continue;
        };
        count += 1;
        flips += u64::from(pair.is_flip);
        sums.iter_mut().zip(pair.measures).for_each(|(sum, value)| *sum += value);
        if let Some((log, score, is_correct, was_correct)) = pair.scores {
            before += u64::from(was_correct);
            broken += u64::from(was_correct && !is_correct);
            (nll, brier, confidence) = (nll + log, brier + score, confidence + pair.confidence);
            labelled += 1;
            correct += u64::from(is_correct);
        }
    }
    assert_eq!((tally.count(), tally.invalid(), tally.flips()), (count, invalid, flips), "{name}: counts");
    assert_eq!(tally.labelled(), labelled, "{name}: labelled");
    let bound = count as f64 * pair_bound(case.desc.classes);
    // A unit of logit changes is 64 times as large.
    let bounds = [bound, bound, bound, bound, bound, bound, bound + count as f64 * UNIT * 64.0];
    for (i, (found, expected)) in measures(tally).into_iter().zip(sums).enumerate() {
        assert!(
            (found - expected).abs() <= bounds[i],
            "{name}: measure {i} is {found} against {expected}, bound {:e}",
            bounds[i]
        );
    }
    let bins = tally.reliability();
    let sum = bins.iter().map(|bin| bin.confidence_units).sum::<i64>() as f64 * UNIT;
    for (what, found, expected) in [
        ("NLL", tally.nll().units() as f64 * UNIT, nll),
        ("Brier", tally.brier().units() as f64 * UNIT, brier),
        ("confidence", sum, confidence),
    ] {
        assert!(
            (found - expected).abs() <= bound,
            "{name}: {what} {found} against {expected}, bound {bound:e}"
        );
    }
    assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), labelled, "{name}: bins");
    assert_eq!(bins.iter().map(|bin| bin.correct).sum::<u64>(), correct, "{name}: right ones");
    let share = |right: u64| (labelled > 0).then(|| right as f64 / labelled as f64);
    assert_eq!((tally.accuracy(), tally.accuracy_before()), (share(correct), share(before)), "{name}");
    assert_eq!((tally.broken(), tally.fixed()), (broken, correct - (before - broken)), "{name}");
    assert_eq!(tally.tv_histogram().iter().sum::<u64>(), count, "{name}: histogram");
}

fn desc(classes: u32, groups: u32, perturbations: u32) -> ProbeDesc {
    ProbeDesc { classes, groups, perturbations }
}

#[test]
fn every_shape_matches_the_reference_in_every_group() {
    let Some(gpu) = gpu() else { return };
    let samples = [1, 2, 63, 255, 256, 257, 90];
    let mut turn = 0;
    for classes in [2, 3, 5, 16, 17, 100] {
        for groups in [1, 2, 7] {
            let perturbations = [1, 3, 16][turn % 3];
            let mut case = Case::new(samples[turn * 2 % 7], desc(classes, groups, perturbations));
            turn += 1;
            case.form = [None, Some(Form::General)][turn / 2 % 2];
            let table = case.run(gpu, LAYOUTS[turn % 2]);
            assert_eq!(case.run(gpu, LAYOUTS[(turn + 1) % 2]), table, "layouts");
            for k in 0..perturbations {
                let name = format!("{} x {classes}, {groups} groups, k = {k}", case.samples());
                for group in 0..=groups {
                    let tally = table.group(k, group).unwrap();
                    check(&name, &case, k as usize, &tally, |id| id == group);
                }
                check(&name, &case, k as usize, &table.overall(k).unwrap(), |_| true);
            }
        }
    }
}

#[test]
fn few_classes_match_the_reference_at_every_edge_of_a_tile() {
    let Some(gpu) = gpu() else { return };
    let matches = |samples: usize, desc: ProbeDesc, layout: Layout| {
        let case = Case::new(samples, desc);
        let table = case.run(gpu, layout);
        for k in 0..desc.perturbations {
            let name = format!("{samples} samples, {desc:?}, k = {k}");
            check(&name, &case, k as usize, &table.overall(k).unwrap(), |_| true);
        }
    };
    for classes in 2..=33 {
        matches(9, desc(classes, 3, 4), LAYOUTS[classes as usize % 2]);
    }
    for count in [1, 7, 8, 9, 16, 17] {
        matches(70, desc(6, 3, count), LAYOUTS[count as usize % 2]);
    }
    for samples in [7, 8, 9, 63, 64, 65, 127, 128, 129, 2047, 2048, 2049, 4097] {
        matches(samples, desc(4, 3, 4), LAYOUTS[samples % 2]);
    }
    // One slot is for samples without a group, and 256 fit.
    for groups in [254, 255, 256, 300] {
        matches(600, desc(3, groups, 4), LAYOUTS[groups as usize % 2]);
    }
}

#[test]
fn both_forms_count_alike_and_measure_within_rounding() {
    let Some(gpu) = gpu() else { return };
    for classes in [2, 7, 8, 12, 16, 32] {
        let mut case = Case::new(333, desc(classes, 5, 9));
        let (table, changes) = run_parts(gpu, Layout::Separate, &[(0, case.clone())]);
        case.form = Some(Form::General);
        let (general, of_general) = run_parts(gpu, Layout::OneBuffer, &[(0, case)]);
        for (k, group) in (0..9).flat_map(|k| (0..6).map(move |group| (k, group))) {
            let (a, b) = (table.group(k, group).unwrap(), general.group(k, group).unwrap());
            let counts = |t: &Tally| [t.count(), t.flips(), t.labelled(), t.broken(), t.fixed(), t.invalid()];
            assert_eq!((counts(&a), a.accuracy()), (counts(&b), b.accuracy()));
            for (a, b) in measures(&a).into_iter().zip(measures(&b)) {
                assert!(
                    (a - b).abs() <= 333.0 * 2.0 * pair_bound(classes),
                    "{classes}, {k}: {a} against {b}"
                );
            }
        }
        for (a, b) in changes.iter().zip(&of_general) {
            assert_eq!(a.code, b.code);
            assert!((a.kl - b.kl).abs() <= 2.0 * pair_bound(classes) as f32, "{a:?} against {b:?}");
        }
    }
}

#[test]
fn logits_that_move_far_match_the_reference() {
    let Some(gpu) = gpu() else { return };
    let classes = 6;
    let mut case = Case::new(200, desc(classes as u32, 1, 9));
    let sizes = [0.0, 20.0, 29.0, 31.0, 60.0, 90.0, 200.0, 3e3, 1e6];
    let mut random = Random(5);
    for (k, size) in sizes.into_iter().enumerate() {
        for i in 0..200 {
            // Some leave one class certain, before or after or both; some stay as they are.
            let (base, moved) = (&mut case.base[i * classes..], random.below(classes as u32) as usize);
            if i % 5 == 0 && k == 0 {
                base[i % classes] += 150.0;
            }
            let row: Vec<f32> = base[..classes].to_vec();
            let variant = &mut case.variants[(k * 200 + i) * classes..][..classes];
            variant.copy_from_slice(&row);
            variant[moved] += size * if i % 3 == 0 { -1.0 } else { 1.0 };
        }
    }
    for form in [None, Some(Form::General)] {
        case.form = form;
        let (table, changes) = run_parts(gpu, Layout::OneBuffer, &[(0, case.clone())]);
        for (k, size) in sizes.into_iter().enumerate() {
            assert_eq!(table.overall(k as u32).unwrap().count(), 200);
            for i in 0..200 {
                let change = changes[k * 200 + i];
                let exact = exact(case.row(i), case.variant(k, i), case.label(i)).unwrap();
                let found = [change.kl, change.tv, change.top_change];
                for (found, at) in found.into_iter().zip([0, 2, 3]) {
                    let (found, exact) = (f64::from(found), exact.measures[at]);
                    // Differences of logits are rounded to their own precision.
                    let bound = pair_bound(6) + f64::from(f32::EPSILON) * 4.0 * f64::from(size + 170.0);
                    assert!(
                        (found - exact).abs() <= bound,
                        "{form:?} {k} {i}: measure {at} is {found}, not {exact}"
                    );
                }
                assert_eq!((change.is_flip(), change.prediction()), (exact.is_flip, Some(exact.prediction)));
            }
        }
    }
}

#[test]
fn few_classes_have_a_form_of_their_own_where_subgroups_have_eight_lanes() {
    let Some(gpu) = gpu() else { return };
    let widths = [gpu.info().subgroup_min_size, gpu.info().subgroup_max_size];
    let eight = gpu.device().features().contains(wgpu::Features::SUBGROUP) && widths == [8, 8];
    for (classes, groups, few) in [(32, 255, eight), (33, 255, false), (32, 256, false)] {
        let probe = Probe::new(&desc(classes, groups, 1)).unwrap();
        let form = if few { Form::Few } else { Form::General };
        assert_eq!(probe.variant(gpu).unwrap(), form, "{classes} {groups}");
        assert_eq!(probe.with_form(Form::General).variant(gpu).unwrap(), Form::General);
        match probe.with_form(Form::Few).variant(gpu) {
            Ok(form) => assert!(few && form == Form::Few),
            Err(error) => assert!(!few && error.to_string().contains("`form`"), "{error}"),
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn small_changes_of_large_logits_keep_their_digits_where_classes_are_few() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(300, desc(12, 1, 2));
    // The general form works on logits, whose rounding is its limit.
    if Probe::new(&case.desc).unwrap().variant(gpu).unwrap() != Form::Few {
        eprintln!("skipped: this adapter has no subgroups of eight lanes");
        return;
    }
    case.base.iter_mut().for_each(|l| *l += 100.0);
    let mut random = Random(3);
    case.variants = [1e-2, 1.0]
        .iter()
        .flat_map(|&size| case.base.iter().map(|&l| l + size).collect::<Vec<_>>())
        .collect();
    case.variants.iter_mut().for_each(|l| *l += 1e-2 * (random.unit() as f32 - 0.5));
    let (_, changes) = run_parts(gpu, Layout::Separate, &[(0, case.clone())]);
    for (k, i) in (0..2).flat_map(|k| (0..300).map(move |i| (k, i))) {
        let exact = exact(case.row(i), case.variant(k, i), None).unwrap().measures;
        let change = changes[k * 300 + i];
        for (found, at) in [(change.kl, 0), (change.tv, 2)] {
            let error = (f64::from(found) - exact[at]).abs();
            assert!(error <= 2e-3 * exact[at] + 1e-9, "{k} {i}: measure {at} is {found}, not {}", exact[at]);
        }
    }
}

#[test]
fn finite_logits_whose_differences_are_not_are_measured() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(2, desc(3, 1, 1));
    (case.labels, case.base, case.variants) =
        (None, vec![-3e38, 0.0, 3e38, 1.0, 2.0, 3.0], vec![3e38, 0.0, -3e38, f32::INFINITY, 2.0, 3.0]);
    let (table, changes) = run_parts(gpu, Layout::Separate, &[(0, case)]);
    let tally = table.overall(0).unwrap();
    assert_eq!((tally.count(), tally.invalid(), tally.flips()), (1, 1, 1));
    assert_eq!((changes[0].tv, changes[0].top_change, changes[0].prediction()), (1.0, -1.0, Some(0)));
    assert_eq!(changes[1], Change::INVALID);
}

#[test]
fn a_sum_over_several_blocks_of_classes_matches() {
    let Some(gpu) = gpu() else { return };
    for classes in [127, 128, 129, 1000] {
        let case = Case::new(9, desc(classes, 1, 3));
        let table = case.run(gpu, Layout::OneBuffer);
        for k in 0..3 {
            check(&format!("{classes} classes"), &case, k as usize, &table.overall(k).unwrap(), |_| true);
        }
    }
}

#[test]
fn logits_that_do_not_move_measure_exactly_nothing() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, desc(17, 2, 1));
    let tally = case.run(gpu, Layout::Separate).overall(0).unwrap();
    assert_eq!((tally.count(), tally.flips(), tally.clamped()), (300, 0, 0));
    assert_eq!(measures(&tally), [0.0; 7]);
    assert_eq!(tally.kl().to_string(), "< 1.5e-8");
}

#[test]
fn the_twin_agrees_to_the_last_units() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(120, desc(16, 2, 4));
    let (table, twin) = (case.run(gpu, Layout::Separate), case.twin());
    for k in 0..4 {
        let (found, expected) = (table.overall(k).unwrap(), twin.overall(k).unwrap());
        assert_eq!((found.count(), found.flips()), (expected.count(), expected.flips()));
        assert_eq!((found.labelled(), found.accuracy()), (expected.labelled(), expected.accuracy()));
        for (a, b) in measures(&found).into_iter().zip(measures(&expected)) {
            assert!((a - b).abs() <= 120.0 * pair_bound(16), "{k}: {a} against {b}");
        }
    }
}

#[test]
fn any_order_sharding_and_chunking_gives_the_same_words() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(600, desc(5, 7, 5));
    let whole = case.run(gpu, Layout::Separate);
    let reversed: Vec<usize> = (0..600).rev().collect();
    assert_eq!(case.pick(0..5, &reversed).run(gpu, Layout::OneBuffer), whole, "reversed");
    // Unequal shards of mixed order, each in chunks of perturbations, the last chunk first.
    let scattered: Vec<usize> = (0..600).map(|i| i * 77 % 600).collect();
    let mut parts = Vec::new();
    for cut in [0, 1, 257, 258, 599, 600].windows(2) {
        for ks in [4..5, 1..4, 0..1] {
            parts.push((ks.start as u32, case.pick(ks, &scattered[cut[0]..cut[1]])));
        }
    }
    for layout in LAYOUTS {
        assert_eq!(run_parts(gpu, layout, &parts).0, whole, "chunks, {layout:?}");
    }
    let mut merged = Sensitivity::new(&case.desc).unwrap();
    for part in parts.iter().rev() {
        merged.merge(&run_parts(gpu, Layout::Separate, std::slice::from_ref(part)).0).unwrap();
    }
    assert_eq!(merged.to_words(), whole.to_words(), "merged");
    assert_eq!(Sensitivity::from_words(&merged.to_words()).unwrap(), whole);
}

#[test]
fn twenty_repeats_give_the_same_words_and_per_sample_bits() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(500, desc(17, 2, 3));
    let (table, per_sample) = run_parts(gpu, Layout::Separate, &[(0, case.clone())]);
    for repeat in 0..20 {
        let (again, bits) = run_parts(gpu, LAYOUTS[repeat % 2], &[(0, case.clone())]);
        assert_eq!(again, table);
        assert_same_changes("per sample", &bits, &per_sample);
    }
}

#[test]
fn per_sample_output_says_how_and_does_not_depend_on_neighbours() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(270, desc(5, 1, 3));
    case.variants[5 * 4] = f32::NAN;
    let (_, out) = run_parts(gpu, Layout::OneBuffer, &[(0, case.clone())]);
    for k in 0..3 {
        for i in 0..270 {
            let change = out[k * 270 + i];
            let twin = Change::of(case.row(i), case.variant(k, i), case.labels.as_ref().map(|l| l[i]));
            assert_eq!(change.code, twin.code);
            let Some(exact) = exact(case.row(i), case.variant(k, i), case.label(i)) else {
                assert_eq!((k, i, change), (0, 4, Change::INVALID));
                continue;
            };
            let found = [change.kl, change.tv, change.top_change];
            for (found, at) in found.into_iter().zip([0, 2, 3]) {
                assert!((f64::from(found) - exact.measures[at]).abs() <= pair_bound(5), "measure {at}");
            }
            assert_eq!((change.is_flip(), change.prediction()), (exact.is_flip, Some(exact.prediction)));
            let right = exact.scores.map(|(_, _, after, before)| (before, after));
            assert_eq!(change.is_correct_before().zip(change.is_correct()), right);
        }
    }
    for i in [0, 7, 255, 256, 269] {
        let (_, alone) = run_parts(gpu, Layout::Separate, &[(0, case.pick(0..3, &[i]))]);
        for k in 0..3 {
            assert_same_changes("alone", &alone[k..k + 1], &out[k * 270 + i..][..1]);
        }
    }
}

#[test]
fn the_histogram_counts_the_changes_written_and_gives_their_quantiles() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(700, desc(5, 1, 4));
    let (table, out) = run_parts(gpu, Layout::OneBuffer, &[(0, case)]);
    for k in 0..4 {
        let mut tv: Vec<f32> = out[k * 700..][..700].iter().map(|change| change.tv).collect();
        let mut counts = [0; CHANGE_BINS];
        tv.iter().for_each(|&tv| counts[change_bin(measure_units(tv).value)] += 1);
        let tally = table.overall(k as u32).unwrap();
        assert_eq!(tally.tv_histogram(), counts);
        tv.sort_by(f32::total_cmp);
        for q in [0.0, 0.05, 0.5, 0.9, 0.99, 1.0] {
            let exact = f64::from(tv[((q * 700.0) as usize).min(699)]);
            let width = (exact / 4.0).max(change_edge(1));
            let found = tally.tv_quantile(q).unwrap();
            // The next sample may lie in the next bin.
            let next = f64::from(tv[((q * 700.0) as usize).saturating_sub(1).min(699)]);
            assert!(
                found <= exact.max(next) + width && found >= exact.min(next) - width,
                "{q}: {found} {exact}"
            );
        }
    }
    assert_eq!(Sensitivity::new(&desc(2, 1, 1)).unwrap().overall(0).unwrap().tv_quantile(0.5), None);
}

#[test]
fn the_worst_cases_do_not_depend_on_the_cut() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, desc(5, 1, 3));
    let order: Vec<usize> = (0..300).map(|i| i * 77 % 300).collect();
    let worst = |parts: &[&[usize]]| {
        let mut worst = Worst::new(3, 10);
        for part in parts {
            let (_, changes) = run_parts(gpu, Layout::Separate, &[(0, case.pick(0..3, part))]);
            worst.add(0, &part.iter().map(|&i| i as u64).collect::<Vec<_>>(), &changes).unwrap();
        }
        worst
    };
    let whole = worst(&[&order]);
    assert_eq!(worst(&[&order[200..], &order[..77], &order[77..200]]), whole);
    let mut all: Vec<_> =
        (0..300).map(|i| (exact(case.row(i), case.variant(2, i), None).unwrap().measures[0], i)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let found = whole.of(2);
    assert_eq!(found.len(), 10);
    for (found, (kl, _)) in found.iter().zip(&all) {
        assert!((f64::from(found.change.kl) - kl).abs() <= pair_bound(5));
    }
}

#[test]
fn a_pair_with_a_logit_that_is_not_finite_is_left_out_and_counted() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(64, desc(5, 2, 3));
    case.base[3 * 5 + 1] = f32::NAN; // all three pairs
    case.variants[(64 + 17) * 5] = f32::INFINITY; // k = 1
    case.variants[(64 + 18) * 5 + 4] = f32::NEG_INFINITY;
    let table = case.run(gpu, Layout::OneBuffer);
    let invalid: Vec<u64> = (0..3).map(|k| table.overall(k).unwrap().invalid()).collect();
    assert_eq!(invalid, [1, 3, 1]);
    for k in 0..3 {
        check("invalid", &case, k as usize, &table.overall(k).unwrap(), |_| true);
    }
}

#[test]
fn ties_go_to_the_lowest_class() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(1, desc(3, 1, 2));
    (case.base, case.labels) = (vec![1.0, 2.0, 2.0], Some(vec![1]));
    case.variants = vec![0.0, 2.0, 2.0, 2.0, 2.0, 0.0];
    let table = case.run(gpu, Layout::Separate);
    assert_eq!((table.overall(0).unwrap().flips(), table.overall(1).unwrap().flips()), (0, 1));
    assert_eq!(table.overall(0).unwrap().accuracy(), Some(1.0));
}

#[test]
fn values_beyond_the_limits_are_clamped_and_counted() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(2, desc(2, 1, 1));
    case.base = vec![100.0, 0.0, 3.0e38, -3.0e38];
    case.variants = vec![0.0, 100.0, -3.0e38, 3.0e38];
    case.labels = None;
    let tally = case.run(gpu, Layout::Separate).overall(0).unwrap();
    // KL twice, the logits' change once: it is exactly 100 in the first pair.
    assert_eq!((tally.count(), tally.clamped(), tally.flips()), (2, 3, 2));
    assert_eq!(tally.kl().value(), Some(31.0));
    assert_eq!(tally.logit_change().value(), Some((100.0 + 2047.0) / 2.0));
    assert_eq!((tally.labelled(), tally.accuracy()), (0, None));
    assert!((tally.js().value().unwrap() - 2f64.ln()).abs() < 1e-6);
}

#[test]
fn two_hundred_thousand_samples_are_all_counted() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(200_000, desc(2, 2, 2));
    let table = case.run(gpu, Layout::Separate);
    check("200,000", &case, 1, &table.overall(1).unwrap(), |_| true);
    assert_eq!(table.overall(0).unwrap().count(), 200_000);
}

#[test]
fn variants_that_lie_further_apart_than_one_binding_are_measured_one_by_one() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(40, desc(3, 1, 3));
    let far = 18 << 20; // elements; three variants span more than the default 128 MiB
    let buffer = gpu.zeros("far apart", 2 * far * 4 + 480);
    for k in 0..3 {
        let part = &case.variants[k as usize * 120..][..120];
        gpu.queue().write_buffer(&buffer, k * far * 4, bytemuck::cast_slice(part));
    }
    let (base, labels) =
        (gpu.upload("base", &case.base), gpu.upload("labels", case.labels.as_ref().unwrap()));
    let probe = Probe::new(&case.desc).unwrap();
    let sums = probe.sums(gpu);
    let args = External {
        base: View::matrix(&base, 40, 3),
        variants: View::tokens(&buffer, [3, 40, 3]).strided(far as u32, 3),
        labels: Some(View::matrix(&labels, 40, 1).of(Dtype::U32)),
        groups: None,
        per_sample: None,
        first_perturbation: 0,
        sums: probe.view(&sums),
        mode: Mode::Accumulate,
    };
    let t = Tensors::new(gpu, Layout::Separate);
    t.run(|recorder| probe.external(recorder, &args)).unwrap();
    let table = pollster::block_on(probe.read(gpu, &args.sums)).unwrap();
    assert_eq!(table, case.run(gpu, Layout::Separate));
}

#[test]
fn more_groups_than_workgroup_memory_holds_change_nothing() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(300, desc(3, 7, 2));
    let few = case.run(gpu, Layout::Separate);
    case.desc.groups = 40;
    let many = case.run(gpu, Layout::Separate);
    for group in 0..7 {
        assert_eq!(many.group(1, group), few.group(1, group));
    }
}

/// A last-layer adapter: base logits, pooled h, map, true gates and K gates.
struct Layer {
    samples: usize,
    classes: usize,
    rank: usize,
    gate_width: usize,
    base: Vec<f32>,
    hidden: Vec<f32>,
    map: Vec<f32>,
    true_gates: Vec<f32>,
    gates: Vec<f32>,
    form: Option<Form>,
}

impl Layer {
    fn new(samples: usize, classes: usize, rank: usize, gate_width: usize, count: usize) -> Self {
        let mut random = Random((samples * 31 + classes * 7 + rank) as u64);
        let mut gates = |n: usize| random.f32s(n).iter().map(|g| 1.0 + g).collect::<Vec<f32>>();
        let (true_gates, gates) = (gates(samples * gate_width), gates(count * samples * gate_width));
        let (base, hidden) = (random.f32s(samples * classes), random.f32s(samples * rank));
        let map = random.f32s(rank * classes);
        Self { samples, classes, rank, gate_width, base, hidden, map, true_gates, gates, form: None }
    }

    fn labels(&self) -> Vec<u32> {
        (0..self.samples).map(|i| (i * 5 % (self.classes + 1)) as u32).collect()
    }

    fn groups(&self) -> Vec<u32> {
        (0..self.samples).map(|i| (i * 7 % 4) as u32).collect()
    }

    /// Logits under `gates`, from the twin.
    fn logits(&self, gates: &[f32], lambda: f32) -> Vec<f32> {
        let rows = gates.chunks_exact(self.gate_width).enumerate().flat_map(|(row, gate)| {
            let i = row % self.samples;
            let (base, hidden) = (&self.base[i * self.classes..], &self.hidden[i * self.rank..]);
            twin::factored(&base[..self.classes], gate, &hidden[..self.rank], &self.map, lambda, 0.5)
        });
        rows.collect()
    }

    /// The table and the changes, with λ from the host or from a buffer.
    fn run(
        &self,
        gpu: &'static Gpu,
        layout: Layout,
        lambda: f32,
        in_buffer: bool,
    ) -> (Sensitivity, Vec<Change>) {
        let (samples, classes, rank) = (self.samples as u32, self.classes as u32, self.rank as u32);
        let (width, row) = (self.gate_width as u32, self.samples * self.gate_width);
        let count = (self.gates.len() / row) as u32;
        let probe = Probe::new(&desc(classes, 3, count)).unwrap();
        let probe = self.form.map_or(probe, |form| probe.with_form(form));
        let words = probe.sums_words() as u32;
        let mut t = Tensors::new(gpu, layout);
        let base = t.f32([samples, 1, classes], &self.base);
        let [labels, groups] = [self.labels(), self.groups()].map(|values| t.u32([samples, 1, 1], &values));
        let hidden = t.f32([samples, 1, rank], &self.hidden);
        let map = t.f32([rank, 1, classes], &self.map);
        let true_gates = t.f32([1, samples, width], &self.true_gates);
        let gates = t.f32([count, samples, width], &self.gates);
        let per_sample = t.poisoned([count, samples, 4]);
        let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
        let knob = gpu.upload("lambda", &[lambda]);
        t.run(|recorder| {
            let args = Factored {
                base: t.view(base),
                hidden: t.view(hidden),
                map: t.view(map),
                true_gates: t.view(true_gates),
                gates: t.view(gates),
                lambda: if in_buffer { Knob::Buffer(&knob, 0) } else { Knob::Host(lambda) },
                scale: 0.5,
                labels: Some(t.view(labels)),
                groups: Some(t.view(groups)),
                per_sample: Some(t.view(per_sample)),
                first_perturbation: 0,
                sums: t.view(sums),
                mode: Mode::Overwrite,
            };
            probe.factored(recorder, &args)
        })
        .unwrap();
        (pollster::block_on(probe.read(gpu, &t.view(sums))).unwrap(), changes(&t.read(per_sample)))
    }
}

#[test]
fn the_factored_path_gives_what_the_external_path_gives_on_the_same_logits() {
    let Some(gpu) = gpu() else { return };
    let shapes = [
        (1, 2, 1, 1, 1),
        (65, 3, 4, 4, 3),
        (40, 5, 7, 1, 16),
        (257, 16, 16, 16, 3),
        (33, 17, 5, 5, 2),
        (64, 8, 8, 8, 8),
        (63, 9, 9, 9, 9),
        (70, 32, 16, 16, 2),
        (70, 33, 16, 16, 2),
        (20, 4, 17, 17, 17),
        (129, 12, 12, 12, 7),
    ];
    for (turn, (samples, classes, rank, gate_width, count)) in shapes.into_iter().enumerate() {
        let mut layer = Layer::new(samples, classes, rank, gate_width, count);
        layer.form = [None, None, Some(Form::General)][turn % 3];
        let (table, per_sample) = layer.run(gpu, LAYOUTS[turn % 2], 0.7, turn % 2 == 1);
        assert_eq!(layer.run(gpu, LAYOUTS[(turn + 1) % 2], 0.7, turn % 2 == 0).0, table, "layouts and knobs");
        let case = Case {
            desc: desc(classes as u32, 3, count as u32),
            base: layer.logits(&layer.true_gates, 0.7),
            variants: layer.logits(&layer.gates, 0.7),
            labels: Some(layer.labels()),
            groups: Some(layer.groups()),
            form: Some(Form::General),
        };
        // Logits below 16 of a sum of rank products differ by (rank + 2) ulp where a device splits the fma.
        let shift = (rank as f64 + 2.0) * f64::from(f32::EPSILON) * 16.0;
        let (external, pairs) = run_parts(gpu, Layout::Separate, &[(0, case)]);
        for (k, group) in (0..count as u32).flat_map(|k| (0..4).map(move |group| (k, group))) {
            let (a, b) = (table.group(k, group).unwrap(), external.group(k, group).unwrap());
            assert_eq!((a.count(), a.labelled(), a.invalid()), (b.count(), b.labelled(), 0));
            assert_eq!((a.flips(), a.accuracy(), a.broken()), (b.flips(), b.accuracy(), b.broken()));
            for (a, b) in measures(&a).into_iter().zip(measures(&b)) {
                assert!(
                    (a - b).abs() <= samples as f64 * (shift + pair_bound(classes as u32)),
                    "{a} against {b}"
                );
            }
        }
        for (a, b) in per_sample.iter().zip(&pairs) {
            assert!((f64::from(a.kl - b.kl)).abs() <= shift + pair_bound(classes as u32));
        }
    }
}

#[test]
fn factored_shards_and_chunks_of_perturbations_give_the_same_words() {
    let Some(gpu) = gpu() else { return };
    let layer = Layer::new(300, 6, 8, 8, 11);
    let (whole, changes) = layer.run(gpu, Layout::OneBuffer, 0.7, false);
    for _ in 0..5 {
        let (again, bits) = layer.run(gpu, Layout::Separate, 0.7, true);
        assert_eq!(again, whole);
        assert_same_changes("repeat", &bits, &changes);
    }
    let mut probe = Sensitivity::new(&desc(6, 3, 11)).unwrap();
    let buffers = [&layer.base, &layer.hidden, &layer.map, &layer.true_gates, &layer.gates]
        .map(|values| gpu.upload("part", values));
    let [labels, groups] = [layer.labels(), layer.groups()].map(|values| gpu.upload("part", &values));
    let op = Probe::new(&desc(6, 3, 11)).unwrap();
    for (rows, ks) in [(130..300, 0..4), (0..130, 0..11), (130..300, 9..11), (130..300, 4..9)] {
        let (sums, count) = (op.sums(gpu), rows.end - rows.start);
        let matrix = |buffer: usize, width: u32| {
            View::matrix(&buffers[buffer], count, width).at(u64::from(rows.start * width) * 4)
        };
        let column = |buffer| View::matrix(buffer, count, 1).at(u64::from(rows.start) * 4).of(Dtype::U32);
        let gates = View::tokens(&buffers[4], [ks.end - ks.start, count, 8])
            .strided(300 * 8, 8)
            .at(u64::from((ks.start * 300 + rows.start) * 8) * 4);
        let args = Factored {
            base: matrix(0, 6),
            hidden: matrix(1, 8),
            map: View::matrix(&buffers[2], 8, 6),
            true_gates: View::tokens(&buffers[3], [1, count, 8]).at(u64::from(rows.start * 8) * 4),
            gates,
            lambda: Knob::Host(0.7),
            scale: 0.5,
            labels: Some(column(&labels)),
            groups: Some(column(&groups)),
            per_sample: None,
            first_perturbation: ks.start,
            sums: op.view(&sums),
            mode: Mode::Accumulate,
        };
        Tensors::new(gpu, Layout::Separate).run(|recorder| op.factored(recorder, &args)).unwrap();
        probe.merge(&pollster::block_on(op.read(gpu, &args.sums)).unwrap()).unwrap();
    }
    assert_eq!(probe, whole);
}

#[test]
fn factored_logits_match_an_f64_sum() {
    let layer = Layer::new(9, 5, 16, 16, 3);
    let found = layer.logits(&layer.gates, 0.7);
    let expected = (0..27 * 5).map(|i| {
        let (row, c) = (i / 5, i % 5);
        let sum = (0..16).map(|r| {
            f64::from(layer.gates[row * 16 + r])
                * f64::from(layer.hidden[row % 9 * 16 + r])
                * f64::from(layer.map[r * 5 + c])
        });
        f64::from(layer.base[row % 9 * 5 + c]) + f64::from(0.7f32 * 0.5) * sum.sum::<f64>()
    });
    assert_near("logits", &found, &expected.collect::<Vec<_>>(), sum_bound(18, 34.0));
}

#[test]
fn without_the_adapter_no_gate_moves_anything() {
    let Some(gpu) = gpu() else { return };
    let mut layer = Layer::new(50, 5, 4, 4, 3);
    layer.gates[7] = f32::NAN;
    for (in_buffer, form) in [(false, None), (true, None), (true, Some(Form::General))] {
        layer.form = form;
        let (table, _) = layer.run(gpu, Layout::OneBuffer, 0.0, in_buffer);
        for k in 0..3 {
            let tally = table.overall(k).unwrap();
            assert_eq!((tally.count(), tally.invalid(), measures(&tally)), (50, 0, [0.0; 7]));
        }
    }
}

#[test]
fn samples_and_perturbations_beyond_one_chunk_of_scratch_are_all_measured() {
    let Some(gpu) = gpu() else { return };
    // 32 MiB of scratch hold 41,943 rows of 100 classes twice, so this takes three runs of samples.
    let layer = Layer::new(84_000, 100, 1, 1, 2);
    let (table, per_sample) = layer.run(gpu, Layout::Separate, 0.7, false);
    for k in 0..2 {
        let tally = table.overall(k).unwrap();
        assert_eq!((tally.count(), tally.invalid()), (84_000, 0));
        let pairs = &per_sample[k as usize * 84_000..][..84_000];
        let kl: f64 = pairs.iter().map(|change| f64::from(change.kl)).sum();
        assert!((tally.kl().units() as f64 * UNIT - kl).abs() <= 84_000.0 * UNIT);
        assert_eq!(pairs.iter().filter(|change| change.is_flip()).count() as u64, tally.flips());
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    for (shape, name) in
        [(desc(1, 1, 1), "`classes`"), (desc(2, 0, 1), "`groups`"), (desc(2, 1, 0), "`perturbations`")]
    {
        let error = Probe::new(&shape).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let probe = Probe::new(&desc(3, 1, 2)).unwrap();
    let words = probe.sums_words() as u32;
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let base = t.f32([4, 1, 3], &[0.0; 12]);
    let variants = t.f32([2, 4, 3], &[0.0; 24]);
    let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
    let good = External {
        base: t.view(base),
        variants: t.view(variants),
        labels: None,
        groups: None,
        per_sample: None,
        first_perturbation: 0,
        sums: t.view(sums),
        mode: Mode::Overwrite,
    };
    let message =
        |args: External<'_>| t.run(|recorder| probe.external(recorder, &args)).unwrap_err().to_string();
    assert!(message(External { base: t.view(variants), ..good }).contains("`base`"));
    assert!(message(External { labels: Some(t.view(base)), ..good }).contains("`labels`"));
    assert!(message(External { first_perturbation: 1, ..good }).contains("`first_perturbation`"));
    assert!(message(External { per_sample: Some(t.view(variants)), ..good }).contains("`per_sample`"));
    assert!(message(External { sums: t.view(base), ..good }).contains("`sums`"));
    assert!(message(External { sums: t.view(sums).at(t.view(base).offset), ..good }).contains("overlap"));
    assert!(t.read_u32(sums).iter().all(|&word| word == POISON), "nothing may have been recorded");
}

//! `loss` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::gpu::{Gpu, Mode};
use gtca::loss::{CrossEntropy, Evidence, IGNORE, cross_entropy, evidence, twin};

/// Sizes around the edges of warps, workgroups and chunks of rows.
const EDGES: [usize; 13] = [1, 2, 3, 31, 32, 33, 63, 64, 65, 255, 256, 257, 300];
const THRESHOLD: f32 = 0.05;

/// Bound on a log-probability whose parts reach `span`: a maximum, two differences and a logarithm (4 roundings of
/// numbers up to span + ln C), a sum of `classes` exponentials of 2e-7 each, and a logarithm of 1.2e-7 (numeric.wgsl).
fn log_bound(classes: usize, span: f64) -> f64 {
    let log_classes = (classes as f64).ln();
    4.0 * 6e-8 * (span + log_classes) + sum_bound(classes, 1.0) + 2e-7 + 1.2e-7 * log_classes.max(1.0)
}

fn log_softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::MIN, f64::max);
    let log_sum = z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
    z.iter().map(|z| (z - top) - log_sum).collect()
}

/// f64 reference: the mean and each row's ce.
fn reference(z: &[f64], classes: usize, labels: &[u32], weights: &[f64], ignore: u32) -> (f64, Vec<f64>) {
    let (mut sum, mut total) = (0.0, 0.0);
    let one = |(z, &y): (&[f64], &u32)| {
        if y == ignore || y as usize >= classes {
            return 0.0;
        }
        let ce = -log_softmax(z)[y as usize];
        sum += weights[y as usize] * ce;
        total += weights[y as usize];
        ce
    };
    let per_row = z.chunks_exact(classes).zip(labels).map(one).collect();
    (if total == 0.0 { 0.0 } else { sum / total }, per_row)
}

/// f64 reference of the evidence regularizer and its weights; `w` frozen at `fixed` where given.
fn evidence_reference(p: &[f64], q: &[f64], classes: usize, fixed: Option<&[f64]>) -> (f64, Vec<f64>) {
    let rows = p.len() / classes;
    let mut weights = Vec::new();
    let mut sum = 0.0;
    for i in 0..rows {
        let [p, q] = [p, q].map(|z| log_softmax(&z[i * classes..][..classes]));
        let j: f64 = p.iter().zip(&q).map(|(p, q)| 0.5 * (p.exp() - q.exp()) * (p - q)).sum();
        let h: f64 = q.iter().map(|q| -q.exp() * q).sum();
        let w = fixed.map_or((1.0 - h / (classes as f64).ln()).clamp(0.0, 1.0), |w| w[i]);
        weights.push(w);
        sum += w * (j - f64::from(THRESHOLD)).max(0.0);
    }
    (sum / rows as f64, weights)
}

#[derive(Clone)]
struct Case {
    rows: usize,
    classes: usize,
    z: Vec<f32>,
    q: Vec<f32>,
    labels: Vec<u32>,
    weights: Vec<f32>,
    ignore: u32,
}

/// What the cross-entropy's kernels wrote.
struct Written {
    loss: Vec<f32>,
    per_row: Vec<f32>,
    dlogits: Vec<f32>,
    odd: u32,
}

impl Case {
    fn new(rows: usize, classes: usize) -> Self {
        let mut random = Random((rows * 1009 + classes) as u64);
        let mut scaled = |n: usize| random.f32s(n).iter().map(|x| x * 4.0).collect::<Vec<f32>>();
        let (z, q) = (scaled(rows * classes), scaled(rows * classes));
        let labels =
            (0..rows).map(|i| if i % 7 == 3 { IGNORE } else { random.below(classes as u32) }).collect();
        let weights = random.f32s(classes).iter().map(|x| 1.5 + x).collect();
        Self { rows, classes, z, q, labels, weights, ignore: IGNORE }
    }

    /// One row of this case as a case of its own.
    fn row(&self, row: usize) -> Self {
        let part = |z: &[f32]| z[row * self.classes..][..self.classes].to_vec();
        let (z, q, labels) = (part(&self.z), part(&self.q), vec![self.labels[row]]);
        Self { rows: 1, z, q, labels, ..self.clone() }
    }

    /// `dlogits` is added to where `held` is given.
    fn cross_entropy(
        &self,
        gpu: &'static Gpu,
        layout: Layout,
        weighted: bool,
        held: Option<&[f32]>,
    ) -> Written {
        let (rows, classes) = (self.rows as u32, self.classes as u32);
        let mut t = Tensors::new(gpu, layout);
        let logits = t.f32([rows, 1, classes], &self.z);
        let labels = t.u32([rows, 1, 1], &self.labels);
        let weights = t.f32([1, 1, classes], &self.weights);
        let [loss, per_row] = [[1, 1, 1], [rows, 1, 1]].map(|shape| t.poisoned(shape));
        let shape = [rows, 1, classes];
        let dlogits = held.map(|held| t.f32(shape, held)).unwrap_or_else(|| t.poisoned(shape));
        let status = t.u32([1, 1, 1], &[100]);
        let args = CrossEntropy {
            logits: t.view(logits),
            labels: t.view(labels),
            class_weights: weighted.then(|| t.view(weights)),
            ignore: self.ignore,
            loss: t.view(loss),
            per_row: Some(t.view(per_row)),
            dlogits: Some(t.view(dlogits)),
            scale: 0.5,
            mode: held.map_or(Mode::Overwrite, |_| Mode::Accumulate),
            status: Some(t.view(status)),
        };
        t.run(|recorder| cross_entropy(recorder, &args)).unwrap();
        let odd = t.read_u32(status)[0] - 100;
        Written { loss: t.read(loss), per_row: t.read(per_row), dlogits: t.read(dlogits), odd }
    }

    fn twin(&self, weighted: bool) -> twin::Loss {
        let weights = weighted.then_some(&self.weights[..]);
        twin::cross_entropy(&self.z, self.classes, &self.labels, weights, self.ignore, 0.5)
    }

    fn reference(&self, z: &[f64], weighted: bool) -> (f64, Vec<f64>) {
        let weights = if weighted { wide(&self.weights) } else { vec![1.0; self.classes] };
        reference(z, self.classes, &self.labels, &weights, self.ignore)
    }

    /// Loss, dp, dq from the kernels; the gradients are added to where `held` is given.
    fn evidence(&self, gpu: &'static Gpu, layout: Layout, both: bool, held: Option<&[f32]>) -> [Vec<f32>; 3] {
        let shape = [self.rows as u32, 1, self.classes as u32];
        let mut t = Tensors::new(gpu, layout);
        let (p, q) = (t.f32(shape, &self.z), t.f32(shape, &self.q));
        let loss = t.poisoned([1, 1, 1]);
        let [dp, dq] = [(); 2].map(|()| held.map(|h| t.f32(shape, h)).unwrap_or_else(|| t.poisoned(shape)));
        let args = Evidence {
            p: t.view(p),
            q: t.view(q),
            threshold: THRESHOLD,
            loss: t.view(loss),
            dp: Some(t.view(dp)),
            dq: both.then(|| t.view(dq)),
            scale: 2.0,
            mode: held.map_or(Mode::Overwrite, |_| Mode::Accumulate),
        };
        t.run(|recorder| evidence(recorder, &args)).unwrap();
        [loss, dp, dq].map(|tensor| t.read(tensor))
    }

    fn check_cross_entropy(&self, gpu: &'static Gpu, layout: Layout, weighted: bool, span: f64) {
        let written = self.cross_entropy(gpu, layout, weighted, None);
        let (expected, per_row) = self.reference(&wide(&self.z), weighted);
        let twin = self.twin(weighted);
        let row_bound = log_bound(self.classes, span);
        // 256 rows, then their partials, above and below the line.
        let bound = row_bound + 2.0 * sum_bound(self.rows.min(256) + self.rows / 256, expected.abs() + 1e-3);
        assert_near("ce", &written.per_row, &per_row, row_bound);
        assert_near("ce of the twin", &twin.per_row, &per_row, row_bound);
        assert_near("loss", &written.loss, &[expected], bound);
        assert_near("loss of the twin", &[twin.value], &[expected], bound);
        assert_near("gradient", &written.dlogits, &wide(&twin.gradients[0]), row_bound);
        assert_eq!(written.odd, 0);
    }

    fn check_evidence(&self, gpu: &'static Gpu, layout: Layout, span: f64) {
        let [loss, dp, dq] = self.evidence(gpu, layout, true, None);
        let (expected, _) = evidence_reference(&wide(&self.z), &wide(&self.q), self.classes, None);
        let twin = twin::evidence(&self.z, &self.q, self.classes, THRESHOLD, 2.0);
        // J: errors of probabilities times the gap of the logs, and the reverse; w: those of the entropy.
        let row_bound =
            8.0 * (span + 1.0) * log_bound(self.classes, span) + sum_bound(self.classes, 2.0 * span);
        assert_near("loss", &loss, &[expected], row_bound);
        assert_near("loss of the twin", &[twin.value], &[expected], row_bound);
        assert_near("dp", &dp, &wide(&twin.gradients[0]), row_bound);
        assert_near("dq", &dq, &wide(&twin.gradients[1]), row_bound);
    }
}

#[test]
fn cross_entropy_matches_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (i, &rows) in EDGES.iter().enumerate() {
            // Each count of rows meets a small, a middle and a large count of classes, in turn; odd ones too.
            for classes in [2 + i, EDGES[(i * 5 + 3) % EDGES.len()].max(2)] {
                Case::new(rows, classes).check_cross_entropy(gpu, layout, i % 2 == 0, 8.0);
            }
        }
        Case::new(5, 1000).check_cross_entropy(gpu, layout, true, 8.0);
    }
}

#[test]
fn evidence_matches_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (i, &rows) in EDGES.iter().enumerate() {
            for classes in [2 + i, EDGES[(i * 5 + 3) % EDGES.len()].max(2)] {
                Case::new(rows, classes).check_evidence(gpu, layout, 8.0);
            }
        }
        Case::new(5, 1000).check_evidence(gpu, layout, 8.0);
    }
}

#[test]
fn the_most_classes_are_summed_whole() {
    let Some(gpu) = gpu() else { return };
    Case::new(2, 29_999).check_cross_entropy(gpu, Layout::Separate, true, 8.0);
    Case::new(2, 14_999).check_evidence(gpu, Layout::Separate, 8.0);
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    for (rows, classes) in [(9, 5), (1, 2), (4, 33)] {
        let case = Case::new(rows, classes);
        let written = case.cross_entropy(gpu, Layout::OneBuffer, true, None);
        let numeric = central_differences(&wide(&case.z), 1e-5, |z| 0.5 * case.reference(z, true).0);
        assert_near("dlogits", &written.dlogits, &numeric, 1e-6);
        let [_, dp, dq] = case.evidence(gpu, Layout::OneBuffer, true, None);
        let (p, q) = (wide(&case.z), wide(&case.q));
        let (_, weights) = evidence_reference(&p, &q, classes, None);
        let of_p = |p: &[f64]| 2.0 * evidence_reference(p, &q, classes, Some(&weights)).0;
        let of_q = |q: &[f64]| 2.0 * evidence_reference(&p, q, classes, Some(&weights)).0;
        assert_near("dp", &dp, &central_differences(&p, 1e-5, of_p), 5e-6);
        assert_near("dq", &dq, &central_differences(&q, 1e-5, of_q), 5e-6);
    }
}

#[test]
fn ignored_labels_count_nowhere_and_odd_ones_are_counted() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(40, 3);
    case.labels = vec![IGNORE; 40];
    let written = case.cross_entropy(gpu, Layout::Separate, true, None);
    assert_eq!((&written.loss[..], written.odd), (&[0.0][..], 0));
    assert!(written.dlogits.iter().chain(&written.per_row).all(|&x| x == 0.0));
    case.labels[5] = 1;
    case.labels[9] = 3;
    case.labels[11] = 77;
    let written = case.cross_entropy(gpu, Layout::Separate, false, None);
    assert_eq!(written.odd, 2);
    assert_near("loss", &written.loss, &[case.reference(&wide(&case.z), false).0], 1e-6);
    assert!(written.dlogits[27..30].iter().all(|&x| x == 0.0));
    // With another ignore index the former one is just a label beyond the classes.
    case.ignore = 77;
    assert_eq!(case.cross_entropy(gpu, Layout::Separate, false, None).odd, 38);
}

#[test]
fn a_class_may_be_the_ignored_label() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(65, 4);
    case.labels = (0..65).map(|i| i % 4).collect();
    case.ignore = 0;
    case.check_cross_entropy(gpu, Layout::OneBuffer, true, 8.0);
    let written = case.cross_entropy(gpu, Layout::Separate, false, None);
    assert!(written.dlogits.chunks(16).all(|rows| rows[..4].iter().all(|&x| x == 0.0)));
    assert!(written.per_row.chunks(4).all(|rows| rows[0] == 0.0));
}

#[test]
fn weights_that_are_all_zero_give_zero() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(33, 3);
    case.weights = vec![0.0; 3];
    let written = case.cross_entropy(gpu, Layout::OneBuffer, true, None);
    assert_eq!(written.loss, [0.0]);
    assert!(written.dlogits.iter().all(|&x| x == 0.0));
}

#[test]
fn extreme_logits_keep_the_bounds() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(8, 3);
    case.z = [
        [80.0, -80.0, 0.0],
        [1e4, -1e4, 0.0],
        [5.0, 5.0, 5.0],
        [-3e4, -3e4, -3e4],
        [1e4, 1e4 + 1.0, 1e4 - 1.0],
        [-80.0, -80.0, -79.0],
        [0.0, -0.0, 1e-30],
        [-1e4, 1e4, 1e4],
    ]
    .concat();
    case.q = case.z.iter().rev().copied().collect();
    case.labels = vec![1, 0, 2, 0, 0, 2, 1, 0];
    for layout in LAYOUTS {
        case.check_cross_entropy(gpu, layout, true, 2e4);
        case.check_evidence(gpu, layout, 2e4);
        // Rows whose differences are small are as exact far from zero as near it.
        for row in [2, 3, 4, 6] {
            case.row(row).check_cross_entropy(gpu, layout, false, 2.0);
        }
        for mut row in [case.row(0), case.row(2), case.row(5)] {
            row.check_evidence(gpu, layout, 160.0);
            row.q = row.z.clone();
            row.check_evidence(gpu, layout, 160.0);
        }
    }
}

#[test]
fn small_divergences_and_open_questions_cost_nothing() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(8, 3);
    case.q = case.z.iter().map(|z| z + 0.01).collect();
    let [loss, dp, dq] = case.evidence(gpu, Layout::Separate, true, None);
    assert_eq!(loss, [0.0]);
    assert!(dp.iter().chain(&dq).all(|&x| x == 0.0));
    // Where the image alone says nothing (q uniform), metadata may say everything.
    case.q = vec![7.0; 24];
    let [loss, dp, _] = case.evidence(gpu, Layout::Separate, true, None);
    assert_near("loss", &loss, &[0.0], 1e-5);
    assert_near("dp", &dp, &[0.0; 24], 1e-5);
}

#[test]
fn q_is_detached_unless_its_gradient_is_asked_for() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(65, 5);
    let [loss, dp, _] = case.evidence(gpu, Layout::OneBuffer, true, None);
    let [alone_loss, alone_dp, untouched] = case.evidence(gpu, Layout::OneBuffer, false, None);
    assert_same_bits("loss", &loss, &alone_loss);
    assert_same_bits("dp", &dp, &alone_dp);
    assert!(untouched.iter().all(|x| x.to_bits() == POISON));
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, 6);
    let first = case.cross_entropy(gpu, Layout::Separate, true, None);
    let evidence = case.evidence(gpu, Layout::Separate, true, None);
    for repeat in 0..20 {
        let again = case.cross_entropy(gpu, LAYOUTS[repeat % 2], true, None);
        assert_same_bits("loss", &first.loss, &again.loss);
        assert_same_bits("ce", &first.per_row, &again.per_row);
        assert_same_bits("dlogits", &first.dlogits, &again.dlogits);
        let again = case.evidence(gpu, LAYOUTS[repeat % 2], true, None);
        evidence.iter().zip(&again).for_each(|(a, b)| assert_same_bits("evidence", a, b));
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let batch = Case::new(256, 7);
    let written = batch.cross_entropy(gpu, Layout::Separate, true, None);
    let [_, dp, dq] = batch.evidence(gpu, Layout::Separate, true, None);
    for row in [0, 1, 63, 64, 255] {
        let alone = batch.row(row);
        let one = alone.cross_entropy(gpu, Layout::OneBuffer, true, None);
        assert_same_bits("ce", &one.per_row, &written.per_row[row..=row]);
        // The mean divides by 256, a power of two, so the bits must scale exactly.
        let [_, one_dp, one_dq] = alone.evidence(gpu, Layout::OneBuffer, true, None);
        for (one, batch) in [(one_dp, &dp), (one_dq, &dq)] {
            let scaled: Vec<f32> = batch[row * 7..][..7].iter().map(|x| x * 256.0).collect();
            assert_same_bits("gradient", &one, &scaled);
        }
    }
}

#[test]
fn a_mean_over_200_000_rows_is_whole() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(200_000, 2);
    case.check_cross_entropy(gpu, Layout::Separate, true, 8.0);
    case.check_evidence(gpu, Layout::Separate, 8.0);
}

#[test]
fn accumulation_adds_to_what_is_there() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(33, 5);
    let held = Random(9).f32s(33 * 5);
    let added = |fresh: &[f32]| held.iter().zip(fresh).map(|(a, b)| a + b).collect::<Vec<f32>>();
    let fresh = case.cross_entropy(gpu, Layout::OneBuffer, true, None).dlogits;
    let sum = case.cross_entropy(gpu, Layout::OneBuffer, true, Some(&held)).dlogits;
    assert_near("dlogits", &sum, &wide(&added(&fresh)), 1e-7);
    let [_, dp, dq] = case.evidence(gpu, Layout::OneBuffer, true, None);
    let [_, dp_sum, dq_sum] = case.evidence(gpu, Layout::OneBuffer, true, Some(&held));
    assert_near("dp", &dp_sum, &wide(&added(&dp)), 1e-7);
    assert_near("dq", &dq_sum, &wide(&added(&dq)), 1e-7);
}

#[test]
fn no_rows_give_zero() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(0, 3);
    assert_eq!(case.cross_entropy(gpu, Layout::Separate, true, None).loss, [0.0]);
    assert_eq!(case.evidence(gpu, Layout::Separate, true, None)[0], [0.0]);
}

#[test]
fn outputs_that_are_not_asked_for_are_not_needed() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let logits = t.f32([1, 1, 2], &[0.0, 0.0]);
    let labels = t.u32([1, 1, 1], &[1]);
    let [loss, ev] = [(); 2].map(|()| t.poisoned([1, 1, 1]));
    let (view, mode) = (t.view(logits), Mode::Overwrite);
    t.run(|recorder| {
        let labels = t.view(labels);
        cross_entropy(
            recorder,
            &CrossEntropy { loss: t.view(loss), ..CrossEntropy::new(view, labels, t.view(loss)) },
        )?;
        let (p, q, loss) = (view, view, t.view(ev));
        evidence(recorder, &Evidence { p, q, threshold: 0.0, loss, dp: None, dq: None, scale: 1.0, mode })
    })
    .unwrap();
    assert_near("loss", &t.read(loss), &[2f64.ln()], 1e-7);
    assert_eq!(t.read(ev), [0.0]);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let [logits, other] = [(); 2].map(|()| t.f32([1, 1, 2], &[0.0, 0.0]));
    let labels = t.u32([1, 1, 1], &[1]);
    let loss = t.poisoned([1, 1, 1]);
    let [z, q] = [logits, other].map(|tensor| t.view(tensor));
    let good = CrossEntropy::new(z, t.view(labels), t.view(loss));
    let message =
        |args: CrossEntropy<'_>| t.run(|recorder| cross_entropy(recorder, &args)).unwrap_err().to_string();
    assert!(message(CrossEntropy { labels: z, ..good }).contains("`labels`"));
    assert!(message(CrossEntropy { scale: f32::NAN, ..good }).contains("`scale`"));
    assert!(message(CrossEntropy { logits: t.view(loss), ..good }).contains("`classes`"));
    assert!(message(CrossEntropy { per_row: Some(z), ..good }).contains("`per_row`"));
    assert!(message(CrossEntropy { class_weights: Some(t.view(loss)), ..good }).contains("`class_weights`"));
    assert!(message(CrossEntropy { status: Some(t.view(loss)), ..good }).contains("`status`"));
    assert!(message(CrossEntropy { dlogits: Some(z), ..good }).contains("overlap"));
    let (threshold, loss_view, mode) = (THRESHOLD, t.view(loss), Mode::Overwrite);
    let good = Evidence { p: z, q, threshold, loss: loss_view, dp: None, dq: None, scale: 1.0, mode };
    let message = |args: Evidence<'_>| t.run(|recorder| evidence(recorder, &args)).unwrap_err().to_string();
    assert!(message(Evidence { threshold: f32::NAN, ..good }).contains("`threshold`"));
    assert!(message(Evidence { threshold: -1.0, ..good }).contains("`threshold`"));
    assert!(message(Evidence { scale: f32::INFINITY, ..good }).contains("`scale`"));
    assert!(message(Evidence { q: loss_view, ..good }).contains("`q`"));
    assert!(message(Evidence { dq: Some(q), ..good }).contains("`dq`"));
    assert!(message(Evidence { dp: Some(z), ..good }).contains("overlap"));
    assert_eq!(t.read(loss)[0].to_bits(), POISON, "nothing may have been recorded");
}

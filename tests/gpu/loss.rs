//! `loss` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::gpu::{Gpu, Mode};
use gtca::loss::{CrossEntropy, Evidence, IGNORE, cross_entropy, evidence, twin};

/// Error of a loss or probability computed through `exp` and `log`: WGSL promises exp to 3 + 2|x| ULP and log to 3,
/// so for |x| ≤ 16 (smaller terms do not show) 40 ULP of a sum of at most 1, and the same again for the logarithm.
const EXP_BOUND: f64 = 80.0 * 6e-8;

fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::MIN, f64::max);
    let e: Vec<f64> = z.iter().map(|z| (z - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}

/// f64 reference of the cross-entropy.
fn reference(z: &[f64], classes: usize, labels: &[u32], weights: &[f64]) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (z, &y) in z.chunks_exact(classes).zip(labels) {
        if let Some(&z_y) = z.get(y as usize) {
            let top = z.iter().copied().fold(f64::MIN, f64::max);
            let lse = top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
            sum += weights[y as usize] * (lse - z_y);
            total += weights[y as usize];
        }
    }
    if total == 0.0 { 0.0 } else { sum / total }
}

/// f64 reference of the evidence regularizer; `w` frozen at `fixed` where given.
fn evidence_reference(
    p: &[f64],
    q: &[f64],
    classes: usize,
    threshold: f64,
    fixed: Option<&[f64]>,
) -> (f64, Vec<f64>) {
    let rows = p.len() / classes;
    let mut weights = Vec::new();
    let mut sum = 0.0;
    for i in 0..rows {
        let (p, q) = (softmax(&p[i * classes..][..classes]), softmax(&q[i * classes..][..classes]));
        let j: f64 = p.iter().zip(&q).map(|(p, q)| 0.5 * (p - q) * (p.ln() - q.ln())).sum();
        let h: f64 = q.iter().map(|q| -q * q.ln()).sum();
        let w = fixed.map_or((1.0 - h / (classes as f64).ln()).clamp(0.0, 1.0), |w| w[i]);
        weights.push(w);
        sum += w * (j - threshold).max(0.0);
    }
    (sum / rows as f64, weights)
}

struct Case {
    rows: usize,
    classes: usize,
    z: Vec<f32>,
    q: Vec<f32>,
    labels: Vec<u32>,
    weights: Vec<f32>,
}

impl Case {
    fn new(rows: usize, classes: usize) -> Self {
        let mut random = Random((rows * 1009 + classes) as u64);
        let mut scaled = |n: usize| random.f32s(n).iter().map(|x| x * 4.0).collect::<Vec<f32>>();
        let (z, q) = (scaled(rows * classes), scaled(rows * classes));
        let labels =
            (0..rows).map(|i| if i % 7 == 3 { IGNORE } else { random.below(classes as u32) }).collect();
        let weights = random.f32s(classes).iter().map(|x| 1.5 + x).collect();
        Self { rows, classes, z, q, labels, weights }
    }

    /// Loss, gradient and the count of odd labels from the kernels.
    fn cross_entropy(&self, gpu: &'static Gpu, layout: Layout, weighted: bool) -> (f32, Vec<f32>, u32) {
        let (rows, classes) = (self.rows as u32, self.classes as u32);
        let mut t = Tensors::new(gpu, layout);
        let logits = t.f32([rows, 1, classes], &self.z);
        let labels = t.u32([rows, 1, 1], &self.labels);
        let weights = t.f32([1, 1, classes], &self.weights);
        let loss = t.poisoned([1, 1, 1]);
        let dlogits = t.poisoned([rows, 1, classes]);
        let status = t.u32([1, 1, 1], &[0]);
        let args = CrossEntropy {
            logits: t.view(logits),
            labels: t.view(labels),
            class_weights: weighted.then(|| t.view(weights)),
            ignore: IGNORE,
            loss: t.view(loss),
            dlogits: Some(t.view(dlogits)),
            scale: 0.5,
            mode: Mode::Overwrite,
            status: Some(t.view(status)),
        };
        t.run(|recorder| cross_entropy(recorder, &args)).unwrap();
        (t.read(loss)[0], t.read(dlogits), t.read_u32(status)[0])
    }

    /// Loss, dp, dq from the kernels.
    fn evidence(&self, gpu: &'static Gpu, layout: Layout) -> [Vec<f32>; 3] {
        let shape = [self.rows as u32, 1, self.classes as u32];
        let mut t = Tensors::new(gpu, layout);
        let (p, q) = (t.f32(shape, &self.z), t.f32(shape, &self.q));
        let outputs = [[1, 1, 1], shape, shape].map(|shape| t.poisoned(shape));
        let [loss, dp, dq] = outputs.map(|tensor| t.view(tensor));
        let (p, q, dp, dq) = (t.view(p), t.view(q), Some(dp), Some(dq));
        let args = Evidence { p, q, threshold: 0.05, loss, dp, dq, scale: 2.0, mode: Mode::Overwrite };
        t.run(|recorder| evidence(recorder, &args)).unwrap();
        outputs.map(|tensor| t.read(tensor))
    }
}

#[test]
fn cross_entropy_matches_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (rows, classes) in [
            (1, 2),
            (2, 3),
            (3, 5),
            (31, 2),
            (63, 17),
            (64, 32),
            (65, 33),
            (255, 4),
            (256, 7),
            (257, 5),
            (5, 1000),
        ] {
            let case = Case::new(rows, classes);
            for weighted in [false, true] {
                let (loss, dlogits, _) = case.cross_entropy(gpu, layout, weighted);
                let weights = if weighted { wide(&case.weights) } else { vec![1.0; classes] };
                let expected = reference(&wide(&case.z), classes, &case.labels, &weights);
                assert_near("loss", &[loss], &[expected], EXP_BOUND + sum_bound(rows + classes, 12.0));
                let class_weights = weighted.then_some(&case.weights[..]);
                let twin = twin::cross_entropy(&case.z, classes, &case.labels, class_weights, 0.5);
                assert_near("loss of the twin", &[twin.value], &[expected], sum_bound(rows + classes, 12.0));
                assert_near("gradient", &dlogits, &wide(&twin.gradients[0]), EXP_BOUND);
            }
        }
    }
}

#[test]
fn cross_entropy_gradient_matches_central_differences() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(9, 5);
    let (_, dlogits, _) = case.cross_entropy(gpu, Layout::OneBuffer, true);
    let f = |z: &[f64]| 0.5 * reference(z, 5, &case.labels, &wide(&case.weights));
    assert_near("gradient", &dlogits, &central_differences(&wide(&case.z), 1e-5, f), 1e-6);
}

#[test]
fn ignored_labels_count_nowhere_and_odd_ones_are_counted() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(40, 3);
    case.labels = vec![IGNORE; 40];
    let (loss, dlogits, odd) = case.cross_entropy(gpu, Layout::Separate, true);
    assert_eq!((loss, odd), (0.0, 0));
    assert!(dlogits.iter().all(|&x| x == 0.0));
    case.labels[5] = 1;
    case.labels[9] = 3;
    case.labels[11] = 77;
    let (loss, dlogits, odd) = case.cross_entropy(gpu, Layout::Separate, false);
    assert_eq!(odd, 2);
    assert_near("loss", &[loss], &[reference(&wide(&case.z), 3, &case.labels, &[1.0; 3])], 1e-5);
    assert!(dlogits[27..30].iter().all(|&x| x == 0.0));
}

#[test]
fn extreme_logits_stay_finite() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(4, 3);
    case.z = vec![80.0, -80.0, 0.0, 1e4, -1e4, 0.0, 5.0, 5.0, 5.0, -3e4, -3e4, -3e4];
    case.labels = vec![1, 0, 2, 0];
    let (loss, dlogits, _) = case.cross_entropy(gpu, Layout::Separate, false);
    assert_near("loss", &[loss], &[reference(&wide(&case.z), 3, &case.labels, &[1.0; 3])], 1e-4);
    assert!(dlogits.iter().all(|x| x.is_finite()));
    let [value, dp, dq] = case.evidence(gpu, Layout::Separate);
    assert!(value.iter().chain(&dp).chain(&dq).all(|x| x.is_finite()));
}

#[test]
fn evidence_matches_the_reference_and_its_gradients_central_differences() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (rows, classes) in [(1, 2), (3, 5), (63, 3), (65, 16), (257, 4)] {
            let case = Case::new(rows, classes);
            let [loss, dp, dq] = case.evidence(gpu, layout);
            let (expected, _) = evidence_reference(&wide(&case.z), &wide(&case.q), classes, 0.05, None);
            assert_near("loss", &loss, &[expected], 40.0 * EXP_BOUND);
            let twin = twin::evidence(&case.z, &case.q, classes, 0.05, 2.0);
            assert_near("twin", &[twin.value], &[expected], 40.0 * EXP_BOUND);
            assert_near("dp", &dp, &wide(&twin.gradients[0]), 20.0 * EXP_BOUND);
            assert_near("dq", &dq, &wide(&twin.gradients[1]), 20.0 * EXP_BOUND);
        }
    }
    let case = Case::new(7, 4);
    let [_, dp, dq] = case.evidence(gpu, Layout::OneBuffer);
    let (p, q) = (wide(&case.z), wide(&case.q));
    let (_, weights) = evidence_reference(&p, &q, 4, 0.05, None);
    let of_p = |p: &[f64]| 2.0 * evidence_reference(p, &q, 4, 0.05, Some(&weights)).0;
    let of_q = |q: &[f64]| 2.0 * evidence_reference(&p, q, 4, 0.05, Some(&weights)).0;
    assert_near("dp", &dp, &central_differences(&p, 1e-5, of_p), 5e-6);
    assert_near("dq", &dq, &central_differences(&q, 1e-5, of_q), 5e-6);
}

#[test]
fn small_divergences_cost_nothing() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(8, 3);
    case.q = case.z.iter().map(|z| z + 0.01).collect();
    let [loss, dp, _] = case.evidence(gpu, Layout::Separate);
    assert_eq!(loss, [0.0]);
    assert!(dp.iter().all(|&x| x == 0.0));
}

#[test]
fn twenty_repeats_give_the_same_bits_and_a_row_alone_its_own() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, 6);
    let first = case.cross_entropy(gpu, Layout::Separate, true);
    let [value, dp, dq] = case.evidence(gpu, Layout::Separate);
    for repeat in 0..20 {
        let again = case.cross_entropy(gpu, LAYOUTS[repeat % 2], true);
        assert_eq!(first.0.to_bits(), again.0.to_bits());
        assert_same_bits("dlogits", &first.1, &again.1);
        let [value_again, dp_again, dq_again] = case.evidence(gpu, LAYOUTS[repeat % 2]);
        for (a, b) in [(&value, &value_again), (&dp, &dp_again), (&dq, &dq_again)] {
            assert_same_bits("evidence", a, b);
        }
    }
    // The factor 2/rows is a power of two apart between 1 and 256 rows, so the bits must scale exactly.
    let mut batch = Case::new(256, 6);
    let [_, dp, _] = batch.evidence(gpu, Layout::Separate);
    for row in [0, 1, 63, 64, 255] {
        let mut alone = Case::new(1, 6);
        (alone.z, alone.q) = (batch.z[row * 6..][..6].to_vec(), batch.q[row * 6..][..6].to_vec());
        let [_, one, _] = alone.evidence(gpu, Layout::OneBuffer);
        let scaled: Vec<f32> = dp[row * 6..][..6].iter().map(|x| x * 256.0).collect();
        assert_same_bits("dp", &one, &scaled);
    }
    batch.labels = vec![IGNORE; 256];
}

#[test]
fn a_mean_over_200_000_rows_is_whole() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(200_000, 2);
    let (loss, ..) = case.cross_entropy(gpu, Layout::Separate, false);
    let expected = reference(&wide(&case.z), 2, &case.labels, &[1.0; 2]);
    assert_near("loss", &[loss], &[expected], EXP_BOUND + sum_bound(256 + 782, 2.0 * expected));
}

#[test]
fn accumulation_adds_and_bad_arguments_are_refused() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let logits = t.f32([1, 1, 2], &[0.0, 0.0]);
    let labels = t.u32([1, 1, 1], &[1]);
    let loss = t.poisoned([1, 1, 1]);
    let dlogits = t.f32([1, 1, 2], &[10.0, 20.0]);
    let args = CrossEntropy {
        logits: t.view(logits),
        labels: t.view(labels),
        class_weights: None,
        ignore: IGNORE,
        loss: t.view(loss),
        dlogits: Some(t.view(dlogits)),
        scale: 1.0,
        mode: Mode::Accumulate,
        status: None,
    };
    t.run(|recorder| cross_entropy(recorder, &args)).unwrap();
    assert_eq!(t.read(dlogits), [10.5, 19.5]);
    let message =
        |args: CrossEntropy<'_>| t.run(|recorder| cross_entropy(recorder, &args)).unwrap_err().to_string();
    assert!(message(CrossEntropy { labels: t.view(logits), ..args }).contains("`labels`"));
    assert!(message(CrossEntropy { scale: f32::NAN, ..args }).contains("`scale`"));
    assert!(message(CrossEntropy { logits: t.view(loss), ..args }).contains("`classes`"));
    assert!(message(CrossEntropy { dlogits: Some(t.view(logits)), ..args }).contains("overlap"));
}

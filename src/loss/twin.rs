//! CPU twins of the loss kernels, with the kernels' order of sums.

use crate::common::numeric::{precise_exp, precise_log};
use crate::common::reduce::column_sum;

/// A loss with its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The loss.
    pub value: f32,
    /// Each row's part: `ce`, or `w · max(0, J − τ) / rows`.
    pub per_row: Vec<f32>,
    /// Gradients, one per differentiable input.
    pub gradients: Vec<Vec<f32>>,
}

/// A row's maximum and log Σ e^(z − maximum): two parts, so that a large common offset costs nothing.
fn top_and_log_sum(row: &[f32]) -> [f32; 2] {
    let top = row.iter().copied().fold(row[0], f32::max);
    [top, precise_log(row.iter().fold(0.0, |sum, &z| sum + precise_exp(z - top)))]
}

/// `a / b`, or 0 where b is 0.
pub fn ratio(a: f32, b: f32) -> f32 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// Cross-entropy and `scale` times its gradient; `ignore` and labels beyond the classes are not counted.
pub fn cross_entropy(
    logits: &[f32],
    classes: usize,
    labels: &[u32],
    weights: Option<&[f32]>,
    ignore: u32,
    scale: f32,
) -> Loss {
    let (mut terms, mut per_row) = (Vec::new(), Vec::new());
    let mut parts = Vec::new();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let [top, log_sum] = top_and_log_sum(row);
        let counted = (label as usize) < classes && label != ignore;
        let weight = if counted { weights.map_or(1.0, |weights| weights[label as usize]) } else { 0.0 };
        let ce = if counted { (top - row[label as usize]) + log_sum } else { 0.0 };
        terms.extend([weight * ce, weight]);
        per_row.push(ce);
        parts.push([top, log_sum]);
    }
    let totals = column_sum(&terms, 2);
    let gradient = |row: usize, c: usize| {
        let weight = terms[row * 2 + 1];
        if weight == 0.0 || totals[1] == 0.0 {
            return 0.0;
        }
        let [top, log_sum] = parts[row];
        let probability = precise_exp((logits[row * classes + c] - top) - log_sum);
        scale * weight / totals[1] * (probability - f32::from(labels[row] as usize == c))
    };
    let dlogits = (0..logits.len()).map(|i| gradient(i / classes, i % classes)).collect();
    Loss { value: ratio(totals[0], totals[1]), per_row, gradients: vec![dlogits] }
}

/// Evidence regularizer with `scale` times its gradients for p and for q.
pub fn evidence(p: &[f32], q: &[f32], classes: usize, threshold: f32, scale: f32) -> Loss {
    let rows = (p.len() / classes) as f32;
    let mut terms = Vec::new();
    let (mut dp, mut dq) = (Vec::new(), Vec::new());
    for (p, q) in p.chunks_exact(classes).zip(q.chunks_exact(classes)) {
        let ([top_p, log_p], [top_q, log_q]) = (top_and_log_sum(p), top_and_log_sum(q));
        let (mut divergence, mut entropy, mut p_mean, mut q_mean) = (0.0, 0.0, 0.0, 0.0);
        let parts = |c: usize| {
            let (lp, lq) = ((p[c] - top_p) - log_p, (q[c] - top_q) - log_q);
            (precise_exp(lp), precise_exp(lq), lp - lq, lq)
        };
        for c in 0..classes {
            let (pc, qc, gap, lq) = parts(c);
            divergence = (pc - qc).mul_add(gap, divergence);
            entropy = (-qc).mul_add(lq, entropy);
            p_mean = pc.mul_add(gap, p_mean);
            q_mean = qc.mul_add(gap, q_mean);
        }
        let excess = 0.5f32.mul_add(divergence, -threshold);
        let weight = (1.0 - entropy * (1.0 / (classes as f32).ln())).clamp(0.0, 1.0);
        terms.push(weight * excess.max(0.0) * (1.0 / rows));
        let factor = if excess > 0.0 { scale / rows * weight * 0.5 } else { 0.0 };
        for c in 0..classes {
            let (pc, qc, gap, _) = parts(c);
            dp.push(factor * pc.mul_add(gap - p_mean, pc - qc));
            dq.push(-factor * qc.mul_add(gap - q_mean, pc - qc));
        }
    }
    Loss { value: column_sum(&terms, 1)[0], per_row: terms, gradients: vec![dp, dq] }
}

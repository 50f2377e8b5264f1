//! The comparing kernel and the factored logits on the CPU: same operations, same order within a sample.

use crate::common::measure::{
    CLASS_BLOCK, calibration_bin, clipped_nll, js_term, kl_term, logit_distance, softmax_term, top_class,
};
use crate::common::numeric::{is_zero, precise_log};

/// How far one prediction moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Whether the predicted class changed.
    pub is_flip: bool,
    /// Class predicted from the base.
    pub base_prediction: usize,
    /// Class predicted from the variant.
    pub prediction: usize,
    /// KL(p‖q), nat.
    pub kl: f32,
    /// Jensen-Shannon divergence, nat.
    pub js: f32,
    /// Total variation.
    pub tv: f32,
    /// q − p of the class that p predicts.
    pub top_change: f32,
    /// H(q) − H(p), nat.
    pub entropy_change: f32,
    /// max |δ − mean δ| of the logits.
    pub logit_change: f32,
    /// Largest probability of q.
    pub confidence: f32,
    /// Its bin of 15.
    pub bin: usize,
    /// With a label: −log q of it, clipped at 10⁻⁶; and the Brier score.
    pub scores: Option<(f32, f32)>,
}

/// One variant's logits against the base's; none where a logit is not finite.
///
/// ```
/// let still = gtca::sensitivity::twin::compare(&[1.0, 2.0], &[1.0, 2.0], None).unwrap();
/// assert_eq!((still.is_flip, still.kl, still.js, still.tv, still.logit_change), (false, 0.0, 0.0, 0.0, 0.0));
/// ```
pub fn compare(base: &[f32], variant: &[f32], label: Option<usize>) -> Option<Compared> {
    let (p_top, p_class) = top_class(base)?;
    let (q_top, q_class) = top_class(variant)?;
    let distances = |c: usize| [logit_distance(base[c], p_top), logit_distance(variant[c], q_top)];
    let half_change = |c: usize| 0.5f32.mul_add(variant[c], -0.5 * base[c]).clamp(-1e30, 1e30);
    let classes: Vec<usize> = (0..base.len()).collect();
    let [p_total, q_total, change] = blocked(&classes, |c, sum: &mut [f32; 3]| {
        let [d, e] = distances(c);
        sum[0] += softmax_term(d);
        sum[1] += softmax_term(e);
        sum[2] += half_change(c);
    });
    let mean_change = change / base.len() as f32;
    let (p_scale, q_scale) = (1.0 / p_total, 1.0 / q_total);
    let q_log_total = precise_log(q_total);
    let log_shift = precise_log(p_total) - q_log_total;
    let sums = blocked(&classes, |c, sum: &mut [f32; 6]| {
        let [d, e] = distances(c);
        let (p, q) = (softmax_term(d) * p_scale, softmax_term(e) * q_scale);
        sum[0] += kl_term(p, q, e - d + log_shift);
        sum[1] += js_term(p, q);
        sum[2] += (p - q).abs();
        sum[3] += p.mul_add(d, -q * e);
        if Some(c) != label {
            sum[4] += q;
            sum[5] = q.mul_add(q, sum[5]);
        }
    });
    let [kl, js, double_tv, entropy, others, squares] = sums;
    let largest_change = classes.iter().map(|&c| (half_change(c) - mean_change).abs()).fold(0.0, f32::max);
    let score = |label: usize| {
        let nll = clipped_nll(q_log_total, logit_distance(variant[label], q_top));
        (nll, others.mul_add(others, squares))
    };
    Some(Compared {
        is_flip: p_class != q_class,
        base_prediction: p_class,
        prediction: q_class,
        kl,
        js,
        tv: 0.5 * double_tv,
        top_change: softmax_term(distances(p_class)[1]) * q_scale - p_scale,
        entropy_change: entropy - log_shift,
        logit_change: 2.0 * largest_change,
        confidence: q_scale,
        bin: calibration_bin(q_scale),
        scores: label.map(score),
    })
}

/// Sums over classes in blocks, as the kernel adds them.
fn blocked<const N: usize>(classes: &[usize], mut add: impl FnMut(usize, &mut [f32; N])) -> [f32; N] {
    let mut total = [0.0; N];
    for block in classes.chunks(CLASS_BLOCK) {
        let mut sum = [0.0; N];
        block.iter().for_each(|&c| add(c, &mut sum));
        total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
    }
    total
}

/// Logits of one sample under one gate: base + λ·scale · Σ_r g\[r\]·h̄\[r\]·map\[r, c\]. A gate of width 1 is the same
/// for every rank.
pub fn factored(
    base: &[f32],
    gate: &[f32],
    hidden: &[f32],
    map: &[f32],
    lambda: f32,
    scale: f32,
) -> Vec<f32> {
    let classes = base.len();
    let step = usize::from(gate.len() > 1);
    let factor = lambda * scale;
    let logit = |(c, &logit): (usize, &f32)| {
        let terms = hidden.iter().enumerate().map(|(r, h)| (gate[r * step] * h, map[r * classes + c]));
        let change = factor * terms.fold(0.0f32, |sum, (gated, m)| gated.mul_add(m, sum));
        if is_zero(change) || is_zero(factor) { logit } else { logit + change }
    };
    base.iter().enumerate().map(logit).collect()
}

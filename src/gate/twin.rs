//! CPU twins of the gate's kernels, with the kernels' order of sums. Slow on purpose: they read like the shaders.

use crate::common::numeric::{is_zero, sigmoid};
use crate::gpu::reduce::Chunks;

/// g(a) = 2σ(a).
pub fn gate_curve(a: f32) -> f32 {
    2.0 * sigmoid(a)
}

/// g'(a) = 2σ(a)σ(−a).
pub fn gate_slope(a: f32) -> f32 {
    2.0 * sigmoid(a) * sigmoid(-a)
}

/// What forward and backward share; the width is that of `null_logits`, `weights` are μ·v, one a row.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// `[rows, width]`.
    pub logits: &'a [f32],
    /// `[width]`.
    pub null_logits: &'a [f32],
    /// `[rows]`.
    pub weights: &'a [f32],
}

/// `g∅ + w (g − g∅)`.
pub fn mix(inputs: Inputs<'_>) -> Vec<f32> {
    let width = inputs.null_logits.len();
    let one = |(at, &logit): (usize, &f32)| {
        let none = gate_curve(inputs.null_logits[at % width]);
        let weight = inputs.weights[at / width];
        if is_zero(weight) { none } else { weight.mul_add(gate_curve(logit) - none, none) }
    };
    inputs.logits.iter().enumerate().map(one).collect()
}

/// `w · dgate · g'(logit)`.
pub fn dlogits(inputs: Inputs<'_>, dgate: &[f32]) -> Vec<f32> {
    let width = inputs.null_logits.len();
    let one = |(at, &logit): (usize, &f32)| {
        let weight = inputs.weights[at / width];
        if is_zero(weight) { 0.0 } else { weight * dgate[at] * gate_slope(logit) }
    };
    inputs.logits.iter().enumerate().map(one).collect()
}

/// `g'(null) · Σ_rows (1 − w) dgate`, chunks of rows in order.
pub fn dnull(inputs: Inputs<'_>, dgate: &[f32]) -> Vec<f32> {
    let (width, rows) = (inputs.null_logits.len(), inputs.weights.len());
    let chunk = Chunks::new(rows as u64, width as u64).rows as usize;
    let one = |j: usize| {
        (0..rows).step_by(chunk).fold(0.0, |total, first| {
            let rows = first..rows.min(first + chunk);
            let add =
                |sum: f32, row: usize| (1.0f32 - inputs.weights[row]).mul_add(dgate[row * width + j], sum);
            total + gate_slope(inputs.null_logits[j]) * rows.fold(0.0, add)
        })
    };
    (0..width).map(one).collect()
}

/// `v · Σ_j (g − g∅) dgate`, one a row; `validity: [rows]`.
pub fn dmu(inputs: Inputs<'_>, validity: &[f32], dgate: &[f32]) -> Vec<f32> {
    let width = inputs.null_logits.len();
    let one = |(row, &valid): (usize, &f32)| {
        let sum = (0..width).fold(0.0, |sum, j| {
            let reach = gate_curve(inputs.logits[row * width + j]) - gate_curve(inputs.null_logits[j]);
            reach.mul_add(dgate[row * width + j], sum)
        });
        if is_zero(valid) { 0.0 } else { valid * sum }
    };
    validity.iter().enumerate().map(one).collect()
}

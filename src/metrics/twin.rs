//! The counting kernel on the CPU: same operations, same order within a sample.

use crate::common::measure::{
    CLASS_BLOCK, calibration_bin, clipped_nll, logit_distance, softmax_term, top_class,
};
use crate::common::numeric::precise_log;

/// What one labelled prediction adds to the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Class of the largest logit, ties to the lowest.
    pub prediction: usize,
    /// −log p of the label, clipped at p = 10⁻⁶.
    pub nll: f32,
    /// Σ (p − one-hot)².
    pub brier: f32,
    /// Largest probability.
    pub confidence: f32,
    /// Its bin of 15.
    pub bin: usize,
}

/// One row of logits with its label (below their number); none where a logit is not finite.
///
/// ```
/// let sure = gtca::metrics::twin::measure(&[0.0, 200.0], 1).unwrap();
/// assert_eq!((sure.prediction, sure.nll, sure.brier, sure.bin), (1, 0.0, 0.0, 14));
/// ```
pub fn measure(logits: &[f32], label: usize) -> Option<Measured> {
    let (largest, prediction) = top_class(logits)?;
    let (mut others, mut squares) = (0.0f32, 0.0f32);
    for (b, block) in logits.chunks(CLASS_BLOCK).enumerate() {
        let (mut sum, mut square) = (0.0f32, 0.0f32);
        for (c, &logit) in block.iter().enumerate() {
            if b * CLASS_BLOCK + c != label {
                let e = softmax_term(logit_distance(logit, largest));
                sum += e;
                square = e.mul_add(e, square);
            }
        }
        others += sum;
        squares += square;
    }
    let distance = logit_distance(logits[label], largest);
    let total = others + softmax_term(distance);
    let scale = 1.0 / total;
    let wrong = others * scale;
    Some(Measured {
        prediction,
        nll: clipped_nll(precise_log(total), distance),
        brier: wrong.mul_add(wrong, squares * scale * scale),
        confidence: scale,
        bin: calibration_bin(scale),
    })
}

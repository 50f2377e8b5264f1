//! Gradient of the bias.

use super::outer::outer_of_many;
use crate::Error;
use crate::gpu::reduce::{column_sum, sum_chunks};
use crate::gpu::{Mode, Recorder, View};
use crate::lora::OP;
use crate::lora::maps::Side;
use crate::lora::step::Step;

/// `Σ dy` over rows, from which the gradients of bias and λ follow.
pub(in crate::lora) fn output_sums(
    recorder: &mut Recorder<'_>,
    dy: &View<'_>,
    out: &View<'_>,
) -> Result<(), Error> {
    column_sum(recorder, OP, dy, out, Mode::Overwrite)
}

/// `dbias = λ·s·Σ dy` over each adapter's rows, or `+=`: dB_t of a map of rank 1 whose h is 1.
pub(in crate::lora) fn dbias_of_many(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    dy: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let Some((of_bias, ones)) = step.of_bias(&[]) else { return Ok(()) };
    outer_of_many(recorder, &of_bias, Side::B, &ones, dy, &[as_arena(out)], mode)
}

/// Rows of biases as an arena.
pub(in crate::lora) fn as_arena<'a>(bias: &View<'a>) -> View<'a> {
    let elements = bias.shape[0] * bias.width();
    View { shape: [1, 1, elements], ..*bias }
}

/// `dbias = λ·s·Σ dy`, or `+=`; `sums` is Σ dy.
pub(in crate::lora) fn dbias(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    sums: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    sum_chunks(recorder, sums, 1, out, mode, (step.maps.scale(), Some(step.lambda)))
}

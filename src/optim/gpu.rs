//! Recording of the optimiser's kernels.

use super::{AdamWDesc, OP, Slot};
use crate::Error;
use crate::gpu::reduce::{Mode, sum_chunks};
use crate::gpu::{Binding, Dispatch, Kernel, MAX_ITERATIONS, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};

static SQUARE_SUM: Kernel = Kernel {
    name: "optim/square_sum",
    source: include_str!("../../shaders/optim/square_sum.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<SquareSum>(),
    flags: &[&[]],
    loop_bound: "256, doubled until 16,384 chunks suffice, at most 32,768",
    when: "first stage of the gradient norm",
};

static ADAMW: Kernel = Kernel {
    name: "optim/adamw",
    source: include_str!("../../shaders/optim/adamw.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
    params_bytes: size_of::<AdamWParams>(),
    flags: &[&[], &["CLIP"]],
    loop_bound: "1",
    when: "every optimiser step",
};

pub(crate) const KERNELS: &[&Kernel] = &[&SQUARE_SUM, &ADAMW];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SquareSum {
    x: Rows,
    count: u32,
    width: u32,
    chunk_len: u32,
    partial_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AdamWParams {
    gradient: Rows,
    theta: Rows,
    m: Rows,
    v: Rows,
    rows: u32,
    width: u32,
    norm_start: u32,
    max_norm: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    step: f32,
    decay: f32,
    inverse_c2: f32,
    pad: [u32; 2],
}

/// Elements of one chunk of a squared sum over `count` elements: the second stage stays short.
pub(super) fn chunk_len(count: u64) -> u32 {
    let mut len = 256;
    while count.div_ceil(u64::from(len)) > 16_384 && u64::from(len) * 2 < MAX_ITERATIONS {
        len *= 2;
    }
    len
}

/// The fewest rows that fill chunks to the end, so that a cut batch sums in the order of a whole one.
fn rows_of_whole_chunks(width: u32, chunk_len: u32) -> u32 {
    // A chunk's length is a power of two.
    chunk_len >> width.trailing_zeros().min(chunk_len.trailing_zeros())
}

/// Refuses tensors that no cut brings below the binding limit, before anything is recorded.
pub(super) fn check_limits(recorder: &Recorder<'_>, slots: &[Slot<'_>]) -> Result<(), Error> {
    slots.iter().try_for_each(|slot| {
        recorder.gpu().row_chunks(OP, &[slot.gradient, slot.theta, slot.m, slot.v], 1).map(|_| ())
    })
}

/// Records ‖·‖² over all views, chunk after chunk and view after view.
pub(super) fn square_norm(
    recorder: &mut Recorder<'_>,
    views: &[View<'_>],
    out: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let elements = |view: &View<'_>| view.rows() * u64::from(view.width());
    let chunk_len = chunk_len(views.iter().map(elements).sum());
    let chunks: Vec<u32> =
        views.iter().map(|view| elements(view).div_ceil(chunk_len.into()) as u32).collect();
    let total = chunks.iter().sum();
    let scratch = recorder.scratch(OP, u64::from(total) * 4)?;
    let partials = scratch.vector(total);
    let part = partials.bind(alignment);
    let mut start = 0;
    for (view, chunks) in views.iter().zip(chunks) {
        for range in recorder.gpu().row_chunks(OP, &[*view], rows_of_whole_chunks(view.width(), chunk_len))? {
            let x = view.bind_rows(&range, alignment);
            let width = u64::from(view.width());
            let count = u64::from(range.end - range.start) * width;
            let before = u64::from(range.start) * width / u64::from(chunk_len);
            let params = SquareSum {
                x: x.rows,
                count: count as u32,
                width: view.width(),
                chunk_len,
                partial_start: part.rows.start + start + before as u32,
            };
            recorder.dispatch(&Dispatch {
                kernel: &SQUARE_SUM,
                flags: &[],
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[x, part],
                groups: count.div_ceil(chunk_len.into()).div_ceil(64),
                iterations: chunk_len.into(),
            })?;
        }
        start += chunks;
    }
    sum_chunks(recorder, &partials, total, out, Mode::Overwrite, (1.0, None))
}

/// Which step, and how long.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub number: u32,
    pub learning_rate: f32,
}

pub(super) fn adamw(
    recorder: &mut Recorder<'_>,
    desc: &AdamWDesc,
    slot: &Slot<'_>,
    step: Step,
    square_norm: Option<&View<'_>>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step.number));
    let rate = f64::from(step.learning_rate);
    let flags: &[&str] = if desc.max_norm.is_some() { &["CLIP"] } else { &[] };
    for range in recorder.gpu().row_chunks(OP, &[slot.gradient, slot.theta, slot.m, slot.v], 1)? {
        let [gradient, theta, m, v] =
            [slot.gradient, slot.theta, slot.m, slot.v].map(|view| view.bind_rows(&range, alignment));
        let norm = square_norm.map_or(gradient, |norm| norm.bind(alignment));
        let params = AdamWParams {
            gradient: gradient.rows,
            theta: theta.rows,
            m: m.rows,
            v: v.rows,
            rows: range.end - range.start,
            width: slot.theta.width(),
            norm_start: norm.rows.start,
            max_norm: desc.max_norm.unwrap_or(f32::MAX),
            beta1: desc.beta1,
            beta2: desc.beta2,
            epsilon: desc.epsilon,
            step: (rate / correction(desc.beta1)) as f32,
            decay: (1.0 - rate * f64::from(desc.weight_decay)) as f32,
            inverse_c2: (1.0 / correction(desc.beta2)) as f32,
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: &ADAMW,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[gradient, norm, theta, m, v],
            groups: (u64::from(params.rows) * u64::from(params.width)).div_ceil(64),
            iterations: 1,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_of_a_batch_fall_between_chunks() {
        for width in 1..600 {
            let rows = rows_of_whole_chunks(width, 256);
            assert_eq!(rows * width % 256, 0, "width {width}");
            assert!((1..rows).all(|fewer| fewer * width % 256 != 0), "width {width}");
        }
    }

    #[test]
    fn neither_stage_loops_too_long() {
        assert_eq!([1, 4_194_304, 4_194_305, u64::MAX].map(chunk_len), [256, 256, 512, 32_768]);
    }
}

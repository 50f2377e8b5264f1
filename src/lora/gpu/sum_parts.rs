//! Second stage of sums over an adapter's or a sample's rows.

use super::{on, with_tables};
use crate::Error;
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Dispatch, Kernel, Mode, Recorder, Rows, View};
use crate::lora::maps::Side;
use crate::lora::routing::Route;
use crate::lora::step::Step;
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

pub(super) const KERNELS: [&Kernel; 1] = [&SUM_PARTS];

static SUM_PARTS: Kernel = Kernel {
    name: "lora/sum_parts",
    source: include_str!("../../../shaders/lora/sum_parts.wgsl"),
    storage: &[Binding::Read, Binding::Write, Binding::Read, Binding::Read],
    params_bytes: size_of::<SumPartsParams>(),
    flags: &[&[], &["ACCUMULATE"], &["BANK"], &["BANK", "ACCUMULATE"]],
    loop_bound: "chunks of one adapter or sample",
    when: "second stage of dA, dB_t and dg, many adapters",
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumPartsParams {
    out: Rows,
    segments: u32,
    first_segment: u32,
    width: u32,
    columns: u32,
    partial_start: u32,
    lambda: f32,
    pad: [u32; 2],
    route: Route,
}

/// Where [`sum_parts`] writes: rows of a view, or the matrices of a bank.
pub(super) struct SumOut<'a> {
    pub out: Bound<'a>,
    pub matrix: Option<(Side, u32)>,
    pub columns: u32,
}

/// Second stage of sums over every segment's own chunks, times λ.
pub(super) fn sum_parts(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    partials: &View<'_>,
    out: &SumOut<'_>,
    segments: &Range<usize>,
    route: Route,
    mode: Mode,
) -> Result<(), Error> {
    let Some(tables) = step.maps.tables() else { return Ok(()) };
    let (matrix, shift) = out.matrix.map_or((0, 0), |(side, shift)| (side as u32, shift));
    let bound = partials.bind(recorder.gpu().alignment());
    let count = segments.len() as u32;
    let params = SumPartsParams {
        out: out.out.rows,
        segments: count,
        first_segment: segments.start as u32,
        width: partials.width(),
        columns: out.columns,
        partial_start: bound.rows.start,
        lambda: step.lambda.host_value(),
        pad: [0; 2],
        route: Route { matrix, shift, ..route },
    };
    let flags = [("BANK", out.matrix.is_some()), ("ACCUMULATE", mode == Mode::Accumulate)];
    recorder.dispatch(&Dispatch {
        kernel: &SUM_PARTS,
        flags: &on(&flags),
        params: bytemuck::bytes_of(&params),
        knobs: &[(offset_of!(SumPartsParams, lambda), step.lambda)],
        storage: &with_tables(&[bound, out.out], Some(tables)),
        groups: (u64::from(count) * u64::from(partials.width())).div_ceil(64),
        iterations: partials.rows(),
    })
}

//! Recording of the linear kernels.

use super::OP;
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::{Binding, Dispatch, Kernel, Mode, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};

static ROWS: Kernel = Kernel {
    name: "linear/rows",
    source: include_str!("../../shaders/linear/rows.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<RowsParams>(),
    flags: &[&[], &["BIAS"], &["ACCUMULATE"]],
    loop_bound: "inputs (forward), outputs (dx)",
    when: "every linear map and its dx",
};

static OUTER: Kernel = Kernel {
    name: "linear/outer",
    source: include_str!("../../shaders/linear/outer.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<OuterParams>(),
    flags: &[&[]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of dW",
};

static SILU: Kernel = Kernel {
    name: "linear/silu",
    source: include_str!("../../shaders/linear/silu.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<SiluParams>(),
    flags: &[&[], &["BACKWARD"]],
    loop_bound: "1",
    when: "activation SiLU",
};

pub(crate) const KERNELS: &[&Kernel] = &[&ROWS, &OUTER, &SILU];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowsParams {
    x: Rows,
    y: Rows,
    rows: u32,
    outputs: u32,
    inputs: u32,
    w_start: u32,
    w_output_stride: u32,
    w_input_stride: u32,
    bias_start: u32,
    tiles_per_row: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct OuterParams {
    dy: Rows,
    x: Rows,
    rows: u32,
    outputs: u32,
    inputs: u32,
    partial_start: u32,
    chunk_rows: u32,
    pad: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SiluParams {
    x: Rows,
    dy: Rows,
    y: Rows,
    rows: u32,
    width: u32,
    pad: [u32; 2],
}

/// Which axis of W the sum runs over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Over inputs: `y = x Wᵀ`.
    Forward,
    /// Over outputs: `dx = dy W`.
    Backward,
}

pub(super) fn rows(
    recorder: &mut Recorder<'_>,
    x: &View<'_>,
    weight: &View<'_>,
    side: Side,
    bias: Option<&View<'_>>,
    y: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let w_row = weight.row_step();
    let (w_output_stride, w_input_stride) = if side == Side::Forward { (w_row, 1) } else { (1, w_row) };
    let (inputs, outputs) = (x.width(), y.width());
    let tiles_per_row = outputs.div_ceil(32);
    let flags: &[&str] = if bias.is_some() { &["BIAS"] } else { mode.flags() };
    for range in recorder.gpu().row_chunks(OP, &[*x, *y], 1)? {
        let [x, y] = [x, y].map(|view| view.bind_rows(&range, alignment));
        let weight = weight.bind(alignment);
        let bias = bias.map_or(weight, |bias| bias.bind(alignment));
        let params = RowsParams {
            x: x.rows,
            y: y.rows,
            rows: range.end - range.start,
            outputs,
            inputs,
            w_start: weight.rows.start,
            w_output_stride,
            w_input_stride,
            bias_start: bias.rows.start,
            tiles_per_row,
        };
        recorder.dispatch(&Dispatch {
            kernel: &ROWS,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, weight, bias, y],
            groups: u64::from(params.rows.div_ceil(32)) * u64::from(tiles_per_row),
            iterations: u64::from(inputs),
        })?;
    }
    Ok(())
}

pub(super) fn outer(
    recorder: &mut Recorder<'_>,
    dy: &View<'_>,
    x: &View<'_>,
    dweight: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (outputs, inputs) = (dy.width(), x.width());
    let width = u64::from(outputs) * u64::from(inputs);
    let chunks = Chunks::new(dy.rows(), width);
    let scratch = recorder.scratch(OP, chunks.bytes(width))?;
    let partials = scratch.matrix(chunks.count, outputs * inputs);
    for range in recorder.gpu().row_chunks(OP, &[*dy, *x], chunks.rows)? {
        let filled = chunks.of(&range);
        let part = partials.bind_rows(&filled, alignment);
        let [dy, x] = [dy, x].map(|view| view.bind_rows(&range, alignment));
        let params = OuterParams {
            dy: dy.rows,
            x: x.rows,
            rows: range.end - range.start,
            outputs,
            inputs,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
            pad: [0; 3],
        };
        let lines = u64::from(filled.end - filled.start) * u64::from(outputs.div_ceil(4));
        recorder.dispatch(&Dispatch {
            kernel: &OUTER,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[dy, x, part],
            groups: (lines * u64::from(inputs.div_ceil(4))).div_ceil(64),
            iterations: chunks.rows.into(),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, dweight, mode, (1.0, None))
}

/// `y = silu(x)`, or with `dy` its gradient.
pub(super) fn silu(
    recorder: &mut Recorder<'_>,
    x: &View<'_>,
    dy: Option<&View<'_>>,
    y: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let width = x.width();
    let flags: &[&str] = if dy.is_some() { &["BACKWARD"] } else { &[] };
    let dy = dy.unwrap_or(x);
    for range in recorder.gpu().row_chunks(OP, &[*x, *dy, *y], 1)? {
        let [x, dy, y] = [x, dy, y].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let params = SiluParams { x: x.rows, dy: dy.rows, y: y.rows, rows, width, pad: [0; 2] };
        recorder.dispatch(&Dispatch {
            kernel: &SILU,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, dy, y],
            groups: (u64::from(rows) * u64::from(width)).div_ceil(64),
            iterations: 1,
        })?;
    }
    Ok(())
}

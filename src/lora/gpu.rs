//! Recording of the injection's kernels.

use super::family::{self, DownParams, OuterParams, UpParams};
use super::{Family, Gate, OP};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Dispatch, Kernel, Knob, MAX_ITERATIONS, Mode, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

/// Tokens that one invocation of the first stage of dg sums; fixed, so that a sample's sum has one order.
pub(super) const GATE_TOKENS: u32 = 64;

static GATED: Kernel = Kernel {
    name: "lora/gated",
    source: include_str!("../../shaders/lora/gated.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GatedParams>(),
    flags: &[&[]],
    loop_bound: "0",
    when: "h ⊙ g and u ⊙ g",
};

static DGATE: Kernel = Kernel {
    name: "lora/dgate",
    source: include_str!("../../shaders/lora/dgate.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<DgateParams>(),
    flags: &[&[], &["SCALAR"]],
    loop_bound: "64; scalar gate: 64 (rank + 1)",
    when: "first stage of dg",
};

static DLAMBDA: Kernel = Kernel {
    name: "lora/dlambda",
    source: include_str!("../../shaders/lora/dlambda.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<DlambdaParams>(),
    flags: &[&[], &["GATE"]],
    loop_bound: "chunk rows · (rank + 1)",
    when: "first stage of dλ",
};

pub(crate) fn kernels() -> Vec<&'static Kernel> {
    [&[&GATED, &DGATE, &DLAMBDA][..], &family::KERNELS].concat()
}

/// How a kernel finds a row's gates: the Rust side of `GateRows` in `shaders/lora/gates.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GateRows {
    start: u32,
    sample_stride: u32,
    rank_stride: u32,
    tokens: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GatedParams {
    h: Rows,
    gated: Rows,
    gates: GateRows,
    rows: u32,
    rank: u32,
    first_row: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DgateParams {
    u: Rows,
    h: Rows,
    samples: u32,
    tokens: u32,
    rank: u32,
    columns: u32,
    partial_start: u32,
    chunk_tokens: u32,
    scale: f32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DlambdaParams {
    u: Rows,
    h: Rows,
    gates: GateRows,
    rows: u32,
    rank: u32,
    partial_start: u32,
    chunk_rows: u32,
    first_row: u32,
    pad: [u32; 3],
}

/// Rows of width `rank` (h or u) with their samples' gates.
#[derive(Clone, Copy)]
pub(super) struct Gated<'a> {
    pub rows: View<'a>,
    pub gate: Gate<'a>,
}

impl<'a> Gated<'a> {
    /// Views that a cut into bindings must respect.
    fn views(&self) -> Vec<View<'a>> {
        std::iter::once(self.rows).chain(self.gate.view()).collect()
    }

    /// Flags of the kernel that multiplies by gates only where there are some.
    fn flags(&self) -> &'static [&'static str] {
        if self.gate.view().is_some() { &["GATE"] } else { &[] }
    }

    /// Rows and gates of a run of rows, and the run's first row counted from its first sample's first row.
    fn bind(&self, range: &Range<u32>, alignment: u32) -> (Bound<'a>, Bound<'a>, GateRows, u32) {
        let tokens = self.rows.shape[1].max(1);
        let rows = self.rows.bind_rows(range, alignment);
        let Some(gate) = self.gate.view() else {
            let unused = GateRows { start: 0, sample_stride: 0, rank_stride: 0, tokens };
            return (rows, rows, unused, 0);
        };
        let samples = range.start / tokens..range.end.div_ceil(tokens);
        let bound = gate.bind_rows(&samples, alignment);
        let gates = GateRows {
            start: bound.rows.start,
            sample_stride: gate.sample_stride,
            rank_stride: u32::from(matches!(self.gate, Gate::Rank(_))),
            tokens,
        };
        (rows, bound, gates, range.start - samples.start * tokens)
    }
}

/// `h = x Aᵀ`.
pub(super) fn down(
    recorder: &mut Recorder<'_>,
    family: Family,
    x: &View<'_>,
    a: &View<'_>,
    h: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (inputs, rank) = (x.width(), h.width());
    let plan = family.down(rank);
    let flags = plan.flags(&[("VEC4", take_vectors(&[x, a, h]) && inputs.is_multiple_of(plan.columns))]);
    let bound_a = a.bind(alignment);
    for range in recorder.gpu().row_chunks(OP, &[*x, *h], 1)? {
        let [x, h] = [x, h].map(|view| view.bind_rows(&range, alignment));
        let params = DownParams {
            x: x.rows,
            h: h.rows,
            rows: range.end - range.start,
            rank,
            inputs,
            a_start: bound_a.rows.start,
            a_stride: a.sample_stride,
            pad: [0; 3],
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, bound_a, h],
            groups: plan.groups(params.rows.div_ceil(plan.rows), rank, 1),
            iterations: family.down_iterations(rank, inputs),
        })?;
    }
    Ok(())
}

/// Rows can be loaded and stored four elements at a time. The sums are the same either way.
fn take_vectors(views: &[&View<'_>]) -> bool {
    views.iter().all(|view| view.is_vec4())
}

/// `out = h ⊙ g`.
pub(super) fn gated(recorder: &mut Recorder<'_>, h: Gated<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let rank = out.width();
    let mut views = h.views();
    views.push(*out);
    for range in recorder.gpu().row_chunks(OP, &views, 1)? {
        let (bound_h, gate, gates, first_row) = h.bind(&range, alignment);
        let out = out.bind_rows(&range, alignment);
        let rows = range.end - range.start;
        let params = GatedParams { h: bound_h.rows, gated: out.rows, gates, rows, rank, first_row, pad: 0 };
        recorder.dispatch(&Dispatch {
            kernel: &GATED,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[bound_h, gate, out],
            groups: (u64::from(rows) * u64::from(rank.div_ceil(4))).div_ceil(64),
            iterations: 0,
        })?;
    }
    Ok(())
}

/// `y += λ·s·h B_t`, or `=`; h gated already.
pub(super) fn up(
    recorder: &mut Recorder<'_>,
    family: Family,
    h: &View<'_>,
    b_t: &View<'_>,
    (scale, lambda): (f32, Knob<'_>),
    y: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, rank) = (y.width(), h.width());
    let plan = family.up(rank);
    let flags = plan.flags(&[("VEC4", take_vectors(&[h, b_t, y])), ("ACCUMULATE", mode == Mode::Accumulate)]);
    let bound_b = b_t.bind(alignment);
    for range in recorder.gpu().row_chunks(OP, &[*h, *y], 1)? {
        let [h, y] = [h, y].map(|view| view.bind_rows(&range, alignment));
        let params = UpParams {
            h: h.rows,
            y: y.rows,
            rows: range.end - range.start,
            width,
            rank,
            b_start: bound_b.rows.start,
            b_stride: b_t.sample_stride,
            chunk_rows: plan.rows,
            lambda: lambda.host_value(),
            scale,
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(UpParams, lambda), lambda)],
            storage: &[h, bound_b, y],
            groups: plan.groups(params.rows.div_ceil(plan.rows), 1, width),
            iterations: u64::from(rank) + 60,
        })?;
    }
    Ok(())
}

/// Chunks of rows in the first stage of [`outer`].
pub(super) fn outer_chunks(family: Family, rows: u64, rank: u32, width: u32) -> Chunks {
    Chunks::from_size(family.outer(rank).rows, rows, u64::from(rank) * u64::from(width))
}

/// `out = λ·s·wᵀ v`, or `+=`, in two stages; w gated already.
pub(super) fn outer(
    recorder: &mut Recorder<'_>,
    family: Family,
    w: &View<'_>,
    v: &View<'_>,
    (scale, lambda): (f32, Knob<'_>),
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (rank, width) = (w.width(), v.width());
    let plan = family.outer(rank);
    let flags = plan.flags(&[("VEC4", take_vectors(&[w, v]))]);
    let chunks = outer_chunks(family, v.rows(), rank, width);
    let scratch = recorder.scratch(OP, chunks.bytes(u64::from(rank) * u64::from(width)))?;
    let partials = scratch.matrix(chunks.count, rank * width);
    for range in recorder.gpu().row_chunks(OP, &[*w, *v], chunks.rows)? {
        let filled = chunks.of(&range);
        let part = partials.bind_rows(&filled, alignment);
        let [w, v] = [w, v].map(|view| view.bind_rows(&range, alignment));
        let params = OuterParams {
            w: w.rows,
            v: v.rows,
            rows: range.end - range.start,
            rank,
            width,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
            scale,
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[w, v, part],
            groups: plan.groups(filled.end - filled.start, rank, width),
            iterations: u64::from(chunks.rows) + u64::from(chunks.rows).div_ceil(16),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, out, mode, second_factor(lambda))
}

/// λ as the second stage's factor.
fn second_factor(lambda: Knob<'_>) -> (f32, Option<Knob<'_>>) {
    match lambda {
        Knob::Host(value) => (value, None),
        buffer => (1.0, Some(buffer)),
    }
}

/// `dg = λ·s·Σ_T u ⊙ h`, or `+=`; an output of width 1 sums over ranks too.
pub(super) fn dgate(
    recorder: &mut Recorder<'_>,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
    (scale, lambda): (f32, Knob<'_>),
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let [samples, tokens, rank] = u.shape;
    let cut = Cut::new(recorder, &[*u, *h], out);
    for first in (0..samples).step_by(cut.samples as usize) {
        let block = first..samples.min(first + cut.samples);
        let lines = block.end - block.start;
        let chunks = tokens.div_ceil(GATE_TOKENS);
        let columns = if scalar { 1 } else { rank };
        let scratch = recorder.scratch(OP, u64::from(chunks) * u64::from(lines) * u64::from(columns) * 4)?;
        let partials = scratch.matrix(chunks, lines * columns);
        for token in (0..tokens).step_by(cut.tokens as usize) {
            let end = tokens.min(token.saturating_add(cut.tokens));
            let part = partials.slice_rows(token / GATE_TOKENS, end.div_ceil(GATE_TOKENS));
            let [u, h] = [u, h].map(|view| view.block(&block, &(token..end)));
            dgate_partials(recorder, &u, &h, scalar, scale, &part)?;
        }
        let out = out.slice_rows(block.start, block.end);
        sum_chunks(recorder, &partials, chunks, &out, mode, second_factor(lambda))?;
    }
    Ok(())
}

fn dgate_partials(
    recorder: &mut Recorder<'_>,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
    scale: f32,
    part: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let [samples, tokens, rank] = u.shape;
    let (chunks, width) = (part.rows(), u64::from(part.width()));
    let [u, h, part] = [u, h, part].map(|view| view.bind(alignment));
    let params = DgateParams {
        u: u.rows,
        h: h.rows,
        samples,
        tokens,
        rank,
        columns: if scalar { 1 } else { rank },
        partial_start: part.rows.start,
        chunk_tokens: GATE_TOKENS,
        scale,
        pad: 0,
    };
    let inner = if scalar { rank + 1 } else { 1 };
    recorder.dispatch(&Dispatch {
        kernel: &DGATE,
        flags: if scalar { &["SCALAR"] } else { &[] },
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[u, h, part],
        groups: (chunks * width).div_ceil(64),
        iterations: u64::from(GATE_TOKENS) * u64::from(inner),
    })
}

/// How many samples, and tokens of one sample, a binding holds.
struct Cut {
    samples: u32,
    tokens: u32,
}

impl Cut {
    fn new(recorder: &Recorder<'_>, views: &[View<'_>], out: &View<'_>) -> Self {
        let gpu = recorder.gpu();
        let limit = gpu.largest_view() / 4;
        let tokens = views[0].shape[1];
        let of_sample = |view: &View<'_>| {
            let own = u64::from(tokens) * u64::from(view.row_stride.max(view.width()));
            own.max(view.sample_stride.into()).max(1)
        };
        let longest = views.iter().map(of_sample).chain([out.sample_stride.into()]).max().unwrap_or(1);
        let samples = limit / longest.max(1);
        if samples > 0 {
            return Self { samples: u32::try_from(samples).unwrap_or(u32::MAX), tokens: tokens.max(1) };
        }
        let row = views.iter().map(|view| view.row_stride).max().unwrap_or(1);
        let tokens = limit / u64::from(row.max(1)) / u64::from(GATE_TOKENS) * u64::from(GATE_TOKENS);
        Self { samples: 1, tokens: (tokens as u32).max(GATE_TOKENS) }
    }
}

/// Rows of one chunk of the first stage of dλ: 64, doubled while the second stage would loop long.
pub(super) fn lambda_rows(rows: u64, rank: u32) -> u32 {
    let mut size = 64;
    while rows.div_ceil(size) >= MAX_ITERATIONS / 2 && size * 2 * (u64::from(rank) + 1) < MAX_ITERATIONS {
        size *= 2;
    }
    size as u32
}

/// `dλ = s·Σ u ⊙ g ⊙ h`, or `+=`, in two stages.
pub(super) fn dlambda(
    recorder: &mut Recorder<'_>,
    u: Gated<'_>,
    h: &View<'_>,
    scale: f32,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let rank = h.width();
    let size = lambda_rows(h.rows(), rank);
    let chunks = Chunks { rows: size, count: h.rows().div_ceil(size.into()) as u32 };
    let scratch = recorder.scratch(OP, chunks.bytes(1))?;
    let partials = scratch.matrix(chunks.count, 1);
    let mut views = u.views();
    views.push(*h);
    for range in recorder.gpu().row_chunks(OP, &views, size)? {
        let filled = chunks.of(&range);
        let part = partials.bind_rows(&filled, alignment);
        let (bound_u, gate, gates, first_row) = u.bind(&range, alignment);
        let h = h.bind_rows(&range, alignment);
        let params = DlambdaParams {
            u: bound_u.rows,
            h: h.rows,
            gates,
            rows: range.end - range.start,
            rank,
            partial_start: part.rows.start,
            chunk_rows: size,
            first_row,
            pad: [0; 3],
        };
        recorder.dispatch(&Dispatch {
            kernel: &DLAMBDA,
            flags: u.flags(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[bound_u, h, gate, part],
            groups: u64::from(filled.end - filled.start).div_ceil(64),
            iterations: u64::from(size) * (u64::from(rank) + 1),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, out, mode, (scale, None))
}

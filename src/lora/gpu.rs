//! Recording of the injection's kernels.

use super::family::{self, DownParams, Dropped, OuterParams, UpParams};
use super::maps::{Maps, Side};
use super::routing::{Route, Routing};
use super::step::{Matrices, Step};
use super::{Bank, Dropout, Family, Gate, OP};
use crate::Error;
use crate::gpu::reduce::{Chunks, MAX_PARTIAL_BYTES, column_sum, sum_chunks, zero};
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Dispatch, Dtype, Kernel, Knob, MAX_ITERATIONS, Mode, Recorder, Rows, View};
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

static ROUTED_GATED: Kernel = routed(
    &GATED,
    &[Binding::Read, Binding::Read, Binding::Write, Binding::Read],
    &[&["ROUTED"]],
    "h ⊙ g and u ⊙ g, gates per sample of any number of rows",
);

static DGATE: Kernel = Kernel {
    name: "lora/dgate",
    source: include_str!("../../shaders/lora/dgate.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<DgateParams>(),
    flags: &[&[], &["SCALAR"]],
    loop_bound: "64; scalar gate: 64 (rank + 1)",
    when: "first stage of dg",
};

static ROUTED_DGATE: Kernel = routed(
    &DGATE,
    ROUTED,
    &[&["ROUTED"], &["ROUTED", "SCALAR"]],
    "first stage of dg, samples of any number of rows",
);

static DGATE_TOKENS: Kernel = Kernel {
    name: "lora/dgate_tokens",
    source: include_str!("../../shaders/lora/dgate_tokens.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<DgateTokensParams>(),
    flags: &[&[], &["SCALAR"], &["ACCUMULATE"], &["SCALAR", "ACCUMULATE"]],
    loop_bound: "0; scalar gate: rank",
    when: "dg of gates per token",
};

static ROUTED_DGATE_TOKENS: Kernel = routed(
    &DGATE_TOKENS,
    ROUTED,
    &[&["ROUTED"], &["ROUTED", "SCALAR"], &["ROUTED", "ACCUMULATE"], &["ROUTED", "SCALAR", "ACCUMULATE"]],
    "dg of gates per token, many adapters",
);

static DLAMBDA: Kernel = Kernel {
    name: "lora/dlambda",
    source: include_str!("../../shaders/lora/dlambda.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<DlambdaParams>(),
    flags: &[&[], &["GATE"]],
    loop_bound: "chunk rows · (rank + 1)",
    when: "first stage of dλ",
};

static ROUTED_DLAMBDA: Kernel = routed(
    &DLAMBDA,
    &[Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Read, Binding::Read],
    &[&["ROUTED"], &["ROUTED", "GATE"]],
    "first stage of dλ, many adapters",
);

static SUM_PARTS: Kernel = Kernel {
    name: "lora/sum_parts",
    source: include_str!("../../shaders/lora/sum_parts.wgsl"),
    storage: &[Binding::Read, Binding::Write, Binding::Read, Binding::Read],
    params_bytes: size_of::<SumPartsParams>(),
    flags: &[&[], &["ACCUMULATE"], &["BANK"], &["BANK", "ACCUMULATE"]],
    loop_bound: "chunks of one adapter or sample",
    when: "second stage of dA, dB_t and dg, many adapters",
};

static WIDEN: Kernel = Kernel {
    name: "lora/widen",
    source: include_str!("../../shaders/lora/widen.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<WidenParams>(),
    flags: &[&["HALF=f16|HALF=bf16"]],
    loop_bound: "0",
    when: "A, B_t and bias stored in halves",
};

static WIDEN_MANY: Kernel = Kernel {
    name: "lora/widen_many",
    source: include_str!("../../shaders/lora/widen_many.wgsl"),
    storage: &[Binding::Read, Binding::Write, Binding::Read, Binding::Read],
    params_bytes: size_of::<WidenManyParams>(),
    flags: &[&["HALF=f16|HALF=bf16"]],
    loop_bound: "0",
    when: "matrices of many adapters stored in halves",
};

static COPY: Kernel = Kernel {
    name: "lora/copy",
    source: include_str!("../../shaders/lora/copy.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<CopyParams>(),
    flags: &[&["|VEC4"]],
    loop_bound: "0",
    when: "y, before an injection that leaves it alone",
};

/// A kernel's form for many adapters.
pub(super) const fn routed(
    plain: &'static Kernel,
    storage: &'static [Binding],
    flags: &'static [&'static [&'static str]],
    when: &'static str,
) -> Kernel {
    let Kernel { name, source, params_bytes, loop_bound, .. } = *plain;
    Kernel { name, source, storage, params_bytes, flags, loop_bound, when }
}

/// Bindings of a routed kernel: the three of the plain one, then routing and bank.
pub(super) const ROUTED: &[Binding] =
    &[Binding::Read, Binding::Read, Binding::Write, Binding::Read, Binding::Read];

pub(crate) fn kernels() -> Vec<&'static Kernel> {
    let plain = [&GATED, &DGATE, &DGATE_TOKENS, &DLAMBDA, &WIDEN, &COPY];
    let routed =
        [&ROUTED_GATED, &ROUTED_DGATE, &ROUTED_DGATE_TOKENS, &ROUTED_DLAMBDA, &SUM_PARTS, &WIDEN_MANY];
    [&plain[..], &routed, &family::KERNELS].concat()
}

/// How a kernel finds a row's gates: the Rust side of `GateRows` in `shaders/lora/gates.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GateRows {
    view: Rows,
    tokens: u32,
    samples: u32,
    rank_stride: u32,
    pad: u32,
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
    rows: u32,
    start: u32,
    pad: [u32; 3],
    route: Route,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DgateTokensParams {
    u: Rows,
    h: Rows,
    dgate: Rows,
    rows: u32,
    rank: u32,
    columns: u32,
    samples: u32,
    adapters: u32,
    lambda: f32,
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
    samples: u32,
    adapters: u32,
    pad: u32,
}

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

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct WidenParams {
    stored: Rows,
    rows: u32,
    width: u32,
    out_start: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct WidenManyParams {
    segments: u32,
    columns: u32,
    out_start: u32,
    pad: u32,
    route: Route,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyParams {
    y: Rows,
    out: Rows,
    rows: u32,
    words: u32,
    halves: u32,
    is_odd: u32,
}

/// What a dispatch over a run of rows draws.
fn dropped(dropout: Option<Dropout>, range: &Range<u32>) -> Dropped {
    let Some(dropout) = dropout else { return Dropped::default() };
    let row = dropout.first_row.wrapping_add(range.start.into());
    Dropped {
        seed_low: dropout.seed as u32,
        seed_high: (dropout.seed >> 32) as u32,
        step: dropout.step,
        threshold: dropout.threshold(),
        row_low: row as u32,
        row_high: (row >> 32) as u32,
        scale: dropout.scale(),
        pad: 0,
    }
}

/// Rows of width `rank` (h or u) with their gates.
#[derive(Clone, Copy)]
pub(super) struct Gated<'a> {
    pub rows: View<'a>,
    pub gate: Gate<'a>,
    /// Says which row has which sample; without it samples have the rows' tokens.
    pub routing: Option<&'a Routing>,
}

/// How a run of rows is bound with its gates.
struct BoundGates<'a> {
    rows: Bound<'a>,
    gate: Bound<'a>,
    gates: GateRows,
    /// The run's first row, counted from the first bound gate's first row.
    first_row: u32,
}

impl<'a> Gated<'a> {
    /// Runs of rows that fit bindings together with another view of them, at multiples of `multiple` rows.
    fn cuts(
        &self,
        recorder: &Recorder<'_>,
        other: View<'_>,
        multiple: u32,
    ) -> Result<Vec<Range<u32>>, Error> {
        // Samples without tokens have gates, but no rows.
        if self.rows.rows() == 0 {
            return Ok(Vec::new());
        }
        // A routing reaches any sample's gates, which may be more than there are rows.
        let gate = self.gate.view().filter(|gate| self.routing.is_none() || gate.rows() == self.rows.rows());
        let views: Vec<View<'_>> = [self.rows, other].into_iter().chain(gate).collect();
        recorder.gpu().row_chunks(OP, &views, multiple)
    }

    /// Rows and gates of a run of rows.
    fn bind(&self, range: &Range<u32>, alignment: u32) -> BoundGates<'a> {
        let rows = self.rows.bind_rows(range, alignment);
        let Some(gate) = self.gate.view() else {
            let gates = GateRows { view: rows.rows, tokens: 1, samples: 0, rank_stride: 0, pad: 0 };
            return BoundGates { rows, gate: rows, gates, first_row: 0 };
        };
        let samples = self.routing.map_or(self.rows.shape[0], |routing| routing.samples);
        let (bound, tokens, first_row) = match self.routing {
            _ if self.gate.is_per_token(samples) => (gate.bind_rows(range, alignment), 1, 0),
            Some(_) => (gate.bind(alignment), 0, range.start),
            None => {
                let tokens = self.rows.shape[1].max(1);
                let samples = range.start / tokens..range.end.div_ceil(tokens);
                (gate.bind_rows(&samples, alignment), tokens, range.start - samples.start * tokens)
            }
        };
        let gates = GateRows {
            view: bound.rows,
            tokens,
            samples: self.routing.map_or(0, |routing| routing.of_rows()[0]),
            rank_stride: u32::from(matches!(self.gate, Gate::Rank(_))),
            pad: 0,
        };
        BoundGates { rows, gate: bound, gates, first_row }
    }
}

/// Writes out what is stored in halves as f32; `out` is contiguous.
pub(super) fn widen(recorder: &mut Recorder<'_>, stored: &View<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, flag) = (stored.width(), stored.dtype.flag());
    for range in recorder.gpu().row_chunks(OP, &[*stored, *out], 1)? {
        let [stored, out] = [stored, out].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let params = WidenParams { stored: stored.rows, rows, width, out_start: out.rows.start, pad: 0 };
        recorder.dispatch(&Dispatch {
            kernel: &WIDEN,
            flags: flag.as_slice(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[stored, out],
            groups: (u64::from(rows) * u64::from(width.div_ceil(2))).div_ceil(64),
            iterations: 0,
        })?;
    }
    Ok(())
}

/// Writes out the matrices of the adapters that have rows as f32: run after run, as `Maps::parts` reads them.
pub(super) fn widen_many(
    recorder: &mut Recorder<'_>,
    bank: &Bank,
    routing: &Routing,
    side: Side,
    arenas: &[View<'_>],
    out: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let mut first = 0;
    for run in bank.runs(routing, side, arenas[0].dtype, recorder.gpu().largest_view()) {
        let window = run.window(&arenas[run.arena]);
        let (stored, count) = (window.bind(alignment), run.segments.len() as u32);
        let elements = bank.elements(&run, side);
        let numbers = u64::from(count) * u64::from(elements);
        let part = View::vector(out.buffer, numbers as u32).at(out.offset + first * 4).bind(alignment);
        let route = routing.tiles(8, &run.segments);
        let (matrix, shift) = (side as u32, run.shift(&stored));
        let params = WidenManyParams {
            segments: count,
            columns: bank.width(side),
            out_start: part.rows.start,
            pad: 0,
            route: Route { matrix, shift, elements, ..route },
        };
        recorder.dispatch(&Dispatch {
            kernel: &WIDEN_MANY,
            flags: window.dtype.flag().as_slice(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[stored, part, routing.bound(), bank.bound()],
            groups: numbers.div_ceil(64),
            iterations: 0,
        })?;
        first += numbers;
    }
    Ok(())
}

/// `out = y`, bit by bit; both have one type and one shape.
pub(super) fn copy(recorder: &mut Recorder<'_>, y: &View<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, is_half) = (y.width(), y.dtype.bytes() == 2);
    let vectors = !is_half && take_vectors(&[y, out]);
    for range in recorder.gpu().row_chunks(OP, &[*y, *out], 1)? {
        let [y, out] = [y, out].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let words = if is_half { width.div_ceil(2) } else { width };
        let is_odd = is_half && !width.is_multiple_of(2);
        let params = CopyParams {
            y: y.rows,
            out: out.rows,
            rows,
            words,
            halves: is_half.into(),
            is_odd: is_odd.into(),
        };
        recorder.dispatch(&Dispatch {
            kernel: &COPY,
            flags: &on(&[("VEC4", vectors)]),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[y, out],
            groups: (u64::from(rows) * u64::from(words.div_ceil(4))).div_ceil(64),
            iterations: 0,
        })?;
    }
    Ok(())
}

/// `h = x Aᵀ`, x with its dropout, or with b_t in place of A.
pub(super) fn down(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    x: &View<'_>,
    h: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (family, inputs, dropout) = (step.family, x.width(), step.dropout_of(side));
    let tile_rows = |rank, _| family.down(rank).rows;
    for part in step.maps.parts(recorder.gpu(), side, &[*x, *h], h.width(), tile_rows)? {
        let plan = family.down(part.rank);
        let vectors = part.vectors && take_vectors(&[x, h]) && inputs.is_multiple_of(plan.columns);
        let flags = plan.flags(
            recorder.gpu(),
            vectors,
            &[x.dtype.flag(), dropout.map(|_| "DROPOUT"), part.tables.map(|_| "ROUTED")],
        );
        let [x, h] = [x, h].map(|view| view.bind_rows(&part.rows, alignment));
        let params = DownParams {
            x: x.rows,
            h: h.rows,
            rows: part.rows.end - part.rows.start,
            rank: part.rank,
            inputs,
            start: part.start,
            stride: part.stride,
            scale: part.scale,
            pad: [0; 2],
            route: part.route,
            dropout: dropped(dropout, &part.rows),
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel(part.tables.is_some()),
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &with_tables(&[x, part.matrix, h], part.tables),
            groups: plan.groups(part.tiles, part.rank, 1),
            iterations: family.down_iterations(part.rank, inputs),
        })?;
    }
    Ok(())
}

/// Rows can be loaded and stored four elements at a time. The sums are the same either way.
fn take_vectors(views: &[&View<'_>]) -> bool {
    views.iter().all(|view| view.is_vec4())
}

/// The flags that are on.
fn on(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect()
}

/// A kernel's bindings, then routing and bank where it reads them.
fn with_tables<'a>(own: &[Bound<'a>], tables: Option<[Bound<'a>; 2]>) -> Vec<Bound<'a>> {
    own.iter().copied().chain(tables.into_iter().flatten()).collect()
}

/// `out = h ⊙ g`.
pub(super) fn gated(recorder: &mut Recorder<'_>, h: &Gated<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let rank = out.width();
    for range in h.cuts(recorder, *out, 1)? {
        let bound = h.bind(&range, alignment);
        let out = out.bind_rows(&range, alignment);
        let BoundGates { gates, first_row, .. } = bound;
        let rows = range.end - range.start;
        let params =
            GatedParams { h: bound.rows.rows, gated: out.rows, gates, rows, rank, first_row, pad: 0 };
        let mut storage = vec![bound.rows, bound.gate, out];
        // Gates per token are found as without a routing.
        let routing = h.routing.filter(|_| gates.tokens == 0);
        storage.extend(routing.map(Routing::bound));
        recorder.dispatch(&Dispatch {
            kernel: if routing.is_some() { &ROUTED_GATED } else { &GATED },
            flags: if routing.is_some() { &["ROUTED"] } else { &[] },
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &storage,
            groups: (u64::from(rows) * u64::from(rank.div_ceil(4))).div_ceil(64),
            iterations: 0,
        })?;
    }
    Ok(())
}

/// `y += λ·s·(h B_t + bias)`, or `=`, or with A in place of b_t, without bias, and x's dropout on the sum; h gated already.
pub(super) fn up(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    h: &View<'_>,
    y: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (family, width, dropout) = (step.family, y.width(), step.dropout_of(side));
    let bias = step.bias.filter(|_| side == Side::B);
    let vectors = take_vectors(&[h, y]) && bias.is_none_or(|bias| bias.is_vec4());
    let plan = |rank, of_matrix: bool| family.up(rank, vectors && of_matrix && dropout.is_none());
    let tile_rows = |rank, of_matrix| plan(rank, of_matrix).rows;
    for part in step.maps.parts(recorder.gpu(), side, &[*h, *y], h.width(), tile_rows)? {
        let plan = plan(part.rank, part.vectors);
        let vectors = vectors && part.vectors;
        let flags = plan.flags(
            recorder.gpu(),
            vectors,
            &[
                y.dtype.flag(),
                dropout.map(|_| "DROPOUT"),
                (mode == Mode::Accumulate).then_some("ACCUMULATE"),
                bias.map(|_| "BIAS"),
                part.tables.map(|_| "ROUTED"),
            ],
        );
        let [h, y] = [h, y].map(|view| view.bind_rows(&part.rows, alignment));
        // The kernel has a place for a bias; without one the matrix lies there.
        let bound_bias = bias.map_or(part.matrix, |bias| bias.bind(alignment));
        let mut storage = with_tables(&[h, part.matrix, y], part.tables);
        storage.push(bound_bias);
        let params = UpParams {
            h: h.rows,
            y: y.rows,
            rows: part.rows.end - part.rows.start,
            width,
            rank: part.rank,
            start: part.start,
            stride: part.stride,
            chunk_rows: plan.rows,
            lambda: step.lambda.host_value(),
            scale: part.scale,
            route: part.route,
            dropout: dropped(dropout, &part.rows),
            bias_start: bound_bias.rows.start,
            bias_stride: bias.map_or(0, |bias| bias.row_step()),
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel(part.tables.is_some()),
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(UpParams, lambda), step.lambda)],
            storage: &storage,
            groups: plan.groups(part.tiles, 1, width),
            iterations: u64::from(part.rank) + u64::from(width / 32) + u64::from(plan.rows) + 60,
        })?;
    }
    Ok(())
}

/// Chunks of rows in the first stage of [`outer`].
pub(super) fn outer_chunks(family: Family, rows: u64, rank: u32, width: u32) -> Chunks {
    Chunks::from_size(family.outer(rank).rows, rows, u64::from(rank) * u64::from(width))
}

/// `out = λ·s·wᵀ v`, or `+=`, in two stages; w gated already, v with its dropout.
pub(super) fn outer(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    w: &View<'_>,
    v: &View<'_>,
    out: &Matrices<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let out = match out {
        Matrices::One(out) => out,
        Matrices::Many(arenas) => return outer_of_many(recorder, step, side, w, v, arenas, mode),
    };
    let (rank, width) = (w.width(), v.width());
    let chunks = outer_chunks(step.family, v.rows(), rank, width);
    let scratch = recorder.scratch(OP, chunks.bytes(u64::from(rank) * u64::from(width)))?;
    let partials = scratch.matrix(chunks.count, rank * width);
    for range in recorder.gpu().row_chunks(OP, &[*w, *v], chunks.rows)? {
        let filled = chunks.of(&range);
        let part = OuterPart {
            rank,
            rows: range,
            chunk_rows: chunks.rows,
            chunks: filled.end - filled.start,
            scale: step.maps.scale(),
            dropout: step.dropout_of(side),
            route: Route::default(),
            tables: None,
        };
        outer_partials(recorder, step.family, w, v, &part, &partials.slice_rows(filled.start, filled.end))?;
    }
    sum_chunks(recorder, &partials, chunks.count, out, mode, second_factor(step.lambda))
}

/// One dispatch of the first stage of [`outer`].
struct OuterPart<'a> {
    rank: u32,
    rows: Range<u32>,
    chunk_rows: u32,
    chunks: u32,
    scale: f32,
    /// Of v.
    dropout: Option<Dropout>,
    route: Route,
    tables: Option<[Bound<'a>; 2]>,
}

fn outer_partials(
    recorder: &mut Recorder<'_>,
    family: Family,
    w: &View<'_>,
    v: &View<'_>,
    part: &OuterPart<'_>,
    partials: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (plan, width) = (family.outer(part.rank), v.width());
    let vectors = take_vectors(&[w, v]) && part.rank.is_multiple_of(4);
    let flags = plan.flags(
        recorder.gpu(),
        vectors,
        &[v.dtype.flag(), part.dropout.map(|_| "DROPOUT"), part.tables.map(|_| "ROUTED")],
    );
    let [w, v] = [w, v].map(|view| view.bind_rows(&part.rows, alignment));
    let partials = partials.bind(alignment);
    let params = OuterParams {
        w: w.rows,
        v: v.rows,
        rows: part.rows.end - part.rows.start,
        rank: part.rank,
        width,
        partial_start: partials.rows.start,
        chunk_rows: part.chunk_rows,
        scale: part.scale,
        start: 0,
        pad: 0,
        route: part.route,
        dropout: dropped(part.dropout, &part.rows),
    };
    recorder.dispatch(&Dispatch {
        kernel: plan.kernel(part.tables.is_some()),
        flags: &flags,
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &with_tables(&[w, v, partials], part.tables),
        groups: plan.groups(part.chunks, part.rank, width),
        iterations: u64::from(part.chunk_rows) + u64::from(part.chunk_rows).div_ceil(16),
    })
}

/// [`outer`] over each adapter's rows, into arenas of the bank's layout.
fn outer_of_many(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    w: &View<'_>,
    v: &View<'_>,
    arenas: &[View<'_>],
    mode: Mode,
) -> Result<(), Error> {
    let Maps::Many { bank, routing, .. } = &step.maps else { return Ok(()) };
    for run in bank.runs(routing, side, Dtype::F32, recorder.gpu().largest_view()) {
        let (width, window) = (v.width(), run.window(&arenas[run.arena]));
        let elements = run.rank * width;
        // As an adapter alone is cut.
        let longest = routing.segments[run.segments.clone()].iter().map(|segment| segment.rows).max();
        let rows = outer_chunks(step.family, longest.unwrap_or(1).into(), run.rank, width).rows;
        let mut rest = run.segments.clone();
        while !rest.is_empty() {
            let segments =
                rest.start..routing.full(rows, &rest, MAX_PARTIAL_BYTES / (u64::from(elements) * 4));
            rest.start = segments.end;
            let route = routing.tiles(rows, &segments);
            let scratch = recorder.scratch(OP, u64::from(route.count) * u64::from(elements) * 4)?;
            let partials = scratch.matrix(route.count, elements);
            let part = OuterPart {
                rank: run.rank,
                rows: 0..routing.rows,
                chunk_rows: rows,
                chunks: route.count,
                scale: 1.0,
                dropout: step.dropout_of(side),
                route,
                tables: step.maps.tables(),
            };
            outer_partials(recorder, step.family, w, v, &part, &partials)?;
            let bound = window.bind(recorder.gpu().alignment());
            let out = SumOut { out: bound, matrix: Some((side, run.shift(&bound))), columns: width };
            sum_parts(recorder, step, &partials, &out, &segments, route, mode)?;
        }
    }
    Ok(())
}

/// Where [`sum_parts`] writes: rows of a view, or the matrices of a bank.
struct SumOut<'a> {
    out: Bound<'a>,
    matrix: Option<(Side, u32)>,
    columns: u32,
}

/// Second stage of sums over every segment's own chunks, times λ.
fn sum_parts(
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

/// λ as the second stage's factor.
fn second_factor(lambda: Knob<'_>) -> (f32, Option<Knob<'_>>) {
    match lambda {
        Knob::Host(value) => (value, None),
        buffer => (1.0, Some(buffer)),
    }
}

/// `Σ dy` over rows, from which the gradients of bias and λ follow.
pub(super) fn output_sums(recorder: &mut Recorder<'_>, dy: &View<'_>, out: &View<'_>) -> Result<(), Error> {
    column_sum(recorder, OP, dy, out, Mode::Overwrite)
}

/// `dbias = λ·s·Σ dy` over each adapter's rows, or `+=`: dB_t of a map of rank 1 whose h is 1.
pub(super) fn dbias_of_many(
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
pub(super) fn as_arena<'a>(bias: &View<'a>) -> View<'a> {
    let elements = bias.shape[0] * bias.width();
    View { shape: [1, 1, elements], ..*bias }
}

/// `dbias = λ·s·Σ dy`, or `+=`; `sums` is Σ dy.
pub(super) fn dbias(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    sums: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    sum_chunks(recorder, sums, 1, out, mode, (step.maps.scale(), Some(step.lambda)))
}

/// `dg = λ·s·Σ u ⊙ h` over the rows that share a gate, or `+=`; of scalar gates summed over ranks too.
pub(super) fn dgate(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let scalar = matches!(step.gate, Gate::Scalar(_));
    let samples = step.maps.routing().map_or(u.shape[0], |routing| routing.samples);
    match step.maps.routing() {
        _ if step.gate.is_per_token(samples) => dgate_of_tokens(recorder, step, u, h, scalar, out, mode),
        Some(routing) => dgate_of_routed(recorder, step, routing, u, h, scalar, out, mode),
        None => dgate_of_samples(recorder, step, u, h, scalar, out, mode),
    }
}

fn dgate_of_tokens(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let tables = step.maps.tables();
    let [samples, adapters] = step.maps.routing().map_or([0; 2], Routing::of_rows);
    let flags = [("ROUTED", tables.is_some()), ("SCALAR", scalar), ("ACCUMULATE", mode == Mode::Accumulate)];
    for range in recorder.gpu().row_chunks(OP, &[*u, *h, *out], 1)? {
        let [u, h, out] = [u, h, out].map(|view| (view.width(), view.bind_rows(&range, alignment)));
        let params = DgateTokensParams {
            u: u.1.rows,
            h: h.1.rows,
            dgate: out.1.rows,
            rows: range.end - range.start,
            rank: u.0,
            columns: out.0,
            samples: samples + range.start,
            adapters,
            lambda: step.lambda.host_value(),
            scale: step.maps.scale(),
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: if tables.is_some() { &ROUTED_DGATE_TOKENS } else { &DGATE_TOKENS },
            flags: &on(&flags),
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(DgateTokensParams, lambda), step.lambda)],
            storage: &with_tables(&[u.1, h.1, out.1], tables),
            groups: (u64::from(params.rows) * u64::from(out.0)).div_ceil(64),
            iterations: u.0.into(),
        })?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one call site")]
fn dgate_of_routed(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    routing: &Routing,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let route = routing.chunks_of_samples();
    let columns = if scalar { 1 } else { step.rank };
    let scratch = recorder.scratch(OP, u64::from(route.count) * u64::from(columns) * 4)?;
    let partials = scratch.matrix(route.count, columns);
    dgate_partials(recorder, step, u, h, scalar, route, &partials)?;
    let bound = out.bind(recorder.gpu().alignment());
    let rows = SumOut { out: bound, matrix: None, columns };
    sum_parts(recorder, step, &partials, &rows, &(0..routing.samples as usize), route, mode)
}

fn dgate_of_samples(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
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
            dgate_partials(recorder, step, &u, &h, scalar, Route::default(), &part)?;
        }
        let out = out.slice_rows(block.start, block.end);
        sum_chunks(recorder, &partials, chunks, &out, mode, second_factor(step.lambda))?;
    }
    Ok(())
}

fn dgate_partials(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    scalar: bool,
    route: Route,
    part: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let [samples, tokens, rank] = u.shape;
    let (chunks, width) = (part.rows(), u64::from(part.width()));
    let tables = step.maps.tables();
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
        scale: step.maps.scale(),
        rows: samples * tokens,
        start: 0,
        pad: [0; 3],
        route,
    };
    let inner = if scalar { rank + 1 } else { 1 };
    let flags = [("ROUTED", tables.is_some()), ("SCALAR", scalar)];
    recorder.dispatch(&Dispatch {
        kernel: if tables.is_some() { &ROUTED_DGATE } else { &DGATE },
        flags: &on(&flags),
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &with_tables(&[u, h, part], tables),
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

/// `dλ = s·(Σ u ⊙ g ⊙ h + (Σ dy)·bias)`, or `+=`, in two stages; `sums` is Σ dy. The family orders the bias's sum too. Of
/// many adapters the bias's part is `Σ s·(dy·bias)` row by row.
#[expect(clippy::too_many_arguments, reason = "one call site")]
pub(super) fn dlambda(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    dy: &View<'_>,
    sums: Option<&View<'_>>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let size = lambda_rows(h.rows(), h.width());
    let chunks = Chunks { rows: size, count: h.rows().div_ceil(size.into()) as u32 };
    let arenas = step.bias.as_slice().iter().map(as_arena).collect::<Vec<_>>();
    let of_many = step.of_bias(&arenas).filter(|_| step.bias.is_some());
    // The bias's part comes last.
    let of_one = step.bias.zip(sums);
    let further = if of_many.is_some() { chunks.count } else { u32::from(of_one.is_some()) };
    let count = chunks.count + further;
    let scratch = recorder.scratch(OP, u64::from(count) * 4)?;
    let partials = scratch.matrix(count, 1);
    let (first, last) = (partials.slice_rows(0, chunks.count), partials.slice_rows(chunks.count, count));
    if let Some((bias, sums)) = of_one {
        let maps = Maps::One { a: bias, b_t: bias, scale: 1.0 };
        down(recorder, &Step { maps, ..*step }, Side::B, sums, &last)?;
    }
    if let Some((of_bias, ones)) = of_many {
        let [samples, tokens, _] = h.shape;
        let room = recorder.scratch(OP, h.rows() * 4)?;
        let products = room.tokens([samples, tokens, 1]);
        zero(recorder, OP, &products)?;
        down(recorder, &of_bias, Side::B, dy, &products)?;
        lambda_partials(recorder, &of_bias, &products, &ones, chunks, &last)?;
    }
    lambda_partials(recorder, step, u, h, chunks, &first)?;
    sum_chunks(recorder, &partials, count, out, mode, (step.maps.scale(), None))
}

/// First stage of dλ.
fn lambda_partials(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    chunks: Chunks,
    partials: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (rank, tables) = (h.width(), step.maps.tables());
    let [samples, adapters] = step.maps.routing().map_or([0; 2], Routing::of_rows);
    let u = Gated { rows: *u, gate: step.gate, routing: step.maps.routing() };
    let flags = [("ROUTED", tables.is_some()), ("GATE", step.gate.view().is_some())];
    for range in u.cuts(recorder, *h, chunks.rows)? {
        let filled = chunks.of(&range);
        let part = partials.bind_rows(&filled, alignment);
        let bound = u.bind(&range, alignment);
        let h = h.bind_rows(&range, alignment);
        let params = DlambdaParams {
            u: bound.rows.rows,
            h: h.rows,
            gates: bound.gates,
            rows: range.end - range.start,
            rank,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
            first_row: bound.first_row,
            samples: samples + range.start,
            adapters,
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: if tables.is_some() { &ROUTED_DLAMBDA } else { &DLAMBDA },
            flags: &on(&flags),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &with_tables(&[bound.rows, h, bound.gate, part], tables),
            groups: u64::from(filled.end - filled.start).div_ceil(64),
            iterations: u64::from(chunks.rows) * (u64::from(rank) + 1),
        })?;
    }
    Ok(())
}

//! Gradient of the gates.

use super::sum_parts::{SumOut, sum_parts};
use super::{ROUTED, on, routed, second_factor, with_tables};
use crate::Error;
use crate::gpu::reduce::sum_chunks;
use crate::gpu::{Binding, Dispatch, Kernel, Mode, Recorder, Rows, View};
use crate::lora::routing::{Route, Routing};
use crate::lora::step::Step;
use crate::lora::{Gate, OP};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// Tokens that one invocation of the first stage of dg sums; fixed, so that a sample's sum has one order.
pub(in crate::lora) const GATE_TOKENS: u32 = 64;

pub(super) const KERNELS: [&Kernel; 4] = [&DGATE, &DGATE_TOKENS, &ROUTED_DGATE, &ROUTED_DGATE_TOKENS];

static DGATE: Kernel = Kernel {
    name: "lora/dgate",
    source: include_str!("../../../shaders/lora/dgate.wgsl"),
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
    source: include_str!("../../../shaders/lora/dgate_tokens.wgsl"),
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

/// `dg = λ·s·Σ u ⊙ h` over the rows that share a gate, or `+=`; of scalar gates summed over ranks too.
pub(in crate::lora) fn dgate(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let samples = step.maps.routing().map_or(u.shape[0], |routing| routing.samples);
    match step.maps.routing() {
        _ if step.gate.is_per_token(samples) => dgate_of_tokens(recorder, step, u, h, out, mode),
        Some(routing) => dgate_of_routed(recorder, step, routing, u, h, out, mode),
        None => dgate_of_samples(recorder, step, u, h, out, mode),
    }
}

/// Whether one gate serves all ranks.
fn is_scalar(step: &Step<'_>) -> bool {
    matches!(step.gate, Gate::Scalar(_))
}

/// Gates of a row of this rank.
fn columns(step: &Step<'_>, rank: u32) -> u32 {
    if is_scalar(step) { 1 } else { rank }
}

fn dgate_of_tokens(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let tables = step.maps.tables();
    let [samples, adapters] = step.maps.routing().map_or([0; 2], Routing::of_rows);
    let flags =
        [("ROUTED", tables.is_some()), ("SCALAR", is_scalar(step)), ("ACCUMULATE", mode == Mode::Accumulate)];
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

fn dgate_of_routed(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    routing: &Routing,
    u: &View<'_>,
    h: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let route = routing.chunks_of_samples();
    let columns = columns(step, step.rank);
    let scratch = recorder.scratch(OP, u64::from(route.count) * u64::from(columns) * 4)?;
    let partials = scratch.matrix(route.count, columns);
    dgate_partials(recorder, step, u, h, route, &partials)?;
    let bound = out.bind(recorder.gpu().alignment());
    let rows = SumOut { out: bound, matrix: None, columns };
    sum_parts(recorder, step, &partials, &rows, &(0..routing.samples as usize), route, mode)
}

fn dgate_of_samples(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    u: &View<'_>,
    h: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let [samples, tokens, rank] = u.shape;
    let cut = Cut::new(recorder, &[*u, *h], out);
    for first in (0..samples).step_by(cut.samples as usize) {
        let block = first..samples.min(first + cut.samples);
        let lines = block.end - block.start;
        let chunks = tokens.div_ceil(GATE_TOKENS);
        let columns = columns(step, rank);
        let scratch = recorder.scratch(OP, u64::from(chunks) * u64::from(lines) * u64::from(columns) * 4)?;
        let partials = scratch.matrix(chunks, lines * columns);
        for token in (0..tokens).step_by(cut.tokens as usize) {
            let end = tokens.min(token.saturating_add(cut.tokens));
            let part = partials.slice_rows(token / GATE_TOKENS, end.div_ceil(GATE_TOKENS));
            let [u, h] = [u, h].map(|view| view.block(&block, &(token..end)));
            dgate_partials(recorder, step, &u, &h, Route::default(), &part)?;
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
        columns: columns(step, rank),
        partial_start: part.rows.start,
        chunk_tokens: GATE_TOKENS,
        scale: step.maps.scale(),
        rows: samples * tokens,
        start: 0,
        pad: [0; 3],
        route,
    };
    let inner = if is_scalar(step) { rank + 1 } else { 1 };
    let flags = [("ROUTED", tables.is_some()), ("SCALAR", is_scalar(step))];
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

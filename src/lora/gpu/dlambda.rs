//! Gradient of λ.

use super::dbias::as_arena;
use super::down::down;
use super::gated::{GateRows, Gated};
use super::{on, routed, with_tables};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks, zero};
use crate::gpu::{Binding, Dispatch, Kernel, MAX_ITERATIONS, Mode, Recorder, Rows, View};
use crate::lora::OP;
use crate::lora::maps::{Maps, Side};
use crate::lora::routing::Routing;
use crate::lora::step::Step;
use bytemuck::{Pod, Zeroable};

pub(super) const KERNELS: [&Kernel; 2] = [&DLAMBDA, &ROUTED_DLAMBDA];

static DLAMBDA: Kernel = Kernel {
    name: "lora/dlambda",
    source: include_str!("../../../shaders/lora/dlambda.wgsl"),
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

/// Rows of one chunk of the first stage of dλ: 64, doubled while the second stage would loop long.
pub(in crate::lora) fn lambda_rows(rows: u64, rank: u32) -> u32 {
    let mut size = 64;
    while rows.div_ceil(size) >= MAX_ITERATIONS / 2 && size * 2 * (u64::from(rank) + 1) < MAX_ITERATIONS {
        size *= 2;
    }
    size as u32
}

/// `dλ = s·(Σ u ⊙ g ⊙ h + (Σ dy)·bias)`, or `+=`, in two stages; `sums` is Σ dy. The family orders the bias's sum too. Of
/// many adapters the bias's part is `Σ s·(dy·bias)` row by row.
#[expect(clippy::too_many_arguments, reason = "one call site")]
pub(in crate::lora) fn dlambda(
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

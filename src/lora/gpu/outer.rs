//! Gradients of A and B.

use super::sum_parts::{SumOut, sum_parts};
use super::{dropped, second_factor, take_vectors, with_tables};
use crate::Error;
use crate::gpu::reduce::{Chunks, MAX_PARTIAL_BYTES, sum_chunks};
use crate::gpu::view::Bound;
use crate::gpu::{Dispatch, Dtype, Mode, Recorder, View};
use crate::lora::kernels::OuterParams;
use crate::lora::maps::{Maps, Side};
use crate::lora::routing::Route;
use crate::lora::step::{Matrices, Step};
use crate::lora::{Dropout, Family, OP};
use std::ops::Range;

/// Chunks of rows in the first stage of [`outer`].
pub(in crate::lora) fn outer_chunks(family: Family, rows: u64, rank: u32, width: u32) -> Chunks {
    Chunks::from_size(family.outer(rank).rows, rows, u64::from(rank) * u64::from(width))
}

/// `out = λ·s·wᵀ v`, or `+=`, in two stages; w gated already, v with its dropout.
pub(in crate::lora) fn outer(
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
pub(super) fn outer_of_many(
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

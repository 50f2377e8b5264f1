//! What is stored in halves, written out as f32.

use crate::Error;
use crate::gpu::{Binding, Dispatch, Kernel, Recorder, Rows, View};
use crate::lora::maps::Side;
use crate::lora::routing::{Route, Routing};
use crate::lora::{Bank, OP};
use bytemuck::{Pod, Zeroable};

pub(super) const KERNELS: [&Kernel; 2] = [&WIDEN, &WIDEN_MANY];

static WIDEN: Kernel = Kernel {
    name: "lora/widen",
    source: include_str!("../../../shaders/lora/widen.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<WidenParams>(),
    flags: &[&["HALF=f16|HALF=bf16"]],
    loop_bound: "0",
    when: "A, B_t and bias stored in halves",
};

static WIDEN_MANY: Kernel = Kernel {
    name: "lora/widen_many",
    source: include_str!("../../../shaders/lora/widen_many.wgsl"),
    storage: &[Binding::Read, Binding::Write, Binding::Read, Binding::Read],
    params_bytes: size_of::<WidenManyParams>(),
    flags: &[&["HALF=f16|HALF=bf16"]],
    loop_bound: "0",
    when: "matrices of many adapters stored in halves",
};

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

/// Writes out what is stored in halves as f32; `out` is contiguous.
pub(in crate::lora) fn widen(
    recorder: &mut Recorder<'_>,
    stored: &View<'_>,
    out: &View<'_>,
) -> Result<(), Error> {
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
pub(in crate::lora) fn widen_many(
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

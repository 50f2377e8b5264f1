//! h and u with their gates.

use super::routed;
use crate::Error;
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Dispatch, Kernel, Recorder, Rows, View};
use crate::lora::routing::Routing;
use crate::lora::{Gate, OP};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

pub(super) const KERNELS: [&Kernel; 2] = [&GATED, &ROUTED_GATED];

static GATED: Kernel = Kernel {
    name: "lora/gated",
    source: include_str!("../../../shaders/lora/gated.wgsl"),
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

/// How a kernel finds a row's gates: the Rust side of `GateRows` in `shaders/lora/gates.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct GateRows {
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

/// Rows of width `rank` (h or u) with their gates.
#[derive(Clone, Copy)]
pub(in crate::lora) struct Gated<'a> {
    pub rows: View<'a>,
    pub gate: Gate<'a>,
    /// Says which row has which sample; without it samples have the rows' tokens.
    pub routing: Option<&'a Routing>,
}

/// How a run of rows is bound with its gates.
pub(super) struct BoundGates<'a> {
    pub rows: Bound<'a>,
    pub gate: Bound<'a>,
    pub gates: GateRows,
    /// The run's first row, counted from the first bound gate's first row.
    pub first_row: u32,
}

impl<'a> Gated<'a> {
    /// Runs of rows that fit bindings together with another view of them, at multiples of `multiple` rows.
    pub(super) fn cuts(
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
    pub(super) fn bind(&self, range: &Range<u32>, alignment: u32) -> BoundGates<'a> {
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

/// `out = h ⊙ g`.
pub(in crate::lora) fn gated(
    recorder: &mut Recorder<'_>,
    h: &Gated<'_>,
    out: &View<'_>,
) -> Result<(), Error> {
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

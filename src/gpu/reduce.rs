//! Sums over rows in two stages and a fixed order: a room's kernel writes one partial per chunk of rows,
//! `reduce/sum_chunks` adds the partials in index order.

use super::{Binding, Dispatch, Kernel, Knob, MAX_ITERATIONS, Recorder, Rows, View};
use crate::Error;
use bytemuck::{Pod, Zeroable};

/// Rows summed by one invocation in the first stage, unless the partials would grow too large.
pub(crate) const CHUNK: u32 = 256;
/// Partials stay below this, so that they fit one binding on every adapter.
pub(crate) const MAX_PARTIAL_BYTES: u64 = 64 << 20;

/// How a sum over rows is cut; a function of the shape alone, so that the order of the sum is too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Rows of one chunk.
    pub rows: u32,
    /// How many chunks.
    pub count: u32,
}

impl Chunks {
    /// Cuts `rows` rows whose sum has `width` elements: 256 rows a chunk, doubled until the partials fit.
    pub(crate) fn new(rows: u64, width: u64) -> Self {
        Self::from_size(CHUNK, rows, width)
    }

    /// As [`Self::new`], starting from `size` rows a chunk.
    pub(crate) fn from_size(mut size: u32, rows: u64, width: u64) -> Self {
        while rows.div_ceil(size.into()) * width * 4 > MAX_PARTIAL_BYTES
            && u64::from(size) * 2 < MAX_ITERATIONS
        {
            size *= 2;
        }
        Self { rows: size, count: rows.div_ceil(size.into()) as u32 }
    }

    /// Bytes of the partials.
    pub(crate) fn bytes(&self, width: u64) -> u64 {
        u64::from(self.count) * width * 4
    }

    /// The chunks that a run of rows fills; the run starts at a chunk's start.
    pub(crate) fn of(&self, rows: &std::ops::Range<u32>) -> std::ops::Range<u32> {
        rows.start / self.rows..rows.end.div_ceil(self.rows)
    }
}

/// Whether a gradient replaces what the output holds or is added to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The output is written, whatever it held.
    #[default]
    Overwrite,
    /// The result is added to the output.
    Accumulate,
}

impl Mode {
    /// The shader flag of this mode.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Overwrite => &[],
            Self::Accumulate => &["ACCUMULATE"],
        }
    }
}

static SUM_CHUNKS: Kernel = Kernel {
    name: "reduce/sum_chunks",
    source: include_str!("../../shaders/reduce/sum_chunks.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<SumChunks>(),
    flags: &[&[], &["ACCUMULATE"]],
    loop_bound: "chunks",
    when: "second stage of every parameter gradient",
};

pub(crate) const KERNELS: &[&Kernel] = &[&COLUMN_SUM, &SUM_CHUNKS];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct SumChunks {
    out: Rows,
    rows: u32,
    width: u32,
    chunks: u32,
    partial_start: u32,
    scale: f32,
    factor: f32,
    pad: [u32; 2],
}

/// Records `out = factor · (scale · Σ_c partials[c])` (or `+=`), the factor a knob, 1 without one;
/// `partials: [chunks, rows · width]`, contiguous.
pub(crate) fn sum_chunks(
    recorder: &mut Recorder<'_>,
    partials: &View<'_>,
    chunks: u32,
    out: &View<'_>,
    mode: Mode,
    scale: (f32, Option<Knob<'_>>),
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (partials, bound) = (partials.bind(alignment), out.bind(alignment));
    let (scale, knob) = scale;
    let params = SumChunks {
        out: bound.rows,
        rows: out.rows() as u32,
        width: out.width(),
        chunks,
        partial_start: partials.rows.start,
        scale,
        factor: knob.map_or(1.0, |knob| knob.host_value()),
        pad: [0; 2],
    };
    let knobs = knob.map(|knob| (std::mem::offset_of!(SumChunks, factor), knob));
    recorder.dispatch(&Dispatch {
        kernel: &SUM_CHUNKS,
        flags: mode.flags(),
        params: bytemuck::bytes_of(&params),
        knobs: knobs.as_slice(),
        storage: &[partials, bound],
        groups: (out.rows() * u64::from(out.width())).div_ceil(64),
        iterations: u64::from(chunks),
    })
}

/// Records `out = 0`: the sum of no chunks. Unlike a buffer clear it needs no usage but `STORAGE` and minds strides.
pub(crate) fn zero(recorder: &mut Recorder<'_>, op: &'static str, out: &View<'_>) -> Result<(), Error> {
    let scratch = recorder.scratch(op, 4)?;
    let none = scratch.matrix(1, 1);
    for rows in recorder.gpu().row_chunks(op, &[*out], 1)? {
        let part = out.slice_rows(rows.start, rows.end);
        sum_chunks(recorder, &none, 0, &part, Mode::Overwrite, (1.0, None))?;
    }
    Ok(())
}

static COLUMN_SUM: Kernel = Kernel {
    name: "reduce/column_sum",
    source: include_str!("../../shaders/reduce/column_sum.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<ColumnSum>(),
    flags: &[&["|HALF=f16|HALF=bf16"]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of bias and null-gate gradients",
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct ColumnSum {
    x: Rows,
    rows: u32,
    width: u32,
    partial_start: u32,
    chunk_rows: u32,
}

/// Records `out[n] = Σ_row x[row, n]` (or `+=`), in two stages; x is of any float type.
pub(crate) fn column_sum(
    recorder: &mut Recorder<'_>,
    op: &'static str,
    x: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, flag) = (x.width(), x.dtype.flag());
    let chunks = Chunks::new(x.rows(), width.into());
    let scratch = recorder.scratch(op, chunks.bytes(width.into()))?;
    let partials = scratch.matrix(chunks.count, width);
    for rows in recorder.gpu().row_chunks(op, &[*x], chunks.rows)? {
        let filled = chunks.of(&rows);
        let part = partials.bind_rows(&filled, alignment);
        let x = x.bind_rows(&rows, alignment);
        let params = ColumnSum {
            x: x.rows,
            rows: rows.end - rows.start,
            width,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
        };
        recorder.dispatch(&Dispatch {
            kernel: &COLUMN_SUM,
            flags: flag.as_slice(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, part],
            groups: (u64::from(filled.end - filled.start) * u64::from(width)).div_ceil(64),
            iterations: chunks.rows.into(),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, out, mode, (1.0, None))
}

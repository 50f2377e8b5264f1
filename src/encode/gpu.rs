//! Recording of the encoder's kernels.

use super::source::Class;
use super::waves::Kind;
use super::{AddToTokens, Axis, Encoder, Forward, OP, Plan, TokenGrid, backward, halves, harmonics, input};
use crate::Error;
use crate::gpu::{Binding, Bound, Dispatch, Kernel, Recorder, Room, Rows, View};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

static FORWARD: Kernel = Kernel {
    name: "encode/forward",
    source: include_str!("../../shaders/encode/forward.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[], &["TOKENS"], &["BACKWARD"], &["BACKWARD", "TOKENS"]],
    loop_bound: "twice the block's columns and its coefficients",
    when: "every encoding; TOKENS: added to tokens; BACKWARD: which parameters each record used",
};

static NUMBERS: Kernel = Kernel {
    name: "encode/numbers",
    source: include_str!("../../shaders/encode/numbers.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[
        &["PLACE"],
        &["POINT"],
        &["POINT", "MAP"],
        &["POINT", "CELL"],
        &["DATE"],
        &["DATE", "PHASE"],
        &["DATE", "LOCAL"],
        &["LENGTH"],
        &["OTHER"],
        &["PLACE", "TOKENS"],
        &["POINT", "TOKENS"],
        &["POINT", "MAP", "TOKENS"],
        &["POINT", "CELL", "TOKENS"],
        &["DATE", "TOKENS"],
        &["DATE", "PHASE", "TOKENS"],
        &["DATE", "LOCAL", "TOKENS"],
        &["LENGTH", "TOKENS"],
        &["OTHER", "TOKENS"],
    ],
    loop_bound: "64, and 64 a source of the class",
    when: "the numbers that waves run on, once a row and class of sources",
};

static LADDERS: Kernel = Kernel {
    name: "encode/ladders",
    source: include_str!("../../shaders/encode/ladders.wgsl"),
    storage: FORWARD.storage,
    params_bytes: size_of::<ForwardParams>(),
    flags: &[
        &["HARMONICS"],
        &[],
        &["PAIRS"],
        &["HARMONICS", "TOKENS"],
        &["TOKENS"],
        &["PAIRS", "TOKENS"],
        &["HARMONICS", "SCALAR"],
        &["SCALAR"],
        &["PAIRS", "SCALAR"],
        &["HARMONICS", "TOKENS", "SCALAR"],
        &["TOKENS", "SCALAR"],
        &["PAIRS", "TOKENS", "SCALAR"],
    ],
    loop_bound: "64",
    when: "blocks of ladders, once a kind; SCALAR: where their columns or the rows start anywhere",
};

static SPREAD: Kernel = Kernel {
    name: "encode/spread",
    source: include_str!("../../shaders/encode/spread.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&["TOKENS"]],
    loop_bound: "1",
    when: "spherical harmonics added to tokens, once a block",
};

pub(crate) const KERNELS: &[&Kernel] = &[
    &FORWARD,
    &NUMBERS,
    &LADDERS,
    &SPREAD,
    &backward::ARENA_GRADIENT,
    &backward::SCALE_GRADIENT,
    &backward::FREQUENCY_GRADIENT,
    &harmonics::HARMONICS,
    &harmonics::HARMONICS_GRADIENT,
    &input::NUMBER_GRADIENT,
    &input::INPUT_GRADIENT,
    &halves::PACK,
    &halves::UNPACK,
];

/// Scratch for the numbers of waves, and for spherical harmonics of tokens: so much stays in most caches.
pub(super) const MAX_NUMBER_BYTES: u64 = 16 << 20;
/// Rows are cut into so many workgroups before an invocation takes more than one.
const MIN_TILES: u32 = 512;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct ForwardParams {
    e: Rows,
    given: Rows,
    records_start: u32,
    records_stride: u32,
    rows: u32,
    first_block: u32,
    blocks: u32,
    arena_start: u32,
    status_start: u32,
    skipped: u32,
    frames_a_record: u32,
    tokens: u32,
    steps: u32,
    numbers_start: u32,
    frame: Axis,
    row: Axis,
    column: Axis,
    channel: Axis,
}

/// Where one variant of the forward kernel reads and writes.
pub(super) struct Run<'a> {
    pub records: View<'a>,
    pub arena: Bound<'a>,
    pub given: Option<View<'a>>,
    pub e: Bound<'a>,
    pub status: Bound<'a>,
    pub rows: u32,
    pub tokens: u32,
    pub grid: Option<TokenGrid>,
}

impl<'a> Run<'a> {
    /// Parameters of a kernel over these blocks (or numbers).
    pub(super) fn params(
        &self,
        encoder: &Encoder,
        recorder: &Recorder<'_>,
        blocks: &Range<u32>,
        steps: u32,
    ) -> ForwardParams {
        let alignment = recorder.gpu().alignment();
        let grid = self.grid.unwrap_or_default();
        ForwardParams {
            e: self.e.rows,
            given: self.given.map(|given| given.bind(alignment).rows).unwrap_or_default(),
            records_start: self.records.bind(alignment).rows.start,
            records_stride: self.records.row_step(),
            rows: self.rows,
            first_block: blocks.start,
            blocks: blocks.end - blocks.start,
            arena_start: self.arena.rows.start,
            status_start: self.status.rows.start,
            skipped: grid.skipped,
            frames_a_record: grid.frames_a_record,
            tokens: self.tokens,
            steps,
            numbers_start: encoder.plan.numbers_start(),
            frame: grid.frame,
            row: grid.row,
            column: grid.column,
            channel: grid.channel,
        }
    }

    /// Records the numbers of all waves, class after class.
    pub(super) fn numbers(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        numbers: Bound<'_>,
    ) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let records = self.records.bind(alignment);
        // Where no further columns are given, none are read.
        let given = self.given.map_or(records, |given| given.bind(alignment));
        for (class, flags) in Class::ALL {
            let sources = encoder.plan.numbers();
            let first = sources.partition_point(|source| source.class() < class) as u32;
            let last = sources.partition_point(|source| source.class() <= class) as u32;
            let params = self.params(encoder, recorder, &(first..last), 1);
            // A place's projection is dear: one invocation makes all that come from it.
            let a_tile = if flags[0] == "POINT" { (last - first).min(1) } else { last - first };
            let flags = if self.grid.is_some() { [flags, &["TOKENS"]].concat() } else { flags.to_vec() };
            recorder.dispatch(&Dispatch {
                kernel: &NUMBERS,
                flags: &flags,
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[records, encoder.words().bind(alignment), given, numbers],
                groups: u64::from(self.rows.div_ceil(64)) * u64::from(a_tile),
                iterations: 64 * u64::from(1 + last - first),
            })?;
        }
        Ok(())
    }

    /// Records a range of the plan's blocks with the kernel for everything.
    pub(super) fn dispatch(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        blocks: Range<u32>,
        numbers: Bound<'_>,
        flags: &[&'static str],
    ) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let params = self.params(encoder, recorder, &blocks, 1);
        let records = self.records.bind(alignment);
        recorder.dispatch(&Dispatch {
            kernel: &FORWARD,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[records, encoder.words().bind(alignment), self.arena, numbers, self.e, self.status],
            groups: u64::from(self.rows.div_ceil(64)) * u64::from(params.blocks),
            iterations: encoder.plan.iterations() + 64,
        })
    }

    /// Records the ladders, kind after kind: whole vectors where rows and columns start at multiples of four elements.
    fn ladders(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        numbers: Bound<'_>,
    ) -> Result<(), Error> {
        let Rows { start, sample_stride, row_stride, .. } = self.sample_rows();
        let is_aligned = [start, sample_stride, row_stride].iter().all(|elements| elements % 4 == 0)
            && self.e.offset.is_multiple_of(16);
        for (units, (_, kind)) in encoder.plan.units().iter().zip(Kind::ALL) {
            let aligned = if is_aligned { units.aligned } else { 0 };
            for (part, flag) in [(0..aligned, None), (aligned..units.count, Some("SCALAR"))] {
                let tokens = self.grid.map(|_| "TOKENS");
                let flags: Vec<_> = kind.iter().copied().chain(tokens).chain(flag).collect();
                self.ladder_units(encoder, recorder, (units.start, part), numbers, &flags)?;
            }
        }
        Ok(())
    }

    /// Rows of e by sample: samples of tokens, or, where rows lie evenly spaced, one sample of all.
    fn sample_rows(&self) -> Rows {
        let rows = self.e.rows;
        match (self.grid, rows.tokens) {
            (None, 1) => Rows { tokens: self.rows, sample_stride: 0, row_stride: rows.sample_stride, ..rows },
            (Some(_), 1) => {
                let row_stride = rows.sample_stride;
                Rows { tokens: self.tokens, sample_stride: self.tokens * row_stride, row_stride, ..rows }
            }
            _ => rows,
        }
    }

    /// Records some units of one kind, which starts at a vector of the plan.
    fn ladder_units(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        (start, units): (u32, Range<u32>),
        numbers: Bound<'_>,
        flags: &[&'static str],
    ) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let count = units.end - units.start;
        let together = 64 / count.clamp(1, 64);
        let columns = count.div_ceil(64);
        let e = self.sample_rows();
        let skipped = self.grid.map_or(0, |grid| grid.skipped.min(e.tokens));
        let counted = e.tokens - skipped;
        // A unit is loaded once for its rows; enough workgroups remain for every adapter.
        let steps = (self.rows / (together * MIN_TILES)).clamp(1, 64).min(counted.div_ceil(together).max(1));
        let params = ForwardParams {
            e,
            tokens: e.tokens,
            skipped,
            numbers_start: start,
            ..self.params(encoder, recorder, &units, steps)
        };
        let tiles = u64::from(self.rows / e.tokens.max(1)) * u64::from(counted.div_ceil(together * steps));
        recorder.dispatch(&Dispatch {
            kernel: &LADDERS,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[
                self.records.bind(alignment),
                encoder.words().bind(alignment),
                self.arena,
                numbers,
                self.e,
                self.status,
            ],
            groups: tiles * u64::from(columns),
            iterations: steps.into(),
        })
    }

    /// Records all blocks.
    fn dispatch_all(&self, encoder: &Encoder, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let numbers = recorder.scratch(OP, number_bytes(&encoder.plan, self.rows))?;
        let numbers = numbers.vector(number_words(&encoder.plan, self.rows)).bind(alignment);
        self.numbers(encoder, recorder, numbers)?;
        self.ladders(encoder, recorder, numbers)?;
        let blocks = encoder.plan.in_units()..encoder.plan.layouts().len() as u32;
        let flags: &[&'static str] = if self.grid.is_some() { &["TOKENS"] } else { &[] };
        self.dispatch(encoder, recorder, blocks, numbers, flags)
    }

    /// Records the spherical harmonics of all records, and adds them to their tokens, block after block.
    fn spread_harmonics(&self, encoder: &Encoder, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let records = self.records.width();
        for (block, layout) in encoder.plan.headers().filter(|(_, layout)| layout.block.is_harmonics()) {
            let width = layout.features.len() as u32;
            let scratch = recorder.scratch(OP, u64::from(records) * u64::from(width) * 4)?;
            let features = scratch.matrix(records, width);
            harmonics::features(encoder, recorder, &self.records, (block, layout), (&features, 0))?;
            let arena = features.bind(alignment);
            let params = ForwardParams {
                arena_start: arena.rows.start,
                ..self.params(encoder, recorder, &(block..block + 1), 1)
            };
            let together = 64 / width.min(64);
            recorder.dispatch(&Dispatch {
                kernel: &SPREAD,
                flags: &["TOKENS"],
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[self.records.bind(alignment), encoder.words().bind(alignment), arena, self.e],
                groups: u64::from(self.rows.div_ceil(together)) * u64::from(width.div_ceil(64)),
                iterations: 1,
            })?;
        }
        Ok(())
    }
}

/// Words of the waves' numbers of so many rows: two a number; one number where there is none, for the binding.
pub(super) fn number_words(plan: &Plan, rows: u32) -> u32 {
    2 * rows * (plan.numbers().len() as u32).max(1)
}

pub(super) fn number_bytes(plan: &Plan, rows: u32) -> u64 {
    4 * u64::from(number_words(plan, rows))
}

pub(super) fn forward(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    args: &Forward<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let blocks = encoder.plan.layouts().len() as u32;
    let uncounted = recorder.scratch(OP, u64::from(blocks) * 4)?;
    let status = args.status.unwrap_or(uncounted.vector(blocks)).bind(alignment);
    let mut views = vec![args.e];
    views.extend(args.given);
    let numbers = Room { row_bytes: number_bytes(&encoder.plan, 1), limit: MAX_NUMBER_BYTES };
    for range in recorder.gpu().row_chunks_within(OP, &views, 1, numbers)? {
        let e = args.e.slice_rows(range.start, range.end);
        let run = Run {
            records: args.records.columns(range.start, range.end - range.start),
            arena: args.arena.bind(alignment),
            given: args.given.map(|given| given.slice_rows(range.start, range.end)),
            e: e.bind(alignment),
            status,
            rows: range.end - range.start,
            tokens: 1,
            grid: None,
        };
        run.dispatch_all(encoder, recorder)?;
        harmonics::forward(encoder, recorder, &run.records, &e)?;
    }
    Ok(())
}

pub(super) fn add_to_tokens(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    args: &AddToTokens<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let blocks = encoder.plan.layouts().len() as u32;
    let uncounted = recorder.scratch(OP, u64::from(blocks) * 4)?;
    let status = args.status.unwrap_or(uncounted.vector(blocks)).bind(alignment);
    let [_, tokens, _] = args.tokens.shape;
    let a_sample = args.grid.records_a_sample();
    let mut views = vec![args.tokens];
    views.extend(args.given);
    // Whole samples, so that a row's number tells its token.
    let records = u64::from(a_sample) * harmonics::record_bytes(&encoder.plan);
    let row_bytes = number_bytes(&encoder.plan, 1) + records.div_ceil(tokens.max(1).into());
    let room = Room { row_bytes, limit: MAX_NUMBER_BYTES };
    for range in recorder.gpu().row_chunks_within(OP, &views, tokens, room)? {
        let [first, last] = [range.start, range.end].map(|row| row / tokens);
        let samples = last - first;
        let part = |view| sample_range(view, first, last);
        let run = Run {
            records: args.records.columns(first * a_sample, samples * a_sample),
            arena: args.arena.bind(alignment),
            given: args.given.map(part),
            e: part(args.tokens).bind(alignment),
            status,
            rows: samples * tokens,
            tokens,
            grid: Some(args.grid),
        };
        run.dispatch_all(encoder, recorder)?;
        run.spread_harmonics(encoder, recorder)?;
    }
    Ok(())
}

/// Samples `first..last` of a view, its tokens kept apart.
pub(super) fn sample_range<'a>(view: View<'a>, first: u32, last: u32) -> View<'a> {
    let mut part = view;
    part.shape[0] = last - first;
    part.offset += u64::from(first) * u64::from(view.sample_stride) * view.dtype.bytes();
    part
}

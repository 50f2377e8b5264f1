//! Gradients of what is learned: missing vectors, tables, scales, frequencies. Sums over records or tokens, in two stages.

use super::gpu::{ForwardParams, MAX_NUMBER_BYTES, Run, number_bytes, number_words};
use super::{Block, Encoder, Layout, OP, TokenGrid};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::{
    Access, Binding, Bound, Dispatch, Dtype, Kernel, Mode, Recorder, Room, Rows, View, check_overlap,
};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

pub(super) static ARENA_GRADIENT: Kernel = Kernel {
    name: "encode/arena_gradient",
    source: include_str!("../../shaders/encode/arena_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&[]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of the gradient of missing vectors and tables, once a learned block",
};

pub(super) static SCALE_GRADIENT: Kernel = Kernel {
    name: "encode/scale_gradient",
    source: include_str!("../../shaders/encode/scale_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[], &["TOKENS"]],
    loop_bound: "four times the block's columns",
    when: "first stage of a learned scale's gradient, once a block that has one",
};

pub(super) static FREQUENCY_GRADIENT: Kernel = Kernel {
    name: "encode/frequency_gradient",
    source: include_str!("../../shaders/encode/frequency_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Read],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[], &["TOKENS"]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of the gradient of learned frequencies and phases, once a block that has them",
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    de: Rows,
    rows: u32,
    block: u32,
    chunk_rows: u32,
    tokens: u32,
    partial_start: u32,
    arena_len: u32,
    pad: [u32; 2],
}

/// Arguments of [`Encoder::backward`].
///
/// ```no_run
/// use gtca::encode::{Backward, Encoder};
/// use gtca::gpu::{Mode, Recorder, View};
/// # fn f(
/// #     encoder: &Encoder,
/// #     recorder: &mut Recorder<'_>,
/// #     [records, arena, de, darena]: [View<'_>; 4],
/// # ) -> Result<(), gtca::Error> {
/// let args = Backward { records, arena, given: None, de, darena, mode: Mode::Overwrite };
/// encoder.backward(recorder, &args)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// As in the forward.
    pub records: View<'a>,
    /// As in the forward; read where the plan learns frequencies.
    pub arena: View<'a>,
    /// As in the forward.
    pub given: Option<View<'a>>,
    /// Gradient of e, `[S, M]`.
    pub de: View<'a>,
    /// Written: gradient of the arena, `[arena_len]`.
    pub darena: View<'a>,
    /// Whether `darena` is replaced or added to.
    pub mode: Mode,
}

/// Arguments of [`Encoder::tokens_backward`].
///
/// ```no_run
/// use gtca::encode::{Encoder, TokenGrid, TokensBackward};
/// use gtca::gpu::{Mode, Recorder, View};
/// # fn f(
/// #     encoder: &Encoder,
/// #     recorder: &mut Recorder<'_>,
/// #     [records, arena, dtokens, darena]: [View<'_>; 4],
/// # ) -> Result<(), gtca::Error> {
/// let grid = TokenGrid { skipped: 1, ..TokenGrid::image(14, 14) };
/// let mode = Mode::Overwrite;
/// let args = TokensBackward { records, arena, given: None, dtokens, grid, darena, mode };
/// encoder.tokens_backward(recorder, &args)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokensBackward<'a> {
    /// As in [`AddToTokens`](super::AddToTokens).
    pub records: View<'a>,
    /// As there.
    pub arena: View<'a>,
    /// As there.
    pub given: Option<View<'a>>,
    /// Gradient of the tokens, `[S, T, M]`. What was there before the encoding was added has the same.
    pub dtokens: View<'a>,
    /// As there.
    pub grid: TokenGrid,
    /// Written: gradient of the arena, `[arena_len]`.
    pub darena: View<'a>,
    /// Whether `darena` is replaced or added to.
    pub mode: Mode,
}

impl Encoder {
    /// Records the gradient of the arena: missing vectors, tables, learned scales, learned frequencies. Sums over records run
    /// in chunks of 256 from record 0 (twice as many until the partial sums fit 64 MiB), in order: no atomics, the same
    /// bits every time.
    ///
    /// # Errors
    /// As [`Encoder::forward`]; also a plan without learned parameters.
    pub fn backward(&self, recorder: &mut Recorder<'_>, args: &Backward<'_>) -> Result<(), Error> {
        self.check_learns()?;
        if self.plan.reads_tokens() {
            let rule = "some block needs a token's place";
            return Err(Error::argument(OP, "plan", "of tokens", rule, "call tokens_backward"));
        }
        let samples = args.de.rows();
        self.check_records(recorder, &args.records, samples)?;
        args.de.check_rows(OP, "de", Dtype::F32, samples, self.plan.width())?;
        let Backward { records, arena, given, de, darena, mode } = *args;
        let sum = Sum { records, arena, given, de: ("de", de), darena, mode, tokens: 1, grid: None };
        sum.check(self, recorder)?;
        sum.record(self, recorder)
    }

    /// Records the gradient of the arena from that of tokens which [`Encoder::add_to_tokens`] added to. Class tokens count for
    /// nothing. Chunks as in [`Encoder::backward`], but of whole samples, or within one.
    ///
    /// # Errors
    /// As [`Encoder::add_to_tokens`]; also a plan without learned parameters.
    pub fn tokens_backward(
        &self,
        recorder: &mut Recorder<'_>,
        args: &TokensBackward<'_>,
    ) -> Result<(), Error> {
        self.check_learns()?;
        self.check_tokens(recorder, &args.records, ("dtokens", args.dtokens), Dtype::F32, &args.grid)?;
        let TokensBackward { records, arena, given, dtokens, grid, darena, mode } = *args;
        let de = ("dtokens", dtokens);
        let [_, tokens, _] = dtokens.shape;
        let sum = Sum { records, arena, given, de, darena, mode, tokens: tokens.max(1), grid: Some(grid) };
        sum.check(self, recorder)?;
        sum.record(self, recorder)
    }

    fn check_learns(&self) -> Result<(), Error> {
        if self.plan.arena_len() > 0 {
            return Ok(());
        }
        let rule = "this plan learns nothing";
        Err(Error::argument(OP, "darena", "asked for", rule, "skip the backward"))
    }
}

/// How a sum over rows is cut: chunks of whole samples, or several chunks a sample, so that runs of rows may start at any
/// sample that starts a chunk. A function of the shape alone. Twin: `rows_of_chunk` in `shaders/encode/chunk.wgsl`.
pub(super) struct Cut {
    /// Rows of a chunk; the last of a sample may have fewer.
    pub chunk_rows: u32,
    tokens: u32,
    rows: u64,
}

impl Cut {
    /// Cuts rows, `tokens` a sample, whose sum has `width` elements.
    pub(super) fn new(rows: u64, tokens: u32, width: u64) -> Self {
        // Rounding to samples makes less than twice as many chunks.
        let width = if tokens > 1 { 2 * width } else { width };
        let most = Chunks::new(rows, width).rows;
        let chunk_rows = if tokens < most { most / tokens * tokens } else { most };
        Self { chunk_rows, tokens, rows }
    }

    /// Rows after which a chunk starts together with a sample.
    pub(super) fn unit(&self) -> u32 {
        self.chunk_rows.max(self.tokens)
    }

    fn before(&self, row: u64) -> u32 {
        row.div_ceil(self.unit().into()) as u32 * self.unit().div_ceil(self.chunk_rows)
    }

    /// How many chunks.
    pub(super) fn count(&self) -> u32 {
        self.before(self.rows)
    }

    /// The rows of a chunk.
    pub(super) fn rows_of(&self, chunk: u32) -> Range<usize> {
        let a_unit = self.unit().div_ceil(self.chunk_rows);
        let (unit, part) = ((chunk / a_unit) as usize, (chunk % a_unit) as usize);
        let first = unit * self.unit() as usize + part * self.chunk_rows as usize;
        let end = (first + self.chunk_rows as usize).min((unit + 1) * self.unit() as usize);
        first..end.min(self.rows as usize)
    }

    /// The chunks that a run of rows fills; it starts at a multiple of [`Self::unit`].
    fn of(&self, rows: &Range<u32>) -> Range<u32> {
        self.before(rows.start.into())..self.before(rows.end.into())
    }
}

/// A sum over rows of records, or of tokens.
struct Sum<'a> {
    records: View<'a>,
    arena: View<'a>,
    given: Option<View<'a>>,
    de: (&'static str, View<'a>),
    darena: View<'a>,
    mode: Mode,
    /// Rows of a sample; 1 for records.
    tokens: u32,
    grid: Option<TokenGrid>,
}

impl<'a> Sum<'a> {
    fn check(&self, encoder: &Encoder, recorder: &Recorder<'_>) -> Result<(), Error> {
        let (name, de) = self.de;
        encoder.check_arena(recorder, &self.arena)?;
        self.darena.check_rows(OP, "darena", Dtype::F32, 1, encoder.plan.arena_len())?;
        let mut used = vec![
            ("records", self.records, Access::Read),
            ("arena", self.arena, Access::Read),
            (name, de, Access::Read),
            ("darena", self.darena, Access::Write),
        ];
        used.extend(encoder.check_given(self.given, de.rows())?);
        check_overlap(OP, &used)
    }

    fn record(&self, encoder: &Encoder, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        self.missing_and_tables(encoder, recorder)?;
        let own = encoder.plan.headers().filter(|(_, layout)| !layout.scale.is_empty());
        own.into_iter().try_for_each(|header| self.own_parameters(encoder, recorder, header))
    }

    fn cut(&self, width: u32) -> Cut {
        Cut::new(self.de.1.rows(), self.tokens, width.into())
    }

    /// Runs of rows that fit bindings and scratch, from chunk to chunk.
    fn ranges(
        &self,
        encoder: &Encoder,
        recorder: &Recorder<'_>,
        cut: &Cut,
    ) -> Result<Vec<Range<u32>>, Error> {
        let mut views = vec![self.de.1];
        views.extend(self.given);
        let room = Room { row_bytes: number_bytes(&encoder.plan, 1), limit: MAX_NUMBER_BYTES };
        recorder.gpu().row_chunks_within(OP, &views, cut.unit(), room)
    }

    /// A run of rows; `e` and `status` say what the kernel makes of them.
    fn run<'b>(&self, rows: &Range<u32>, [arena, e, status]: [Bound<'b>; 3]) -> Run<'b>
    where
        'a: 'b,
    {
        let a_sample = self.grid.map_or(1, |grid| grid.records_a_sample());
        let [first, last] = [rows.start, rows.end].map(|row| row / self.tokens * a_sample);
        Run {
            records: self.records.columns(first, last - first),
            arena,
            given: self.given.map(|given| given.slice_rows(rows.start, rows.end)),
            e,
            status,
            rows: rows.end - rows.start,
            tokens: self.tokens,
            grid: self.grid,
        }
    }

    /// Missing vectors and tables; the own parameters of blocks get 0.
    fn missing_and_tables(&self, encoder: &Encoder, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let (arena_len, learned) = (encoder.plan.arena_len(), encoder.plan.learned());
        let cut = self.cut(arena_len);
        let scratch = recorder.zeroed_scratch(OP, u64::from(cut.count()) * u64::from(arena_len) * 4)?;
        let partials = scratch.matrix(cut.count(), arena_len);
        let ranges = self.ranges(encoder, recorder, &cut)?;
        for range in ranges.into_iter().filter(|_| learned > 0) {
            let rows = range.end - range.start;
            let used = recorder.scratch(OP, u64::from(learned) * u64::from(rows) * 4)?;
            let used = used.matrix(learned, rows).bind(alignment);
            self.selectors(encoder, recorder, &range, used)?;
            let filled = cut.of(&range);
            let part = partials.slice_rows(filled.start, filled.end).bind(alignment);
            let de = self.de.1.bind_rows(&range, alignment);
            for (block, layout) in encoder.plan.headers().filter(|(_, layout)| layout.is_learned()) {
                let params = GradientParams {
                    de: de.rows,
                    rows,
                    block,
                    chunk_rows: cut.chunk_rows,
                    tokens: self.tokens,
                    partial_start: part.rows.start,
                    arena_len,
                    pad: [0; 2],
                };
                let quads = (layout.features.len() as u64).div_ceil(4);
                recorder.dispatch(&Dispatch {
                    kernel: &ARENA_GRADIENT,
                    flags: &[],
                    params: bytemuck::bytes_of(&params),
                    knobs: &[],
                    storage: &[de, used, encoder.words().bind(alignment), part],
                    groups: (u64::from(filled.end - filled.start) * quads).div_ceil(64),
                    iterations: cut.chunk_rows.into(),
                })?;
            }
        }
        sum_chunks(recorder, &partials, cut.count(), &self.darena, self.mode, (1.0, None))
    }

    /// Which row of its parameters each block with a missing vector used, `[learned, rows]`.
    fn selectors(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        rows: &Range<u32>,
        selectors: Bound<'_>,
    ) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let unused = recorder.scratch(OP, 4)?;
        let unused = unused.vector(1).bind(alignment);
        // This variant reads no arena.
        let run = self.run(rows, [self.arena.bind(alignment), selectors, unused]);
        let numbers = recorder.scratch(OP, number_bytes(&encoder.plan, run.rows))?;
        let numbers = numbers.vector(number_words(&encoder.plan, run.rows)).bind(alignment);
        run.numbers(encoder, recorder, numbers)?;
        let blocks = encoder.plan.layouts().len() as u32;
        let flags = ["BACKWARD", "TOKENS"];
        let flags = if self.grid.is_some() { &flags[..] } else { &flags[..1] };
        run.dispatch(encoder, recorder, 0..blocks, numbers, flags)
    }

    /// Adds the gradient of a block's scale, or of its frequencies and phases, to the arena's, which has 0 for them so far.
    fn own_parameters(
        &self,
        encoder: &Encoder,
        recorder: &mut Recorder<'_>,
        (block, layout): (u32, &Layout),
    ) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let width = layout.scale.len() as u32;
        let cut = self.cut(width);
        let scratch = recorder.scratch(OP, u64::from(cut.count()) * u64::from(width) * 4)?;
        let partials = scratch.matrix(cut.count(), width);
        let arena = self.arena.bind(alignment);
        for range in self.ranges(encoder, recorder, &cut)? {
            let filled = cut.of(&range);
            let part = partials.slice_rows(filled.start, filled.end).bind(alignment);
            let de = self.de.1.bind_rows(&range, alignment);
            // Partials stand where other kernels have the status.
            let run = self.run(&range, [arena, de, part]);
            let numbers = recorder.scratch(OP, number_bytes(&encoder.plan, run.rows))?;
            let numbers = numbers.vector(number_words(&encoder.plan, run.rows)).bind(alignment);
            run.numbers(encoder, recorder, numbers)?;
            let chunks = u64::from(filled.end - filled.start);
            let (kernel, groups, iterations) = match layout.block {
                Block::TesseraFrequencies { count, .. } => {
                    (&FREQUENCY_GRADIENT, (chunks * u64::from(count)).div_ceil(64), cut.chunk_rows.into())
                }
                _ => {
                    let rows_a_lane = u64::from(cut.chunk_rows.div_ceil(64));
                    (&SCALE_GRADIENT, chunks, encoder.plan.iterations() * rows_a_lane + 64)
                }
            };
            let params = run.params(encoder, recorder, &(block..block + 1), cut.chunk_rows);
            let records = run.records.bind(alignment);
            let storage = [records, encoder.words().bind(alignment), de, numbers, part, arena];
            recorder.dispatch(&Dispatch {
                kernel,
                flags: if self.grid.is_some() { &["TOKENS"] } else { &[] },
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &storage[..kernel.storage.len()],
                groups,
                iterations,
            })?;
        }
        let own = self.darena.columns(layout.scale.start, width);
        sum_chunks(recorder, &partials, cut.count(), &own, Mode::Accumulate, (1.0, None))
    }
}

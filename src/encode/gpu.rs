//! Recording of the encoder's kernels.

use super::{Backward, Encoder, Forward, OP, harmonics};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::{Binding, Dispatch, Kernel, Recorder, Rows, View};
use crate::records::RECORD_WORDS;
use bytemuck::{Pod, Zeroable};

/// More than any scheme loops: an unknown place at degree 40 without a missing vector gets 1,681 zeros.
const FORWARD_ITERATIONS: u64 = 2000;

static FORWARD: Kernel = Kernel {
    name: "encode/forward",
    source: include_str!("../../shaders/encode/forward.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[], &["BACKWARD"]],
    loop_bound: "2,000",
    when: "every encoding; BACKWARD: which parameters each record used",
};

static ARENA_GRADIENT: Kernel = Kernel {
    name: "encode/arena_gradient",
    source: include_str!("../../shaders/encode/arena_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&[]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of the arena's gradient, once a learned block",
};

pub(crate) const KERNELS: &[&Kernel] = &[&FORWARD, &ARENA_GRADIENT, &harmonics::HARMONICS];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ForwardParams {
    e: Rows,
    records_start: u32,
    records_stride: u32,
    samples: u32,
    blocks: u32,
    arena_start: u32,
    status_start: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    de: Rows,
    samples: u32,
    block: u32,
    chunk_rows: u32,
    partial_start: u32,
    arena_len: u32,
    pad: [u32; 3],
}

/// Elements between the words of a record.
pub(super) fn word_stride(records: &View<'_>) -> u32 {
    if records.shape[0] == RECORD_WORDS { records.sample_stride } else { records.row_stride }
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
    let arena = args.arena.bind(alignment);
    let plan = encoder.words().bind(alignment);
    for range in recorder.gpu().row_chunks(OP, &[args.e], 1)? {
        let samples = range.end - range.start;
        let (record_run, e_run) =
            (args.records.columns(range.start, samples), args.e.slice_rows(range.start, range.end));
        let (records, e) = (record_run.bind(alignment), e_run.bind(alignment));
        let params = ForwardParams {
            e: e.rows,
            records_start: records.rows.start,
            records_stride: word_stride(&args.records),
            samples,
            blocks,
            arena_start: arena.rows.start,
            status_start: status.rows.start,
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: &FORWARD,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[records, plan, arena, e, status],
            groups: u64::from(samples.div_ceil(64)) * u64::from(blocks),
            iterations: FORWARD_ITERATIONS,
        })?;
        harmonics::forward(encoder, recorder, &record_run, &e_run)?;
    }
    Ok(())
}

/// Which row of its parameters each learned block used, `[learned, samples]` of this run of records.
fn selectors(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    records: &View<'_>,
    selectors: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let unused = recorder.scratch(OP, 4)?;
    let unused = unused.vector(1).bind(alignment);
    let samples = records.width();
    let bound = records.bind(alignment);
    let blocks = encoder.plan.layouts().len() as u32;
    let params = ForwardParams {
        e: Rows { tokens: 1, ..Default::default() },
        records_start: bound.rows.start,
        records_stride: word_stride(records),
        samples,
        blocks,
        arena_start: 0,
        status_start: 0,
        pad: [0; 2],
    };
    recorder.dispatch(&Dispatch {
        kernel: &FORWARD,
        flags: &["BACKWARD"],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        // This variant reads no arena.
        storage: &[bound, encoder.words().bind(alignment), bound, selectors.bind(alignment), unused],
        groups: u64::from(samples.div_ceil(64)) * u64::from(blocks),
        iterations: FORWARD_ITERATIONS,
    })
}

pub(super) fn backward(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    args: &Backward<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (arena_len, learned) = (encoder.plan.arena_len(), encoder.plan.learned());
    let chunks = Chunks::new(args.de.rows(), arena_len.into());
    let scratch = recorder.zeroed_scratch(OP, chunks.bytes(arena_len.into()))?;
    let partials = scratch.matrix(chunks.count, arena_len);
    for range in recorder.gpu().row_chunks(OP, &[args.de], chunks.rows)? {
        let samples = range.end - range.start;
        let used = recorder.scratch(OP, u64::from(learned) * u64::from(samples) * 4)?;
        let used = used.matrix(learned, samples);
        selectors(encoder, recorder, &args.records.columns(range.start, samples), &used)?;
        let filled = chunks.of(&range);
        let part = partials.slice_rows(filled.start, filled.end).bind(alignment);
        let de = args.de.slice_rows(range.start, range.end).bind(alignment);
        for (block, layout) in (0..).zip(encoder.plan.layouts()).filter(|(_, layout)| layout.is_learned()) {
            let params = GradientParams {
                de: de.rows,
                samples,
                block,
                chunk_rows: chunks.rows,
                partial_start: part.rows.start,
                arena_len,
                pad: [0; 3],
            };
            let quads = (layout.features.len() as u64).div_ceil(4);
            recorder.dispatch(&Dispatch {
                kernel: &ARENA_GRADIENT,
                flags: &[],
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[de, used.bind(alignment), encoder.words().bind(alignment), part],
                groups: (u64::from(filled.end - filled.start) * quads).div_ceil(64),
                iterations: chunks.rows.into(),
            })?;
        }
    }
    sum_chunks(recorder, &partials, chunks.count, &args.darena, args.mode, (1.0, None))
}

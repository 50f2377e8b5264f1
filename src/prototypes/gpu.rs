//! Recording of the kernels of prototypes.

use super::{Attend, Backward, OP, Prototypes};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::{Binding, Bound, Dispatch, Dtype, Kernel, MAX_ITERATIONS, Mode, Recorder, Room, Rows, View};
use bytemuck::{Pod, Zeroable};

static ATTEND: Kernel = Kernel {
    name: "prototypes/attend",
    source: include_str!("../../shaders/prototypes/attend.wgsl"),
    storage: &[
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
        Binding::Write,
        Binding::Write,
    ],
    params_bytes: size_of::<AttendParams>(),
    flags: &[&[], &["BACKWARD"], &["BACKWARD", "ACCUMULATE"]],
    loop_bound: "50,000: 2 · width · each / 64 and width / 64 · each",
    when: "attention over the prototypes of a region, and the gradient of its query",
};

static GRADIENT: Kernel = Kernel {
    name: "prototypes/gradient",
    source: include_str!("../../shaders/prototypes/gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&[]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of the gradient of prototypes",
};

pub(crate) const KERNELS: &[&Kernel] = &[&ATTEND, &GRADIENT];

/// Scratch for weights and slopes of the samples of one run: so much stays in most caches.
const MAX_TERM_BYTES: u64 = 16 << 20;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AttendParams {
    query: Rows,
    out: Rows,
    dcontext: Rows,
    records: Rows,
    prototypes: Rows,
    width: u32,
    each: u32,
    regions: u32,
    region_word: u32,
    region_bit: u32,
    scale: f32,
    terms_start: u32,
    status_start: u32,
    samples: u32,
    pad: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    query: Rows,
    dcontext: Rows,
    records: Rows,
    samples: u32,
    width: u32,
    each: u32,
    regions: u32,
    region_word: u32,
    region_bit: u32,
    terms_start: u32,
    partial_start: u32,
    chunk_rows: u32,
    pad: [u32; 3],
}

/// What one run of samples reads and writes.
struct Run<'a> {
    query: Bound<'a>,
    records: Bound<'a>,
    prototypes: Bound<'a>,
    /// The query where nothing flows back.
    dcontext: Bound<'a>,
    out: Bound<'a>,
    terms: Bound<'a>,
    status: Bound<'a>,
    samples: u32,
}

impl Run<'_> {
    fn attend(
        &self,
        recorder: &mut Recorder<'_>,
        prototypes: &Prototypes,
        flags: &[&'static str],
    ) -> Result<(), Error> {
        let Prototypes { region, regions, each, width, scale } = *prototypes;
        let params = AttendParams {
            query: self.query.rows,
            out: self.out.rows,
            dcontext: self.dcontext.rows,
            records: self.records.rows,
            prototypes: self.prototypes.rows,
            width,
            each,
            regions,
            region_word: region.info().word,
            region_bit: region.bit(),
            scale,
            terms_start: self.terms.rows.start,
            status_start: self.status.rows.start,
            samples: self.samples,
            pad: [0; 3],
        };
        let (turns, columns) = (u64::from(each.div_ceil(64)), u64::from(width.div_ceil(64)));
        recorder.dispatch(&Dispatch {
            kernel: &ATTEND,
            flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[
                self.query,
                self.records,
                self.prototypes,
                self.dcontext,
                self.out,
                self.terms,
                self.status,
            ],
            groups: self.samples.into(),
            iterations: 2 * turns * u64::from(width) + (columns + 4) * u64::from(each),
        })
    }
}

pub(super) fn attend(
    prototypes: &Prototypes,
    recorder: &mut Recorder<'_>,
    args: &Attend<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (unused, uncounted) = (recorder.scratch(OP, 4)?, recorder.scratch(OP, 4)?);
    let status = args.status.unwrap_or(uncounted.vector(1).of(Dtype::U32)).bind(alignment);
    for range in recorder.gpu().row_chunks(OP, &[args.query, args.context], 1)? {
        let samples = range.end - range.start;
        let query = args.query.bind_rows(&range, alignment);
        let run = Run {
            query,
            records: args.records.columns(range.start, samples).bind(alignment),
            prototypes: args.prototypes.bind(alignment),
            dcontext: query,
            out: args.context.bind_rows(&range, alignment),
            terms: unused.vector(1).bind(alignment),
            status,
            samples,
        };
        run.attend(recorder, prototypes, &[])?;
    }
    Ok(())
}

pub(super) fn backward(
    prototypes: &Prototypes,
    recorder: &mut Recorder<'_>,
    args: &Backward<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let Prototypes { region, regions, each, width, .. } = *prototypes;
    let table = u64::from(prototypes.rows()) * u64::from(width);
    let chunks = Chunks::new(args.query.rows(), table);
    let too_many = |rule: String| Error::argument(OP, "query", args.query.rows(), rule, "split the batch");
    let limit = recorder.gpu().limits().max_storage_buffer_binding_size;
    if chunks.bytes(table) > limit || u64::from(chunks.count) >= MAX_ITERATIONS {
        let rule = format!(
            "sums of {} samples at a time must number below {MAX_ITERATIONS} and fit one binding of {limit} bytes",
            chunks.rows
        );
        return Err(too_many(rule));
    }
    let views = [args.query, args.dcontext, args.dquery];
    let room = Room { row_bytes: u64::from(each) * 8, limit: MAX_TERM_BYTES };
    let runs = recorder.gpu().row_chunks_within(OP, &views, chunks.rows, room).map_err(|_| {
        too_many(format!("all samples, or {} at a time, must fit one binding of {limit} bytes", chunks.rows))
    })?;
    let scratch = recorder.zeroed_scratch(OP, chunks.bytes(table))?;
    let partials = scratch.matrix(chunks.count, table as u32);
    let uncounted = recorder.scratch(OP, 4)?;
    let flags: &[&'static str] = match args.mode {
        Mode::Overwrite => &["BACKWARD"],
        Mode::Accumulate => &["BACKWARD", "ACCUMULATE"],
    };
    for range in runs {
        let samples = range.end - range.start;
        let [query, dcontext, dquery] = views.map(|view| view.bind_rows(&range, alignment));
        let terms = recorder.scratch(OP, u64::from(samples) * room.row_bytes)?;
        let terms = terms.matrix(samples, 2 * each).bind(alignment);
        let records: View<'_> = args.records.columns(range.start, samples);
        let run = Run {
            query,
            records: records.bind(alignment),
            prototypes: args.prototypes.bind(alignment),
            dcontext,
            out: dquery,
            terms,
            status: uncounted.vector(1).bind(alignment),
            samples,
        };
        run.attend(recorder, prototypes, flags)?;
        let filled = chunks.of(&range);
        let part = partials.slice_rows(filled.start, filled.end).bind(alignment);
        let params = GradientParams {
            query: query.rows,
            dcontext: dcontext.rows,
            records: run.records.rows,
            samples,
            width,
            each,
            regions,
            region_word: region.info().word,
            region_bit: region.bit(),
            terms_start: terms.rows.start,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
            pad: [0; 3],
        };
        let owned = u64::from(width.div_ceil(4)) * u64::from(each);
        recorder.dispatch(&Dispatch {
            kernel: &GRADIENT,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[query, run.records, dcontext, terms, part],
            groups: (u64::from(filled.end - filled.start) * owned).div_ceil(64),
            iterations: chunks.rows.into(),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, &args.dprototypes, args.mode, (1.0, None))
}

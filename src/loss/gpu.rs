//! Recording of the loss kernels.

use super::{CrossEntropy, Evidence, OP};
use crate::Error;
use crate::gpu::reduce::column_sum;
use crate::gpu::{Binding, Dispatch, Kernel, Mode, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};

static CROSS_ENTROPY_ROWS: Kernel = Kernel {
    name: "loss/cross_entropy_rows",
    source: include_str!("../../shaders/loss/cross_entropy_rows.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
    params_bytes: size_of::<RowsParams>(),
    flags: &[&[], &["WEIGHTED"], &["PER_ROW"], &["WEIGHTED", "PER_ROW"]],
    loop_bound: "2 · classes",
    when: "every cross-entropy",
};

static CROSS_ENTROPY_GRADIENT: Kernel = Kernel {
    name: "loss/cross_entropy_gradient",
    source: include_str!("../../shaders/loss/cross_entropy_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&[], &["ACCUMULATE"]],
    loop_bound: "1",
    when: "cross-entropy with a gradient",
};

static RATIO: Kernel = Kernel {
    name: "loss/ratio",
    source: include_str!("../../shaders/loss/ratio.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<RatioParams>(),
    flags: &[&[]],
    loop_bound: "1",
    when: "a weighted mean from its two sums",
};

static EVIDENCE: Kernel = Kernel {
    name: "loss/evidence",
    source: include_str!("../../shaders/loss/evidence.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
    params_bytes: size_of::<EvidenceParams>(),
    flags: &[
        &[],
        &["GRADIENT"],
        &["GRADIENT", "ACCUMULATE"],
        &["GRADIENT", "BOTH"],
        &["GRADIENT", "BOTH", "ACCUMULATE"],
    ],
    loop_bound: "4 · classes",
    when: "the evidence regularizer",
};

pub(crate) const KERNELS: &[&Kernel] = &[&CROSS_ENTROPY_ROWS, &CROSS_ENTROPY_GRADIENT, &RATIO, &EVIDENCE];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowsParams {
    logits: Rows,
    labels: Rows,
    per_row: Rows,
    rows: u32,
    classes: u32,
    weights_start: u32,
    terms_start: u32,
    ignore: u32,
    status_start: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    logits: Rows,
    labels: Rows,
    dlogits: Rows,
    rows: u32,
    classes: u32,
    terms_start: u32,
    totals_start: u32,
    scale: f32,
    pad: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RatioParams {
    totals_start: u32,
    out_start: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct EvidenceParams {
    p: Rows,
    q: Rows,
    dp: Rows,
    dq: Rows,
    rows: u32,
    classes: u32,
    terms_start: u32,
    threshold: f32,
    per_row: f32,
    factor: f32,
    inverse_log: f32,
    pad: u32,
}

/// Columns of the per-row terms of the cross-entropy: w·ce, w, top, log Σ e^(z − top).
const TERMS: u32 = 4;

pub(super) fn cross_entropy(recorder: &mut Recorder<'_>, args: &CrossEntropy<'_>) -> Result<(), Error> {
    let rows = args.logits.rows() as u32;
    let scratch = recorder.scratch(OP, u64::from(rows) * u64::from(TERMS) * 4)?;
    let terms = scratch.matrix(rows, TERMS);
    cross_entropy_rows(recorder, args, &terms)?;
    let totals = recorder.scratch(OP, 8)?;
    let totals = totals.vector(2);
    column_sum(recorder, OP, &terms.columns(0, 2), &totals, Mode::Overwrite)?;
    ratio(recorder, &totals, &args.loss)?;
    match &args.dlogits {
        Some(dlogits) => cross_entropy_gradient(recorder, args, &terms, &totals, dlogits),
        None => Ok(()),
    }
}

fn cross_entropy_rows(
    recorder: &mut Recorder<'_>,
    args: &CrossEntropy<'_>,
    terms: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    // Stand-ins for outputs that are not asked for; buffers of their own, since they are declared writable.
    let (no_status, no_per_row) = (recorder.scratch(OP, 4)?, recorder.scratch(OP, 4)?);
    let status = args.status.unwrap_or(no_status.vector(1)).bind(alignment);
    let mut flags = Vec::new();
    flags.extend(args.class_weights.map(|_| "WEIGHTED"));
    flags.extend(args.per_row.map(|_| "PER_ROW"));
    let mut views = vec![args.logits, args.labels, *terms];
    views.extend(args.per_row);
    for range in recorder.gpu().row_chunks(OP, &views, 1)? {
        let [logits, labels, terms] =
            [&args.logits, &args.labels, terms].map(|view| view.bind_rows(&range, alignment));
        let weights = args.class_weights.map_or(logits, |weights| weights.bind(alignment));
        let per_row = match &args.per_row {
            Some(view) => view.bind_rows(&range, alignment),
            None => no_per_row.vector(1).bind(alignment),
        };
        let params = RowsParams {
            logits: logits.rows,
            labels: labels.rows,
            per_row: per_row.rows,
            rows: range.end - range.start,
            classes: args.logits.width(),
            weights_start: weights.rows.start,
            terms_start: terms.rows.start,
            ignore: args.ignore,
            status_start: status.rows.start,
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: &CROSS_ENTROPY_ROWS,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[logits, labels, weights, terms, status, per_row],
            groups: u64::from(params.rows).div_ceil(64),
            iterations: 2 * u64::from(params.classes),
        })?;
    }
    Ok(())
}

fn cross_entropy_gradient(
    recorder: &mut Recorder<'_>,
    args: &CrossEntropy<'_>,
    terms: &View<'_>,
    totals: &View<'_>,
    dlogits: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let totals = totals.bind(alignment);
    for range in recorder.gpu().row_chunks(OP, &[args.logits, args.labels, *terms, *dlogits], 1)? {
        let [logits, labels, terms, dlogits] =
            [&args.logits, &args.labels, terms, dlogits].map(|view| view.bind_rows(&range, alignment));
        let params = GradientParams {
            logits: logits.rows,
            labels: labels.rows,
            dlogits: dlogits.rows,
            rows: range.end - range.start,
            classes: args.logits.width(),
            terms_start: terms.rows.start,
            totals_start: totals.rows.start,
            scale: args.scale,
            pad: [0; 3],
        };
        recorder.dispatch(&Dispatch {
            kernel: &CROSS_ENTROPY_GRADIENT,
            flags: args.mode.flags(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[logits, labels, terms, totals, dlogits],
            groups: (u64::from(params.rows) * u64::from(params.classes)).div_ceil(64),
            iterations: 1,
        })?;
    }
    Ok(())
}

pub(super) fn ratio(recorder: &mut Recorder<'_>, totals: &View<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (totals, out) = (totals.bind(alignment), out.bind(alignment));
    let params = RatioParams { totals_start: totals.rows.start, out_start: out.rows.start, pad: [0; 2] };
    recorder.dispatch(&Dispatch {
        kernel: &RATIO,
        flags: &[],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[totals, out],
        groups: 1,
        iterations: 1,
    })
}

pub(super) fn evidence(recorder: &mut Recorder<'_>, args: &Evidence<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let rows = args.p.rows() as u32;
    let scratch = recorder.scratch(OP, u64::from(rows) * 4)?;
    let terms = scratch.matrix(rows, 1);
    // Stand-ins for gradients that are not asked for; buffers of their own, since they are declared writable.
    let (no_dp, no_dq) = (recorder.scratch(OP, 4)?, recorder.scratch(OP, 4)?);
    let mut flags = Vec::new();
    flags.extend(args.dp.map(|_| "GRADIENT"));
    flags.extend(args.dq.map(|_| "BOTH"));
    flags.extend(args.dp.and((args.mode == Mode::Accumulate).then_some("ACCUMULATE")));
    let mut views = vec![args.p, args.q, terms];
    views.extend(args.dp);
    views.extend(args.dq);
    for range in recorder.gpu().row_chunks(OP, &views, 1)? {
        let [p, q, terms] = [args.p, args.q, terms].map(|view| view.bind_rows(&range, alignment));
        let [dp, dq] = [(args.dp, &no_dp), (args.dq, &no_dq)].map(|(view, unused)| match view {
            Some(view) => view.bind_rows(&range, alignment),
            None => unused.vector(1).bind(alignment),
        });
        let params = EvidenceParams {
            p: p.rows,
            q: q.rows,
            dp: dp.rows,
            dq: dq.rows,
            rows: range.end - range.start,
            classes: args.p.width(),
            terms_start: terms.rows.start,
            threshold: args.threshold,
            per_row: 1.0 / rows as f32,
            factor: args.scale / rows as f32,
            inverse_log: 1.0 / (args.p.width() as f32).ln(),
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: &EVIDENCE,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[p, q, terms, dp, dq],
            groups: u64::from(params.rows).div_ceil(64),
            iterations: 4 * u64::from(params.classes),
        })?;
    }
    column_sum(recorder, OP, &terms, &args.loss, Mode::Overwrite)
}

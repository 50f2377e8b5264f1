//! Recording of the comparing kernel and of the factored logits.

use super::{External, Factored, Form, OP, Probe, few};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Kernel, Knob, MAX_ITERATIONS, Mode, Recorder, Rows, Scratch, View};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

static COMPARE: Kernel = Kernel {
    name: "sensitivity/compare",
    source: include_str!("../../shaders/sensitivity/compare.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<CompareParams>(),
    flags: &[&[]],
    loop_bound: "samples per lane (1 to 4) · (3 classes + 35) + 12",
    when: "every comparison of logits",
};

static FACTORED: Kernel = Kernel {
    name: "sensitivity/factored",
    source: include_str!("../../shaders/sensitivity/factored.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<FactoredParams>(),
    flags: &[&[]],
    loop_bound: "rank",
    when: "adapter in the last layer, linear pooling and head",
};

pub(crate) const KERNELS: &[&Kernel] = &[&COMPARE, &FACTORED, &few::REFERENCE, &few::FEW];

/// Logits kept for one chunk of the factored path.
const SCRATCH_BYTES: u64 = 32 << 20;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CompareParams {
    base: Rows,
    variants: Rows,
    labels: Rows,
    groups: Rows,
    per_sample: Rows,
    rows: u32,
    classes: u32,
    group_count: u32,
    has: u32,
    sums_start: u32,
    slot_words: u32,
    is_local: u32,
    per_lane: u32,
    workgroups_per_k: u32,
    variants_count: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FactoredParams {
    base: Rows,
    gates: Rows,
    hidden: Rows,
    out: Rows,
    map_start: u32,
    map_stride: u32,
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    lambda: f32,
    scale: f32,
    variants_count: u32,
    pad: [u32; 3],
}

/// Samples of one invocation: several where there is work for many workgroups and the loop bound allows it.
fn samples_per_lane(samples: u64, classes: u32) -> u32 {
    let spare = if samples >= 256 * 256 { 4 } else { 1 };
    spare.min((MAX_ITERATIONS as u32 - 13) / (3 * classes + 35)).max(1)
}

/// Runs of samples in which one variant's views each fit a binding.
pub(super) fn sample_chunks(recorder: &Recorder<'_>, views: &[View<'_>]) -> Result<Vec<Range<u32>>, Error> {
    recorder.gpu().row_chunks(OP, views, 1)
}

/// One variant of a `[k, samples, width]` view.
pub(super) fn first<'a>(view: &View<'a>, samples: u32) -> View<'a> {
    view.block(&(0..1), &(0..samples))
}

pub(super) fn external(probe: &Probe, recorder: &mut Recorder<'_>, args: &External<'_>) -> Result<(), Error> {
    if probe.variant(recorder.gpu())? == Form::Few {
        return few::external(probe, recorder, args);
    }
    let [count, samples, _] = args.variants.shape;
    let unused = recorder.scratch(OP, 16)?;
    let mut views = vec![args.base, first(&args.variants, samples)];
    views.extend(args.labels.iter().chain(&args.groups));
    views.extend(args.per_sample.map(|view| first(&view, samples)));
    let limit = recorder.gpu().largest_view();
    for rows in sample_chunks(recorder, &views)? {
        let fits = [Some(args.variants), args.per_sample]
            .iter()
            .flatten()
            .all(|view| view.block(&(0..count), &rows).span() * 4 <= limit);
        let step = if fits { count } else { 1 };
        for from in (0..count).step_by(step.max(1) as usize) {
            compare(probe, recorder, args, (from..from + step, rows.clone()), &unused)?;
        }
    }
    Ok(())
}

fn compare(
    probe: &Probe,
    recorder: &mut Recorder<'_>,
    args: &External<'_>,
    (ks, rows): (Range<u32>, Range<u32>),
    unused: &Scratch,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let classes = probe.desc.classes;
    let base = args.base.bind_rows(&rows, alignment);
    let variants = args.variants.block(&ks, &rows).bind(alignment);
    let labels = args.labels.map_or(base, |view| view.bind_rows(&rows, alignment));
    let groups = args.groups.map_or(base, |view| view.bind_rows(&rows, alignment));
    let per_sample = match &args.per_sample {
        Some(view) => view.block(&ks, &rows).bind(alignment),
        None => unused.vector(4).bind(alignment),
    };
    let sums = args.sums.bind(alignment);
    let slot_words = probe.slot_words();
    let samples = rows.end - rows.start;
    let count = ks.end - ks.start;
    let per_lane = samples_per_lane(u64::from(samples) * u64::from(count), classes);
    let workgroups_per_k = samples.div_ceil(256 * per_lane);
    let params = CompareParams {
        base: base.rows,
        variants: variants.rows,
        labels: labels.rows,
        groups: groups.rows,
        per_sample: per_sample.rows,
        rows: samples,
        classes,
        group_count: probe.desc.groups,
        has: u32::from(args.labels.is_some())
            | u32::from(args.groups.is_some()) << 1
            | u32::from(args.per_sample.is_some()) << 2,
        sums_start: sums.rows.start + (args.first_perturbation + ks.start) * slot_words,
        slot_words,
        is_local: (slot_words <= 2048).into(),
        per_lane,
        workgroups_per_k,
        variants_count: count,
        pad: [0; 2],
    };
    recorder.dispatch(&Dispatch {
        kernel: &COMPARE,
        flags: &[],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[base, variants, labels, groups, sums, per_sample],
        groups: u64::from(workgroups_per_k) * u64::from(count),
        iterations: u64::from(per_lane) * (3 * u64::from(classes) + 35) + 12,
    })
}

/// Samples of one chunk of the factored path, where the views may be cut anywhere.
pub(super) fn finer(range: Range<u32>, views: &[View<'_>], step: u32) -> Vec<Range<u32>> {
    if views.iter().any(|view| view.row_grain() > 1) {
        return vec![range];
    }
    range.clone().step_by(step as usize).map(|from| from..range.end.min(from.saturating_add(step))).collect()
}

pub(super) fn factored(probe: &Probe, recorder: &mut Recorder<'_>, args: &Factored<'_>) -> Result<(), Error> {
    if few::takes(probe, recorder.gpu(), args)? {
        return few::factored(probe, recorder, args);
    }
    let [count, samples, _] = args.gates.shape;
    let row_bytes = u64::from(probe.desc.classes) * 4;
    let mut views =
        vec![args.base, args.hidden, first(&args.true_gates, samples), first(&args.gates, samples)];
    views.extend(args.labels.iter().chain(&args.groups));
    views.extend(args.per_sample.map(|view| first(&view, samples)));
    let step = (SCRATCH_BYTES / (2 * row_bytes)).max(1) as u32;
    let chunks: Vec<_> =
        sample_chunks(recorder, &views)?.into_iter().flat_map(|range| finer(range, &views, step)).collect();
    let longest = chunks.iter().map(|rows| rows.end - rows.start).max().unwrap_or(0);
    let chunk_bytes = (u64::from(longest) * row_bytes).max(4);
    let together = (SCRATCH_BYTES / chunk_bytes).saturating_sub(1).clamp(1, u64::from(count.max(1))) as u32;
    let reference = recorder.scratch(OP, chunk_bytes)?;
    let moved = recorder.scratch(OP, chunk_bytes * u64::from(together))?;
    for rows in chunks {
        let length = rows.end - rows.start;
        let base = reference.tokens([1, length, probe.desc.classes]);
        logits(recorder, args, (&args.true_gates, 0..1, rows.clone()), &base)?;
        for from in (0..count).step_by(together as usize) {
            let ks = from..count.min(from + together);
            let variants = moved.tokens([ks.end - ks.start, length, probe.desc.classes]);
            logits(recorder, args, (&args.gates, ks.clone(), rows.clone()), &variants)?;
            let part = External {
                base,
                variants,
                labels: args.labels.map(|view| view.slice_rows(rows.start, rows.end)),
                groups: args.groups.map(|view| view.slice_rows(rows.start, rows.end)),
                per_sample: args.per_sample.map(|view| view.block(&ks, &rows)),
                first_perturbation: args.first_perturbation + from,
                sums: args.sums,
                mode: Mode::Accumulate,
            };
            external(probe, recorder, &part)?;
        }
    }
    Ok(())
}

/// Logits of some variants and samples under their gates.
fn logits(
    recorder: &mut Recorder<'_>,
    args: &Factored<'_>,
    (gates, ks, rows): (&View<'_>, Range<u32>, Range<u32>),
    out: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let rank = args.hidden.width();
    let base = args.base.bind_rows(&rows, alignment);
    let hidden = args.hidden.bind_rows(&rows, alignment);
    let (map, out) = (args.map.bind(alignment), out.bind(alignment));
    let limit = recorder.gpu().largest_view();
    let step = if gates.block(&ks, &rows).span() * 4 <= limit { ks.end - ks.start } else { 1 };
    for from in ks.clone().step_by(step.max(1) as usize) {
        let part = from..from + step;
        let gate = gates.block(&part, &rows).bind(alignment);
        let classes = args.base.width();
        let length = rows.end - rows.start;
        let mut target = out.rows;
        target.start += (from - ks.start) * length * classes;
        let params = FactoredParams {
            base: base.rows,
            gates: gate.rows,
            hidden: hidden.rows,
            out: target,
            map_start: map.rows.start,
            map_stride: args.map.row_step(),
            rows: length,
            classes,
            rank,
            gate_step: (gates.width() > 1).into(),
            lambda: args.lambda.host_value(),
            scale: args.scale,
            variants_count: step,
            pad: [0; 3],
        };
        let knob: (usize, Knob<'_>) = (offset_of!(FactoredParams, lambda), args.lambda);
        recorder.dispatch(&Dispatch {
            kernel: &FACTORED,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[knob],
            storage: &[base, gate, hidden, map, out],
            groups: (u64::from(step) * u64::from(length) * u64::from(classes.div_ceil(4))).div_ceil(64),
            iterations: rank.into(),
        })?;
    }
    Ok(())
}

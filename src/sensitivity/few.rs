//! Recording for few classes: the reference once a sample, then all perturbations from registers.

use super::gpu::{finer, first, sample_chunks};
use super::{External, Factored, Form, OP, Probe};
use crate::Error;
use crate::gpu::{Binding, Bound, Dispatch, Gpu, Kernel, Knob, Recorder, Rows, Scratch};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

pub(super) static REFERENCE: Kernel = Kernel {
    name: "sensitivity/reference",
    source: include_str!("../../shaders/sensitivity/reference.wgsl"),
    storage: &[
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
    ],
    params_bytes: size_of::<ReferenceParams>(),
    flags: &[&["CLASSES=8|CLASSES=16|CLASSES=32", "|RANKS=8|RANKS=16", "|LONG"]],
    loop_bound: "8",
    when: "what `few` needs of a sample",
};

pub(super) static FEW: Kernel = Kernel {
    name: "sensitivity/few",
    source: include_str!("../../shaders/sensitivity/few.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<FewParams>(),
    flags: &[&["CLASSES=8|CLASSES=16|CLASSES=32", "|RANKS=8|RANKS=16", "|LONG", "|WEIGHTED"]],
    loop_bound: "81 · (groups + 1) + 6,200; at most 255 groups",
    when: "up to 32 classes, subgroups of 8: logits given, or made from gates of at most 16 ranks",
};

/// Rows of a workgroup; more would not fit its memory.
const MOST_ROWS: u32 = 2048;
const MOST_GROUPS: u32 = 255;
const MOST_CLASSES: u32 = 32;
const MOST_RANKS: u32 = 16;
/// References kept for one chunk of samples.
const SCRATCH_BYTES: u64 = 32 << 20;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ReferenceParams {
    base: Rows,
    hidden: Rows,
    gates: Rows,
    labels: Rows,
    groups: Rows,
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    map_start: u32,
    map_stride: u32,
    lambda: f32,
    scale: f32,
    group_count: u32,
    has: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct FewParams {
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    variants_start: u32,
    variants_k: u32,
    variants_row: u32,
    has: u32,
    per_sample_start: u32,
    per_sample_k: u32,
    per_sample_row: u32,
    group_count: u32,
    map_start: u32,
    map_stride: u32,
    sums_start: u32,
    variants_count: u32,
    chunk_rows: u32,
    lambda: f32,
    scale: f32,
    pad: u32,
}

/// Whether a probe's numbers of classes and groups fit, on a device that has such subgroups.
pub(super) fn fits(probe: &Probe, gpu: &Gpu) -> bool {
    probe.desc.classes <= MOST_CLASSES && probe.desc.groups <= MOST_GROUPS && gpu.has_subgroups_of(8)
}

/// The smallest tile of classes.
fn class_tile(classes: u32) -> (u32, &'static str) {
    match classes {
        ..=8 => (8, "CLASSES=8"),
        9..=16 => (16, "CLASSES=16"),
        _ => (32, "CLASSES=32"),
    }
}

/// The smallest tile of ranks.
fn rank_tile(rank: u32) -> (u32, &'static str) {
    if rank <= 8 { (8, "RANKS=8") } else { (16, "RANKS=16") }
}

/// One call: what both paths have in common, and the adapter where logits are to be made.
struct Sweep<'a> {
    probe: &'a Probe,
    common: External<'a>,
    adapter: Option<&'a Factored<'a>>,
}

pub(super) fn external(probe: &Probe, recorder: &mut Recorder<'_>, args: &External<'_>) -> Result<(), Error> {
    Sweep { probe, common: *args, adapter: None }.record(recorder)
}

/// False where ranks are too many: then nothing is recorded.
pub(super) fn takes(probe: &Probe, gpu: &Gpu, args: &Factored<'_>) -> Result<bool, Error> {
    Ok(probe.variant(gpu)? == Form::Few && args.hidden.width() <= MOST_RANKS)
}

pub(super) fn factored(probe: &Probe, recorder: &mut Recorder<'_>, args: &Factored<'_>) -> Result<(), Error> {
    Sweep { probe, common: args.common(), adapter: Some(args) }.record(recorder)
}

impl Sweep<'_> {
    /// Vectors of four words of one reference.
    fn reference_vectors(&self) -> u32 {
        let (classes, _) = class_tile(self.probe.desc.classes);
        let own = self.adapter.map_or(classes / 4, |args| rank_tile(args.hidden.width()).0 / 2);
        1 + classes / 2 + own
    }

    fn tiles(&self) -> impl Iterator<Item = &'static str> {
        let classes = class_tile(self.probe.desc.classes).1;
        [classes].into_iter().chain(self.adapter.map(|args| rank_tile(args.hidden.width()).1))
    }

    fn record(&self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let args = &self.common;
        let [count, samples, _] = args.variants.shape;
        let mut views = vec![args.base, first(&args.variants, samples)];
        views.extend(args.labels.iter().chain(&args.groups));
        views.extend(args.per_sample.map(|view| first(&view, samples)));
        views.extend(self.adapter.iter().flat_map(|args| [args.hidden, first(&args.true_gates, samples)]));
        let row_bytes = u64::from(self.reference_vectors()) * 16;
        let step = (SCRATCH_BYTES / row_bytes) as u32;
        let chunks: Vec<_> = sample_chunks(recorder, &views)?
            .into_iter()
            .flat_map(|range| finer(range, &views, step))
            .collect();
        let longest = chunks.iter().map(|rows| rows.end - rows.start).max().unwrap_or(0);
        let words = |bytes: u64| bytes * u64::from(longest.max(1));
        let reference = recorder.scratch(OP, words(row_bytes))?;
        let limit = recorder.gpu().largest_view();
        for rows in chunks {
            self.reference(recorder, &rows, &reference)?;
            let fits = [Some(args.variants), args.per_sample]
                .iter()
                .flatten()
                .all(|view| view.block(&(0..count), &rows).span() * 4 <= limit);
            let step = if fits { count } else { 1 };
            for from in (0..count).step_by(step.max(1) as usize) {
                self.few(recorder, from..from + step, &rows, &reference)?;
            }
        }
        Ok(())
    }

    /// The reference of some samples.
    fn reference(&self, recorder: &mut Recorder<'_>, rows: &Range<u32>, out: &Scratch) -> Result<(), Error> {
        let (args, desc) = (&self.common, &self.probe.desc);
        let alignment = recorder.gpu().alignment();
        let length = rows.end - rows.start;
        let base = args.base.bind_rows(rows, alignment);
        let [labels, groups] =
            [args.labels, args.groups].map(|view| view.map_or(base, |view| view.bind_rows(rows, alignment)));
        let of_adapter = self.adapter.map(|args| [args.hidden, args.true_gates.block(&(0..1), rows)]);
        let vectors =
            [Some(args.base)].into_iter().chain(of_adapter.map_or([None; 2], |views| views.map(Some)));
        let is_long = recorder.gpu().has_long_words() && vectors.flatten().all(|view| view.is_vec4());
        let [hidden, gates] = match of_adapter {
            Some([hidden, gates]) => [hidden.bind_rows(rows, alignment), gates.bind(alignment)],
            None => [base; 2],
        };
        let map = self.adapter.map_or(base, |args| args.map.bind(alignment));
        let lambda = self.lambda();
        let params = ReferenceParams {
            base: base.rows,
            hidden: hidden.rows,
            gates: gates.rows,
            labels: labels.rows,
            groups: groups.rows,
            rows: length,
            classes: desc.classes,
            rank: self.rank(),
            gate_step: self.gate_step(),
            map_start: map.rows.start,
            map_stride: self.adapter.map_or(0, |args| args.map.row_step()),
            lambda: lambda.host_value(),
            scale: self.adapter.map_or(0.0, |args| args.scale),
            group_count: desc.groups,
            has: u32::from(args.labels.is_some()) | u32::from(args.groups.is_some()) << 1,
            pad: [0; 2],
        };
        let out = out.tokens([1, length, self.reference_vectors() * 4]).bind(alignment);
        recorder.dispatch(&Dispatch {
            kernel: &REFERENCE,
            flags: &self.tiles().chain(is_long.then_some("LONG")).collect::<Vec<_>>(),
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(ReferenceParams, lambda), lambda)],
            storage: &[base, hidden, gates, map, labels, groups, out],
            groups: u64::from(length.div_ceil(64)),
            iterations: 8,
        })
    }

    fn rank(&self) -> u32 {
        self.adapter.map_or(1, |args| args.hidden.width())
    }

    fn gate_step(&self) -> u32 {
        u32::from(self.common.variants.width() > 1)
    }

    fn lambda(&self) -> Knob<'_> {
        self.adapter.map_or(Knob::Host(0.0), |args| args.lambda)
    }

    /// Some perturbations of some samples.
    fn few(
        &self,
        recorder: &mut Recorder<'_>,
        ks: Range<u32>,
        rows: &Range<u32>,
        reference: &Scratch,
    ) -> Result<(), Error> {
        let (args, desc) = (&self.common, &self.probe.desc);
        let gpu = recorder.gpu();
        let alignment = gpu.alignment();
        let length = rows.end - rows.start;
        let variants_view = args.variants.block(&ks, rows);
        let per_sample_view = args.per_sample.map(|view| view.block(&ks, rows));
        let is_long = gpu.has_long_words()
            && variants_view.is_vec4()
            && per_sample_view.is_none_or(|view| view.is_vec4());
        let reference = reference.tokens([1, length, self.reference_vectors() * 4]).bind(alignment);
        let variants = variants_view.bind(alignment);
        let per_sample: Option<Bound<'_>> = per_sample_view.map(|view| view.bind(alignment));
        let map = self.adapter.map_or(reference, |args| args.map.bind(alignment));
        let sums = args.sums.bind(alignment);
        let unused = recorder.scratch(OP, 16)?;
        let per_sample_bound = per_sample.unwrap_or_else(|| unused.vector(4).bind(alignment));
        let count = ks.end - ks.start;
        let tiles = count.div_ceil(8);
        let chunk_rows = chunk_rows(length, tiles);
        let lambda = self.lambda();
        let params = FewParams {
            rows: length,
            classes: desc.classes,
            rank: self.rank(),
            gate_step: self.gate_step(),
            variants_start: variants.rows.start,
            variants_k: args.variants.sample_stride,
            variants_row: args.variants.row_stride,
            has: u32::from(per_sample.is_some()) << 2,
            per_sample_start: per_sample_bound.rows.start,
            per_sample_k: args.per_sample.map_or(0, |view| view.sample_stride),
            per_sample_row: args.per_sample.map_or(0, |view| view.row_stride),
            group_count: desc.groups,
            map_start: map.rows.start,
            map_stride: self.adapter.map_or(0, |args| args.map.row_step()),
            sums_start: sums.rows.start + (args.first_perturbation + ks.start) * self.probe.slot_words(),
            variants_count: count,
            chunk_rows,
            lambda: lambda.host_value(),
            scale: self.adapter.map_or(0.0, |args| args.scale),
            pad: 0,
        };
        let mut flags: Vec<_> = self.tiles().collect();
        flags.extend(is_long.then_some("LONG").into_iter().chain(args.labels.map(|_| "WEIGHTED")));
        recorder.dispatch(&Dispatch {
            kernel: &FEW,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(FewParams, lambda), lambda)],
            storage: &[reference, variants, map, sums, per_sample_bound],
            groups: u64::from(length.div_ceil(chunk_rows)) * u64::from(tiles),
            iterations: 81 * (u64::from(desc.groups) + 1) + 6200,
        })
    }
}

/// Rows of a workgroup: many spread the cost of adding sums up, few feed more processors.
fn chunk_rows(rows: u32, tiles: u32) -> u32 {
    let wanted = u64::from(rows) * u64::from(tiles) / 64;
    (wanted as u32).next_power_of_two().clamp(64, MOST_ROWS)
}

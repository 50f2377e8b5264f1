//! Recording of the anti-shortcut loss: runs of anchors, each over runs of others.

use super::super::gpu::ratio;
use super::{AntiShortcut, OP};
use crate::Error;
use crate::gpu::reduce::{column_sum, sum_chunks};
use crate::gpu::{Binding, Bound, Dispatch, Kernel, MAX_ITERATIONS, Mode, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

static ROWS: Kernel = Kernel {
    name: "loss/shortcut/rows",
    source: include_str!("../../../shaders/loss/shortcut/rows.wgsl"),
    storage: &[
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
        Binding::Write,
        Binding::Write,
    ],
    params_bytes: size_of::<RowsParams>(),
    flags: &[&["|VEC4", "|PER_ROW"]],
    loop_bound: "others / 64 · (width / 4 + 1) + 16, others cut so that loss/shortcut/gradient stays below 60,000",
    when: "every anti-shortcut loss",
};

static GRADIENT: Kernel = Kernel {
    name: "loss/shortcut/gradient",
    source: include_str!("../../../shaders/loss/shortcut/gradient.wgsl"),
    storage: &[
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
    ],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&["|VEC4", "|ACCUMULATE"]],
    loop_bound: "others / 64 · (width / 4 + width + 64), others cut so that it stays below 60,000",
    when: "anti-shortcut loss with a gradient",
};

pub(crate) const KERNELS: &[&Kernel] = &[&ROWS, &GRADIENT];

/// Anchors of a workgroup, and others that it takes at a time.
const TILE_ANCHORS: u32 = 16;
const TILE_OTHERS: u32 = 64;

/// What both kernels know of a run of anchors and a run of others.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Pairs {
    anchors: Rows,
    others: Rows,
    classes: Rows,
    regions: Rows,
    width: u32,
    anchor_count: u32,
    anchor_first: u32,
    other_count: u32,
    other_first: u32,
    inverse_temperature: f32,
    weight: f32,
    state_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowsParams {
    pairs: Pairs,
    per_row: Rows,
    terms_start: u32,
    is_last: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    pairs: Pairs,
    dz: Rows,
    totals_start: u32,
    scale: f32,
    pad: [u32; 2],
}

/// Loop iterations over one tile of others, the gradient's, which are more.
fn tile_iterations(width: u32) -> u64 {
    u64::from(width.div_ceil(4) + width.next_multiple_of(64) + 64)
}

/// Others of one dispatch, whole tiles of them. A function of the width alone, so that the order of sums is too.
pub(super) fn run_of_others(width: u32) -> u32 {
    ((MAX_ITERATIONS - 32) / tile_iterations(width)) as u32 * TILE_OTHERS
}

/// The whole op between its checks and its dispatches.
struct Walk<'a> {
    args: &'a AntiShortcut<'a>,
    /// `[S, 4]`: running, then finished sums of every anchor.
    state: View<'a>,
    /// `[S, 2]`: loss, whether it counts.
    terms: View<'a>,
    /// `[2]`: sums of the terms.
    totals: View<'a>,
    /// Rows of z, and of dz where there is one, are whole vectors.
    flags: Vec<&'static str>,
}

pub(super) fn anti_shortcut(recorder: &mut Recorder<'_>, args: &AntiShortcut<'_>) -> Result<(), Error> {
    let samples = args.z.rows() as u32;
    let [state, terms] = [4, 2].map(|columns| recorder.scratch(OP, u64::from(samples) * columns * 4));
    let (state, terms, totals) = (state?, terms?, recorder.scratch(OP, 8)?);
    let is_vec4 = args.z.is_vec4() && args.dz.is_none_or(|dz| dz.is_vec4());
    let walk = Walk {
        args,
        state: state.matrix(samples, 4),
        terms: terms.matrix(samples, 2),
        totals: totals.vector(2),
        flags: is_vec4.then_some("VEC4").into_iter().collect(),
    };
    walk.rows(recorder)?;
    column_sum(recorder, OP, &walk.terms, &walk.totals, Mode::Overwrite)?;
    ratio(recorder, &walk.totals, &args.loss)?;
    if let Some(anchors) = &args.anchors {
        // A sum of one partial: a copy.
        sum_chunks(recorder, &walk.totals.columns(1, 1), 1, anchors, Mode::Overwrite, (1.0, None))?;
    }
    args.dz.map_or(Ok(()), |dz| walk.gradient(recorder, &dz))
}

impl Walk<'_> {
    /// Runs of anchors, limited by bindings, each with all runs of others, limited by loops.
    fn runs(
        &self,
        recorder: &Recorder<'_>,
        of_anchors: &[View<'_>],
    ) -> Result<impl Iterator<Item = (Range<u32>, Range<u32>)> + use<>, Error> {
        let (samples, run) = (self.args.z.rows() as u32, run_of_others(self.args.z.width()));
        // Whole runs of others fit a binding.
        recorder.gpu().row_chunks(OP, &[self.args.z], run)?;
        let anchors = recorder.gpu().row_chunks(OP, of_anchors, 1)?;
        let others =
            move || (0..samples).step_by(run as usize).map(move |from| from..samples.min(from + run));
        Ok(anchors.into_iter().flat_map(move |anchors| others().map(move |others| (anchors.clone(), others))))
    }

    /// Of a run of anchors and one of others: their rows, ids and the anchors' sums.
    fn pairs(
        &self,
        [anchors, others]: [&Range<u32>; 2],
        [own, theirs, classes, regions, state]: [&Bound<'_>; 5],
    ) -> Pairs {
        Pairs {
            anchors: own.rows,
            others: theirs.rows,
            classes: classes.rows,
            regions: regions.rows,
            width: self.args.z.width(),
            anchor_count: anchors.end - anchors.start,
            anchor_first: anchors.start,
            other_count: others.end - others.start,
            other_first: others.start,
            inverse_temperature: 1.0 / self.args.temperature,
            weight: self.args.weight,
            state_start: state.rows.start,
        }
    }

    fn rows(&self, recorder: &mut Recorder<'_>) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let AntiShortcut { z, classes, regions, .. } = self.args;
        // A stand-in where no losses of samples are asked for; a buffer of its own, since it is declared writable.
        let no_per_row = recorder.scratch(OP, 4)?;
        let [classes, regions] = [classes, regions].map(|ids| ids.bind(alignment));
        let mut flags = self.flags.clone();
        flags.extend(self.args.per_row.map(|_| "PER_ROW"));
        let mut of_anchors = vec![*z, self.state, self.terms];
        of_anchors.extend(self.args.per_row);
        for (anchors, others) in self.runs(recorder, &of_anchors)? {
            let [own, state, terms] =
                [z, &self.state, &self.terms].map(|view| view.bind_rows(&anchors, alignment));
            let theirs = z.bind_rows(&others, alignment);
            let per_row = match &self.args.per_row {
                Some(view) => view.bind_rows(&anchors, alignment),
                None => no_per_row.vector(1).bind(alignment),
            };
            let pairs = self.pairs([&anchors, &others], [&own, &theirs, &classes, &regions, &state]);
            let params = RowsParams {
                pairs,
                per_row: per_row.rows,
                terms_start: terms.rows.start,
                is_last: (u64::from(others.end) == z.rows()).into(),
                pad: [0; 2],
            };
            let tiles = u64::from(pairs.other_count.div_ceil(TILE_OTHERS));
            recorder.dispatch(&Dispatch {
                kernel: &ROWS,
                flags: &flags,
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[own, theirs, classes, regions, state, terms, per_row],
                groups: pairs.anchor_count.div_ceil(TILE_ANCHORS).into(),
                iterations: tiles * u64::from(z.width().div_ceil(4) + 1) + 16,
            })?;
        }
        Ok(())
    }

    fn gradient(&self, recorder: &mut Recorder<'_>, dz: &View<'_>) -> Result<(), Error> {
        let alignment = recorder.gpu().alignment();
        let AntiShortcut { z, classes, regions, .. } = self.args;
        let [classes, regions] = [classes, regions].map(|ids| ids.bind(alignment));
        let [state, totals] = [self.state, self.totals].map(|view| view.bind(alignment));
        let mut flags = self.flags.clone();
        flags.extend(self.args.mode.flags());
        for (anchors, others) in self.runs(recorder, &[*z, *dz])? {
            let [own, out] = [z, dz].map(|view| view.bind_rows(&anchors, alignment));
            let theirs = z.bind_rows(&others, alignment);
            let pairs = self.pairs([&anchors, &others], [&own, &theirs, &classes, &regions, &state]);
            let params = GradientParams {
                pairs,
                dz: out.rows,
                totals_start: totals.rows.start,
                scale: self.args.scale,
                pad: [0; 2],
            };
            let tiles = u64::from(pairs.other_count.div_ceil(TILE_OTHERS));
            recorder.dispatch(&Dispatch {
                kernel: &GRADIENT,
                flags: &flags,
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[own, theirs, classes, regions, state, totals, out],
                groups: pairs.anchor_count.div_ceil(TILE_ANCHORS).into(),
                iterations: tiles * tile_iterations(z.width()),
            })?;
        }
        Ok(())
    }
}

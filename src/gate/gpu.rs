//! Recording of the gate's kernels.

use super::{Mu, OP};
use crate::Error;
use crate::gpu::reduce::{Chunks, sum_chunks};
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Dispatch, Kernel, Knob, Mode, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

const FIVE: &[Binding] = &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write];

static MIX: Kernel = Kernel {
    name: "gate/mix",
    source: include_str!("../../shaders/gate/mix.wgsl"),
    storage: FIVE,
    params_bytes: size_of::<MixParams>(),
    flags: &[&[], &["ROW_MU"]],
    loop_bound: "1",
    when: "every effective gate",
};

static DLOGITS: Kernel = Kernel {
    name: "gate/dlogits",
    source: include_str!("../../shaders/gate/dlogits.wgsl"),
    storage: FIVE,
    params_bytes: size_of::<DlogitsParams>(),
    flags: &[&[], &["ROW_MU"], &["ACCUMULATE"], &["ACCUMULATE", "ROW_MU"]],
    loop_bound: "1",
    when: "gradient of the logits",
};

static DNULL: Kernel = Kernel {
    name: "gate/dnull",
    source: include_str!("../../shaders/gate/dnull.wgsl"),
    storage: FIVE,
    params_bytes: size_of::<DnullParams>(),
    flags: &[&[], &["ROW_MU"]],
    loop_bound: "256, doubled until the partials fit 64 MiB",
    when: "first stage of the null logits' gradient",
};

static DMU: Kernel = Kernel {
    name: "gate/dmu",
    source: include_str!("../../shaders/gate/dmu.wgsl"),
    storage: FIVE,
    params_bytes: size_of::<DmuParams>(),
    flags: &[&[], &["ACCUMULATE"]],
    loop_bound: "width",
    when: "gradient of μ",
};

pub(crate) const KERNELS: &[&Kernel] = &[&MIX, &DLOGITS, &DNULL, &DMU];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MixParams {
    logits: Rows,
    validity: Rows,
    mu_rows: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    mu: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DlogitsParams {
    logits: Rows,
    dgate: Rows,
    validity: Rows,
    mu_rows: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    mu: f32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DnullParams {
    dgate: Rows,
    validity: Rows,
    mu_rows: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    partial_start: u32,
    chunk_rows: u32,
    mu: f32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct DmuParams {
    logits: Rows,
    dgate: Rows,
    validity: Rows,
    out: Rows,
    rows: u32,
    width: u32,
    null_start: u32,
    pad: u32,
}

/// A row's weight w = μ · v, as the kernels take it.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    pub validity: View<'a>,
    pub mu: Mu<'a>,
}

impl<'a> Weight<'a> {
    /// Views that a cut into bindings must respect, after those of the kernel.
    fn views(&self, others: &[View<'a>]) -> Vec<View<'a>> {
        let per_row = match self.mu {
            Mu::PerSample(mu) => Some(mu),
            Mu::Knob(_) => None,
        };
        others.iter().copied().chain([self.validity]).chain(per_row).collect()
    }

    fn flags(&self, mode: Mode) -> &'static [&'static str] {
        match (mode, self.mu) {
            (Mode::Overwrite, Mu::Knob(_)) => &[],
            (Mode::Overwrite, Mu::PerSample(_)) => &["ROW_MU"],
            (Mode::Accumulate, Mu::Knob(_)) => &["ACCUMULATE"],
            (Mode::Accumulate, Mu::PerSample(_)) => &["ACCUMULATE", "ROW_MU"],
        }
    }

    /// Validity and μ of a run of rows.
    fn bind(&self, range: &Range<u32>, alignment: u32) -> [Bound<'a>; 2] {
        let mu = match self.mu {
            Mu::PerSample(mu) => mu,
            Mu::Knob(_) => self.validity,
        };
        [self.validity, mu].map(|view| view.bind_rows(range, alignment))
    }

    fn knob(&self) -> Knob<'a> {
        match self.mu {
            Mu::Knob(knob) => knob,
            Mu::PerSample(_) => Knob::Host(0.0),
        }
    }
}

pub(super) fn mix(
    recorder: &mut Recorder<'_>,
    logits: &View<'_>,
    null_logits: &View<'_>,
    weight: Weight<'_>,
    out: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let null = null_logits.bind(alignment);
    let width = logits.width();
    for range in recorder.gpu().row_chunks(OP, &weight.views(&[*logits, *out]), 1)? {
        let [logits, out] = [logits, out].map(|view| view.bind_rows(&range, alignment));
        let [validity, mu] = weight.bind(&range, alignment);
        let rows = range.end - range.start;
        let params = MixParams {
            logits: logits.rows,
            validity: validity.rows,
            mu_rows: mu.rows,
            out: out.rows,
            rows,
            width,
            null_start: null.rows.start,
            mu: weight.knob().host_value(),
        };
        recorder.dispatch(&Dispatch {
            kernel: &MIX,
            flags: weight.flags(Mode::Overwrite),
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(MixParams, mu), weight.knob())],
            storage: &[logits, null, validity, mu, out],
            groups: (u64::from(rows) * u64::from(width)).div_ceil(64),
            iterations: 1,
        })?;
    }
    Ok(())
}

pub(super) fn dlogits(
    recorder: &mut Recorder<'_>,
    logits: &View<'_>,
    dgate: &View<'_>,
    weight: Weight<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let width = logits.width();
    for range in recorder.gpu().row_chunks(OP, &weight.views(&[*logits, *dgate, *out]), 1)? {
        let views = [logits, dgate, out];
        let [logits, dgate, out] = views.map(|view| view.bind_rows(&range, alignment));
        let [validity, mu] = weight.bind(&range, alignment);
        let rows = range.end - range.start;
        let params = DlogitsParams {
            logits: logits.rows,
            dgate: dgate.rows,
            validity: validity.rows,
            mu_rows: mu.rows,
            out: out.rows,
            rows,
            width,
            mu: weight.knob().host_value(),
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: &DLOGITS,
            flags: weight.flags(mode),
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(DlogitsParams, mu), weight.knob())],
            storage: &[logits, dgate, validity, mu, out],
            groups: (u64::from(rows) * u64::from(width)).div_ceil(64),
            iterations: 1,
        })?;
    }
    Ok(())
}

pub(super) fn dnull(
    recorder: &mut Recorder<'_>,
    null_logits: &View<'_>,
    dgate: &View<'_>,
    weight: Weight<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let null = null_logits.bind(alignment);
    let width = dgate.width();
    let chunks = Chunks::new(dgate.rows(), width.into());
    let scratch = recorder.scratch(OP, chunks.bytes(width.into()))?;
    let partials = scratch.matrix(chunks.count, width);
    for range in recorder.gpu().row_chunks(OP, &weight.views(&[*dgate]), chunks.rows)? {
        let filled = chunks.of(&range);
        let part = partials.bind_rows(&filled, alignment);
        let dgate = dgate.bind_rows(&range, alignment);
        let [validity, mu] = weight.bind(&range, alignment);
        let params = DnullParams {
            dgate: dgate.rows,
            validity: validity.rows,
            mu_rows: mu.rows,
            rows: range.end - range.start,
            width,
            null_start: null.rows.start,
            partial_start: part.rows.start,
            chunk_rows: chunks.rows,
            mu: weight.knob().host_value(),
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: &DNULL,
            flags: weight.flags(Mode::Overwrite),
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(DnullParams, mu), weight.knob())],
            storage: &[dgate, null, validity, mu, part],
            groups: (u64::from(filled.end - filled.start) * u64::from(width)).div_ceil(64),
            iterations: chunks.rows.into(),
        })?;
    }
    sum_chunks(recorder, &partials, chunks.count, out, mode, (1.0, None))
}

pub(super) fn dmu(
    recorder: &mut Recorder<'_>,
    logits: &View<'_>,
    null_logits: &View<'_>,
    dgate: &View<'_>,
    validity: &View<'_>,
    out: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let null = null_logits.bind(alignment);
    let width = logits.width();
    for range in recorder.gpu().row_chunks(OP, &[*logits, *dgate, *validity, *out], 1)? {
        let views = [logits, dgate, validity, out];
        let [logits, dgate, validity, out] = views.map(|view| view.bind_rows(&range, alignment));
        let params = DmuParams {
            logits: logits.rows,
            dgate: dgate.rows,
            validity: validity.rows,
            out: out.rows,
            rows: range.end - range.start,
            width,
            null_start: null.rows.start,
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: &DMU,
            flags: mode.flags(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[logits, null, dgate, validity, out],
            groups: u64::from(params.rows).div_ceil(64),
            iterations: width.into(),
        })?;
    }
    Ok(())
}

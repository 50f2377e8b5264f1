//! Recording of the codecs' kernels.

use super::{
    AlphaEarth, AlphaEarthDequantise, AlphaEarthDesc, AlphaEarthQuantise, OP, TesseraDequantise, TesseraDesc,
    TesseraQuantise, code_words,
};
use crate::Error;
use crate::gpu::{Binding, Bound, Dispatch, Kernel, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};

static TESSERA_MAGNITUDE: Kernel = Kernel {
    name: "encode/codec/tessera_magnitude",
    source: include_str!("../../../shaders/encode/codec/tessera_magnitude.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<MagnitudeParams>(),
    flags: &[&[]],
    loop_bound: "max(1024, width / 16)",
    when: "Tessera's int8 with one scale a tensor",
};

static TESSERA_QUANTISE: Kernel = Kernel {
    name: "encode/codec/tessera_quantise",
    source: include_str!("../../../shaders/encode/codec/tessera_quantise.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<TesseraQuantiseParams>(),
    flags: &[&[], &["PER_ROW"]],
    loop_bound: "width / 8",
    when: "Tessera's int8",
};

static TESSERA_DEQUANTISE: Kernel = Kernel {
    name: "encode/codec/tessera_dequantise",
    source: include_str!("../../../shaders/encode/codec/tessera_dequantise.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<TesseraDequantiseParams>(),
    flags: &[&[]],
    loop_bound: "4",
    when: "Tessera's int8",
};

static ALPHAEARTH_QUANTISE: Kernel = Kernel {
    name: "encode/codec/alphaearth_quantise",
    source: include_str!("../../../shaders/encode/codec/alphaearth_quantise.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<AlphaEarthQuantiseParams>(),
    flags: &[&[]],
    loop_bound: "width / 8",
    when: "AlphaEarth's int8",
};

static ALPHAEARTH_DEQUANTISE: Kernel = Kernel {
    name: "encode/codec/alphaearth_dequantise",
    source: include_str!("../../../shaders/encode/codec/alphaearth_dequantise.wgsl"),
    storage: &[Binding::Read, Binding::Write, Binding::Write],
    params_bytes: size_of::<AlphaEarthDequantiseParams>(),
    flags: &[&[]],
    loop_bound: "width / 6",
    when: "AlphaEarth's int8",
};

pub(crate) const KERNELS: &[&Kernel] = &[
    &TESSERA_MAGNITUDE,
    &TESSERA_QUANTISE,
    &TESSERA_DEQUANTISE,
    &ALPHAEARTH_QUANTISE,
    &ALPHAEARTH_DEQUANTISE,
];

/// Rows of one workgroup, sixteen lanes each.
const GROUP_ROWS: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MagnitudeParams {
    x: Rows,
    rows: u32,
    width: u32,
    steps: u32,
    magnitude_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TesseraQuantiseParams {
    x: Rows,
    codes: Rows,
    scales: Rows,
    rows: u32,
    width: u32,
    least_magnitude: u32,
    least_scale: u32,
    magnitude_start: u32,
    pad: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TesseraDequantiseParams {
    codes: Rows,
    scales: Rows,
    x: Rows,
    rows: u32,
    width: u32,
    words: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AlphaEarthQuantiseParams {
    x: Rows,
    valid: Rows,
    codes: Rows,
    rows: u32,
    width: u32,
    has_valid: u32,
    thresholds_start: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct AlphaEarthDequantiseParams {
    codes: Rows,
    x: Rows,
    valid: Rows,
    rows: u32,
    width: u32,
    unit: u32,
    no_data: u32,
}

/// The iterations of a kernel that walks each row once by numbers and once by words.
fn two_walks(width: u32) -> u64 {
    u64::from(width.div_ceil(16)) + u64::from(width.div_ceil(64)) * 5
}

pub(super) fn tessera_quantise(
    recorder: &mut Recorder<'_>,
    desc: &TesseraDesc,
    args: &TesseraQuantise<'_>,
) -> Result<(), Error> {
    if desc.rule.is_per_row() {
        return tessera_codes(recorder, desc, args, None);
    }
    let scratch = recorder.zeroed_scratch(OP, 4)?;
    let magnitude = scratch.vector(1);
    tessera_magnitude(recorder, &args.x, &magnitude)?;
    tessera_codes(recorder, desc, args, Some(&magnitude))
}

/// The largest |x| of all rows.
fn tessera_magnitude(recorder: &mut Recorder<'_>, x: &View<'_>, magnitude: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let magnitude = magnitude.bind(alignment);
    let (width, per_step) = (x.width(), x.width().div_ceil(16));
    // Many rows a workgroup, so that few meet at the one word.
    let steps = (1024 / per_step).clamp(1, 64);
    for range in recorder.gpu().row_chunks(OP, &[*x], 1)? {
        let x = x.bind_rows(&range, alignment);
        let rows = range.end - range.start;
        let params = MagnitudeParams { x: x.rows, rows, width, steps, magnitude_start: magnitude.rows.start };
        recorder.dispatch(&Dispatch {
            kernel: &TESSERA_MAGNITUDE,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, magnitude],
            groups: rows.div_ceil(GROUP_ROWS * steps).into(),
            iterations: u64::from(steps) * u64::from(1 + per_step),
        })?;
    }
    Ok(())
}

fn tessera_codes(
    recorder: &mut Recorder<'_>,
    desc: &TesseraDesc,
    args: &TesseraQuantise<'_>,
    magnitude: Option<&View<'_>>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (least_magnitude, least_scale) = desc.rule.floors();
    let mut cut = vec![args.x, args.codes];
    cut.extend(desc.rule.is_per_row().then_some(args.scales));
    for range in recorder.gpu().row_chunks(OP, &cut, 1)? {
        let [x, codes] = [args.x, args.codes].map(|view| view.bind_rows(&range, alignment));
        let scales = bind_scales(desc, &args.scales, &range, alignment);
        let magnitude = magnitude.map_or(x, |magnitude| magnitude.bind(alignment));
        let params = TesseraQuantiseParams {
            x: x.rows,
            codes: codes.rows,
            scales: scales.rows,
            rows: range.end - range.start,
            width: desc.width,
            least_magnitude: least_magnitude.to_bits(),
            least_scale: least_scale.to_bits(),
            magnitude_start: magnitude.rows.start,
            pad: [0; 3],
        };
        recorder.dispatch(&Dispatch {
            kernel: &TESSERA_QUANTISE,
            flags: if desc.rule.is_per_row() { &["PER_ROW"] } else { &[] },
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, magnitude, codes, scales],
            groups: params.rows.div_ceil(GROUP_ROWS).into(),
            iterations: two_walks(desc.width),
        })?;
    }
    Ok(())
}

/// Scales of a run of rows; where all rows share one, every row finds it.
fn bind_scales<'a>(
    desc: &TesseraDesc,
    scales: &View<'a>,
    range: &std::ops::Range<u32>,
    alignment: u32,
) -> Bound<'a> {
    if desc.rule.is_per_row() {
        return scales.bind_rows(range, alignment);
    }
    let mut bound = scales.bind(alignment);
    (bound.rows.tokens, bound.rows.sample_stride) = (1, 0);
    bound
}

pub(super) fn tessera_dequantise(
    recorder: &mut Recorder<'_>,
    desc: &TesseraDesc,
    args: &TesseraDequantise<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let words = code_words(desc.width);
    let mut cut = vec![args.codes, args.x];
    cut.extend(desc.rule.is_per_row().then_some(args.scales));
    for range in recorder.gpu().row_chunks(OP, &cut, 1)? {
        let [codes, x] = [args.codes, args.x].map(|view| view.bind_rows(&range, alignment));
        let scales = bind_scales(desc, &args.scales, &range, alignment);
        let rows = range.end - range.start;
        let params = TesseraDequantiseParams {
            codes: codes.rows,
            scales: scales.rows,
            x: x.rows,
            rows,
            width: desc.width,
            words,
            pad: 0,
        };
        recorder.dispatch(&Dispatch {
            kernel: &TESSERA_DEQUANTISE,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[codes, scales, x],
            groups: (u64::from(rows) * u64::from(words)).div_ceil(64),
            iterations: 4,
        })?;
    }
    Ok(())
}

pub(super) fn alphaearth_quantise(
    recorder: &mut Recorder<'_>,
    codec: &AlphaEarth,
    args: &AlphaEarthQuantise<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let thresholds = codec.thresholds();
    let thresholds = thresholds.bind(alignment);
    let valid = args.valid.unwrap_or(args.x);
    for range in recorder.gpu().row_chunks(OP, &[args.x, args.codes, valid], 1)? {
        let [x, codes, valid] = [args.x, args.codes, valid].map(|view| view.bind_rows(&range, alignment));
        let params = AlphaEarthQuantiseParams {
            x: x.rows,
            valid: valid.rows,
            codes: codes.rows,
            rows: range.end - range.start,
            width: codec.desc.width,
            has_valid: args.valid.is_some().into(),
            thresholds_start: thresholds.rows.start,
        };
        recorder.dispatch(&Dispatch {
            kernel: &ALPHAEARTH_QUANTISE,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, valid, thresholds, codes],
            groups: params.rows.div_ceil(GROUP_ROWS).into(),
            iterations: two_walks(codec.desc.width),
        })?;
    }
    Ok(())
}

pub(super) fn alphaearth_dequantise(
    recorder: &mut Recorder<'_>,
    desc: &AlphaEarthDesc,
    args: &AlphaEarthDequantise<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    for range in recorder.gpu().row_chunks(OP, &[args.codes, args.x, args.valid], 1)? {
        let [codes, x, valid] =
            [args.codes, args.x, args.valid].map(|view| view.bind_rows(&range, alignment));
        let params = AlphaEarthDequantiseParams {
            codes: codes.rows,
            x: x.rows,
            valid: valid.rows,
            rows: range.end - range.start,
            width: desc.width,
            unit: desc.unit.into(),
            no_data: desc.no_data.to_bits(),
        };
        recorder.dispatch(&Dispatch {
            kernel: &ALPHAEARTH_DEQUANTISE,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[codes, x, valid],
            groups: params.rows.div_ceil(GROUP_ROWS).into(),
            iterations: u64::from(desc.width.div_ceil(64)) * 10,
        })?;
    }
    Ok(())
}

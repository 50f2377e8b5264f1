//! Spherical harmonics: their conventions, and the recording of their kernels.

use super::{Encoder, Layout, Plan};
use crate::Error;
use crate::gpu::{Binding, Bound, Dispatch, Kernel, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};

pub(super) static HARMONICS: Kernel = Kernel {
    name: "encode/harmonics",
    source: include_str!("../../shaders/encode/harmonics.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<Params>(),
    flags: &[&[]],
    loop_bound: "5,000",
    when: "features of every block of spherical harmonics, once a block",
};

pub(super) static HARMONICS_GRADIENT: Kernel = Kernel {
    name: "encode/harmonics_gradient",
    source: include_str!("../../shaders/encode/harmonics_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<GradientParams>(),
    flags: &[&[]],
    loop_bound: "5,000",
    when: "gradient of the inputs: of places through spherical harmonics, once a block",
};

/// Signs and factors of spherical harmonics. Columns are always l = 0..=degree, m = −l..=l, where m < 0 stands for sin |m|φ.
///
/// All conventions are ours times a sign, and π in one case, which the host puts into the coefficients: they cost nothing
/// and are as exact.
///
/// Error against f64: at most 2e-7 + 1e-8·l at degree l in our convention (π times that where the table has π), anywhere
/// on the sphere. Measured on lavapipe at 5,000 random places and 576 next to poles, antimeridian, Greenwich and equator:
///
/// | degree l | worst error | degree l | worst error |
/// |---|---|---|---|
/// | 0 | 1.5e-8 | 21–25 | 2.7e-7 |
/// | 1 | 8.7e-8 | 26–30 | 3.0e-7 |
/// | 2 | 1.4e-7 | 31–33 | 4.1e-7 |
/// | 3–5 | 1.5e-7 | 34 | 3.3e-7 |
/// | 6–8 | 1.9e-7 | 35 | 4.4e-7 |
/// | 9, 10 | 1.7e-7 | 36 | 3.0e-7 |
/// | 11–15 | 2.2e-7 | 37 | 4.0e-7 |
/// | 16–20 | 2.4e-7 | 38–40 | 4.0e-7 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Convention {
    /// Orthonormal on the unit sphere, without the Condon–Shortley sign, colatitude from the north pole.
    #[default]
    Orthonormal,
    /// SatCLIP's closed form: with the Condon–Shortley sign, colatitude from the south pole, longitude from the
    /// antimeridian.
    SatClip,
    /// The table that SatCLIP's pretrained models used: as its closed form, with m = 0 times π and all others times
    /// (−1)^|m|.
    SatClipAnalytic,
}

const ITERATIONS: u64 = 5000;
/// Records of a workgroup, forward and backward.
const TILE: u32 = 1024;
const GRADIENT_TILE: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    e: Rows,
    records_start: u32,
    records_stride: u32,
    samples: u32,
    block: u32,
    parts: u32,
    column: u32,
    pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GradientParams {
    de: Rows,
    dinput: Rows,
    records_start: u32,
    records_stride: u32,
    samples: u32,
    block: u32,
}

/// Adds the gradient of the places through the plan's blocks of spherical harmonics to the first two columns of `dinput`.
pub(super) fn add_gradient(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    records: &View<'_>,
    [de, dinput]: [Bound<'_>; 2],
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (bound, samples) = (records.bind(alignment), records.width());
    for (block, _) in encoder.plan.headers().filter(|(_, layout)| layout.block.is_harmonics()) {
        let params = GradientParams {
            de: de.rows,
            dinput: dinput.rows,
            records_start: bound.rows.start,
            records_stride: records.row_step(),
            samples,
            block,
        };
        recorder.dispatch(&Dispatch {
            kernel: &HARMONICS_GRADIENT,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[bound, encoder.words().bind(alignment), de, dinput],
            groups: samples.div_ceil(GRADIENT_TILE).into(),
            iterations: ITERATIONS,
        })?;
    }
    Ok(())
}

/// Bytes of the widest block's features of one record; 0 without spherical harmonics.
pub(super) fn record_bytes(plan: &Plan) -> u64 {
    let blocks = plan.layouts().iter().filter(|layout| layout.block.is_harmonics());
    blocks.map(|layout| 4 * layout.features.len() as u64).max().unwrap_or(0)
}

/// Records the features of known places, for every block of spherical harmonics.
pub(super) fn forward(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    records: &View<'_>,
    e: &View<'_>,
) -> Result<(), Error> {
    for (block, layout) in encoder.plan.headers().filter(|(_, layout)| layout.block.is_harmonics()) {
        features(encoder, recorder, records, (block, layout), (e, layout.features.start))?;
    }
    Ok(())
}

/// Records the features of one block, into the columns of `e` from `column` on.
pub(super) fn features(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    records: &View<'_>,
    (block, layout): (u32, &Layout),
    (e, column): (&View<'_>, u32),
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let samples = e.rows() as u32;
    let (records_stride, records, e) = (records.row_step(), records.bind(alignment), e.bind(alignment));
    // A wide block is much work for one invocation; a narrow one would spend it on finding the place again.
    let parts = if layout.features.len() > 256 { 8 } else { 1 };
    let params = Params {
        e: e.rows,
        records_start: records.rows.start,
        records_stride,
        samples,
        block,
        parts,
        column,
        pad: [0; 2],
    };
    recorder.dispatch(&Dispatch {
        kernel: &HARMONICS,
        flags: &[],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[records, encoder.words().bind(alignment), e],
        groups: u64::from(parts) * u64::from(samples.div_ceil(TILE)),
        iterations: ITERATIONS,
    })
}

//! int8 codes of finished embeddings, as Tessera and AlphaEarth publish them: quantise and dequantise.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | [`Tessera`]: `scale = max\|x\|/127`, `code = round(x/scale)` | `shaders/encode/codec/tessera_magnitude.wgsl` (one scale a tensor), `…/tessera_quantise.wgsl` | [`twin::tessera_quantise`] |
//! | `x = code · scale` | `…/tessera_dequantise.wgsl` | [`twin::tessera_dequantise`] |
//! | [`AlphaEarth`]: `code = round(sign(x)·√\|x\|·127.5)` in ±127 | `…/alphaearth_quantise.wgsl` | [`twin::alphaearth_quantise`] |
//! | `x = sign(c)·(c/127.5)²`, or that at length 1 | `…/alphaearth_dequantise.wgsl` | [`twin::alphaearth_dequantise`] |
//!
//! **Layout.** [`View`] has no 8-bit type: codes are a u32 view of [`code_words`]`(width)` words a row, four codes a word,
//! the first in the lowest byte, two's complement. Where the width is a multiple of 4 and rows are contiguous this is the
//! plain int8 array of a file on a little-endian machine. Each row starts at a word; bytes behind an odd width's last
//! code are written as 0 and never read. [`pack_codes`] and [`unpack_codes`] convert on the host.
//!
//! **Exactness.** Rounding is half to even, and codes and scales equal those of IEEE arithmetic bit for bit on every
//! adapter, although WGSL lets its division and square root err: integers decide.
//!
//! Sources: the Tessera inference code (`ucam-eo/tessera`) for its three rules; the readers of the AlphaEarth product, for
//! which no official code exists. Tests: `tests/gpu/encode/codec.rs`, `tests/golden.rs`.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Recorder, View, check_overlap};

const OP: &str = "encode/codec";
/// One lane of a kernel walks along a row.
const MAX_WIDTH: u32 = 59_999;

/// Words that hold the codes of a row: a quarter of the width, rounded up.
///
/// ```
/// assert_eq!(gtca::encode::codec::code_words(9), 3);
/// ```
pub fn code_words(width: u32) -> u32 {
    width.div_ceil(4)
}

/// Packs rows of codes into words, as the kernels hold them.
///
/// # Panics
/// When `width` is 0 or the codes are no whole rows.
///
/// ```
/// use gtca::encode::codec::{pack_codes, unpack_codes};
/// assert_eq!(pack_codes(&[1, -1, 0, 0, 5], 5), [0xff01, 5]);
/// assert_eq!(unpack_codes(&[0xff01, 5], 5), [1, -1, 0, 0, 5]);
/// ```
pub fn pack_codes(codes: &[i8], width: usize) -> Vec<u32> {
    assert!(codes.len().is_multiple_of(width), "{} codes in rows of {width}", codes.len());
    let word = |codes: &[i8]| {
        let mut bytes = [0; 4];
        bytes.iter_mut().zip(codes).for_each(|(byte, &code)| *byte = code as u8);
        u32::from_le_bytes(bytes)
    };
    codes.chunks_exact(width).flat_map(|row| row.chunks(4).map(word)).collect()
}

/// The codes in rows of words; the reverse of [`pack_codes`].
///
/// # Panics
/// When `width` is 0 or the words are no whole rows.
pub fn unpack_codes(words: &[u32], width: usize) -> Vec<i8> {
    let per_row = width.div_ceil(4);
    assert!(words.len().is_multiple_of(per_row), "{} words in rows of {per_row}", words.len());
    let bytes = |row: &[u32]| row.iter().flat_map(|word| word.to_le_bytes()).take(width).collect::<Vec<u8>>();
    words.chunks_exact(per_row).flat_map(bytes).map(|byte| byte as i8).collect()
}

fn check_width(width: u32) -> Result<(), Error> {
    if (1..=MAX_WIDTH).contains(&width) {
        return Ok(());
    }
    let rule = format!("widths run from 1 to {MAX_WIDTH}");
    Err(Error::argument(OP, "width", width, rule, "split the embedding"))
}

/// Which of Tessera's rules: how many numbers share a scale, and what an embedding of zeros gives.
///
/// Upstream's clamps (±127, or −128..=127 in v1) never act: `|x| ≤ max|x|`, so `|x/scale|` rounds to 127 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TesseraRule {
    /// v1.0: one scale for the whole tensor, at least 1e-8.
    TensorV1,
    /// v1.1: one scale a row, at least 1e-8.
    RowV1_1,
    /// v2: one scale a row; `max|x|` counts as at least 1e-12.
    #[default]
    RowV2,
}

impl TesseraRule {
    /// Whether every row has a scale of its own.
    pub fn is_per_row(self) -> bool {
        self != Self::TensorV1
    }

    /// Floors of max|x| and of the scale.
    pub(super) fn floors(self) -> (f32, f32) {
        match self {
            Self::TensorV1 | Self::RowV1_1 => (0.0, 1e-8),
            Self::RowV2 => (1e-12, 0.0),
        }
    }
}

/// Shape and rule of Tessera's int8.
#[derive(Clone, Copy, Debug)]
pub struct TesseraDesc {
    /// Channels of an embedding; 1 to 59,999.
    pub width: u32,
    /// Which rule.
    pub rule: TesseraRule,
}

impl Default for TesseraDesc {
    /// 128 channels, v2.
    fn default() -> Self {
        Self { width: 128, rule: TesseraRule::default() }
    }
}

/// Tessera's int8 embeddings: a linear code with a scale a row or a tensor.
///
/// ```
/// use gtca::encode::codec::{Tessera, TesseraDesc};
/// assert!(Tessera::new(&TesseraDesc::default()).is_ok());
/// assert!(Tessera::new(&TesseraDesc { width: 0, ..Default::default() }).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tessera {
    desc: TesseraDesc,
}

/// Arguments of [`Tessera::quantise`].
#[derive(Clone, Copy, Debug)]
pub struct TesseraQuantise<'a> {
    /// f32 `[rows, width]`.
    pub x: View<'a>,
    /// Written: u32 `[rows, code_words(width)]`.
    pub codes: View<'a>,
    /// Written: f32 `[rows, 1]`, or `[1]` under [`TesseraRule::TensorV1`].
    pub scales: View<'a>,
}

/// Arguments of [`Tessera::dequantise`].
#[derive(Clone, Copy, Debug)]
pub struct TesseraDequantise<'a> {
    /// u32 `[rows, code_words(width)]`.
    pub codes: View<'a>,
    /// f32 `[rows, 1]`, or `[1]` under [`TesseraRule::TensorV1`].
    pub scales: View<'a>,
    /// Written: f32 `[rows, width]`.
    pub x: View<'a>,
}

impl Tessera {
    /// Checks the shape.
    ///
    /// # Errors
    /// A width outside 1..=59,999.
    pub fn new(desc: &TesseraDesc) -> Result<Self, Error> {
        check_width(desc.width)?;
        Ok(Self { desc: *desc })
    }

    /// Records codes and scales. Under a rule per row a row alone gives the same bits.
    ///
    /// A NaN or an infinity spoils what shares its scale: the scale is NaN and the codes are 0, so that
    /// [`Tessera::dequantise`] gives NaN. Subnormal numbers give code 0.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs.
    pub fn quantise(&self, recorder: &mut Recorder<'_>, args: &TesseraQuantise<'_>) -> Result<(), Error> {
        let rows = args.x.rows();
        self.check(rows, &args.x, &args.codes, &args.scales)?;
        check_overlap(
            OP,
            &[
                ("x", args.x, Access::Read),
                ("codes", args.codes, Access::Write),
                ("scales", args.scales, Access::Write),
            ],
        )?;
        gpu::tessera_quantise(recorder, &self.desc, args)
    }

    /// Records `x = code · scale`: the f32 product, correctly rounded (a subnormal one may be flushed to 0, and one within
    /// an ulp of the largest f32 may overflow). A scale that is NaN or infinite gives NaN.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs.
    pub fn dequantise(&self, recorder: &mut Recorder<'_>, args: &TesseraDequantise<'_>) -> Result<(), Error> {
        let rows = args.x.rows();
        self.check(rows, &args.x, &args.codes, &args.scales)?;
        check_overlap(
            OP,
            &[
                ("codes", args.codes, Access::Read),
                ("scales", args.scales, Access::Read),
                ("x", args.x, Access::Write),
            ],
        )?;
        gpu::tessera_dequantise(recorder, &self.desc, args)
    }

    fn check(&self, rows: u64, x: &View<'_>, codes: &View<'_>, scales: &View<'_>) -> Result<(), Error> {
        x.check_rows(OP, "x", Dtype::F32, rows, self.desc.width)?;
        codes.check_rows(OP, "codes", Dtype::U32, rows, code_words(self.desc.width))?;
        let of_scales = if self.desc.rule.is_per_row() { rows } else { 1 };
        scales.check_rows(OP, "scales", Dtype::F32, of_scales, 1)
    }
}

/// Shape and options of AlphaEarth's int8.
#[derive(Clone, Copy, Debug)]
pub struct AlphaEarthDesc {
    /// Channels of an embedding; 1 to 59,999. The product has 64.
    pub width: u32,
    /// Whether dequantised embeddings get length 1 exactly, so that dot products are cosines: the codes alone give
    /// 1.000 ± 0.009.
    pub unit: bool,
    /// What dequantising writes into every channel where there is no data; any f32, NaN too.
    pub no_data: f32,
}

impl Default for AlphaEarthDesc {
    /// 64 channels, length 1, zeros where there is no data.
    fn default() -> Self {
        Self { width: 64, unit: true, no_data: 0.0 }
    }
}

/// AlphaEarth's int8 embeddings: a square-root code, with −128 for no data.
///
/// ```no_run
/// use gtca::encode::codec::{AlphaEarth, AlphaEarthDequantise, AlphaEarthDesc};
/// use gtca::gpu::{Dtype, Gpu, View};
/// # fn f(gpu: &Gpu, words: &[u32]) -> Result<(), gtca::Error> {
/// let rows = words.len() as u32 / 16;
/// let codec = AlphaEarth::new(gpu, &AlphaEarthDesc::default())?;
/// let codes = gpu.upload("codes", words);
/// let x = gpu.zeros("x", u64::from(rows) * 64 * 4);
/// let valid = gpu.zeros("valid", u64::from(rows) * 4);
/// let mut commands = gpu.encoder();
/// codec.dequantise(
///     &mut gpu.recorder(&mut commands),
///     &AlphaEarthDequantise {
///         codes: View::matrix(&codes, rows, 16).of(Dtype::U32),
///         x: View::matrix(&x, rows, 64),
///         valid: View::matrix(&valid, rows, 1),
///     },
/// )
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AlphaEarth {
    desc: AlphaEarthDesc,
    /// The least |x| of every code, as bits.
    thresholds: wgpu::Buffer,
}

/// Arguments of [`AlphaEarth::quantise`].
#[derive(Clone, Copy, Debug)]
pub struct AlphaEarthQuantise<'a> {
    /// f32 `[rows, width]`, meant to be of length 1; |x| > 0.992 saturates at ±127.
    pub x: View<'a>,
    /// f32 `[rows, 1]`: 0 where there is no data. Absent: every row has data.
    pub valid: Option<View<'a>>,
    /// Written: u32 `[rows, code_words(width)]`.
    pub codes: View<'a>,
}

/// Arguments of [`AlphaEarth::dequantise`].
#[derive(Clone, Copy, Debug)]
pub struct AlphaEarthDequantise<'a> {
    /// u32 `[rows, code_words(width)]`.
    pub codes: View<'a>,
    /// Written: f32 `[rows, width]`.
    pub x: View<'a>,
    /// Written: f32 `[rows, 1]`, 1 where there is data, else 0; fits a gate's `validity`.
    pub valid: View<'a>,
}

impl AlphaEarth {
    /// Checks the shape and puts the table of thresholds on the device.
    ///
    /// # Errors
    /// A width outside 1..=59,999.
    pub fn new(gpu: &Gpu, desc: &AlphaEarthDesc) -> Result<Self, Error> {
        check_width(desc.width)?;
        let thresholds = gpu.upload("gtca alphaearth thresholds", &twin::alphaearth_thresholds());
        Ok(Self { desc: *desc, thresholds })
    }

    /// Records codes. A row that is not valid, or holds a NaN or an infinity, is no data: −128 in every channel. Rows
    /// are independent.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs.
    pub fn quantise(&self, recorder: &mut Recorder<'_>, args: &AlphaEarthQuantise<'_>) -> Result<(), Error> {
        let rows = args.x.rows();
        args.x.check_rows(OP, "x", Dtype::F32, rows, self.desc.width)?;
        args.codes.check_rows(OP, "codes", Dtype::U32, rows, code_words(self.desc.width))?;
        let mut used = vec![("x", args.x, Access::Read), ("codes", args.codes, Access::Write)];
        if let Some(valid) = args.valid {
            valid.check_rows(OP, "valid", Dtype::F32, rows, 1)?;
            used.push(("valid", valid, Access::Read));
        }
        check_overlap(OP, &used)?;
        gpu::alphaearth_quantise(recorder, self, args)
    }

    /// Records embeddings and where they are valid. A row that holds −128 in any channel is no data (quantising never
    /// gives that code, and the product has it in all channels or in none). Rows are independent. Without `unit` within
    /// 1.2e-7 of the formula, bit-equal on every adapter; with it, lengths are within 4e-7 of 1, and an embedding of zeros
    /// stays one.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs.
    pub fn dequantise(
        &self,
        recorder: &mut Recorder<'_>,
        args: &AlphaEarthDequantise<'_>,
    ) -> Result<(), Error> {
        let rows = args.x.rows();
        args.codes.check_rows(OP, "codes", Dtype::U32, rows, code_words(self.desc.width))?;
        args.x.check_rows(OP, "x", Dtype::F32, rows, self.desc.width)?;
        args.valid.check_rows(OP, "valid", Dtype::F32, rows, 1)?;
        check_overlap(
            OP,
            &[
                ("codes", args.codes, Access::Read),
                ("x", args.x, Access::Write),
                ("valid", args.valid, Access::Write),
            ],
        )?;
        gpu::alphaearth_dequantise(recorder, &self.desc, args)
    }

    /// The table of thresholds as a view.
    fn thresholds(&self) -> View<'_> {
        View::vector(&self.thresholds, twin::THRESHOLDS as u32).of(Dtype::U32)
    }
}

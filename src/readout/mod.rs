//! From a layer's tokens to logits: pointwise activation, mean over tokens, linear head; for one y, or for y under many gates
//! without storing any y_k.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `m[s] = 1/T_s Σ_t act(x[s, t])` | `shaders/readout/mean.wgsl` | [`twin::mean`] |
//! | `m_k[s] = 1/T_s Σ_t act(y[s, t] + λ·s·(h[s, t] ⊙ g_k[s]) Bᵀ)` | `shaders/readout/injected.wgsl` | [`twin::injected`] |
//! | `logits = m Wᵀ + b` | `shaders/readout/head.wgsl` | [`twin::head`] |
//! | act | `shaders/readout/activation.wgsl` | [`Activation::of`] |
//!
//! `injected.wgsl` says what is computed and holds every load and store; the loops stand in `lanes/` and `threads/`, and
//! [`Form::of`] the device chooses. Both give the same bits.
//!
//! The second line is what makes wrong metadata cheap where something non-linear follows the adapter: h = x·Aᵀ
//! ([`Lora::hidden`](crate::lora::Lora::hidden)) is made once, y is read once for up to 17 gates, and what is stored is a mean per gate
//! and sample, not a row per gate and token. [`crate::adapter::LastLayer`] puts it between the injection and
//! [`Probe::external`](crate::sensitivity::Probe::external).
//!
//! x and y are f32, f16 or bf16; all else is f32. Samples may have fewer tokens than there is room for: `counts` says how many of
//! a sample's first tokens count. Sums run over ranks, then over tokens, then over columns, upwards each: a sample's logits
//! depend on no other sample, and the gates of a call not on each other. Tests: `tests/gpu/readout.rs`.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Knob, Recorder, View, check_overlap};

const OP: &str = "readout";
/// What the loops over columns and classes take.
const MAX_WIDTH: u32 = 59_999;
const MAX_RANK: u32 = 256;

/// What is done to every number of y before the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing: pooling is linear then, and the factored path applies.
    #[default]
    Identity,
    /// max(x, 0).
    Relu,
    /// x·Φ(x), Φ the normal distribution: GELU by the error function (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    Gelu,
    /// ½x(1 + tanh(√(2/π)(x + 0.044715x³))): the same paper's approximation.
    GeluTanh,
    /// x·σ(x).
    Silu,
}

/// The structure of the pooled injection's kernel; both give the same bits. [`Readout::variant`] tells which one a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// Subgroups of exactly eight lanes that share loads by broadcasts: software adapters such as lavapipe. It takes f32 in whole
    /// vectors and ranks to 64; all else goes to [`Form::Threads`]. Needs [`wgpu::Features::SUBGROUP`].
    Lanes,
    /// Register tiles alone: GPUs, and whatever has no such subgroups.
    Threads,
}

impl Form {
    /// The default on a device: [`Form::Lanes`] on a software adapter that runs it, else [`Form::Threads`].
    pub fn of(gpu: &Gpu) -> Self {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        if software && Self::Lanes.runs_on(gpu) { Self::Lanes } else { Self::Threads }
    }

    /// Whether the device can run it.
    pub fn runs_on(self, gpu: &Gpu) -> bool {
        self == Self::Threads || gpu.has_subgroups_of(8)
    }
}

/// A readout's shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadoutDesc {
    /// Width of y and of its mean; 1 to 59,999.
    pub width: u32,
    /// Width of the logits; 1 to 59,999.
    pub classes: u32,
    /// Between injection and mean.
    pub activation: Activation,
    /// The structure of the kernel; without it [`Form::of`] the device.
    pub form: Option<Form>,
}

/// A checked readout.
///
/// ```
/// use gtca::readout::{Activation, Readout, ReadoutDesc};
/// let desc = ReadoutDesc { width: 768, classes: 16, activation: Activation::Gelu, form: None };
/// assert!(Readout::new(&desc).is_ok());
/// assert!(Readout::new(&ReadoutDesc { width: 0, ..desc }).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Readout {
    desc: ReadoutDesc,
}

/// Arguments of [`Readout::mean`].
#[derive(Clone, Copy, Debug)]
pub struct Mean<'a> {
    /// f32, f16 or bf16 `[S, T, any width]`.
    pub x: View<'a>,
    /// u32 `[S, 1]`: how many of a sample's first tokens count, at most T; none: all. Of no token the mean is 0.
    pub counts: Option<View<'a>>,
    /// Written: `[S, 1, the same width]`.
    pub out: View<'a>,
}

/// Arguments of [`Readout::injected`].
#[derive(Clone, Copy, Debug)]
pub struct Injected<'a> {
    /// The frozen layer's output, f32, f16 or bf16 `[S, T, width]`; read only.
    pub y: View<'a>,
    /// `h = x·Aᵀ`, `[S, T, r]`, r from 1 to 256.
    pub h: View<'a>,
    /// B transposed, `[r, 1, width]`.
    pub b_t: View<'a>,
    /// Gates of K perturbations, `[K, S, r]`, or `[K, S, 1]` where all ranks share one. Gates per token are refused: they would be
    /// read once a token and gate, as often as h ⊙ g itself.
    pub gates: View<'a>,
    /// λ, the adapter weight.
    pub lambda: Knob<'a>,
    /// s = α/r or α/√r.
    pub scale: f32,
    /// As in [`Mean`].
    pub counts: Option<View<'a>>,
    /// Written: the means, `[K, S, width]`.
    pub out: View<'a>,
}

/// Arguments of [`Readout::head`].
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Rows of width `width`, such as means `[K, S, width]`.
    pub x: View<'a>,
    /// W, `[classes, 1, width]`.
    pub weight: View<'a>,
    /// `[1, 1, classes]`, or none.
    pub bias: Option<View<'a>>,
    /// Written: as many rows, of width `classes`.
    pub logits: View<'a>,
}

impl Readout {
    /// Checks the shape.
    ///
    /// # Errors
    /// A width or number of classes outside 1..=59,999.
    pub fn new(desc: &ReadoutDesc) -> Result<Self, Error> {
        for (name, width) in [("width", desc.width), ("classes", desc.classes)] {
            if !(1..=MAX_WIDTH).contains(&width) {
                let rule = format!("widths run from 1 to {MAX_WIDTH}");
                return Err(Error::argument(OP, name, width, rule, "split the layer"));
            }
        }
        Ok(Self { desc: *desc })
    }

    /// The description.
    pub fn desc(&self) -> &ReadoutDesc {
        &self.desc
    }

    /// The structure of the kernel that a call takes: the descriptor's, else [`Form::of`] the device; but where that is
    /// [`Form::Lanes`], [`Form::Threads`] for a y of halves, above 64 ranks, and where y, B or the means do not lie in whole vectors:
    /// widths, strides and offsets at multiples of four numbers.
    ///
    /// # Errors
    /// The descriptor's form cannot run there.
    pub fn variant(&self, gpu: &Gpu, args: &Injected<'_>) -> Result<Form, Error> {
        let form = self.desc.form.unwrap_or_else(|| Form::of(gpu));
        if !form.runs_on(gpu) {
            let rule = "it needs a device with wgpu::Features::SUBGROUP and subgroups of exactly 8 lanes";
            let value = format!("{form:?}");
            return Err(Error::argument(OP, "form", value, rule, "leave it out to have one chosen"));
        }
        Ok(if gpu::lanes_take(args) { form } else { Form::Threads })
    }

    /// Records the mean of `act(x)` over every sample's tokens, with this activation, whatever the readout's own: the inputs of a
    /// layer are pooled as they are.
    ///
    /// ```no_run
    /// # use gtca::{gpu::{Recorder, View}, readout::*};
    /// # fn f(recorder: &mut Recorder<'_>, x: View<'_>, out: View<'_>) -> Result<(), gtca::Error> {
    /// Readout::mean(recorder, Activation::Identity, &Mean { x, counts: None, out })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; an output that overlaps anything; 60,000 tokens or more a sample.
    pub fn mean(recorder: &mut Recorder<'_>, act: Activation, args: &Mean<'_>) -> Result<(), Error> {
        let [samples, _, width] = args.x.shape;
        args.x.check(OP, "x", args.x.float(OP, "x")?)?;
        check_tokens(&args.x, "x")?;
        args.out.check_shape(OP, "out", Dtype::F32, [samples, 1, width])?;
        let mut used = vec![("x", args.x, Access::Read), ("out", args.out, Access::Write)];
        used.extend(check_counts(args.counts, samples)?);
        check_overlap(OP, &used)?;
        gpu::mean(recorder, act, args)
    }

    /// Records the means under many gates. With λ = 0, from the host or a buffer, all are those of y.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, readout::*};
    /// # fn f(
    /// #     recorder: &mut Recorder<'_>, y: View<'_>, h: View<'_>, b_t: View<'_>, gates: View<'_>, out: View<'_>,
    /// # ) -> Result<(), gtca::Error> {
    /// let desc = ReadoutDesc { width: 768, classes: 16, activation: Activation::Relu, form: None };
    /// let lambda = Knob::Host(1.0);
    /// let args = Injected { y, h, b_t, gates, lambda, scale: 1.0, counts: None, out };
    /// Readout::new(&desc)?.injected(recorder, &args)
    /// # }
    /// ```
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; gates per token; a λ or scale that is not finite; an output that overlaps anything; tokens/4
    /// · (r/4 + 1) not below 60,000.
    pub fn injected(&self, recorder: &mut Recorder<'_>, args: &Injected<'_>) -> Result<(), Error> {
        let [samples, tokens, _] = args.y.shape;
        let [variants, _, gate_width] = args.gates.shape;
        let rank = args.h.width();
        if !(1..=MAX_RANK).contains(&rank) {
            let rule = format!("ranks run from 1 to {MAX_RANK}");
            return Err(Error::argument(OP, "h", format!("{rank} wide"), rule, "choose a smaller rank"));
        }
        if gate_width != rank && gate_width != 1 {
            let rule = format!("gates are {rank} wide, or 1 where all ranks share one");
            return Err(Error::argument(OP, "gates", format!("{gate_width} wide"), rule, "check the shapes"));
        }
        if !args.scale.is_finite() {
            return Err(Error::argument(OP, "scale", args.scale, "it must be finite", "check α and r"));
        }
        args.lambda.check(OP, "lambda")?;
        let width = self.desc.width;
        args.y.check_shape(OP, "y", args.y.float(OP, "y")?, [samples, tokens, width])?;
        check_tokens(&args.y, "y")?;
        args.h.check_shape(OP, "h", Dtype::F32, [samples, tokens, rank])?;
        args.b_t.check_shape(OP, "b_t", Dtype::F32, [rank, 1, width])?;
        args.gates.check_shape(OP, "gates", Dtype::F32, [variants, samples, gate_width])?;
        args.out.check_shape(OP, "out", Dtype::F32, [variants, samples, width])?;
        let mut used = vec![
            ("y", args.y, Access::Read),
            ("h", args.h, Access::Read),
            ("b_t", args.b_t, Access::Read),
            ("gates", args.gates, Access::Read),
            ("out", args.out, Access::Write),
        ];
        used.extend(check_counts(args.counts, samples)?);
        check_overlap(OP, &used)?;
        gpu::injected(recorder, self.variant(recorder.gpu(), args)?, self.desc.activation, args)
    }

    /// Records `logits = x Wᵀ + bias`.
    ///
    /// ```no_run
    /// # use gtca::{gpu::{Recorder, View}, readout::*};
    /// # fn f(recorder: &mut Recorder<'_>, x: View<'_>, weight: View<'_>, logits: View<'_>) -> Result<(), gtca::Error> {
    /// let readout = Readout::new(&ReadoutDesc { width: 768, classes: 16, ..Default::default() })?;
    /// readout.head(recorder, &Head { x, weight, bias: None, logits })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; an output that overlaps anything.
    pub fn head(&self, recorder: &mut Recorder<'_>, args: &Head<'_>) -> Result<(), Error> {
        let ReadoutDesc { width, classes, .. } = self.desc;
        args.x.check_rows(OP, "x", Dtype::F32, args.x.rows(), width)?;
        args.weight.check_matrix(OP, "weight", Dtype::F32, classes.into(), width)?;
        args.logits.check_rows(OP, "logits", Dtype::F32, args.x.rows(), classes)?;
        let mut used = vec![
            ("x", args.x, Access::Read),
            ("weight", args.weight, Access::Read),
            ("logits", args.logits, Access::Write),
        ];
        if let Some(bias) = args.bias {
            bias.check_rows(OP, "bias", Dtype::F32, 1, classes)?;
            used.push(("bias", bias, Access::Read));
        }
        check_overlap(OP, &used)?;
        gpu::head(recorder, args)
    }
}

/// A mean is of something; `counts` may still say 0.
fn check_tokens(view: &View<'_>, argument: &'static str) -> Result<(), Error> {
    if view.shape[1] > 0 {
        return Ok(());
    }
    let value = format!("of shape {:?}", view.shape);
    Err(Error::argument(OP, argument, value, "a sample has room for a token at least", "check the shapes"))
}

/// Counts of tokens for the overlap check.
fn check_counts(
    counts: Option<View<'_>>,
    samples: u32,
) -> Result<Option<(&'static str, View<'_>, Access)>, Error> {
    if let Some(counts) = &counts {
        counts.check_shape(OP, "counts", Dtype::U32, [samples, 1, 1])?;
    }
    Ok(counts.map(|counts| ("counts", counts, Access::Read)))
}

//! The injection: a gated low-rank addition to the activations of a frozen layer.
//!
//! LoRA (Hu et al. 2021, arXiv:2106.09685), optionally with rank-stabilized scaling (Kalajdzievski 2023,
//! arXiv:2312.03732), and between its two maps a gate per sample that metadata drives:
//! `y += λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ + bias)`. `A: [r, inputs]` as PEFT stores it; `b_t: [r, outputs]` is PEFT's B transposed, and
//! the bias PEFT's `lora_bias`. x̃ is x, in training with [`Dropout`].
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `x̃ = x ⊙ keep / (1 − p)` | `shaders/lora/dropout.wgsl` | [`twin::dropped`] |
//! | `h = x̃ Aᵀ`, `u = dy B` | `shaders/lora/down.wgsl` | [`twin::down`] |
//! | `h ⊙ g`, `u ⊙ g` | `shaders/lora/gated.wgsl` | [`twin::Gated`] |
//! | `y += λs ((h ⊙ g) Bᵀ + bias)`, `dx += λs (u ⊙ g) A ⊙ keep / (1 − p)` | `shaders/lora/up.wgsl` | [`twin::up`] |
//! | `out = y + λs ((h ⊙ g) Bᵀ + bias)` | the same | [`twin::up`] on a copy of y |
//! | `dA = λs Σ (u ⊙ g)ᵀ x̃`, `dBᵀ = λs Σ (h ⊙ g)ᵀ dy` | `shaders/lora/outer.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::outer`] |
//! | `dg = λs Σ_T u ⊙ h` (scalar gate: also Σ over r) | `shaders/lora/dgate.wgsl`, then `reduce/sum_chunks.wgsl`; per token `shaders/lora/dgate_tokens.wgsl` | [`twin::dgate`] |
//! | `dbias = λs Σ dy` | `shaders/reduce/column_sum.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::dbias`] |
//! | `dλ = s (Σ u ⊙ g ⊙ h + (Σ dy)·bias)` | `shaders/lora/dlambda.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::dlambda`] |
//!
//! `down.wgsl`, `up.wgsl` and `outer.wgsl` say what is computed and hold every load and store; the loops around them stand
//! once per [`Family`] in `lanes/`, `shared/` and `threads/`.
//!
//! Many adapters in a batch ([`Bank`]) run in the same kernels: `shaders/lora/tile.wgsl` finds a tile's rows and adapter, and
//! `sum_parts.wgsl` is the second stage of sums over an adapter's or a sample's rows. The twin is that of each adapter alone.
//!
//! Tests: `tests/gpu/lora/`.
//!
//! **Types.** x, y, dy and dx share one type: f32, f16 or bf16, the halves two to a word with every row from a whole word on
//! (even strides; any width). A, b_t and bias share another; halves of these are written out as f32 once a call, exactly
//! (`shaders/lora/widen.wgsl`; of many adapters, those that have rows, `widen_many.wgsl`). h, u, gates, λ and all parameters'
//! gradients are f32, and so is every sum. What is stored in halves is rounded once, from the f32 that an f32 output would get,
//! half to even, with subnormals kept and overflow to infinity. Beside an odd width the other half of a row's last word keeps
//! its bits, and belongs to no other view.
//!
//! **Off is off.** A host λ of 0 does not touch y. A λ of 0 in a buffer, or an addend that is exactly 0 (as with
//! B = 0, no bias and finite x, A, g), leaves every bit of y as it was stored: −0, Inf and NaN too. Out of place, `out`
//! gets these bits.
//!
//! **Order of sums.** Over inputs and outputs: upwards with fma, in [`Family::Shared`] in 64 / min(r, 16) interleaved parts
//! (r rounded up to 4, 8 or 16); over ranks: upwards with fma. So a row alone gives the bits it has in a batch.
//! dg: chunks of 64 tokens from the sample's first. dA, dB, dλ: chunks of rows from row 0, their size a function of the
//! family and the batch's shape.
//!
//! **Scratch.** `rows · rank` f32 forward where h is not saved, as many again where there are gates; at most
//! `2 · rows · rank` backward beside the partial sums: `rank · width` f32 for each chunk of dA or dB (512 rows in
//! [`Family::Lanes`], else 256; doubled until all take less than 64 MiB), and the weights in f32 where they are stored in
//! halves. [`crate::gpu::Gpu::scratch_bytes`] counts exactly.
//!
//! **Saved or computed again.** The backward reads h where it is given, and else computes it from x, with the same bits; u is
//! always computed. Saving h costs `rows · rank` f32 and spares one pass over x; dx and dA alone need no h.
//!
//! **Rows.** Class tokens keep their bits where the views start behind them: the offset of one row, `tokens − 1` tokens a
//! sample, the strides unchanged. Samples of differing lengths, and
//! samples with adapters of their own, go through a [`Bank`] and its [`Routing`] (ragged rows without further adapters: a
//! bank of one). Several adapted layers are several calls into one recorder, or one [`forward_layers`].

mod bank;
mod family;
mod gpu;
mod inject;
mod kernels;
mod maps;
mod routing;
mod step;
mod tuned;
pub mod twin;

pub use bank::{Bank, BankBackward, BankDesc, BankForward, Member, Place};
pub use family::Family;
pub(crate) use gpu::kernels;
pub use inject::{Block, Deliver, Inject};
pub use routing::{Routing, RowSample};
pub use tuned::{Tuned, Workload};

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Knob, Mode, Recorder, View, check_overlap};
use gpu::Target;
use maps::Maps;
use step::{Gradient, Matrices, Step, recorded};

/// An argument for the overlap check.
type Used<'a> = (&'static str, View<'a>, Access);

const OP: &str = "lora";
/// What the loops over inputs and outputs take in every family.
const MAX_WIDTH: u32 = 59_999;
const MAX_RANK: u32 = 256;

/// How α becomes the factor s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scaling {
    /// s = α / r.
    #[default]
    Standard,
    /// s = α / √r.
    RankStabilized,
}

/// An adapter's shape and scaling.
#[derive(Clone, Copy, Debug)]
pub struct LoraDesc {
    /// Width of x; 1 to 59,999.
    pub inputs: u32,
    /// Width of y; 1 to 59,999.
    pub outputs: u32,
    /// r; 1 to 256.
    pub rank: u32,
    /// α; finite.
    pub alpha: f32,
    /// How α becomes s.
    pub scaling: Scaling,
    /// The structure of the kernels, for example [`Tuned`]'s choice; without it [`Family::of`] the device.
    pub family: Option<Family>,
}

/// Rank 8 and α = 8; the widths must be set.
impl Default for LoraDesc {
    fn default() -> Self {
        Self { inputs: 0, outputs: 0, rank: 8, alpha: 8.0, scaling: Scaling::Standard, family: None }
    }
}

/// Gates, f32: of a sample, whose tokens share them, or of each token. The view's shape says which.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Gate<'a> {
    /// g = 1: plain LoRA.
    #[default]
    None,
    /// One gate a rank: `[samples, 1, rank]`, or per token `[samples, tokens, rank]`; often a range of columns of all
    /// layers' gates.
    Rank(View<'a>),
    /// One gate for all ranks: `[samples, 1, 1]`, or per token `[samples, tokens, 1]`.
    Scalar(View<'a>),
}

impl<'a> Gate<'a> {
    pub(super) fn view(&self) -> Option<View<'a>> {
        match self {
            Self::None => None,
            Self::Rank(view) | Self::Scalar(view) => Some(*view),
        }
    }
    /// Whether every token has gates of its own.
    fn is_per_token(&self, samples: u32) -> bool {
        self.view().is_some_and(|view| view.shape[..2] != [samples, 1])
    }

    /// Refuses gates that are neither of the samples nor of the tokens.
    fn check(&self, samples: [u32; 2], tokens: [u32; 2], rank: u32) -> Result<(), Error> {
        let (view, width) = match self {
            Self::None => return Ok(()),
            Self::Rank(view) => (view, rank),
            Self::Scalar(view) => (view, 1),
        };
        let [count, of_each] = if view.shape[..2] == tokens { tokens } else { samples };
        view.check_shape(OP, "gate", Dtype::F32, [count, of_each, width])
    }

    /// Refuses a gradient that is not of the gates' shape.
    fn check_gradient(&self, dgate: &Option<View<'_>>) -> Result<(), Error> {
        match (self.view(), dgate) {
            (_, None) => Ok(()),
            (Some(gate), Some(dgate)) => dgate.check_shape(OP, "dgate", Dtype::F32, gate.shape),
            (None, Some(_)) => {
                Err(Error::argument(OP, "dgate", "given", "there are no gates", "leave it out"))
            }
        }
    }
}

/// Dropout of x on the adapter's path: `x̃ = x ⊙ keep / (1 − p)`; the frozen layer sees x itself.
///
/// Draws are a function of seed, step, row and column alone (Threefry-4x32-20, [`crate::common::rng`]): the backward draws
/// them again instead of storing them, and so may anybody else. Column k of row i has word k mod 4 of
/// `draw4(seed, PURPOSE_DROPOUT, first_row + i, step, k / 4)`, with rows counted over samples and tokens, tokens fastest. It
/// is kept where that word is at least ⌈p · 2³²⌉.
///
/// ```
/// use gtca::lora::{Dropout, PURPOSE_DROPOUT, twin};
/// let dropout = Dropout { probability: 0.5, seed: 7, step: 3, first_row: 0 };
/// let x = twin::dropped(Some(dropout), &[1.0; 8], 4);
/// let draws = gtca::common::rng::draw4(7, PURPOSE_DROPOUT, 1, 3, 0);
/// assert_eq!(x[4..], draws.map(|draw| if draw >= 1 << 31 { 2.0 } else { 0.0 }));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Dropout {
    /// p, in [0, 1); at 0 nothing is drawn.
    pub probability: f32,
    /// Shared by a run.
    pub seed: u64,
    /// The training step; layers of one step take different seeds.
    pub step: u32,
    /// Number of the batch's first row, so that a part of a batch draws what the whole would.
    pub first_row: u64,
}

/// Purpose of the draws of [`Dropout`], in the random numbers' key.
pub const PURPOSE_DROPOUT: u32 = 3;

impl Dropout {
    /// Draws below it drop: ⌈p · 2³²⌉.
    fn threshold(&self) -> u32 {
        (f64::from(self.probability) * 4_294_967_296.0).ceil() as u32
    }

    /// 1 / (1 − p).
    fn scale(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.probability))) as f32
    }

    fn check(&self) -> Result<(), Error> {
        if (0.0..1.0).contains(&self.probability) {
            return Ok(());
        }
        Err(Error::argument(
            OP,
            "dropout",
            self.probability,
            "the probability must be in [0, 1)",
            "leave the layer out",
        ))
    }
}

/// A checked adapter.
///
/// ```
/// use gtca::lora::{Lora, LoraDesc, Scaling};
/// let desc = LoraDesc { inputs: 768, outputs: 768, rank: 16, alpha: 16.0, ..Default::default() };
/// assert_eq!(Lora::new(&desc)?.scale(), 1.0);
/// assert_eq!(Lora::new(&LoraDesc { scaling: Scaling::RankStabilized, ..desc })?.scale(), 4.0);
/// assert!(Lora::new(&LoraDesc { rank: 257, ..desc }).is_err());
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lora {
    desc: LoraDesc,
}

/// Arguments of [`Lora::forward`].
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// `[samples, tokens, inputs]`: the frozen layer's input.
    pub x: View<'a>,
    /// A, `[rank, 1, inputs]`.
    pub a: View<'a>,
    /// B transposed, `[rank, 1, outputs]`.
    pub b_t: View<'a>,
    /// Added to the injection, `[1, 1, outputs]`.
    pub bias: Option<View<'a>>,
    /// The samples' gates.
    pub gate: Gate<'a>,
    /// λ, the adapter weight.
    pub lambda: Knob<'a>,
    /// Of x, in training.
    pub dropout: Option<Dropout>,
    /// `[samples, tokens, outputs]`: the frozen layer's output, added to in place; with [`Self::out`] only read.
    pub y: View<'a>,
    /// Written: y with the injection, of y's shape and type, where y is to stay as it is; the bits that y in place would have,
    /// without a copy of y first.
    pub out: Option<View<'a>>,
    /// Written: `h = x Aᵀ`, `[samples, tokens, rank]`, for the backward. Without it the recorder has scratch of
    /// that size.
    pub h: Option<View<'a>>,
}

impl<'a> Forward<'a> {
    fn target(&self) -> Target<'a> {
        Target::injection(self.y, self.out)
    }
}

/// Arguments of [`Lora::backward`]; gradients that are absent are not computed.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// `[samples, tokens, inputs]`, as in the forward.
    pub x: View<'a>,
    /// Gradient of y, `[samples, tokens, outputs]`.
    pub dy: View<'a>,
    /// A, `[rank, 1, inputs]`.
    pub a: View<'a>,
    /// B transposed, `[rank, 1, outputs]`.
    pub b_t: View<'a>,
    /// The bias, as in the forward; dλ needs it.
    pub bias: Option<View<'a>>,
    /// The samples' gates, as in the forward.
    pub gate: Gate<'a>,
    /// λ, as in the forward.
    pub lambda: Knob<'a>,
    /// As in the forward.
    pub dropout: Option<Dropout>,
    /// What the forward wrote, `[samples, tokens, rank]`; computed again where it is absent and needed, with the same bits.
    pub h: Option<View<'a>>,
    /// Written: `u = dy B`, `[samples, tokens, rank]`. Without it the recorder has scratch of that size.
    pub u: Option<View<'a>>,
    /// Written: gradient of x, `[samples, tokens, inputs]`.
    pub dx: Option<View<'a>>,
    /// Written: gradient of A, `[rank, 1, inputs]`.
    pub da: Option<View<'a>>,
    /// Written: gradient of b_t, `[rank, 1, outputs]`.
    pub db_t: Option<View<'a>>,
    /// Written: gradient of the bias, `[1, 1, outputs]`; absent without a bias.
    pub dbias: Option<View<'a>>,
    /// Written: gradient of the gates, of their shape; absent without gates.
    pub dgate: Option<View<'a>>,
    /// Written: gradient of λ, one f32.
    pub dlambda: Option<View<'a>>,
    /// Whether `dx` is replaced or added to; added to, it follows the off-is-off rule of y.
    pub dx_mode: Mode,
    /// Whether `da`, `db_t` and `dbias` are replaced or added to.
    pub parameter_mode: Mode,
    /// Whether `dgate` and `dlambda` are replaced or added to.
    pub condition_mode: Mode,
}

impl Lora {
    /// Checks the shape.
    ///
    /// # Errors
    /// A width outside 1..=59,999, a rank outside 1..=256, an α that is not finite.
    pub fn new(desc: &LoraDesc) -> Result<Self, Error> {
        for (name, width) in [("inputs", desc.inputs), ("outputs", desc.outputs)] {
            if !(1..=MAX_WIDTH).contains(&width) {
                let rule = format!("widths run from 1 to {MAX_WIDTH}");
                return Err(Error::argument(OP, name, width, rule, "split the layer"));
            }
        }
        if !(1..=MAX_RANK).contains(&desc.rank) {
            let rule = format!("ranks run from 1 to {MAX_RANK}");
            return Err(Error::argument(OP, "rank", desc.rank, rule, "choose a smaller rank"));
        }
        if !desc.alpha.is_finite() {
            return Err(Error::argument(OP, "alpha", desc.alpha, "it must be finite", "use the rank"));
        }
        Ok(Self { desc: *desc })
    }

    /// s: α/r, or α/√r.
    pub fn scale(&self) -> f32 {
        let (alpha, rank) = (f64::from(self.desc.alpha), f64::from(self.desc.rank));
        match self.desc.scaling {
            Scaling::Standard => (alpha / rank) as f32,
            Scaling::RankStabilized => (alpha / rank.sqrt()) as f32,
        }
    }

    /// The structure of kernels that runs on a device: the descriptor's, else [`Family::of`] the device.
    ///
    /// # Errors
    /// The descriptor's cannot run there.
    pub fn variant(&self, gpu: &Gpu) -> Result<Family, Error> {
        self.desc.family.map_or_else(|| Ok(Family::of(gpu)), |family| family.check(gpu))
    }

    /// Records `y += λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ + bias)`.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(recorder: &mut Recorder<'_>, x: View<'_>, a: View<'_>, b_t: View<'_>, y: View<'_>) -> Result<(), gtca::Error> {
    /// let lora = Lora::new(&LoraDesc { inputs: 768, outputs: 768, ..Default::default() })?;
    /// let args = Forward { x, a, b_t, bias: None, gate: Gate::None, lambda: Knob::Host(1.0), dropout: None, y, out: None, h: None };
    /// lora.forward(recorder, &args)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; halves whose rows start inside a word; overlapping outputs; a λ that is not finite; a
    /// dropout outside [0, 1); a family that the device cannot run.
    pub fn forward(&self, recorder: &mut Recorder<'_>, args: &Forward<'_>) -> Result<(), Error> {
        let used = self.check_forward(recorder, args)?;
        let step = self.step(recorder.gpu(), args)?;
        recorded(recorder, &used, step.hidden_bytes(), |recorder| step.forward(recorder, args.target()))
    }

    /// Records the gradients that are asked for. With a host λ of 0 all but dλ are 0: outputs to be replaced are
    /// zeroed, outputs to be added to are left alone.
    ///
    /// # Errors
    /// As [`Lora::forward`]; a `dgate` without gates, a `dbias` without a bias.
    pub fn backward<'a>(&self, recorder: &mut Recorder<'_>, args: &Backward<'a>) -> Result<(), Error> {
        let used = self.check_backward(recorder, args)?;
        let Backward { x, dy, a, b_t, bias, gate, lambda, dropout, h, .. } = *args;
        let forward = Forward { x, a, b_t, bias, gate, lambda, dropout, y: dy, out: None, h };
        let step = self.step(recorder.gpu(), &forward)?;
        let gradient = Gradient {
            dy,
            u: args.u,
            dx: args.dx,
            da: args.da.map(Matrices::One),
            db_t: args.db_t.map(Matrices::One),
            dbias: args.dbias,
            dgate: args.dgate,
            dlambda: args.dlambda,
            dx_mode: args.dx_mode,
            parameter_mode: args.parameter_mode,
            condition_mode: args.condition_mode,
        };
        recorded(recorder, &used, step.hidden_bytes(), |recorder| step.backward(recorder, &gradient))
    }

    fn step<'a>(&self, gpu: &Gpu, args: &Forward<'a>) -> Result<Step<'a>, Error> {
        Ok(Step {
            family: self.variant(gpu)?,
            rank: self.desc.rank,
            maps: Maps::One { a: args.a, b_t: args.b_t, scale: self.scale() },
            bias: args.bias,
            // At 0 nothing is drawn.
            dropout: args.dropout.filter(|dropout| dropout.probability > 0.0),
            x: args.x,
            gate: args.gate,
            lambda: args.lambda,
            h: args.h,
        })
    }

    fn check_forward<'a>(&self, recorder: &Recorder<'_>, args: &Forward<'a>) -> Result<Vec<Used<'a>>, Error> {
        let Forward { x, a, b_t, bias, gate, lambda, dropout, .. } = args;
        let mut used = self.check_inputs(recorder, &Inputs { x, a, b_t, bias, gate, lambda, dropout })?;
        let [samples, tokens, _] = args.x.shape;
        let shape = [samples, tokens, self.desc.outputs];
        args.y.check_shape(OP, "y", args.x.dtype, shape)?;
        used.push(("y", args.y, if args.out.is_some() { Access::Read } else { Access::Write }));
        if let Some(out) = args.out {
            out.check_shape(OP, "out", args.x.dtype, shape)?;
            used.push(("out", out, Access::Write));
        }
        if let Some(h) = args.h {
            h.check_shape(OP, "h", Dtype::F32, [samples, tokens, self.desc.rank])?;
            used.push(("h", h, Access::Write));
        }
        check_overlap(OP, &used)?;
        Ok(used)
    }

    fn check_backward<'a>(
        &self,
        recorder: &Recorder<'_>,
        args: &Backward<'a>,
    ) -> Result<Vec<Used<'a>>, Error> {
        let Backward { x, a, b_t, bias, gate, lambda, dropout, .. } = args;
        let mut used = self.check_inputs(recorder, &Inputs { x, a, b_t, bias, gate, lambda, dropout })?;
        if args.bias.is_none() && args.dbias.is_some() {
            let rule = "there is no bias";
            return Err(Error::argument(OP, "dbias", "given", rule, "leave it out"));
        }
        let LoraDesc { inputs, outputs, rank, .. } = self.desc;
        let [samples, tokens, _] = args.x.shape;
        args.gate.check_gradient(&args.dgate)?;
        let gate_shape = args.dgate.map_or([0; 3], |view| view.shape);
        let hidden = [samples, tokens, rank];
        let (wide, single) = (args.x.dtype, Dtype::F32);
        let views = [
            ("dy", Some(args.dy), Access::Read, wide, [samples, tokens, outputs]),
            ("h", args.h, Access::Read, single, hidden),
            ("u", args.u, Access::Write, single, hidden),
            ("dx", args.dx, Access::Write, wide, [samples, tokens, inputs]),
            ("da", args.da, Access::Write, single, [rank, 1, inputs]),
            ("db_t", args.db_t, Access::Write, single, [rank, 1, outputs]),
            ("dbias", args.dbias, Access::Write, single, [1, 1, outputs]),
            ("dgate", args.dgate, Access::Write, single, gate_shape),
            ("dlambda", args.dlambda, Access::Write, single, [1, 1, 1]),
        ];
        for (name, view, access, dtype, shape) in views {
            if let Some(view) = view {
                view.check_shape(OP, name, dtype, shape)?;
                used.push((name, view, access));
            }
        }
        check_overlap(OP, &used)?;
        Ok(used)
    }

    /// What forward and backward share.
    fn check_inputs<'a>(
        &self,
        recorder: &Recorder<'_>,
        args: &Inputs<'_, 'a>,
    ) -> Result<Vec<Used<'a>>, Error> {
        let Inputs { x, a, b_t, bias, gate, lambda, dropout } = *args;
        let LoraDesc { inputs, outputs, rank, .. } = self.desc;
        let [samples, tokens, _] = x.shape;
        x.check_shape(OP, "x", x.float(OP, "x")?, [samples, tokens, inputs])?;
        let weights = a.float(OP, "a")?;
        a.check_shape(OP, "a", weights, [rank, 1, inputs])?;
        b_t.check_shape(OP, "b_t", weights, [rank, 1, outputs])?;
        if let Some(bias) = bias {
            bias.check_shape(OP, "bias", weights, [1, 1, outputs])?;
        }
        dropout.map_or(Ok(()), |dropout| dropout.check())?;
        gate.check([samples, 1], [samples, tokens], rank)?;
        lambda.check(OP, "lambda")?;
        let limit = recorder.gpu().limits().max_buffer_size;
        if x.rows() * u64::from(rank) * 4 > limit {
            let rule = format!("rows × rank × 4 bytes must fit one buffer of {limit}");
            return Err(Error::argument(OP, "x", format!("{} rows", x.rows()), rule, "split the batch"));
        }
        let mut used = vec![("x", *x, Access::Read), ("a", *a, Access::Read), ("b_t", *b_t, Access::Read)];
        used.extend(bias.map(|bias| ("bias", bias, Access::Read)));
        used.extend(gate.view().map(|gate| ("gate", gate, Access::Read)));
        used.extend(lambda.view().map(|lambda| ("lambda", lambda, Access::Read)));
        Ok(used)
    }
}

/// One layer's forward among several.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Layer<'a> {
    /// One adapter.
    One(&'a Lora, Forward<'a>),
    /// Many adapters.
    Many(&'a Bank, BankForward<'a>),
}

/// Records the forward of layers that do not depend on each other, such as q, k and v: first every `h = x Aᵀ`, then every
/// `h ⊙ g`, then every injection, with the bits of one call after the other.
///
/// wgpu waits before a dispatch that binds a buffer which an earlier one wrote, whatever the ranges. So layers of one wave
/// overlap on the device if each has its own buffer for y and, where h is saved, for h; if no range of scratch is lent, since
/// all of it is one buffer; and if λ is a host value, since a λ in a buffer ends the pass. Between two waves there is one
/// barrier for all layers.
///
/// ```no_run
/// # use gtca::{gpu::*, lora::*};
/// # fn f(recorder: &mut Recorder<'_>, lora: &Lora, q: Forward<'_>, v: Forward<'_>) -> Result<(), gtca::Error> {
/// forward_layers(recorder, &[Layer::One(lora, q), Layer::One(lora, v)])
/// # }
/// ```
///
/// # Errors
/// As [`Lora::forward`] and [`Bank::forward`]; a layer that reads or writes what another one writes.
pub fn forward_layers(recorder: &mut Recorder<'_>, layers: &[Layer<'_>]) -> Result<(), Error> {
    let mut used = Vec::new();
    let mut steps = Vec::with_capacity(layers.len());
    for layer in layers {
        let gpu = recorder.gpu();
        match layer {
            Layer::One(lora, args) => {
                used.extend(lora.check_forward(recorder, args)?);
                steps.push((lora.step(gpu, args)?, args.target()));
            }
            Layer::Many(bank, args) => {
                used.extend(bank.check_forward(gpu, args)?);
                steps.push((bank.step(gpu, args)?, Target::new(args.y, Mode::Accumulate)));
            }
        }
    }
    check_overlap(OP, &used)?;
    let hidden = steps.iter().map(|(step, _)| step.hidden_bytes()).max().unwrap_or(0);
    recorded(recorder, &used, hidden, |recorder| step::forward(recorder, &steps))
}

/// Arguments that forward and backward share.
struct Inputs<'r, 'a> {
    x: &'r View<'a>,
    a: &'r View<'a>,
    b_t: &'r View<'a>,
    bias: &'r Option<View<'a>>,
    gate: &'r Gate<'a>,
    lambda: &'r Knob<'a>,
    dropout: &'r Option<Dropout>,
}

/// Ranks that the same kernels serve: powers of two from 4.
fn class(rank: u32) -> u32 {
    family::class(rank, MAX_RANK)
}

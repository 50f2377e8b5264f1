//! A forward in two halves: h once, then as many injections as there are gates.

use super::gpu::Target;
use super::maps::Maps;
use super::step::Step;
use super::{Gate, Lora, LoraDesc, OP};
use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Knob, Mode, Recorder, View, check_overlap};
use std::ops::Range;

/// Arguments of [`Lora::inject`].
#[derive(Clone, Copy, Debug)]
pub struct Inject<'a> {
    /// What [`Lora::hidden`] wrote, `[samples, tokens, rank]`.
    pub h: View<'a>,
    /// B transposed, `[rank, 1, outputs]`.
    pub b_t: View<'a>,
    /// Added to the injection, `[1, 1, outputs]`.
    pub bias: Option<View<'a>>,
    /// Gates per sample or token, as in [`super::Forward`].
    pub gate: Gate<'a>,
    /// λ, the adapter weight.
    pub lambda: Knob<'a>,
    /// Added to in place, `[samples, tokens, outputs]`.
    pub y: View<'a>,
}

/// Arguments of [`Lora::deliver`].
#[derive(Clone, Copy, Debug)]
pub struct Deliver<'a> {
    /// The frozen layer's output, `[samples, tokens, outputs]`; read only.
    pub y: View<'a>,
    /// As in [`Inject`].
    pub h: View<'a>,
    /// As in [`Inject`].
    pub b_t: View<'a>,
    /// As in [`Inject`].
    pub bias: Option<View<'a>>,
    /// Gates of a chunk of perturbations, f32 `[K, samples, rank]`, or `[K, samples, 1]` where all ranks share one.
    pub gates: View<'a>,
    /// As in [`Inject`].
    pub lambda: Knob<'a>,
    /// Written: y under each of them, `[K · samples, tokens, outputs]` in y's type, perturbations slowest.
    pub out: View<'a>,
}

/// A part of a sweep: what [`Lora::deliver`] writes at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Of the perturbations.
    pub perturbations: Range<u32>,
    /// Of the samples.
    pub samples: Range<u32>,
}

impl Block {
    /// Cuts perturbations × samples into blocks whose y_k fit `bytes`: whole batches under as many perturbations as fit, or
    /// where not even one does, as many samples as fit under one perturbation; all their blocks before the next samples, so that
    /// h of the same samples serves them. At least one sample at a time, whatever the bytes. `sample_bytes` are those of one
    /// sample's y: tokens · outputs · bytes of its type.
    ///
    /// ```
    /// use gtca::lora::Block;
    /// // 16 perturbations of 256 samples of 64 tokens of 768 f32, in 1 GiB: 21 batches' room, so all at once.
    /// assert_eq!(Block::cut(16, 256, 64 * 768 * 4, 1 << 30).len(), 1);
    /// // In 128 MiB there are two perturbations at a time, in 32 MiB parts of a batch.
    /// assert_eq!(Block::cut(16, 256, 64 * 768 * 4, 128 << 20).len(), 8);
    /// let blocks = Block::cut(16, 256, 64 * 768 * 4, 32 << 20);
    /// assert_eq!((blocks.len(), &blocks[1]), (32, &Block { perturbations: 1..2, samples: 0..170 }));
    /// ```
    pub fn cut(perturbations: u32, samples: u32, sample_bytes: u64, bytes: u64) -> Vec<Self> {
        let fitting = (bytes / sample_bytes.max(1)).max(1);
        let of_samples = fitting.min(u64::from(samples)).max(1) as u32;
        let of_perturbations =
            (fitting / u64::from(samples.max(1))).clamp(1, u64::from(perturbations.max(1))) as u32;
        let cut = |end: u32, step: u32| (0..end).step_by(step as usize).map(move |at| at..end.min(at + step));
        let of = |samples: Range<u32>| {
            cut(perturbations, of_perturbations)
                .map(move |perturbations| Self { perturbations, samples: samples.clone() })
        };
        cut(samples, of_samples).flat_map(of).collect()
    }
}

impl Lora {
    /// Records `h = x Aᵀ`, the first half of a forward, for as many [`Lora::inject`] or [`Lora::deliver`] as there are gates.
    /// x: `[samples, tokens, inputs]`, a: `[rank, 1, inputs]`, h, written: f32 `[samples, tokens, rank]`.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(
    /// #     to: &mut Recorder<'_>, lora: &Lora, x: View<'_>, a: View<'_>, h: View<'_>, deliver: Deliver<'_>,
    /// # ) -> Result<(), gtca::Error> {
    /// lora.hidden(to, x, a, h)?;
    /// lora.deliver(to, &deliver)?; // and the rest of the model over deliver.out
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; an h that overlaps anything; a family that the device cannot run.
    pub fn hidden(
        &self,
        recorder: &mut Recorder<'_>,
        x: View<'_>,
        a: View<'_>,
        h: View<'_>,
    ) -> Result<(), Error> {
        let LoraDesc { inputs, rank, .. } = self.desc;
        let [samples, tokens, _] = x.shape;
        x.check_shape(OP, "x", x.float(OP, "x")?, [samples, tokens, inputs])?;
        a.check_shape(OP, "a", a.float(OP, "a")?, [rank, 1, inputs])?;
        h.check_shape(OP, "h", Dtype::F32, [samples, tokens, rank])?;
        check_overlap(OP, &[("x", x, Access::Read), ("a", a, Access::Read), ("h", h, Access::Write)])?;
        // A forward that is off writes h alone, and reads no b_t.
        let step = Step { x, h: Some(h), lambda: Knob::Host(0.0), ..self.second_half(recorder.gpu(), a, h)? };
        step.forward(recorder, Target::new(x, Mode::Accumulate))
    }

    /// Records `y += λ·s·((h ⊙ g) Bᵀ + bias)`, the second half of a forward, with the bits of a whole one.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(to: &mut Recorder<'_>, lora: &Lora, h: View<'_>, b_t: View<'_>, g: View<'_>, y: View<'_>) -> Result<(), gtca::Error> {
    /// let (gate, lambda) = (Gate::Rank(g), Knob::Host(1.0));
    /// lora.inject(to, &Inject { h, b_t, bias: None, gate, lambda, y })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Lora::forward`].
    pub fn inject(&self, recorder: &mut Recorder<'_>, args: &Inject<'_>) -> Result<(), Error> {
        let Inject { h, b_t, bias, gate, lambda, y } = *args;
        let [samples, tokens, _] = h.shape;
        gate.check([samples, 1], [samples, tokens], self.desc.rank)?;
        y.check_shape(OP, "y", y.float(OP, "y")?, [samples, tokens, self.desc.outputs])?;
        let mut used = self.check_second_half(h, b_t, bias, lambda)?;
        used.extend(gate.view().map(|gate| ("gate", gate, Access::Read)));
        used.push(("y", y, Access::Write));
        check_overlap(OP, &used)?;
        let step = Step { bias, gate, lambda, ..self.second_half(recorder.gpu(), b_t, h)? };
        step.inject(recorder, &h, &Target::new(y, Mode::Accumulate))
    }

    /// Records y under a chunk of perturbations: `out[k] = y + λ·s·((h ⊙ g_k) Bᵀ + bias)`, for an embedder who runs the rest of
    /// the model on each. Every `out[k]` has the bits that y would have after [`Lora::forward`] with its gates; where λ is 0 or
    /// the addend exactly 0, those of y. [`Block::cut`] says which fit the memory there is.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(
    /// #     to: &mut Recorder<'_>, lora: &Lora, y: View<'_>, h: View<'_>, b_t: View<'_>, gates: View<'_>, room: &wgpu::Buffer,
    /// # ) -> Result<(), gtca::Error> {
    /// // Gates of four perturbations of 32 samples; y_k of all of them in one buffer.
    /// let out = View::tokens(room, [4 * 32, 256, 768]);
    /// lora.deliver(to, &Deliver { y, h, b_t, bias: None, gates, lambda: Knob::Host(1.0), out })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Lora::forward`]; gates per token.
    pub fn deliver(&self, recorder: &mut Recorder<'_>, args: &Deliver<'_>) -> Result<(), Error> {
        let Deliver { y, h, b_t, bias, gates, lambda, out } = *args;
        let [samples, tokens, _] = y.shape;
        let [count, _, gate_width] = gates.shape;
        let LoraDesc { outputs, rank, .. } = self.desc;
        let columns = if gate_width == 1 { 1 } else { rank };
        let all = count.saturating_mul(samples);
        y.check_shape(OP, "y", y.float(OP, "y")?, [samples, tokens, outputs])?;
        h.check_shape(OP, "h", Dtype::F32, [samples, tokens, rank])?;
        gates.check_shape(OP, "gates", Dtype::F32, [count, samples, columns])?;
        out.check_shape(OP, "out", y.dtype, [all, tokens, outputs])?;
        let mut used = self.check_second_half(h, b_t, bias, lambda)?;
        used.extend([("y", y, Access::Read), ("gates", gates, Access::Read), ("out", out, Access::Write)]);
        check_overlap(OP, &used)?;
        let step = Step { bias, lambda, ..self.second_half(recorder.gpu(), b_t, h)? };
        for k in 0..count {
            let out = out.block(&(k * samples..(k + 1) * samples), &(0..tokens));
            let of_k = gates.block(&(k..k + 1), &(0..samples));
            // Samples, not tokens of one sample.
            let of_k = View { shape: [samples, 1, columns], sample_stride: gates.row_stride, ..of_k };
            let gate = if columns == rank { Gate::Rank(of_k) } else { Gate::Scalar(of_k) };
            Step { gate, ..step }.inject(recorder, &h, &Target::injection(y, Some(out)))?;
        }
        Ok(())
    }

    /// A step without gates, bias and λ whose rows are h's; `matrix` stands for the map that is not used too.
    fn second_half<'a>(&self, gpu: &Gpu, matrix: View<'a>, h: View<'a>) -> Result<Step<'a>, Error> {
        Ok(Step {
            family: self.variant(gpu)?,
            rank: self.desc.rank,
            maps: Maps::One { a: matrix, b_t: matrix, scale: self.scale() },
            bias: None,
            dropout: None,
            x: h,
            gate: Gate::None,
            lambda: Knob::Host(1.0),
            h: None,
        })
    }

    fn check_second_half<'a>(
        &self,
        h: View<'a>,
        b_t: View<'a>,
        bias: Option<View<'a>>,
        lambda: Knob<'_>,
    ) -> Result<Vec<super::Used<'a>>, Error> {
        let LoraDesc { outputs, rank, .. } = self.desc;
        let [samples, tokens, _] = h.shape;
        h.check_shape(OP, "h", Dtype::F32, [samples, tokens, rank])?;
        let weights = b_t.float(OP, "b_t")?;
        b_t.check_shape(OP, "b_t", weights, [rank, 1, outputs])?;
        if let Some(bias) = bias {
            bias.check_shape(OP, "bias", weights, [1, 1, outputs])?;
        }
        lambda.check(OP, "lambda")?;
        let mut used = vec![("h", h, Access::Read), ("b_t", b_t, Access::Read)];
        used.extend(bias.map(|bias| ("bias", bias, Access::Read)));
        Ok(used)
    }
}

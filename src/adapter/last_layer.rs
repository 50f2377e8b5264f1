//! One adapted layer and all that follows it, under many metadata: the rooms from x to the sums of [`Probe`].

use super::OP;
use crate::Error;
use crate::gpu::{Dtype, Knob, Mode, Recorder, View};
use crate::lora::{Lora, LoraDesc};
use crate::readout::{Activation, Form, Head, Injected, Mean, Readout, ReadoutDesc};
use crate::sensitivity::{External, Factored, Probe};
use std::ops::Range;

/// Scratch of one chunk of samples, if a single one does not take more.
const SCRATCH_BYTES: u64 = 32 << 20;

/// How the logits under many gates are made. Where both apply, probabilities agree to 1e-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SweepPath {
    /// x is pooled once, and gates meet the pooled h: cost and memory beyond that pass know nothing of tokens and width. Exact
    /// where nothing non-linear lies between injection and mean, that is for [`Activation::Identity`].
    Factored,
    /// h once, then y under every gate is activated and pooled without being stored.
    Reinjected,
}

/// The last layer of a model: an adapter, an activation, the mean over tokens and a linear head.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastLayerDesc {
    /// The adapter.
    pub lora: LoraDesc,
    /// Width of the logits; 2 to 19,900.
    pub classes: u32,
    /// Between the layer and the mean.
    pub activation: Activation,
    /// How; without it [`SweepPath::Factored`] where that applies.
    pub path: Option<SweepPath>,
    /// The structure of the pooled injection; without it [`Form::of`] the device.
    pub form: Option<Form>,
}

/// A checked last layer.
///
/// ```
/// use gtca::adapter::{LastLayer, LastLayerDesc, SweepPath};
/// use gtca::{lora::LoraDesc, readout::Activation};
/// let lora = LoraDesc { inputs: 768, outputs: 768, rank: 16, ..Default::default() };
/// let linear = LastLayerDesc { lora, classes: 16, ..Default::default() };
/// assert_eq!(LastLayer::new(&linear)?.path(), SweepPath::Factored);
/// let curved = LastLayerDesc { activation: Activation::Gelu, ..linear };
/// assert_eq!(LastLayer::new(&curved)?.path(), SweepPath::Reinjected);
/// assert!(LastLayer::new(&LastLayerDesc { path: Some(SweepPath::Factored), ..curved }).is_err());
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LastLayer {
    lora: Lora,
    readout: Readout,
    path: SweepPath,
}

/// Arguments of [`LastLayer::sweep`].
#[derive(Clone, Copy, Debug)]
pub struct Sweep<'a> {
    /// The frozen layer's input, f32, f16 or bf16 `[S, T, inputs]`.
    pub x: View<'a>,
    /// The frozen layer's output without the adapter, `[S, T, outputs]`, of the three types too; read only.
    pub y: View<'a>,
    /// A, `[r, 1, inputs]`.
    pub a: View<'a>,
    /// B transposed, f32 `[r, 1, outputs]`.
    pub b_t: View<'a>,
    /// The head's W, f32 `[classes, 1, outputs]`.
    pub weight: View<'a>,
    /// The head's bias, `[1, 1, classes]`.
    pub bias: Option<View<'a>>,
    /// Logits without the adapter, `[S, 1, classes]`, where the frozen forward has left them: the factored path then does not
    /// read y. The other path does not need them.
    pub base: Option<View<'a>>,
    /// u32 `[S, 1, 1]`: how many of a sample's first tokens count, at most T; none: all.
    pub counts: Option<View<'a>>,
    /// Gates, `[1 + Kc, S, r]` or `[1 + Kc, S, 1]`: first those under the recorded metadata, then those of a chunk of perturbations.
    pub gates: View<'a>,
    /// λ, the adapter weight.
    pub lambda: Knob<'a>,
    /// u32 `[S, 1, 1]`, as in [`External`].
    pub labels: Option<View<'a>>,
    /// u32 `[S, 1, 1]`, as in [`External`].
    pub groups: Option<View<'a>>,
    /// As in [`External`].
    pub per_sample: Option<View<'a>>,
    /// As in [`External`].
    pub first_perturbation: u32,
    /// As in [`External`].
    pub sums: View<'a>,
    /// As in [`External`].
    pub mode: Mode,
}

impl LastLayer {
    /// Checks the description.
    ///
    /// # Errors
    /// As [`Lora::new`] and [`Readout::new`]; the factored path with an activation.
    pub fn new(desc: &LastLayerDesc) -> Result<Self, Error> {
        let LastLayerDesc { lora, classes, activation, path, form } = *desc;
        let is_linear = activation == Activation::Identity;
        if path == Some(SweepPath::Factored) && !is_linear {
            let rule = format!("{activation:?} stands between injection and mean");
            return Err(Error::argument(OP, "path", "Factored", rule, "leave it out to have one chosen"));
        }
        let best = if is_linear { SweepPath::Factored } else { SweepPath::Reinjected };
        let readout = ReadoutDesc { width: lora.outputs, classes, activation, form };
        let (lora, readout) = (Lora::new(&lora)?, Readout::new(&readout)?);
        Ok(Self { lora, readout, path: path.unwrap_or(best) })
    }

    /// How logits are made.
    pub fn path(&self) -> SweepPath {
        self.path
    }

    /// Records the comparison of a chunk of perturbations with the recorded metadata, from activations and gates to the sums.
    /// Samples go in chunks of at most 32 MiB of scratch; the sums do not depend on the cut.
    ///
    /// ```no_run
    /// # use gtca::{adapter::*, gpu::*, sensitivity::*};
    /// # async fn f(gpu: &Gpu, layer: &LastLayer, args: &Sweep<'_>) -> Result<(), gtca::Error> {
    /// let probe = Probe::new(&ProbeDesc { classes: 16, groups: 1, perturbations: 16 })?;
    /// gpu.run(|recorder| layer.sweep(recorder, &probe, args))?;
    /// let moved = probe.read(gpu, &args.sums).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As the ops it composes; fewer than two rows of gates; labels or groups whose rows do not lie at one distance.
    pub fn sweep(&self, recorder: &mut Recorder<'_>, probe: &Probe, args: &Sweep<'_>) -> Result<(), Error> {
        let [samples, tokens, _] = args.x.shape;
        args.y.check_shape(OP, "y", args.x.dtype, [samples, tokens, self.readout.desc().width])?;
        args.b_t.check(OP, "b_t", Dtype::F32)?;
        let variants = args.gates.shape[0];
        if variants < 2 {
            let rule =
                "the first are those under the recorded metadata, and at least one row of others follows";
            return Err(Error::argument(OP, "gates", format!("{variants} deep"), rule, "check the shapes"));
        }
        // Chunks are cut from these, which would hide samples too many.
        args.gates.check_shape(OP, "gates", Dtype::F32, [variants, samples, args.gates.width()])?;
        let classes = self.readout.desc().classes;
        for (name, view, dtype, shape) in [
            ("base", args.base, Dtype::F32, [samples, 1, classes]),
            ("counts", args.counts, Dtype::U32, [samples, 1, 1]),
            ("per_sample", args.per_sample, Dtype::F32, [variants - 1, samples, 4]),
        ] {
            if let Some(view) = view {
                view.check_shape(OP, name, dtype, shape)?;
            }
        }
        for (name, view) in [("labels", args.labels), ("groups", args.groups)] {
            if let Some(view) = view {
                view.check_matrix(OP, name, Dtype::U32, samples.into(), 1)?;
            }
        }
        // Counting checks every op and records none of them, so that no part of a bad call is recorded.
        recorder.gpu().clone().scratch_bytes(|counting| self.record(counting, probe, args))?;
        self.record(recorder, probe, args)
    }

    fn record(&self, recorder: &mut Recorder<'_>, probe: &Probe, args: &Sweep<'_>) -> Result<(), Error> {
        let samples = args.x.shape[0];
        let of_sample = match self.path {
            SweepPath::Factored => args.x.width() + args.y.width() + args.a.shape[0] + args.weight.shape[0],
            SweepPath::Reinjected => {
                let [variants, ..] = args.gates.shape;
                let of_gates = variants.saturating_mul(args.y.width() + args.weight.shape[0]);
                of_gates.saturating_add(args.x.shape[1].saturating_mul(args.a.shape[0]))
            }
        };
        let step = (SCRATCH_BYTES / 4 / u64::from(of_sample).max(1)).clamp(1, u64::from(samples.max(1)));
        for from in (0..samples.max(1)).step_by(step as usize) {
            let chunk = from..samples.min(from.saturating_add(step as u32));
            let mode = if from == 0 { args.mode } else { Mode::Accumulate };
            let args = Sweep { mode, ..args.of(&chunk) };
            match self.path {
                SweepPath::Factored => self.factored(recorder, probe, &args)?,
                SweepPath::Reinjected => self.reinjected(recorder, probe, &args)?,
            }
        }
        Ok(())
    }

    fn factored(&self, recorder: &mut Recorder<'_>, probe: &Probe, args: &Sweep<'_>) -> Result<(), Error> {
        let ([samples, _, inputs], [rank, ..]) = (args.x.shape, args.a.shape);
        let ([classes, ..], outputs) = (args.weight.shape, args.y.width());
        let mut rows = |count: u32, width: u32| recorder.scratch(OP, u64::from(count) * u64::from(width) * 4);
        let (pooled, hidden) = (rows(samples, inputs.max(outputs))?, rows(samples, rank)?);
        let (map, base) = (rows(rank, classes)?, rows(samples, classes)?);
        let (map, hidden) = (map.matrix(rank, classes), hidden.matrix(samples, rank));
        let head = Head { x: args.b_t, weight: args.weight, bias: None, logits: map };
        self.readout.head(recorder, &head)?;
        let base = match args.base {
            Some(base) => base,
            None => {
                let (mean, logits) = (pooled.matrix(samples, outputs), base.matrix(samples, classes));
                let of_y = Mean { x: args.y, counts: args.counts, out: mean };
                Readout::mean(recorder, Activation::Identity, &of_y)?;
                self.readout.head(recorder, &Head { x: mean, bias: args.bias, logits, ..head })?;
                logits
            }
        };
        let mean = pooled.matrix(samples, inputs);
        let of_x = Mean { x: args.x, counts: args.counts, out: mean };
        Readout::mean(recorder, Activation::Identity, &of_x)?;
        self.lora.hidden(recorder, mean, args.a, hidden)?;
        let variants = args.gates.shape[0];
        probe.factored(
            recorder,
            &Factored {
                base,
                hidden,
                map,
                true_gates: args.gates.block(&(0..1), &(0..samples)),
                gates: args.gates.block(&(1..variants), &(0..samples)),
                lambda: args.lambda,
                scale: self.lora.scale(),
                labels: args.labels,
                groups: args.groups,
                per_sample: args.per_sample,
                first_perturbation: args.first_perturbation,
                sums: args.sums,
                mode: args.mode,
            },
        )
    }

    fn reinjected(&self, recorder: &mut Recorder<'_>, probe: &Probe, args: &Sweep<'_>) -> Result<(), Error> {
        let ([samples, tokens, _], [rank, ..]) = (args.x.shape, args.a.shape);
        let ([variants, ..], [classes, ..]) = (args.gates.shape, args.weight.shape);
        let width = args.y.width();
        let mut rows = |counts: [u32; 3]| {
            recorder.scratch(OP, counts.iter().map(|&n| u64::from(n)).product::<u64>() * 4)
        };
        let (h, means) = (rows([samples, tokens, rank])?, rows([variants, samples, width])?);
        let logits = rows([variants, samples, classes])?;
        let (h, means) = (h.tokens([samples, tokens, rank]), means.tokens([variants, samples, width]));
        let logits = logits.tokens([variants, samples, classes]);
        self.lora.hidden(recorder, args.x, args.a, h)?;
        let injected = Injected {
            y: args.y,
            h,
            b_t: args.b_t,
            gates: args.gates,
            lambda: args.lambda,
            scale: self.lora.scale(),
            counts: args.counts,
            out: means,
        };
        self.readout.injected(recorder, &injected)?;
        let head = Head { x: means, weight: args.weight, bias: args.bias, logits };
        self.readout.head(recorder, &head)?;
        probe.external(
            recorder,
            &External {
                base: logits.block(&(0..1), &(0..samples)),
                variants: logits.block(&(1..variants), &(0..samples)),
                labels: args.labels,
                groups: args.groups,
                per_sample: args.per_sample,
                first_perturbation: args.first_perturbation,
                sums: args.sums,
                mode: args.mode,
            },
        )
    }
}

impl<'a> Sweep<'a> {
    /// The same for some of the samples.
    fn of(&self, samples: &Range<u32>) -> Self {
        let whole = |view: View<'a>| 0..view.shape[1];
        let rows = |view: View<'a>| view.slice_rows(samples.start, samples.end);
        let of_sample = |view: View<'a>| view.block(samples, &whole(view));
        let of_variant = |view: View<'a>| view.block(&(0..view.shape[0]), samples);
        Self {
            x: self.x.block(samples, &whole(self.x)),
            y: self.y.block(samples, &whole(self.y)),
            base: self.base.map(of_sample),
            counts: self.counts.map(of_sample),
            gates: of_variant(self.gates),
            labels: self.labels.map(rows),
            groups: self.groups.map(rows),
            per_sample: self.per_sample.map(of_variant),
            ..*self
        }
    }
}

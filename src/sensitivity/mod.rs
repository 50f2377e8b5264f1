//! Sensitivity: how far predictions move when the metadata are wrong, by perturbation and group.
//!
//! p = prediction under the recorded metadata, q = under perturbation k, ŷ = argmax p, δ = change of the logits.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | flip, KL(p‖q), JS, TV, q_ŷ − p_ŷ, H(q) − H(p), max \|δ − mean δ\| | `shaders/sensitivity/compare.wgsl` | [`twin::compare`] |
//! | with labels, of q: correct, NLL, Brier, 15 calibration bins; right before, right before and wrong now | `shaders/sensitivity/compare.wgsl` | [`twin::compare`] |
//! | histogram of TV in 64 bins, four to an octave, for quantiles | `shaders/common/measure.wgsl` | [`change_bin`](crate::common::measure::change_bin) |
//! | per pair, on request: KL, TV, q_ŷ − p_ŷ, flags, class | `shaders/sensitivity/compare.wgsl` | [`Change::of`] |
//! | all of these for few classes, from the changes of the logits | `shaders/sensitivity/few.wgsl`, `reference.wgsl` | [`twin::compare`], to rounding |
//! | logits_k = base + λ·s·Σ_r g_k\[r\]·h̄\[r\]·M\[r, ·\], M = B_t·W_headᵀ | `shaders/sensitivity/factored.wgsl` | [`twin::factored`] |
//!
//! Two paths, one answer. *External* ([`Probe::external`]): the embedder supplies the logits of the variants, in
//! chunks. *Factored* ([`Probe::factored`]): the adapter sits in the last layer, its gate is per sample, pooling and
//! head are linear; then all that differs between perturbations is the gate, and a forward pass shrinks to rank
//! products a logit. N×K×C is never stored: logits live in scratch, chunk by chunk, or ([`Form::Few`]) in registers alone.
//!
//! Sums are 64-bit integers in fixed units (2⁻²⁶ clamped to ±31; logit changes 2⁻²⁰ clamped to ±2,047; rounded half
//! to even; clamped values are counted): any order, sharding or chunking gives the same bits. [`Sensitivity`] holds
//! them on the host, merges them and derives means and quantiles; [`Worst`] keeps the samples that moved furthest. The
//! metrics under the *recorded* metadata come from [`crate::metrics`]. Tests: `tests/gpu/sensitivity.rs`.

mod change;
mod few;
mod gpu;
mod table;
pub mod twin;
mod worst;

pub use change::Change;
pub(crate) use gpu::KERNELS;
pub use table::{Sensitivity, Tally};
pub use worst::{Worst, WorstCase};

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Knob, Mode, Recorder, View, check_overlap};
use table::SLOT_CELLS;

const OP: &str = "sensitivity";
/// One invocation reads every class three times.
const MAX_CLASSES: u32 = 19_900;
const MAX_RANK: u32 = 59_999;

/// What is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeDesc {
    /// Width of the logits; 2 to 19,900.
    pub classes: u32,
    /// How many groups, at least 1. A sample whose id is not below it counts as one without a group.
    pub groups: u32,
    /// How many perturbations, at least 1.
    pub perturbations: u32,
}

impl Default for ProbeDesc {
    fn default() -> Self {
        Self { classes: 2, groups: 1, perturbations: 1 }
    }
}

/// A checked probe.
///
/// ```
/// use gtca::sensitivity::{Probe, ProbeDesc};
/// let probe = Probe::new(&ProbeDesc { classes: 16, groups: 4, perturbations: 16 }).unwrap();
/// assert_eq!(probe.sums_words(), 16 * 5 * 126 * 2); // the fifth slot: samples without a group
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    desc: ProbeDesc,
    form: Option<Form>,
}

/// How pairs are measured. Both forms measure the same; the last bits of a measure may differ.
///
/// Chosen by the device, the classes and the groups, never by the samples, so that any sharding gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// All logits of a pair in registers, a lane for each perturbation; gates of at most 16 ranks are turned into logits
    /// there too. At most 32 classes and 255 groups. Needs [`wgpu::Features::SUBGROUP`] and subgroups of exactly 8 lanes
    /// (lavapipe); is faster with [`wgpu::Features::SHADER_INT64`], with the same bits.
    Few,
    /// A lane for each pair, which reads its logits three times; everywhere.
    General,
}

/// Its short name.
impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Few => "few",
            Self::General => "general",
        })
    }
}

/// Arguments of [`Probe::external`].
#[derive(Clone, Copy, Debug)]
pub struct External<'a> {
    /// Logits under the recorded metadata, `[S, classes]`.
    pub base: View<'a>,
    /// Logits of a chunk of perturbations, shape `[Kc, S, classes]`.
    /// A pair with a logit that is not finite is left out and counted as invalid.
    pub variants: View<'a>,
    /// u32 `[S, 1]`; not below `classes`: unlabelled.
    pub labels: Option<View<'a>>,
    /// u32 `[S, 1]`; none: all in group 0. What a perturbation cannot be done to is left out of a chunk's groups by an
    /// id that is not below [`ProbeDesc::groups`] (for donors: [`donor_groups`](crate::perturb::donor_groups)).
    pub groups: Option<View<'a>>,
    /// Written: the [`Change`] of every pair as f32 `[Kc, S, 4]`.
    pub per_sample: Option<View<'a>>,
    /// Which perturbation the chunk's first is.
    pub first_perturbation: u32,
    /// Written: u32 vector of [`Probe::sums_words`]; with [`Mode::Overwrite`] its buffer needs `COPY_DST`.
    pub sums: View<'a>,
    /// Whether all the sums start from zero or from what is there.
    pub mode: Mode,
}

/// Arguments of [`Probe::factored`].
#[derive(Clone, Copy, Debug)]
pub struct Factored<'a> {
    /// Logits without the adapter (λ = 0), `[S, classes]`.
    pub base: View<'a>,
    /// Pooled h = x·Aᵀ, `[S, r]`.
    pub hidden: View<'a>,
    /// `[r, classes]`: B_t·W_headᵀ, which is [`crate::linear`]'s forward with x = B_t and weight = W_head.
    pub map: View<'a>,
    /// Gates under the recorded metadata, shape `[1, S, r]` or `[1, S, 1]`.
    pub true_gates: View<'a>,
    /// Gates of a chunk of perturbations, shape `[Kc, S, r]` or `[Kc, S, 1]`.
    pub gates: View<'a>,
    /// The live adapter weight.
    pub lambda: Knob<'a>,
    /// s = α/r or α/√r.
    pub scale: f32,
    /// As in [`External`].
    pub labels: Option<View<'a>>,
    /// As in [`External`].
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

type Used<'a> = Vec<(&'static str, View<'a>, Access)>;

impl Probe {
    /// Checks the shape.
    ///
    /// # Errors
    /// Classes outside 2..=19,900; no group or perturbation; more cells than 32-bit addresses reach.
    pub fn new(desc: &ProbeDesc) -> Result<Self, Error> {
        if !(2..=MAX_CLASSES).contains(&desc.classes) {
            let rule = format!("classes run from 2 to {MAX_CLASSES}");
            return Err(Error::argument(OP, "classes", desc.classes, rule, "merge classes"));
        }
        for (name, count) in [("groups", desc.groups), ("perturbations", desc.perturbations)] {
            if count == 0 {
                return Err(Error::argument(OP, name, 0, "at least one is needed", "use 1"));
            }
        }
        let probe = Self { desc: *desc, form: None };
        if probe.sums_words() > u64::from(u32::MAX) - 64 {
            let value = format!("{} of {} perturbations", desc.groups, desc.perturbations);
            let rule = "(groups + 1)·perturbations·126 cells must fit 32-bit addresses";
            return Err(Error::argument(OP, "groups", value, rule, "probe fewer perturbations at a time"));
        }
        Ok(probe)
    }

    /// The same in a form of the caller's choice.
    #[must_use]
    pub fn with_form(self, form: Form) -> Self {
        Self { form: Some(form), ..self }
    }

    /// The form that runs on a device: the caller's, else [`Form::Few`] where it can run.
    ///
    /// # Errors
    /// The caller's cannot run there.
    ///
    /// ```no_run
    /// use gtca::sensitivity::{Form, Probe, ProbeDesc};
    /// # fn f(gpu: &gtca::gpu::Gpu) -> Result<(), gtca::Error> {
    /// let probe = Probe::new(&ProbeDesc { classes: 100, ..Default::default() })?;
    /// assert_eq!(probe.variant(gpu)?, Form::General); // 100 are not few
    /// assert!(probe.with_form(Form::Few).variant(gpu).is_err());
    /// # Ok(()) }
    /// ```
    pub fn variant(&self, gpu: &Gpu) -> Result<Form, Error> {
        match self.form {
            Some(Form::Few) if !few::fits(self, gpu) => {
                let rule = "it takes 32 classes and 255 groups at most, on a device with wgpu::Features::SUBGROUP and subgroups of \
                            exactly 8 lanes";
                Err(Error::argument(OP, "form", Form::Few, rule, "leave it out to have one chosen"))
            }
            Some(form) => Ok(form),
            None if few::fits(self, gpu) => Ok(Form::Few),
            None => Ok(Form::General),
        }
    }

    /// Words of the sums' buffer: perturbations · (groups + 1) · 126 cells of two.
    pub fn sums_words(&self) -> u64 {
        let slots = u64::from(self.desc.perturbations).saturating_mul(u64::from(self.desc.groups) + 1);
        slots.saturating_mul(SLOT_CELLS as u64 * 2)
    }

    /// Words of all slots of one perturbation.
    fn slot_words(&self) -> u32 {
        (self.desc.groups + 1) * SLOT_CELLS as u32 * 2
    }

    /// A zeroed buffer for the sums.
    pub fn sums(&self, gpu: &Gpu) -> wgpu::Buffer {
        gpu.zeros("gtca sensitivity", self.sums_words() * 4)
    }

    /// The whole of such a buffer as a view.
    pub fn view<'a>(&self, sums: &'a wgpu::Buffer) -> View<'a> {
        View::vector(sums, self.sums_words() as u32).of(Dtype::U32)
    }

    /// Records the comparison of a chunk of perturbations whose logits are given.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; perturbations beyond the probe's; outputs that overlap anything.
    pub fn external(&self, recorder: &mut Recorder<'_>, args: &External<'_>) -> Result<(), Error> {
        let [count, samples, _] = args.variants.shape;
        let classes = self.desc.classes;
        args.base.check_rows(OP, "base", Dtype::F32, samples.into(), classes)?;
        args.variants.check_shape(OP, "variants", Dtype::F32, [count, samples, classes])?;
        let mut used = vec![("base", args.base, Access::Read), ("variants", args.variants, Access::Read)];
        self.check_common(recorder.gpu(), args, &mut used)?;
        self.start(recorder, args);
        gpu::external(self, recorder, args)
    }

    /// Records the comparison of a chunk of perturbations whose gates are given.
    ///
    /// # Errors
    /// As [`Probe::external`]; also λ or the scale not finite.
    pub fn factored(&self, recorder: &mut Recorder<'_>, args: &Factored<'_>) -> Result<(), Error> {
        let [count, samples, gate_width] = args.gates.shape;
        let rank = args.hidden.width();
        if !(1..=MAX_RANK).contains(&rank) {
            let rule = format!("ranks run from 1 to {MAX_RANK}");
            return Err(Error::argument(OP, "hidden", format!("{rank} wide"), rule, "check the shapes"));
        }
        if gate_width != rank && gate_width != 1 {
            let rule = format!("gates are {rank} wide, or 1 where all ranks share one");
            return Err(Error::argument(OP, "gates", format!("{gate_width} wide"), rule, "check the shapes"));
        }
        if !args.scale.is_finite() {
            return Err(Error::argument(OP, "scale", args.scale, "it must be finite", "check α and r"));
        }
        args.lambda.check(OP, "lambda")?;
        args.base.check_rows(OP, "base", Dtype::F32, samples.into(), self.desc.classes)?;
        args.hidden.check_rows(OP, "hidden", Dtype::F32, samples.into(), rank)?;
        args.map.check_matrix(OP, "map", Dtype::F32, rank.into(), self.desc.classes)?;
        args.true_gates.check_shape(OP, "true_gates", Dtype::F32, [1, samples, gate_width])?;
        args.gates.check_shape(OP, "gates", Dtype::F32, [count, samples, gate_width])?;
        let mut used = vec![
            ("base", args.base, Access::Read),
            ("hidden", args.hidden, Access::Read),
            ("map", args.map, Access::Read),
            ("true_gates", args.true_gates, Access::Read),
            ("gates", args.gates, Access::Read),
        ];
        let common = args.common();
        self.check_common(recorder.gpu(), &common, &mut used)?;
        self.start(recorder, &common);
        gpu::factored(self, recorder, args)
    }

    fn check_common<'a>(&self, gpu: &Gpu, args: &External<'a>, used: &mut Used<'a>) -> Result<(), Error> {
        let [count, samples, _] = args.variants.shape;
        let last = u64::from(args.first_perturbation) + u64::from(count);
        if last > u64::from(self.desc.perturbations) {
            let value = format!("{} with a chunk of {count}", args.first_perturbation);
            let rule = format!("there are {} perturbations", self.desc.perturbations);
            return Err(Error::argument(OP, "first_perturbation", value, rule, "check the chunk"));
        }
        for (name, view) in [("labels", args.labels), ("groups", args.groups)] {
            if let Some(view) = view {
                view.check_rows(OP, name, Dtype::U32, samples.into(), 1)?;
                used.push((name, view, Access::Read));
            }
        }
        if let Some(view) = args.per_sample {
            view.check_shape(OP, "per_sample", Dtype::F32, [count, samples, 4])?;
            used.push(("per_sample", view, Access::Write));
        }
        args.sums.check_cells(OP, "sums", self.sums_words(), gpu, args.mode)?;
        used.push(("sums", args.sums, Access::Write));
        check_overlap(OP, used)
    }

    fn start(&self, recorder: &mut Recorder<'_>, args: &External<'_>) {
        if args.mode == Mode::Overwrite {
            recorder.clear(args.sums.buffer, args.sums.offset, self.sums_words() * 4);
        }
    }

    /// Submits a copy of the sums to the host and resolves to them.
    ///
    /// # Errors
    /// As [`Gpu::read_u32`].
    pub async fn read(&self, gpu: &Gpu, sums: &View<'_>) -> Result<Sensitivity, Error> {
        let words = gpu.read_u32(sums).await?;
        Sensitivity::from_sums(self.desc, &words)
    }
}

impl<'a> Factored<'a> {
    /// What both paths have in common; the gates stand for the variants' logits.
    fn common(&self) -> External<'a> {
        External {
            base: self.base,
            variants: self.gates,
            labels: self.labels,
            groups: self.groups,
            per_sample: self.per_sample,
            first_perturbation: self.first_perturbation,
            sums: self.sums,
            mode: self.mode,
        }
    }
}

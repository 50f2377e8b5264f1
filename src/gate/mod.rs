//! The effective gate: how far metadata may open or close each rank of an adapter.
//!
//! Logits `a` come from metadata, null logits `b∅` are learned. With `g(m) = 2σ(a)`, `g∅ = 2σ(b∅)`, the row's
//! validity v ∈ {0, 1} and the metadata weight μ ∈ [0, 1]: `g = g∅ + μ v (g(m) − g∅)`. Zero logits give g = 1.
//! A row is a sample, or a token where gates are per token; all layers' gates lie side by side in one row.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `g = g∅ + μ v (g(m) − g∅)` | `shaders/gate/mix.wgsl` | [`twin::mix`] |
//! | `da = μ v dg g'(a)`, `g'(a) = 2σ(a)σ(−a)` | `shaders/gate/dlogits.wgsl` | [`twin::dlogits`] |
//! | `db∅ = g'(b∅) Σ (1 − μ v) dg` | `shaders/gate/dnull.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::dnull`] |
//! | `dμ = v Σ_j (g(m) − g∅) dg`, one μ: also Σ over rows | `shaders/gate/dmu.wgsl`, then `reduce/column_sum.wgsl`, `reduce/sum_chunks.wgsl` | [`twin::dmu`] |
//!
//! Tests: `tests/gpu/gate.rs`.
//!
//! **Off is off.** Where μ·v is 0 the gate is g∅ to the bit and no gradient reaches the logits, whatever they hold.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::reduce::column_sum;
use crate::gpu::{Access, Dtype, Knob, Mode, Recorder, View, check_overlap};

const OP: &str = "gate";
/// The loop of dμ runs over a row's gates.
const MAX_WIDTH: u32 = 59_999;

/// The gate's shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetadataGateDesc {
    /// Gates of one row, all layers together: the sum of their ranks, or the number of scalar gates; 1 to 59,999.
    pub width: u32,
}

/// The metadata weight μ: 0 shuts the metadata out, 1 lets it in. A host number outside [0, 1] is refused; numbers
/// in a buffer are taken as they are.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Mu<'a> {
    /// One for the batch.
    Knob(Knob<'a>),
    /// One a row, f32 `[rows, 1]`.
    PerSample(View<'a>),
}

impl Default for Mu<'_> {
    fn default() -> Self {
        Self::Knob(Knob::default())
    }
}

/// A checked gate.
///
/// ```
/// use gtca::gate::{MetadataGate, MetadataGateDesc};
/// assert!(MetadataGate::new(&MetadataGateDesc { width: 64 }).is_ok());
/// assert!(MetadataGate::new(&MetadataGateDesc { width: 0 }).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MetadataGate {
    desc: MetadataGateDesc,
}

/// Arguments of [`MetadataGate::forward`].
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// a, `[rows, width]`.
    pub logits: View<'a>,
    /// b∅, `[width]`.
    pub null_logits: View<'a>,
    /// v, f32 `[rows, 1]`: 1, or 0 where the row's metadata is dropped or wholly missing.
    pub validity: View<'a>,
    /// μ.
    pub mu: Mu<'a>,
    /// Written: g, `[rows, width]`.
    pub gates: View<'a>,
}

/// Arguments of [`MetadataGate::backward`]; gradients that are absent are not computed.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// a, `[rows, width]`, as in the forward.
    pub logits: View<'a>,
    /// b∅, `[width]`.
    pub null_logits: View<'a>,
    /// v, f32 `[rows, 1]`.
    pub validity: View<'a>,
    /// μ, as in the forward.
    pub mu: Mu<'a>,
    /// Gradient of g, `[rows, width]`.
    pub dgates: View<'a>,
    /// Written: gradient of a, `[rows, width]`.
    pub dlogits: Option<View<'a>>,
    /// Written: gradient of b∅, `[width]`.
    pub dnull_logits: Option<View<'a>>,
    /// Written: gradient of μ: one f32, or `[rows, 1]` where μ is per row.
    pub dmu: Option<View<'a>>,
    /// Whether `dlogits` is replaced or added to.
    pub dlogits_mode: Mode,
    /// Whether `dnull_logits` and `dmu` are replaced or added to.
    pub parameter_mode: Mode,
}

impl MetadataGate {
    /// Checks the shape.
    ///
    /// # Errors
    /// A width outside 1..=59,999.
    pub fn new(desc: &MetadataGateDesc) -> Result<Self, Error> {
        if !(1..=MAX_WIDTH).contains(&desc.width) {
            let rule = format!("widths run from 1 to {MAX_WIDTH}");
            return Err(Error::argument(OP, "width", desc.width, rule, "gate the layers in several calls"));
        }
        Ok(Self { desc: *desc })
    }

    /// Records `g = g∅ + μ v (g(m) − g∅)`. Rows are independent: a row alone gives the same bits.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; a host μ outside [0, 1].
    pub fn forward(&self, recorder: &mut Recorder<'_>, args: &Forward<'_>) -> Result<(), Error> {
        let Forward { logits, null_logits, validity, mu, gates } = args;
        let mut used = self.check_inputs(logits, null_logits, validity, mu)?;
        gates.check_rows(OP, "gates", Dtype::F32, logits.rows(), self.desc.width)?;
        used.push(("gates", *gates, Access::Write));
        check_overlap(OP, &used)?;
        gpu::mix(recorder, logits, null_logits, gpu::Weight { validity: *validity, mu: *mu }, gates)
    }

    /// Records the gradients that are asked for. Sums over rows run in chunks of 256 from row 0, in order.
    ///
    /// # Errors
    /// As [`MetadataGate::forward`].
    pub fn backward(&self, recorder: &mut Recorder<'_>, args: &Backward<'_>) -> Result<(), Error> {
        self.check_backward(args)?;
        let Backward { logits, null_logits, validity, dgates, .. } = args;
        let weight = gpu::Weight { validity: *validity, mu: args.mu };
        if let Some(dlogits) = &args.dlogits {
            gpu::dlogits(recorder, logits, dgates, weight, dlogits, args.dlogits_mode)?;
        }
        let mode = args.parameter_mode;
        if let Some(dnull) = &args.dnull_logits {
            gpu::dnull(recorder, null_logits, dgates, weight, dnull, mode)?;
        }
        match (&args.dmu, &args.mu) {
            (None, _) => Ok(()),
            (Some(dmu), Mu::PerSample(_)) => {
                gpu::dmu(recorder, logits, null_logits, dgates, validity, dmu, mode)
            }
            (Some(dmu), Mu::Knob(_)) => {
                let scratch = recorder.scratch(OP, logits.rows() * 4)?;
                let of_rows = scratch.tokens([logits.shape[0], logits.shape[1], 1]);
                gpu::dmu(recorder, logits, null_logits, dgates, validity, &of_rows, Mode::Overwrite)?;
                column_sum(recorder, OP, &of_rows, dmu, mode)
            }
        }
    }

    fn check_backward(&self, args: &Backward<'_>) -> Result<(), Error> {
        let Backward { logits, null_logits, validity, mu, dgates, .. } = args;
        let mut used = self.check_inputs(logits, null_logits, validity, mu)?;
        let (rows, width) = (logits.rows(), self.desc.width);
        dgates.check_rows(OP, "dgates", Dtype::F32, rows, width)?;
        used.push(("dgates", *dgates, Access::Read));
        let mu_rows = if matches!(mu, Mu::PerSample(_)) { rows } else { 1 };
        let written = [
            ("dlogits", args.dlogits, rows, width),
            ("dnull_logits", args.dnull_logits, 1, width),
            ("dmu", args.dmu, mu_rows, 1),
        ];
        for (name, view, rows, width) in written {
            if let Some(view) = view {
                view.check_rows(OP, name, Dtype::F32, rows, width)?;
                used.push((name, view, Access::Write));
            }
        }
        check_overlap(OP, &used)
    }

    /// What forward and backward share.
    fn check_inputs<'a>(
        &self,
        logits: &View<'a>,
        null_logits: &View<'a>,
        validity: &View<'a>,
        mu: &Mu<'a>,
    ) -> Result<Vec<(&'static str, View<'a>, Access)>, Error> {
        let rows = logits.rows();
        logits.check_rows(OP, "logits", Dtype::F32, rows, self.desc.width)?;
        null_logits.check_rows(OP, "null_logits", Dtype::F32, 1, self.desc.width)?;
        validity.check_rows(OP, "validity", Dtype::F32, rows, 1)?;
        let mut used = vec![
            ("logits", *logits, Access::Read),
            ("null_logits", *null_logits, Access::Read),
            ("validity", *validity, Access::Read),
        ];
        match mu {
            Mu::Knob(Knob::Host(value)) if !(0.0..=1.0).contains(value) => {
                let rule = "the metadata weight runs from 0 to 1";
                return Err(Error::argument(OP, "mu", value, rule, "clamp it"));
            }
            Mu::Knob(knob) => knob.check(OP, "mu")?,
            Mu::PerSample(view) => {
                view.check_rows(OP, "mu", Dtype::F32, rows, 1)?;
                used.push(("mu", *view, Access::Read));
            }
        }
        Ok(used)
    }
}

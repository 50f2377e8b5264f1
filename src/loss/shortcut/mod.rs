//! Anti-shortcut loss: a contrastive loss between regions, so that an embedding says what is there and not where it is.
//!
//! With `a_ij = z_i·z_j / t`, positives `P(i)` of the same class in another region, negatives of another class, which weigh
//! `w = ω` in the same region and 1 elsewhere, and pairs of the same class in the same region left out:
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `L_i = log Σ_j w_ij e^a_ij − Σ_P a_ip / \|P\|`; `L = Σ L_i / A` over the A samples with positives | `shaders/loss/shortcut/rows.wgsl`, `shaders/loss/ratio.wgsl` | [`twin::anti_shortcut`] |
//! | `dz_i = Σ_j (c_ij + c_ji) z_j / (A t)`, `c_ij = w_ij e^a_ij / Σ_j w_ij e^a_ij − [j ∈ P(i)] / \|P(i)\|` | `shaders/loss/shortcut/gradient.wgsl` | [`twin::anti_shortcut`] |
//!
//! A negative of the same region shares what is local (light, season, sensor, soil); a positive of another does not. So local
//! traits lower the loss of no pair and raise that of some: the shortcut does not pay.
//!
//! The formula is the supervised contrastive loss of Khosla et al. ("Supervised Contrastive Learning", NeurIPS 2020, `L_out`) with
//! positives and weights by region. The matrix of similarities is walked in tiles and never stored; the gradient computes it
//! again. Tests: `tests/gpu/shortcut.rs`.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use super::check_scale;
use crate::Error;
use crate::gpu::{Access, Dtype, Mode, Recorder, View, check_overlap};

const OP: &str = "loss/shortcut";
/// A tile's columns are walked in one invocation.
const MAX_WIDTH: u32 = 32_768;
/// Positives are counted in f32.
const MAX_SAMPLES: u64 = 1 << 24;

/// Arguments of [`anti_shortcut`]. Its matrices have rows at one distance.
#[derive(Clone, Copy, Debug)]
pub struct AntiShortcut<'a> {
    /// Embeddings of length 1, `[S, width]`, widths 1 to 32,768, S up to 2²⁴. Lengths are not checked, and the gradient is that of
    /// the formula in z: whoever normalises takes it through the normalisation.
    pub z: View<'a>,
    /// u32 `[S, 1]`: any numbers. A sample whose class is [`IGNORE`](super::IGNORE) takes no part.
    pub classes: View<'a>,
    /// u32 `[S, 1]`, likewise: tile, ecoregion, or any other id of a place.
    pub regions: View<'a>,
    /// t, above 0. Similarities over t lie within ±10³⁷.
    pub temperature: f32,
    /// ω, at least 1: how much more a negative of the same region weighs.
    pub weight: f32,
    /// Written: the mean over samples with positives in nats, 0 if there is none; `[1]`.
    pub loss: View<'a>,
    /// Written: each sample's loss in nats, 0 for one without positives; `[S, 1]`.
    pub per_row: Option<View<'a>>,
    /// Written: how many samples have positives, as f32; `[1]`.
    pub anchors: Option<View<'a>>,
    /// Written: gradient of `scale · loss`, `[S, width]`.
    pub dz: Option<View<'a>>,
    /// Factor of the gradient.
    pub scale: f32,
    /// Whether `dz` is replaced or added to.
    pub mode: Mode,
}

impl<'a> AntiShortcut<'a> {
    /// The loss alone: no further outputs, a scale of 1, [`Mode::Overwrite`].
    pub fn new(
        z: View<'a>,
        classes: View<'a>,
        regions: View<'a>,
        (temperature, weight): (f32, f32),
        loss: View<'a>,
    ) -> Self {
        let (per_row, anchors, dz, mode) = (None, None, None, Mode::Overwrite);
        Self { z, classes, regions, temperature, weight, loss, per_row, anchors, dz, scale: 1.0, mode }
    }
}

/// Records the anti-shortcut loss of a batch and, where asked for, its gradient. A sample whose class or region is
/// [`IGNORE`](super::IGNORE) is nobody's positive, nobody's negative and has no loss. A sample with positives but without
/// negatives counts: its positives then compete with each other alone, and its loss is `log |P|` at least.
///
/// # Errors
/// Wrong shapes, types or ranges; rows that do not lie at one distance; overlapping outputs; a number that is not finite.
///
/// ```no_run
/// # use gtca::{gpu::{Recorder, View}, loss::shortcut::{anti_shortcut, AntiShortcut}};
/// # fn f<'a>(
/// #     recorder: &mut Recorder<'_>, z: View<'a>, classes: View<'a>, regions: View<'a>, loss: View<'a>, dz: View<'a>,
/// # ) -> Result<(), gtca::Error> {
/// let (temperature, weight) = (0.1, 2.0);
/// anti_shortcut(recorder, &AntiShortcut {
///     dz: Some(dz),
///     ..AntiShortcut::new(z, classes, regions, (temperature, weight), loss)
/// })
/// # }
/// ```
pub fn anti_shortcut(recorder: &mut Recorder<'_>, args: &AntiShortcut<'_>) -> Result<(), Error> {
    check_numbers(args)?;
    let (samples, width) = (args.z.rows(), args.z.width());
    args.z.check_matrix(OP, "z", Dtype::F32, samples, width)?;
    args.classes.check_matrix(OP, "classes", Dtype::U32, samples, 1)?;
    args.regions.check_matrix(OP, "regions", Dtype::U32, samples, 1)?;
    args.loss.check_rows(OP, "loss", Dtype::F32, 1, 1)?;
    let mut used = vec![
        ("z", args.z, Access::Read),
        ("classes", args.classes, Access::Read),
        ("regions", args.regions, Access::Read),
        ("loss", args.loss, Access::Write),
    ];
    let outputs = [
        ("per_row", args.per_row, samples, 1),
        ("anchors", args.anchors, 1, 1),
        ("dz", args.dz, samples, width),
    ];
    for (name, view, rows, width) in outputs {
        if let Some(view) = view {
            view.check_matrix(OP, name, Dtype::F32, rows, width)?;
            used.push((name, view, Access::Write));
        }
    }
    check_overlap(OP, &used)?;
    gpu::anti_shortcut(recorder, args)
}

fn check_numbers(args: &AntiShortcut<'_>) -> Result<(), Error> {
    let bad = |name, value: String, rule: &str, remedy| Err(Error::argument(OP, name, value, rule, remedy));
    check_scale(args.scale)?;
    // A subnormal's inverse is infinite.
    if !(args.temperature >= f32::MIN_POSITIVE && args.temperature.is_finite()) {
        return bad("temperature", args.temperature.to_string(), "it lies above 0", "take 0.1");
    }
    if !(args.weight >= 1.0 && args.weight.is_finite()) {
        let rule = "a negative of the same region weighs no less than another";
        return bad("weight", args.weight.to_string(), rule, "take 2");
    }
    if !(1..=MAX_WIDTH).contains(&args.z.width()) {
        let rule = format!("widths run from 1 to {MAX_WIDTH}");
        return bad("z", format!("{} wide", args.z.width()), &rule, "project the embeddings");
    }
    if args.z.rows() > MAX_SAMPLES {
        let rule = format!("there are at most {MAX_SAMPLES} samples");
        return bad("z", format!("{} samples", args.z.rows()), &rule, "split the batch");
    }
    Ok(())
}

//! Losses: cross-entropy, the evidence regularizer and the anti-shortcut loss, values and gradients.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `ce_i = lse(z_i) − z_{i,y}`; `L = Σ w_y ce / Σ w_y` | `shaders/loss/cross_entropy_rows.wgsl`, `shaders/loss/ratio.wgsl` | [`twin::cross_entropy`] |
//! | `dz = w_y / Σw · (softmax(z) − onehot(y))` | `shaders/loss/cross_entropy_gradient.wgsl` | [`twin::cross_entropy`] |
//! | `L_ev = mean_i w_i max(0, J(p_i, q_i) − τ)` | `shaders/loss/evidence.wgsl` | [`twin::evidence`] |
//! | the anti-shortcut loss: [`shortcut`] | `shaders/loss/shortcut/` | [`shortcut::twin`] |
//!
//! Sums over rows run in fixed chunks (`shaders/reduce/column_sum.wgsl`). Tests: `tests/gpu/loss.rs`, `tests/gpu/shortcut.rs`.

mod gpu;
pub mod shortcut;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Mode, Recorder, View, check_overlap};

const OP: &str = "loss";
/// The cross-entropy loops over a row's classes twice.
const MAX_CLASSES: u32 = 29_999;
/// The evidence regularizer loops four times.
const MAX_EVIDENCE_CLASSES: u32 = 14_999;

/// The label that no loss counts, unless another is named.
pub const IGNORE: u32 = u32::MAX;

/// Arguments of [`cross_entropy`].
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy<'a> {
    /// `[rows, classes]`, classes 2 to 29,999.
    pub logits: View<'a>,
    /// u32 `[rows, 1]`. A label beyond the classes counts as ignored.
    pub labels: View<'a>,
    /// `[classes]`, at least 0; or none for 1.
    pub class_weights: Option<View<'a>>,
    /// The label that is left out silently, be it a class or not; usually [`IGNORE`].
    pub ignore: u32,
    /// Written: `Σ w_y ce / Σ w_y` over counted rows in nats, 0 if there is none; `[1]`.
    pub loss: View<'a>,
    /// Written: each row's `ce` in nats without class weight, 0 where the label is not counted; `[rows, 1]`.
    pub per_row: Option<View<'a>>,
    /// Written: gradient of `scale · loss`, `[rows, classes]`.
    pub dlogits: Option<View<'a>>,
    /// Factor of the gradient.
    pub scale: f32,
    /// Whether `dlogits` is replaced or added to.
    pub mode: Mode,
    /// u32 `[1]`, added to: labels that are neither a class nor `ignore`.
    pub status: Option<View<'a>>,
}

impl<'a> CrossEntropy<'a> {
    /// The loss alone: no class weights, [`IGNORE`], no further outputs, a scale of 1, [`Mode::Overwrite`].
    pub fn new(logits: View<'a>, labels: View<'a>, loss: View<'a>) -> Self {
        Self {
            logits,
            labels,
            class_weights: None,
            ignore: IGNORE,
            loss,
            per_row: None,
            dlogits: None,
            scale: 1.0,
            mode: Mode::Overwrite,
            status: None,
        }
    }
}

/// Arguments of [`evidence`].
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Logits with (randomly dropped or perturbed) metadata, `[rows, classes]`, classes 2 to 14,999.
    pub p: View<'a>,
    /// Logits of the same adapter with all metadata dropped, `[rows, classes]`.
    pub q: View<'a>,
    /// Divergence in nats that costs nothing; 0.05 in the design.
    pub threshold: f32,
    /// Written: the mean over all rows; `[1]`.
    pub loss: View<'a>,
    /// Written: gradient of `scale · loss` with respect to `p`, `[rows, classes]`.
    pub dp: Option<View<'a>>,
    /// Written: the same for `q`, which is detached where this is absent. Needs `dp`.
    pub dq: Option<View<'a>>,
    /// Factor of the gradients: β times what comes from above.
    pub scale: f32,
    /// Whether the gradients are replaced or added to.
    pub mode: Mode,
}

/// Records the cross-entropy of class logits and, where asked for, its gradient. A row's `ce` does not depend on the
/// rows beside it. Logits lie within ±10³⁷, so that their differences are finite.
///
/// # Errors
/// Wrong shapes, types or ranges; overlapping outputs; a scale that is not finite.
///
/// ```no_run
/// # use gtca::{gpu::{Recorder, View}, loss::{cross_entropy, CrossEntropy}};
/// # fn f<'a>(
/// #     recorder: &mut Recorder<'_>, logits: View<'a>, labels: View<'a>, loss: View<'a>, gradient: View<'a>,
/// # ) -> Result<(), gtca::Error> {
/// cross_entropy(recorder, &CrossEntropy {
///     dlogits: Some(gradient),
///     ..CrossEntropy::new(logits, labels, loss)
/// })
/// # }
/// ```
pub fn cross_entropy(recorder: &mut Recorder<'_>, args: &CrossEntropy<'_>) -> Result<(), Error> {
    let rows = args.logits.rows();
    let classes = check_classes(&args.logits, MAX_CLASSES)?;
    check_scale(args.scale)?;
    args.logits.check(OP, "logits", Dtype::F32)?;
    args.labels.check_rows(OP, "labels", Dtype::U32, rows, 1)?;
    args.loss.check_rows(OP, "loss", Dtype::F32, 1, 1)?;
    let mut used = vec![
        ("logits", args.logits, Access::Read),
        ("labels", args.labels, Access::Read),
        ("loss", args.loss, Access::Write),
    ];
    if let Some(weights) = args.class_weights {
        weights.check_rows(OP, "class_weights", Dtype::F32, 1, classes)?;
        used.push(("class_weights", weights, Access::Read));
    }
    if let Some(per_row) = args.per_row {
        per_row.check_rows(OP, "per_row", Dtype::F32, rows, 1)?;
        used.push(("per_row", per_row, Access::Write));
    }
    if let Some(dlogits) = args.dlogits {
        dlogits.check_rows(OP, "dlogits", Dtype::F32, rows, classes)?;
        used.push(("dlogits", dlogits, Access::Write));
    }
    if let Some(status) = args.status {
        status.check_rows(OP, "status", Dtype::U32, 1, 1)?;
        used.push(("status", status, Access::Write));
    }
    check_overlap(OP, &used)?;
    gpu::cross_entropy(recorder, args)
}

/// Records the evidence regularizer and, where asked for, its gradients. The certainty weight
/// `w = 1 − H(q)/ln C`, clamped to [0, 1], is constant in the gradient.
///
/// # Errors
/// Wrong shapes, types or ranges; overlapping outputs; `dq` without `dp`; a number that is not finite.
///
/// ```no_run
/// # use gtca::{gpu::{Mode, Recorder, View}, loss::{evidence, Evidence}};
/// # fn f<'a>(recorder: &mut Recorder<'_>, p: View<'a>, q: View<'a>, loss: View<'a>, dp: View<'a>) -> Result<(), gtca::Error> {
/// let (dp, mode) = (Some(dp), Mode::Accumulate);
/// evidence(recorder, &Evidence { p, q, threshold: 0.05, loss, dp, dq: None, scale: 1.0, mode })
/// # }
/// ```
pub fn evidence(recorder: &mut Recorder<'_>, args: &Evidence<'_>) -> Result<(), Error> {
    let rows = args.p.rows();
    let classes = check_classes(&args.p, MAX_EVIDENCE_CLASSES)?;
    check_scale(args.scale)?;
    if !(args.threshold >= 0.0 && args.threshold.is_finite()) {
        return Err(Error::argument(
            OP,
            "threshold",
            args.threshold,
            "it is a divergence in nats",
            "take 0.05",
        ));
    }
    args.p.check(OP, "p", Dtype::F32)?;
    args.q.check_rows(OP, "q", Dtype::F32, rows, classes)?;
    args.loss.check_rows(OP, "loss", Dtype::F32, 1, 1)?;
    let mut used =
        vec![("p", args.p, Access::Read), ("q", args.q, Access::Read), ("loss", args.loss, Access::Write)];
    for (name, view) in [("dp", args.dp), ("dq", args.dq)] {
        if let Some(view) = view {
            view.check_rows(OP, name, Dtype::F32, rows, classes)?;
            used.push((name, view, Access::Write));
        }
    }
    if args.dq.is_some() && args.dp.is_none() {
        return Err(Error::argument(OP, "dq", "given", "dq comes together with dp", "ask for dp too"));
    }
    check_overlap(OP, &used)?;
    gpu::evidence(recorder, args)
}

fn check_classes(logits: &View<'_>, most: u32) -> Result<u32, Error> {
    let classes = logits.width();
    if !(2..=most).contains(&classes) {
        let rule = format!("classes run from 2 to {most}");
        return Err(Error::argument(OP, "classes", classes, rule, "check the logits' width"));
    }
    Ok(classes)
}

fn check_scale(scale: f32) -> Result<(), Error> {
    if scale.is_finite() {
        Ok(())
    } else {
        Err(Error::argument(OP, "scale", scale, "it must be finite", "check the schedule"))
    }
}

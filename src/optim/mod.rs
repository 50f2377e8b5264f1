//! AdamW and gradient clipping by the global norm.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `‖g‖² = Σ g²` over several views | `shaders/optim/square_sum.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::square_norm`] |
//! | AdamW step (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019) | `shaders/optim/adamw.wgsl` | [`twin::adamw`] |
//!
//! Tests: `tests/gpu/optim.rs`.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Recorder, View, check_overlap};

const OP: &str = "optim";

/// AdamW's numbers; the defaults are the customary ones.
#[derive(Clone, Copy, Debug)]
pub struct AdamWDesc {
    /// Decay of the first moment, in [0, 1).
    pub beta1: f32,
    /// Decay of the second moment, in [0, 1).
    pub beta2: f32,
    /// Added to the root of the second moment; positive.
    pub epsilon: f32,
    /// Decoupled weight decay; at least 0.
    pub weight_decay: f32,
    /// Gradients longer than this are shortened to it; none leaves them alone.
    pub max_norm: Option<f32>,
}

impl Default for AdamWDesc {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, max_norm: None }
    }
}

/// A checked AdamW. The moments are the embedder's buffers, zero at first.
///
/// ```
/// use gtca::optim::{AdamW, AdamWDesc};
/// assert!(AdamW::new(&AdamWDesc { weight_decay: 0.0, ..Default::default() }).is_ok());
/// assert!(AdamW::new(&AdamWDesc { beta1: 1.0, ..Default::default() }).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    desc: AdamWDesc,
}

/// One tensor's arguments of [`AdamW::step`].
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// Gradient, `[rows, width]`.
    pub gradient: View<'a>,
    /// Parameters, in place.
    pub theta: View<'a>,
    /// First moment, in place.
    pub m: View<'a>,
    /// Second moment, in place.
    pub v: View<'a>,
}

impl AdamW {
    /// Checks the numbers.
    ///
    /// # Errors
    /// A decay outside [0, 1), an epsilon or maximal norm that is not positive, a negative weight decay.
    pub fn new(desc: &AdamWDesc) -> Result<Self, Error> {
        let refuse = |name, value, rule: &str| Err(Error::argument(OP, name, value, rule, "see AdamWDesc"));
        for (name, beta) in [("beta1", desc.beta1), ("beta2", desc.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return refuse(name, beta, "it must be in [0, 1)");
            }
        }
        if !(desc.epsilon > 0.0 && desc.epsilon.is_finite()) {
            return refuse("epsilon", desc.epsilon, "it must be positive");
        }
        if !(desc.weight_decay >= 0.0 && desc.weight_decay.is_finite()) {
            return refuse("weight_decay", desc.weight_decay, "it must be at least 0");
        }
        match desc.max_norm {
            Some(norm) if !(norm > 0.0 && norm.is_finite()) => {
                refuse("max_norm", norm, "it must be positive")
            }
            _ => Ok(Self { desc: *desc }),
        }
    }

    /// Records one step over all slots. `step` counts from 1; the gradient norm runs over all slots together and is
    /// written, squared, to `square_norm` (`[1]`; required with `max_norm`). Its sum runs in fixed chunks, slot after
    /// slot. A norm above 10¹⁹ is beyond f32 when squared; clip or scale the loss before it comes to that.
    /// Calls for disjoint sets of slots clip each set by its own norm.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping tensors; step 0; a learning rate that is not finite.
    pub fn step(
        &self,
        recorder: &mut Recorder<'_>,
        slots: &[Slot<'_>],
        step: u32,
        learning_rate: f32,
        square_norm: Option<View<'_>>,
    ) -> Result<(), Error> {
        if step == 0 {
            return Err(Error::argument(OP, "step", step, "steps count from 1", "add one"));
        }
        if !(learning_rate >= 0.0 && learning_rate.is_finite()) {
            let rule = "it must be at least 0";
            return Err(Error::argument(OP, "learning_rate", learning_rate, rule, "check the schedule"));
        }
        if self.desc.max_norm.is_some() && square_norm.is_none() {
            let rule = "clipping needs a place for the norm";
            return Err(Error::argument(OP, "square_norm", "absent", rule, "give a view of one f32"));
        }
        let mut used = Vec::new();
        for slot in slots {
            let (rows, width) = (slot.theta.rows(), slot.theta.width());
            for (name, view, access) in [
                ("gradient", slot.gradient, Access::Read),
                ("theta", slot.theta, Access::Write),
                ("m", slot.m, Access::Write),
                ("v", slot.v, Access::Write),
            ] {
                view.check_rows(OP, name, Dtype::F32, rows, width)?;
                used.push((name, view, access));
            }
        }
        if let Some(norm) = square_norm {
            norm.check_rows(OP, "square_norm", Dtype::F32, 1, 1)?;
            used.push(("square_norm", norm, Access::Write));
        }
        check_overlap(OP, &used)?;
        gpu::check_limits(recorder, slots)?;
        if let Some(norm) = &square_norm {
            let gradients: Vec<View<'_>> = slots.iter().map(|slot| slot.gradient).collect();
            gpu::square_norm(recorder, &gradients, norm)?;
        }
        slots.iter().try_for_each(|slot| {
            gpu::adamw(
                recorder,
                &self.desc,
                slot,
                gpu::Step { number: step, learning_rate },
                square_norm.as_ref(),
            )
        })
    }
}

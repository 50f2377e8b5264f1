//! The training loop: steps in bundles, a look at the validation part after each, the best values kept.

use super::{Config, Outcome, read_scalar};
use crate::Error;
use gtca::gpu::{Gpu, View};
use gtca::wgpu;

/// Something that learns by recorded steps.
pub(super) trait Learner {
    /// Records step `step` (from 1).
    fn step(&mut self, encoder: &mut wgpu::CommandEncoder, step: u32) -> Result<(), gtca::Error>;
    /// Records the validation loss into a buffer of one f32.
    fn look(&self, encoder: &mut wgpu::CommandEncoder, loss: View<'_>) -> Result<(), gtca::Error>;
    /// Records a copy of the values to the side.
    fn keep(&self, encoder: &mut wgpu::CommandEncoder);
    /// Records the way back.
    fn restore(&self, encoder: &mut wgpu::CommandEncoder);
}

/// Trains up to `steps` steps and leaves the learner with its best values.
pub(super) fn fit(
    gpu: &Gpu,
    learner: &mut dyn Learner,
    config: &Config,
    steps: u32,
) -> Result<Outcome, Error> {
    let loss = gpu.zeros("validation loss", 4);
    let mut best = Outcome { best_step: 0, validation_nll: f32::INFINITY };
    let mut step = 0;
    let mut idle = 0;
    while step < steps && idle < config.patience {
        let mut encoder = gpu.encoder();
        for _ in 0..config.look_every.min(steps - step) {
            step += 1;
            learner.step(&mut encoder, step)?;
        }
        learner.look(&mut encoder, View::vector(&loss, 1))?;
        gpu.submit(encoder)?;
        let nll = read_scalar(gpu, &loss)?;
        if nll < best.validation_nll {
            best = Outcome { best_step: step, validation_nll: nll };
            idle = 0;
            let mut encoder = gpu.encoder();
            learner.keep(&mut encoder);
            gpu.submit(encoder)?;
        } else {
            idle += 1;
        }
    }
    let mut encoder = gpu.encoder();
    learner.restore(&mut encoder);
    gpu.submit(encoder)?;
    Ok(best)
}

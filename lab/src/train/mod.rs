//! Training on the GPU kernels alone: a backbone without metadata, then three adapters on one frozen layer.
//!
//! The backbone is an MLP over one token a sample: evidence and mask → D → D (SiLU after both) → a linear layer D → D
//! without activation → a linear head. It is trained, then frozen. The adapters all sit on the D → D layer, with the
//! same rank, steps, optimiser and selection:
//!
//! * [`Kind::Lora`]: no metadata at all;
//! * [`Kind::Concat`]: metadata as numbers through a linear map to the rank, added to `h = x Aᵀ` (which is LoRA on the
//!   concatenated input);
//! * [`Kind::Gtca`]: gates from encoded metadata, with dropped and displaced metadata and the evidence regularizer.
//!
//! Selection and stopping see the validation part only.

mod adapters;
mod backbone;
mod fit;
mod head;
mod metadata;
mod part;
mod perturbed;
mod store;

pub use adapters::{Gtca, Plain};
pub use backbone::{Backbone, Material};
pub use metadata::{ConcatScale, record};
pub use part::{Features, Part};
pub use perturbed::{DeviceGrid, Perturbed};

use crate::Error;
use gtca::gpu::Gpu;
use gtca::wgpu;

/// Which adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain LoRA, null gate.
    Lora,
    /// Naive concatenation of metadata.
    Concat,
    /// The Geo-Time Conditional Adapter.
    Gtca,
}

/// Sizes and schedule, the same for every model of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Width D of the backbone and of the adapted layer.
    pub width: u32,
    /// Rank of every adapter.
    pub rank: u32,
    /// Hidden width of the gate.
    pub gate_hidden: u32,
    /// Samples a step.
    pub batch: u32,
    /// Most steps of the backbone's training.
    pub backbone_steps: u32,
    /// Most steps of an adapter's training.
    pub adapter_steps: u32,
    /// Steps between two looks at the validation part.
    pub look_every: u32,
    /// Looks without improvement before training stops.
    pub patience: u32,
    /// Learning rate of the backbone.
    pub backbone_rate: f32,
    /// Learning rate of the adapters.
    pub adapter_rate: f32,
    /// Weight β of the evidence regularizer.
    pub evidence: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 64,
            rank: 8,
            gate_hidden: 32,
            batch: 64,
            backbone_steps: 500,
            adapter_steps: 400,
            look_every: 25,
            patience: 5,
            backbone_rate: 2e-3,
            adapter_rate: 4e-3,
            evidence: 1.0,
        }
    }
}

impl Config {
    /// A few steps, for tests of the path rather than of the numbers.
    pub fn quick() -> Self {
        Self { backbone_steps: 40, adapter_steps: 40, ..Self::default() }
    }
}

/// How a training went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The step whose parameters were kept.
    pub best_step: u32,
    /// Its cross-entropy on the validation part, in nats.
    pub validation_nll: f32,
}

/// Submits and waits for one f32 of a buffer.
fn read_scalar(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<f32, Error> {
    Ok(gpu.read_f32_blocking(&gtca::gpu::View::vector(buffer, 1))?[0])
}

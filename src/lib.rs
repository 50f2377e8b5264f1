//! GPU kernels that condition Earth-observation foundation models on place, time and sensor.

pub mod adapter;
pub mod common;
pub mod encode;
mod error;
pub mod gate;
pub mod gpu;
pub mod linear;
pub mod lora;
pub mod loss;
pub mod metrics;
pub mod optim;
pub mod perturb;
pub mod records;
pub mod sensitivity;

pub use error::Error;
pub use wgpu;

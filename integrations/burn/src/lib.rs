//! The gtca kernels as modules of [Burn](burn), on Burn's own wgpu device and in Burn's own memory.
//!
//! | here | what | gradients of |
//! |---|---|---|
//! | [`encode::MetadataEncoder`] | records to features | learned parameters |
//! | [`gate::mix`] | metadata and null logits to gates | both logits, μ |
//! | [`lora::GatedLora`] | a gated low-rank addition to a frozen layer's output | x, y, A, B, gates, bias, λ |
//! | [`adapter::GtcaAdapter`] | these as one module | all parameters, x, y |
//! | [`loss::cross_entropy`] | cross-entropy | logits |
//! | [`loss::evidence`] | the evidence regularizer | p, q |
//! | [`loss::anti_shortcut`] | the anti-shortcut loss | embeddings |
//! | [`sensitivity::Sweep`] | how far predictions move under wrong metadata | – |
//!
//! Formulas, shapes and sources stand in the rooms of the same names in [`gtca`]. Parameters are Burn's [`Param`](burn::module::Param)s:
//! records, optimisers, devices with and without autodiff, fusion and gradient checkpointing work as with any module of Burn.
//!
//! # One device
//!
//! Both libraries work on one [`wgpu::Device`](gtca::wgpu::Device) and its queue. Burn opens it:
//!
//! ```no_run
//! use burn::tensor::Device;
//! let (device, setup) = Device::wgpu_options().init_with_setup()?;
//! let gpu = gtca::gpu::Gpu::adopt(setup.device, setup.queue);
//! # Ok::<(), burn::tensor::wgpu::WgpuInitError>(())
//! ```
//!
//! Or you do, and Burn and gtca are your guests:
//!
//! ```no_run
//! use burn::tensor::{Device, wgpu::WgpuSetup};
//! # fn f(setup: WgpuSetup) -> Result<(), burn::tensor::wgpu::WgpuInitError> {
//! let gpu = gtca::gpu::Gpu::adopt(setup.device.clone(), setup.queue.clone());
//! let device = Device::wgpu_options().setup(setup).init()?;
//! # Ok(()) }
//! ```
//!
//! A module keeps the [`Gpu`](gtca::gpu::Gpu) that it was made with: tensors of another device are refused by wgpu, and
//! `to_device` moves its parameters only. Burn installs its own callbacks on the device; where it says that the device is lost,
//! call [`Gpu::mark_lost`](gtca::gpu::Gpu::mark_lost).
//!
//! # What it costs
//!
//! Nothing is copied and nothing waits: a tensor is a view of its buffer, and an op is one submission behind Burn's own. Rows in order
//! at any distance are taken as they lie (slices of columns, of samples); Burn makes a copy of any other layout first. Scratch comes
//! from Burn's memory. Fusion treats an op as opaque: it fuses what lies before and behind it.
//!
//! Shapes, types and numbers are checked where an op is called, and a wrong one panics there, as Burn's own ops do.

pub mod adapter;
pub mod encode;
pub mod gate;
pub mod lora;
pub mod loss;
pub mod sensitivity;

mod guest;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

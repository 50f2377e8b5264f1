//! GPU kernels that condition Earth-observation foundation models on place, time and sensor.
//!
//! The crate as a story: a [`records::Record`] says where, when and with which sensor an image was taken. An
//! [`encode::Plan`] turns a batch of records into features, in one pass. The [`adapter::GtcaAdapter`] makes gates
//! of them ([`linear`], [`gate`]) and injects them into a frozen layer ([`lora`]). The [`loss`] keeps metadata from
//! overturning what the image alone settles, and embeddings from telling the region; [`optim`] takes the step. [`perturb`]
//! makes the metadata wrong, [`sensitivity`] says what that does to predictions, and [`metrics`] how good they were.
//!
//! # From a formula to its shader, twin and test
//!
//! Every operation is a room of the same name: public API and checks in `src/<op>/mod.rs`, recording in
//! `src/<op>/gpu.rs`, the CPU twin in `src/<op>/twin.rs`, kernels in `shaders/<op>/`, tests in `tests/gpu/<op>.rs`.
//! Each room's docs open with a table of its formulas.
//!
//! | formula | room | shader | test |
//! |---|---|---|---|
//! | `Y_lm`, seasons, hours, GSD, ids: `e = E(m)` | [`encode`] | `shaders/encode/waves.wgsl`, `harmonics.wgsl` | `tests/gpu/encode/`, `tests/golden.rs` |
//! | `y = act(x Wᵀ + b)` | [`linear`] | `shaders/linear/rows.wgsl` | `tests/gpu/linear.rs` |
//! | `g = g∅ + μ v (g(m) − g∅)` | [`gate`] | `shaders/gate/mix.wgsl` | `tests/gpu/gate.rs` |
//! | `y += λ s ((x Aᵀ) ⊙ g) Bᵀ` | [`lora`] | `shaders/lora/down.wgsl`, `gated.wgsl`, `up.wgsl` | `tests/gpu/lora.rs` |
//! | cross-entropy; `mean w max(0, J − τ)` | [`loss`] | `shaders/loss/` | `tests/gpu/loss.rs` |
//! | contrast of classes across regions | [`loss::shortcut`] | `shaders/loss/shortcut/` | `tests/gpu/shortcut.rs` |
//! | AdamW, ‖g‖ | [`optim`] | `shaders/optim/` | `tests/gpu/optim.rs` |
//! | `Σ softmax(s q·P)_p P_p` of a region | [`prototypes`] | `shaders/prototypes/attend.wgsl` | `tests/gpu/prototypes.rs` |
//! | `logits = mean_t act(y + λ s (h ⊙ g_k) Bᵀ) Wᵀ + b` | [`readout`] | `shaders/readout/` | `tests/gpu/readout.rs` |
//! | moved, shifted, dropped, swapped metadata | [`perturb`] | `shaders/perturb/perturb.wgsl` | `tests/gpu/perturb.rs` |
//! | accuracy, F1, NLL, Brier, ECE by group | [`metrics`] | `shaders/metrics/` | `tests/gpu/metrics.rs` |
//! | flips, KL, JS, TV under wrong metadata | [`sensitivity`] | `shaders/sensitivity/` | `tests/gpu/sensitivity.rs` |
//! | phases, calendar, geodesy, random numbers | [`common`] | `shaders/common/` | `tests/gpu/common.rs` |
//! | the whole adapter | [`adapter`] | the rooms' own | `tests/gpu/adapter.rs` |
//!
//! # A guest in your program
//!
//! [`gpu::Gpu::adopt`] takes your device and queue, [`gpu::View`] borrows any range of your buffers, and a
//! [`gpu::Recorder`] records into your encoder. Nothing is submitted, waited for or printed unless a method's name says
//! so, and a bad argument is refused with an [`Error`] before anything is recorded. `docs/EMBEDDING.md` says who owns what in each
//! host, `docs/DESIGN.md` answers why.
//!
//! # Features
//!
//! `safetensors` (default): adapters as files. `peft`: adapters in the files of PEFT, for Python and back
//! (`gtca::adapter::peft`). `blocking`: opening and reading back that wait.

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
pub mod prototypes;
pub mod readout;
pub mod records;
pub mod sensitivity;

pub use error::Error;
pub use wgpu;

/// Version of everything that changes trained numbers: orders of sums, encodings, random streams.
pub(crate) const NUMERICS_VERSION: u32 = 1;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So do the guide's.
#[cfg(doctest)]
#[doc = include_str!("../docs/EMBEDDING.md")]
struct Embedding;

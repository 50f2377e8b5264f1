//! The suite that needs an adapter: every kernel against its CPU twin and an independent f64 reference.
//!
//! `GTCA_ADAPTER` picks another adapter by name; `GTCA_REQUIRE_ADAPTER=1` turns "no adapter" into a failure.

#![allow(unreachable_pub, reason = "modules of one test binary")]

mod adapter;
mod common;
mod encode;
mod gate;
mod linear;
mod lora;
mod loss;
mod metrics;
mod optim;
#[cfg(feature = "peft")]
mod peft;
mod perturb;
mod prototypes;
mod readout;
mod reinject;
mod scratch;
mod sensitivity;
mod shortcut;
mod support;

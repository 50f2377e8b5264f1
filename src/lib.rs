//! GPU kernels that condition Earth-observation foundation models on place, time and sensor.

pub mod common;

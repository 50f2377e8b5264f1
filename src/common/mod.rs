//! Twins of `shaders/common`: the same functions, under the same names, on the CPU.
//!
//! Where only integers decide (`fixed64`, `calendar`, `rng` …) twin and shader agree bit for bit. Where f32
//! arithmetic decides they do the same operations in the same order; a device may contract them differently.

pub mod calendar;
pub mod cells;
pub mod fixed64;
pub mod geodesy;
pub mod log2;
pub mod measure;
pub mod numeric;
pub mod pack;
pub mod phase;
pub mod projection;
pub mod reduce;
pub mod rng;
pub mod s2;
pub mod season;
pub mod sum64;

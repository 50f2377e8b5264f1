//! The one table of shipped kernels, and the library of imported shader files.

use super::Kernel;

/// Every kernel that ships, room by room.
pub fn kernels() -> Vec<&'static Kernel> {
    [super::reduce::KERNELS, crate::linear::KERNELS].concat()
}

macro_rules! common {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("common/", $name), include_str!(concat!("../../shaders/common/", $name, ".wgsl")))),*]
    };
}

/// Files that shaders import, by name.
const COMMON: &[(&str, &str)] = common!["calendar", "fixed64", "numeric", "phase", "rng", "view"];

/// Finds an imported file.
pub(super) fn library(name: &str) -> Option<String> {
    COMMON.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

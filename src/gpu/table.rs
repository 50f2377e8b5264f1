//! The one table of shipped kernels, and the library of imported shader files.

use super::Kernel;

/// Every kernel that ships, room by room.
pub fn kernels() -> Vec<&'static Kernel> {
    [
        super::reduce::KERNELS,
        crate::encode::KERNELS,
        crate::encode::codec::KERNELS,
        crate::gate::KERNELS,
        crate::linear::KERNELS,
        &crate::lora::kernels(),
        crate::loss::KERNELS,
        crate::loss::shortcut::KERNELS,
        crate::metrics::KERNELS,
        crate::optim::KERNELS,
        crate::perturb::KERNELS,
        crate::prototypes::KERNELS,
        crate::readout::KERNELS,
        crate::sensitivity::KERNELS,
    ]
    .concat()
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/", $name, ".wgsl")))),*]
    };
}

/// Files that shaders import, by name.
const IMPORTS: &[(&str, &str)] = files![
    "common/calendar",
    "common/cells",
    "common/fixed64",
    "common/four",
    "common/geodesy",
    "common/log2",
    "common/long",
    "common/measure",
    "common/numeric",
    "common/pack",
    "common/phase",
    "common/projection",
    "common/reduce",
    "common/rng",
    "common/s2",
    "common/season",
    "common/sum64",
    "common/view",
    "common/wide",
    "encode/block",
    "encode/chunk",
    "encode/codec/lanes",
    "encode/codec/tessera_code",
    "encode/codec/words",
    "encode/four_places",
    "encode/halves",
    "encode/position",
    "encode/reading",
    "encode/rows",
    "encode/scheme",
    "encode/source",
    "encode/waves",
    "encode/schemes/frequencies",
    "encode/schemes/id",
    "encode/schemes/place",
    "encode/schemes/table",
    "gate/curve",
    "gate/weight",
    "loss/shortcut/pairs",
    "lora/down",
    "lora/dropout",
    "lora/gates",
    "lora/outer",
    "lora/route",
    "lora/tile",
    "lora/up",
    "lora/walk",
    "perturb/grid",
    "perturb/shift",
    "prototypes/set",
    "readout/activation",
    "readout/injected",
    "readout/pooled",
    "records/load",
    "records/valid",
    "sensitivity/cells",
    "sensitivity/change",
    "sensitivity/map",
    "sensitivity/reference_row",
];

/// Finds an imported file; the table of metadata fields is written out as one.
pub(super) fn library(name: &str) -> Option<String> {
    if name == "records/fields" {
        return Some(crate::records::wgsl_constants());
    }
    IMPORTS.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
}

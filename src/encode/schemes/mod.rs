//! One file per scheme.

mod clay;
mod day;
pub(super) mod fourier;
mod galileo;
mod gsd;
mod id;
mod place;
mod presto;
mod published;
pub(super) mod satclip;
mod season;
mod tessera;
pub(super) mod torchspatial;
mod year;

pub(super) use clay::ClayScalars;
pub(super) use day::Day;
pub use galileo::Galileo;
pub(super) use gsd::Gsd;
pub(super) use id::Id;
pub(super) use place::Place;
pub use presto::Presto;
pub(super) use published::Published;
pub(super) use season::Season;
pub use tessera::Tessera;
pub(super) use year::Year;

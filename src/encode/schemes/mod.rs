//! One file per scheme.

mod clay;
mod day;
pub(super) mod fourier;
mod gsd;
mod id;
mod place;
mod published;
pub(super) mod satclip;
mod season;
pub(super) mod torchspatial;
mod year;

pub(super) use clay::ClayScalars;
pub(super) use day::Day;
pub(super) use gsd::Gsd;
pub(super) use id::Id;
pub(super) use place::Place;
pub(super) use published::Published;
pub(super) use season::Season;
pub(super) use year::Year;

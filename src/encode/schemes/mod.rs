//! One file per scheme.

mod clay;
mod day;
mod gsd;
mod id;
mod place;
mod published;
mod season;
mod year;

pub(super) use clay::ClayScalars;
pub(super) use day::Day;
pub(super) use gsd::Gsd;
pub(super) use id::Id;
pub(super) use place::Place;
pub(super) use published::Published;
pub(super) use season::Season;
pub(super) use year::Year;

//! One file per scheme.

pub(super) mod clay;
mod day;
pub(super) mod fourier;
mod frequencies;
mod galileo;
pub(super) mod geotime;
mod gsd;
mod id;
mod place;
mod presto;
pub(super) mod prithvi;
mod published;
pub(super) mod satclip;
mod season;
mod table;
pub(super) mod terramind;
mod tessera;
pub(super) mod torchspatial;
mod year;

pub(super) use clay::ClayScalars;
pub(super) use day::Day;
pub(super) use frequencies::Frequencies;
pub use galileo::{Galileo, GalileoTokens};
pub(super) use gsd::Gsd;
pub(super) use id::Id;
pub(super) use place::Place;
pub use presto::Presto;
pub(super) use published::Published;
pub(super) use season::Season;
pub(super) use table::Table;
pub use terramind::{Coordinate, TerraMindCoordinate, terramind_text};
pub use tessera::Tessera;
pub(super) use year::Year;

//! Presto.

use super::galileo::{month_table, unit_vector};
use crate::Error;
use crate::encode::scheme::{check_width, interleaved};
use crate::encode::{Source, Waves};

/// Parts of Presto's encodings (github.com/nasaharvest/presto at 13173d02).
///
/// Records hold the month of the first step; each frame is a month later, and December is followed by January.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presto {
    /// As [`Galileo::Month`](super::Galileo::Month).
    Month {
        /// Columns; even.
        width: u32,
    },
    /// `sin, cos(frame·1000^(−2i/width))`, i = 0..width/2, interleaved. Base 1000, not 10000.
    Position {
        /// Columns; even.
        width: u32,
    },
    /// As [`Galileo::Place`](super::Galileo::Place).
    Place,
}

impl Presto {
    pub(in crate::encode) fn name(self) -> &'static str {
        match self {
            Self::Month { .. } => "presto_month",
            Self::Position { .. } => "presto_position",
            Self::Place => "presto_place",
        }
    }

    /// Its waves, or what is wrong with its parameters.
    pub(in crate::encode) fn checked(self) -> Result<Waves, Error> {
        match self {
            Self::Month { width } | Self::Position { width } => check_width(width, 2)?,
            Self::Place => {}
        }
        Ok(self.waves())
    }

    /// Its waves, for example to read another number instead of the record's.
    pub fn waves(self) -> Waves {
        match self {
            Self::Month { width } => month_table(width),
            Self::Position { width } => interleaved(Source::Frame, 1_000.0, width),
            Self::Place => unit_vector(),
        }
    }
}

//! Tessera.

use crate::Error;
use crate::encode::scheme::{check_width, interleaved};
use crate::encode::{Source, Waves};

/// Tessera's encodings (github.com/ucam-eo/tessera at ef4f0ace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tessera {
    /// `sin, cos(doy·10000^(−2i/width))`, i = 0..width/2, interleaved, of the day of the year from 1. Not periodic: 31
    /// December and 1 January are unrelated, and leap years shift. Upstream's f32 is 2e-5 off, ours 1e-6. A missing day
    /// is 0 in every column here; upstream encodes day 0 (0, 1, 0, 1, …) or inserts day 180, which
    /// [`waves`](Self::waves) reading [`Source::Given`] reproduces.
    DayOfYear {
        /// Columns; even.
        width: u32,
    },
}

impl Tessera {
    pub(in crate::encode) fn name(self) -> &'static str {
        match self {
            Self::DayOfYear { .. } => "tessera_doy",
        }
    }

    /// Its waves, or what is wrong with its parameters.
    pub(in crate::encode) fn checked(self) -> Result<Waves, Error> {
        let Self::DayOfYear { width } = self;
        check_width(width, 2)?;
        Ok(self.waves())
    }

    /// Its waves, for example to read another number instead of the record's.
    pub fn waves(self) -> Waves {
        match self {
            Self::DayOfYear { width } => interleaved(Source::DayOfYear, 10_000.0, width),
        }
    }
}

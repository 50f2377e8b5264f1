//! Harmonics of the season.

use crate::encode::scheme::{Scheme, harmonics};
use crate::encode::{Source, Waves};

pub(in crate::encode) struct Season;

impl Scheme for Season {
    fn name(&self) -> &'static str {
        "season"
    }

    fn waves(&self) -> Option<Waves> {
        Some(harmonics(Source::SeasonTurns, 8))
    }

    fn features(&self) -> Vec<String> {
        crate::encode::scheme::wave_names(1..=8)
    }
}

//! Harmonics of the time of day, local where the offset from UTC is known.

use crate::encode::scheme::{Scheme, harmonics, wave_names};
use crate::encode::{Source, Waves};

pub(in crate::encode) struct Day;

impl Scheme for Day {
    fn name(&self) -> &'static str {
        "day"
    }

    fn waves(&self) -> Option<Waves> {
        Some(harmonics(Source::DayTurns, 4))
    }

    fn features(&self) -> Vec<String> {
        wave_names(1..=4)
    }
}

//! Harmonics of the season; `shaders/encode/schemes/season.wgsl`.

use crate::common::season::season_phase;
use crate::encode::scheme::{Given, Sample, Scheme, put_harmonics, wave_names};
use crate::records::{Field, Fields};

const HARMONICS: u32 = 8;

/// Everything that the season depends on.
pub(super) const SEASON_FIELDS: Fields = Fields::of(&[
    Field::Year,
    Field::Month,
    Field::Day,
    Field::DayOfYear,
    Field::SecondOfDay,
    Field::UtcOffset,
]);

pub(in crate::encode) struct Season;

impl Scheme for Season {
    fn opcode(&self) -> u32 {
        1
    }

    fn name(&self) -> &'static str {
        "season"
    }

    fn features(&self) -> Vec<String> {
        wave_names(1..=HARMONICS)
    }

    fn fields(&self) -> Fields {
        SEASON_FIELDS
    }

    fn parameter(&self) -> u32 {
        HARMONICS
    }

    fn encode(&self, sample: &Sample, _: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        put_harmonics(out, season_phase(&sample.time)?, HARMONICS);
        Some(1)
    }
}

//! Harmonics of the time of day; `shaders/encode/schemes/day.wgsl`.

use crate::common::season::day_phase;
use crate::encode::scheme::{Given, Sample, Scheme, put_harmonics, wave_names};
use crate::records::{Field, Fields};

const HARMONICS: u32 = 4;

pub(in crate::encode) struct Day;

impl Scheme for Day {
    fn opcode(&self) -> u32 {
        2
    }

    fn name(&self) -> &'static str {
        "day"
    }

    fn features(&self) -> Vec<String> {
        wave_names(1..=HARMONICS)
    }

    fn fields(&self) -> Fields {
        Fields::of(&[Field::SecondOfDay, Field::UtcOffset])
    }

    fn parameter(&self) -> u32 {
        HARMONICS
    }

    fn encode(&self, sample: &Sample, _: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        put_harmonics(out, day_phase(&sample.time)?, HARMONICS);
        Some(1)
    }
}

//! Learned frequencies of a day of the year; `shaders/encode/schemes/frequencies.wgsl`.

use crate::Error;
use crate::common::fixed64::{f32_from_i64, i64_from_f32, wave_turns};
use crate::common::phase::sincos_turns;
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::encode::{OP, Source};
use crate::records::Fields;

/// 2⁵³ / 2π: a turn's share of a radian, as [`wave_turns`] takes a frequency of numbers with 43 binary digits.
/// `TURNS_OF_RADIAN` in the shader.
const TURNS_OF_RADIAN: i64 = 1_433_540_284_805_665;

const MAX_COUNT: u32 = 8192;

/// 2π/365.
const RADIANS_PER_DAY: f32 = 0.017_214_207;

pub(in crate::encode) struct Frequencies {
    pub source: Source,
    pub count: u32,
}

impl Frequencies {
    /// Adds a row's share of the gradients of f, by day, and of both phases, given that of its features; twin of
    /// `shaders/encode/frequency_gradient.wgsl`.
    pub(in crate::encode) fn add_slopes(&self, number: i64, own: &[f32], de: &[f32], sums: &mut [f32]) {
        let count = self.count as usize;
        let days = f32_from_i64(number, 43);
        for j in 0..count {
            let turns = |phase: usize| year_turns(number, own[j]).wrapping_add(turns_of(own[phase + j]));
            let by_sine = de[j] * sincos_turns(turns(count))[1];
            let by_cosine = -(de[count + j] * sincos_turns(turns(2 * count))[0]);
            sums[j] += (by_sine + by_cosine) * days;
            sums[count + j] += by_sine;
            sums[2 * count + j] += by_cosine;
        }
    }

    /// From days to turns a year.
    pub(in crate::encode) fn finish_slopes(&self, sums: &mut [f32]) {
        sums[..self.count as usize].iter_mut().for_each(|sum| *sum *= RADIANS_PER_DAY);
    }
}

impl Scheme for Frequencies {
    fn opcode(&self) -> u32 {
        4
    }

    fn name(&self) -> &'static str {
        "frequencies"
    }

    fn check(&self) -> Result<(), Error> {
        if !self.source.is_whole() {
            let (value, rule) = (format!("{:?}", self.source), "frequencies run on a number of days");
            return Err(Error::argument(OP, "source", value, rule, "name a whole number"));
        }
        if let Some(rule) = self.source.problem() {
            let value = format!("{:?}", self.source);
            return Err(Error::argument(OP, "source", value, rule, "name a number that there is"));
        }
        if !(1..=MAX_COUNT).contains(&self.count) {
            let rule = format!("there are 1 to {MAX_COUNT} frequencies");
            return Err(Error::argument(OP, "count", self.count, rule, "change the block"));
        }
        Ok(())
    }

    fn features(&self) -> Vec<String> {
        crate::encode::scheme::wave_names(1..=self.count)
    }

    fn fields(&self) -> Fields {
        self.source.fields()
    }

    fn source(&self) -> Option<Source> {
        Some(self.source)
    }

    fn is_learned(&self) -> bool {
        false
    }

    fn has_validity(&self) -> bool {
        false
    }

    /// Upstream's: frequencies from 1 to 365 turns a year in a geometric row, then phases of 0.
    fn own_parameters(&self) -> Vec<f32> {
        let last = f64::from(self.count.max(2) - 1);
        let frequency = |j: u32| 365f64.powf(f64::from(j) / last) as f32;
        let phases = std::iter::repeat_n(0.0, 2 * self.count as usize);
        (0..self.count).map(frequency).chain(phases).collect()
    }

    fn encode(&self, _: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let count = self.count as usize;
        out.fill(0.0);
        let number = given.number?;
        for j in 0..count {
            let [frequency, sine_phase, cosine_phase] = [j, count + j, 2 * count + j].map(|at| given.own[at]);
            let turns = year_turns(number, frequency);
            out[j] = sincos_turns(turns.wrapping_add(turns_of(sine_phase)))[0];
            out[count + j] = sincos_turns(turns.wrapping_add(turns_of(cosine_phase)))[1];
        }
        Some(1)
    }
}

/// Twin of the shader's: turns of so many a year of 365 days.
fn year_turns(days: i64, frequency: f32) -> u32 {
    wave_turns(days, i64_from_f32(frequency, 53).div_euclid(365))
}

/// Twin of the shader's: radians in turns.
fn turns_of(radians: f32) -> u32 {
    wave_turns(i64_from_f32(radians, 43), TURNS_OF_RADIAN)
}

//! The decimal year; `shaders/encode/schemes/year.wgsl`.

use super::season::SEASON_FIELDS;
use crate::common::fixed64::f32_from_i64;
use crate::common::season::year_phase;
use crate::encode::scheme::{Given, Sample, Scheme, put_waves, wave_names};
use crate::records::Fields;

pub(in crate::encode) struct Year;

impl Scheme for Year {
    fn opcode(&self) -> u32 {
        3
    }

    fn name(&self) -> &'static str {
        "year"
    }

    fn features(&self) -> Vec<String> {
        [vec!["decades_since_2015".to_owned()], wave_names([4, 16, 64])].concat()
    }

    fn fields(&self) -> Fields {
        SEASON_FIELDS
    }

    fn encode(&self, sample: &Sample, _: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let phase = year_phase(&sample.time)?;
        let decimal_year = |year: i32| (i64::from(year) << 32) | i64::from(phase.turns);
        out[0] = f32_from_i64(decimal_year(phase.year - 2015).div_euclid(10), 32);
        put_waves(&mut out[1..], (0..3).map(|k| (decimal_year(phase.year) >> (2 * k + 2)) as u32));
        Some(1)
    }
}

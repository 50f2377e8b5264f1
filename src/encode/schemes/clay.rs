//! Clay v1.5's eight channels; `shaders/encode/schemes/clay.wgsl`.

use crate::common::fixed64::div_turns;
use crate::common::phase::{sincos_turns, turns_from_degrees};
use crate::common::season::{derived_hour, derived_iso_week};
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::records::{Field, Fields};

pub(in crate::encode) struct ClayScalars {
    pub validity: bool,
}

impl Scheme for ClayScalars {
    fn opcode(&self) -> u32 {
        6
    }

    fn name(&self) -> &'static str {
        "clay"
    }

    fn features(&self) -> Vec<String> {
        ["week", "hour", "lat", "lon"]
            .iter()
            .flat_map(|of| [format!("sin_{of}"), format!("cos_{of}")])
            .collect()
    }

    fn fields(&self) -> Fields {
        let derived = Fields::of(&[Field::DayOfYear, Field::IsoWeek, Field::SecondOfDay, Field::Hour]);
        Fields::PLACE | Field::Year | Field::Month | Field::Day | derived
    }

    fn is_learned(&self) -> bool {
        false
    }

    fn has_validity(&self) -> bool {
        self.validity
    }

    fn encode(&self, sample: &Sample, _: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let angle = |field| sample.has(field).then(|| turns_from_degrees(sample.wide(field) as i64));
        let phases = [
            derived_iso_week(&sample.time).map(|week| div_turns((week % 52) as u32, 52)),
            derived_hour(&sample.time).map(|hour| div_turns(hour as u32, 24)),
            angle(Field::Lat),
            angle(Field::Lon),
        ];
        for (pair, phase) in out.chunks_exact_mut(2).zip(phases) {
            pair.copy_from_slice(&phase.map_or([0.0; 2], sincos_turns));
        }
        phases.iter().all(Option::is_some).then_some(1)
    }
}

//! Ground sample distance in octaves; `shaders/encode/schemes/gsd.wgsl`.

use crate::common::fixed64::f32_from_i64;
use crate::common::log2::log2_fixed;
use crate::encode::scheme::{Given, Sample, Scheme, put_waves, wave_names};
use crate::records::{Field, Fields};

/// log2(10 · 2³²) in 2⁻³².
const LOG2_TEN_METRES: i64 = (35 << 32) + 1_382_670_639;

pub(in crate::encode) struct Gsd;

impl Scheme for Gsd {
    fn opcode(&self) -> u32 {
        4
    }

    fn name(&self) -> &'static str {
        "gsd"
    }

    fn features(&self) -> Vec<String> {
        [vec!["octaves_above_10m".to_owned()], wave_names([1, 2, 4, 8])].concat()
    }

    fn fields(&self) -> Fields {
        Field::Gsd.into()
    }

    fn encode(&self, sample: &Sample, _: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        if !sample.has(Field::Gsd) {
            return None;
        }
        let octaves = log2_fixed(sample.wide(Field::Gsd)) - LOG2_TEN_METRES;
        out[0] = f32_from_i64(octaves, 32);
        put_waves(&mut out[1..], (0..4).map(|k| (octaves >> k) as u32));
        Some(1)
    }
}

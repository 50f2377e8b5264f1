//! Ground sample distance in octaves above 10 m.

use crate::encode::scheme::{Scheme, wave_names};
use crate::encode::{Order, Source, Wave, Waves};

pub(in crate::encode) struct Gsd;

impl Scheme for Gsd {
    fn name(&self) -> &'static str {
        "gsd"
    }

    fn waves(&self) -> Option<Waves> {
        let wave = |period: f64| Wave::new(Source::Octaves, 1.0 / period);
        let waves = Waves::new().linear(Source::Octaves, 1.0, 0.0);
        Some(waves.ladder(Order::Split, 1.0, [1.0, 2.0, 4.0, 8.0].map(wave)))
    }

    fn features(&self) -> Vec<String> {
        [vec!["octaves_above_10m".to_owned()], wave_names([1, 2, 4, 8])].concat()
    }
}

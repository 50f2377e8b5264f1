//! The decimal year.

use crate::encode::scheme::{Scheme, wave_names};
use crate::encode::{Order, Source, Wave, Waves};

/// 2015 lies so far into the longest period: 2015 mod 64 = 31.
const BEFORE_2015: f64 = 31.0;

pub(in crate::encode) struct Year;

impl Scheme for Year {
    fn name(&self) -> &'static str {
        "year"
    }

    fn waves(&self) -> Option<Waves> {
        let year = Source::YearsSince2015;
        let wave = |period: f64| Wave::new(year, 1.0 / period).offset(BEFORE_2015 / period);
        Some(Waves::new().linear(year, 0.1, 0.0).ladder(Order::Split, 1.0, [4.0, 16.0, 64.0].map(wave)))
    }

    fn features(&self) -> Vec<String> {
        [vec!["decades_since_2015".to_owned()], wave_names([4, 16, 64])].concat()
    }
}

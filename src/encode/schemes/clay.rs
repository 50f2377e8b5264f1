//! Clay v1.5: eight scalar channels, position encodings with GSD, wavelengths.

use crate::encode::scheme::Scheme;
use crate::encode::{Order, Source, Wave, Waves};

/// sin, cos of week, hour, latitude and longitude; a pair whose input is missing is (0, 0), which no known input gives.
pub(in crate::encode) struct ClayScalars {
    pub validity: bool,
}

impl Scheme for ClayScalars {
    fn name(&self) -> &'static str {
        "clay"
    }

    fn waves(&self) -> Option<Waves> {
        let pair = |waves: Waves, (source, period)| {
            waves.ladder(Order::Interleaved, 1.0, [Wave::new(source, 1.0 / period)])
        };
        let periods =
            [(Source::IsoWeek, 52.0), (Source::Hour, 24.0), (Source::LatDeg, 360.0), (Source::LonDeg, 360.0)];
        Some(periods.into_iter().fold(Waves::new().zero_by_column(), pair))
    }

    fn features(&self) -> Vec<String> {
        let of = ["week", "hour", "lat", "lon"];
        of.iter().flat_map(|of| [format!("sin_{of}"), format!("cos_{of}")]).collect()
    }

    fn is_learned(&self) -> bool {
        false
    }

    fn has_validity(&self) -> bool {
        self.validity
    }
}

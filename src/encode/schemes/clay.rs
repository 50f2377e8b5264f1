//! Clay v1.5: eight scalar channels, position encodings with GSD, wavelengths.

use super::Published;
use crate::Error;
use crate::encode::scheme::{Scheme, check_width};
use crate::encode::{OP, Order, Source, Wave, Waves};
use std::f64::consts::TAU;

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

/// Encodings of Clay v1.5 with wide columns (github.com/Clay-foundation/model); its eight scalars are
/// [`Block::ClayScalars`](crate::encode::Block::ClayScalars).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clay {
    /// Of tokens: `[sin x·ω | cos x·ω | sin y·ω | cos y·ω]`, x = column, y = row,
    /// `ω_i = gsd · 10000^(−2 e_i / D)`, `e_i = i/(n − 1)`, n = D/4. The exponent divides by the width twice, so that all
    /// frequencies are almost equal; kept as upstream is. Ours errs 1e-7 where upstream's own f32 errs 6e-4.
    Position2dGsd {
        /// D, a multiple of 4 from 8 on.
        width: u32,
    },
    /// Of tokens: as above with `ω_i = 10000^(−i/(n − 1))`; upstream has it, but its model uses the other.
    Position2d {
        /// D, a multiple of 4 from 8 on.
        width: u32,
    },
    /// `[sin w·ω | cos w·ω]` of a wavelength in µm, `ω_i = 10000^(−i/(n − 1))`, n = D/2; SAR bands have the
    /// pseudo-wavelengths 3.5 (VV) and 4.0 (VH).
    Wavelength {
        /// D, even from 4 on.
        width: u32,
    },
}

pub(in crate::encode) fn scheme(clay: Clay, validity: bool) -> Box<dyn Scheme> {
    const BASE: f64 = 1e4;
    let ladder = |of: Source, n: u32, exponent: &dyn Fn(f64) -> f64| {
        let step = |i: u32| f64::from(i) / f64::from(n - 1);
        let wave = |i| Wave::new(of, BASE.powf(-exponent(step(i))) / TAU);
        Waves::new().ladder(Order::Split, 1.0, (0..n).map(wave))
    };
    let both = |width: u32, [x, y]: [Source; 2], exponent: &dyn Fn(f64) -> f64| {
        check_width(width, 4)?;
        check_least(width, 8)?;
        Ok(ladder(x, width / 4, exponent).then(ladder(y, width / 4, exponent)))
    };
    let (name, waves) = match clay {
        Clay::Position2dGsd { width } => {
            let twice = |e: f64| 2.0 * e / f64::from(width);
            ("clay_position_gsd", both(width, [Source::GsdColumn, Source::GsdRow], &twice))
        }
        Clay::Position2d { width } => ("clay_position", both(width, [Source::Column, Source::Row], &|e| e)),
        Clay::Wavelength { width } => {
            let check = check_width(width, 2).and_then(|()| check_least(width, 4));
            ("clay_wavelength", check.map(|()| ladder(Source::WavelengthUm, width / 2, &|e| e)))
        }
    };
    Published::checked(name, validity, waves)
}

/// n − 1 divides.
fn check_least(width: u32, least: u32) -> Result<(), Error> {
    if width >= least {
        return Ok(());
    }
    let rule = format!("this encoding has at least {least} columns");
    Err(Error::argument(OP, "width", width, rule, "widen it"))
}

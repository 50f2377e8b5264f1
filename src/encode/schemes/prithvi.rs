//! Prithvi-EO-2.0: sinusoids of raw numbers, each half of the width one of two.

use super::Published;
use crate::Error;
use crate::encode::scheme::{Scale, Scheme, check_width};
use crate::encode::waves::{Order, Wave, Waves};
use crate::encode::{OP, Source};
use std::f64::consts::TAU;

/// Encodings of Prithvi-EO-2.0's TL variants (Szwarcman et al., 2024, arXiv 2412.02732). Angles are raw degrees, days and
/// years: nothing is periodic, ±180° is a seam, and day 366 lies far from day 1. Ours errs 1e-7 where upstream's own f32
/// errs 1.2e-4 (time) and 9e-6 (location).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Prithvi {
    /// `s · [PE(D/2, year) | PE(D/2, day of year)]`; 0 where one is missing.
    Time {
        /// Year and day: [`Source::Year`] and [`Source::DayOfYear`]; two columns of [`Source::Given`] where days count
        /// from 0, as some of upstream's data sets do.
        of: [Source; 2],
        /// D, a multiple of 4.
        width: u32,
        /// s; upstream learns it from 0.1, or has 1.
        scale: Scale,
    },
    /// `s · [PE(D/2, latitude°) | PE(D/2, longitude°)]`; 0 where one is missing.
    Location {
        /// D, a multiple of 4.
        width: u32,
        /// s; upstream learns it from 0.1, or has 1.
        scale: Scale,
    },
    /// `[PE(6D/16, column) | PE(6D/16, row) | PE(4D/16, frame)]` of tokens; upstream's class token gets 0.
    Position3d {
        /// D, a multiple of 16.
        width: u32,
    },
}

/// `[sin p·ω_i | cos p·ω_i]`, ω_i = T^(−i/n), n = width/2: the split sinusoid of most transformers.
pub(in crate::encode) fn sinusoid(width: u32, of: Source, base: f64, amplitude: f32) -> Waves {
    let n = width / 2;
    let frequency = |i: u32| base.powf(-f64::from(i) / f64::from(n)) / TAU;
    Waves::new().ladder(Order::Split, amplitude, (0..n).map(|i| Wave::new(of, frequency(i))))
}

pub(in crate::encode) fn scheme(prithvi: Prithvi, validity: bool) -> Box<dyn Scheme> {
    const BASE: f64 = 1e4;
    let halves = |width: u32, scale: Scale, [a, b]: [Source; 2]| {
        check_width(width, 4)?;
        if !scale.value().is_finite() {
            let rule = "a scale is a finite number";
            return Err(Error::argument(OP, "scale", scale.value(), rule, "start from 0.1"));
        }
        let half = |source| sinusoid(width / 2, source, BASE, scale.value());
        Ok((half(a).then(half(b)), Some(scale)))
    };
    let (name, waves) = match prithvi {
        Prithvi::Time { of, width, scale } => ("prithvi_time", halves(width, scale, of)),
        Prithvi::Location { width, scale } => {
            ("prithvi_location", halves(width, scale, [Source::LatDeg, Source::LonDeg]))
        }
        Prithvi::Position3d { width } => {
            let parts = [(6, Source::Column), (6, Source::Row), (4, Source::Frame)];
            let part = |(share, source)| sinusoid(width / 16 * share, source, BASE, 1.0);
            let waves = || parts.map(part).into_iter().fold(Waves::new(), Waves::then);
            ("prithvi_position", check_width(width, 16).map(|()| (waves(), None)))
        }
    };
    Published::scaled(name, validity, waves)
}

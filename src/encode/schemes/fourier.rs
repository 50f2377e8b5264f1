//! Random Fourier features of two numbers: GeoCLIP, GT-Loc, TorchSpatial; and GT-Loc's two angles of the time.

use crate::encode::scheme::Scheme;
use crate::encode::waves::{Order, Wave, Waves};
use crate::encode::{OP, Source, schemes::Published};
use crate::{Error, encode::schemes::torchspatial::columns};
use std::f64::consts::{PI, TAU};

/// Most frequencies of [`Fourier::Positional`], four columns each.
const MAX_COUNT: u32 = 8192;

/// Fourier features of two numbers (x, y).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fourier {
    /// `[cos 2π B(x, y) | sin 2π B(x, y)]`, a row of B a wave, as GeoCLIP (Vivanco Cepeda et al., NeurIPS 2023) and GT-Loc do;
    /// GeoCLIP sums three networks on B ~ N(0, σ²), σ = 1, 16, 256: list a block for each.
    Gaussian(Vec<[f32; 2]>),
    /// `cos 2πx, cos 2πy, sin 2πx, sin 2πy`.
    Basic,
    /// For x, then y: `[cos 2π σ^(j/m) x | sin …]`, j = 0..m.
    Positional {
        /// σ.
        sigma: f64,
        /// m, at most 8,192.
        count: u32,
    },
    /// `√(2/F) cos((x/X, y/Y)·Ω + b)` with F directions Ω and shifts b in radians, as TorchSpatial does.
    Shifted {
        /// X and Y; upstream has longitude / 180° and latitude / 90°.
        divisors: [f64; 2],
        /// Ω, `[F, 2]`.
        directions: Vec<[f32; 2]>,
        /// b, `[F]`.
        shifts: Vec<f32>,
    },
}

fn waves(fourier: &Fourier, [x, y]: [Source; 2]) -> Waves {
    match fourier {
        Fourier::Gaussian(b) => {
            let wave = |row: &[f32; 2]| Wave::new(x, row[0].into()).plus(y, row[1].into());
            Waves::new().ladder(Order::CosFirst, 1.0, b.iter().map(wave))
        }
        Fourier::Basic => {
            let [x, y] = [x, y].map(|source| Wave::new(source, 1.0));
            columns([vec![x.clone().cos()], vec![y.clone().cos()], vec![x], vec![y]])
        }
        Fourier::Positional { sigma, count } => {
            let frequency = |j: u32| sigma.powf(f64::from(j) / f64::from(*count));
            [x, y].into_iter().fold(Waves::new(), |waves, source| {
                waves.ladder(Order::CosFirst, 1.0, (0..*count).map(|j| Wave::new(source, frequency(j))))
            })
        }
        Fourier::Shifted { divisors, directions, shifts } => {
            let amplitude = (2.0 / directions.len() as f64).sqrt() as f32;
            let turns = |radians: f32| f64::from(radians) / TAU;
            let [across, along] = *divisors;
            directions.iter().zip(shifts).fold(Waves::new(), |waves, (row, shift)| {
                let wave =
                    Wave::new(x, turns(row[0]) / across).plus(y, turns(row[1]) / along).offset(turns(*shift));
                waves.product(amplitude, [wave.cos()])
            })
        }
    }
}

fn check(fourier: &Fourier) -> Result<(), Error> {
    let bad = |argument, value: String, rule| {
        Err(Error::argument(OP, argument, value, rule, "pass upstream's own numbers"))
    };
    match fourier {
        Fourier::Gaussian(b) if b.is_empty() => bad("directions", "empty".into(), "there is a direction"),
        Fourier::Gaussian(rows) | Fourier::Shifted { directions: rows, .. }
            if rows.iter().flatten().any(|value| !value.is_finite()) =>
        {
            bad("directions", "not finite".into(), "directions are numbers")
        }
        Fourier::Positional { count, .. } if !(1..=MAX_COUNT).contains(count) => {
            bad("count", count.to_string(), "there are 1 to 8,192 frequencies")
        }
        Fourier::Positional { sigma, .. } if !sigma.is_finite() || *sigma <= 0.0 => {
            bad("sigma", sigma.to_string(), "σ is above 0")
        }
        Fourier::Shifted { divisors, .. } if divisors.iter().any(|value| !value.is_normal()) => {
            bad("divisors", format!("{divisors:?}"), "divisors are numbers other than 0")
        }
        Fourier::Shifted { directions, shifts, .. }
            if directions.is_empty() || directions.len() != shifts.len() =>
        {
            let value = format!("{} for {} directions", shifts.len(), directions.len());
            bad("shifts", value, "every direction has a shift")
        }
        Fourier::Shifted { shifts, .. } if shifts.iter().any(|shift| !shift.is_finite()) => {
            bad("shifts", "not finite".into(), "shifts are numbers")
        }
        _ => Ok(()),
    }
}

pub(in crate::encode) fn scheme(fourier: &Fourier, of: [Source; 2], validity: bool) -> Box<dyn Scheme> {
    Published::checked("fourier", validity, check(fourier).map(|()| waves(fourier, of)))
}

/// GeoCLIP's Equal Earth coordinates, x from longitude, y from latitude, x within ±1.
pub(in crate::encode) fn equal_earth() -> Waves {
    Waves::new().linear(Source::EqualEarthX, 1.0, 0.0).linear(Source::EqualEarthY, 1.0, 0.0)
}

/// GT-Loc's angles: `θ = 2π (365 (month − 1) + 12 (day − 1)) / 4380 − π`, `φ = 2π second / 86,400 − π`.
pub(in crate::encode) fn time_angles() -> Waves {
    let months = Waves::new().linear(Source::LocalMonthPart, TAU / 4380.0, -PI);
    months.linear(Source::LocalSecond, TAU / 86_400.0, -PI)
}

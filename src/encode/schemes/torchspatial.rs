//! Space2Vec, Sphere2Vec and TorchSpatial: many scales of longitude and latitude, and their products.

use crate::encode::scheme::Scheme;
use crate::encode::waves::{Order, Wave, Waves};
use crate::encode::{OP, Source};
use crate::{Error, encode::schemes::Published};
use std::f64::consts::TAU;

/// Most frequencies of [`Spatial::Dfs`], 59,048 columns: one more is past what a plan holds.
const MAX_DFS: u32 = 121;

/// Frequencies of a location encoder: `f_k = 1 / (r_min · (r_max / r_min)^(k / (F − 1)))`, k = 0..F.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Radii {
    /// How many, F.
    pub count: u32,
    /// Smallest radius.
    pub min: f64,
    /// Largest radius.
    pub max: f64,
}

impl Radii {
    pub(in crate::encode) fn frequencies(&self) -> Vec<f64> {
        self.steps().map(|t| 1.0 / (self.min * (self.max / self.min).powf(t))).collect()
    }

    /// TorchSpatial's list for sphereM+ and dfs, which forgets r_min.
    fn frequencies_of_max(&self) -> Vec<f64> {
        self.steps().map(|t| self.max.powf(-t)).collect()
    }

    fn steps(&self) -> impl Iterator<Item = f64> + use<> {
        let last = f64::from(self.count.saturating_sub(1).max(1));
        (0..self.count).map(move |k| f64::from(k) / last)
    }

    pub(in crate::encode) fn check(&self) -> Result<(), Error> {
        let bad = |argument, value: String, rule: &str| {
            Err(Error::argument(OP, argument, value, rule, "use upstream's 32 radii from 1e-6 to 1"))
        };
        if !(1..=1024).contains(&self.count) {
            return bad("count", self.count.to_string(), "a location encoder has 1 to 1,024 frequencies");
        }
        if !(self.min.is_finite() && self.max.is_finite() && 0.0 < self.min && self.min <= self.max) {
            let value = format!("{}..{}", self.min, self.max);
            return bad("radii", value, "0 < min ≤ max");
        }
        Ok(())
    }
}

/// Location encoders of TorchSpatial, of (longitude, latitude); `f` runs over [`Radii`], `X° = f·rad(lon)`, `Y° = f·rad(lat)`,
/// `λ = rad(lon)`, `β = rad(lat)`. All have a seam at ±180° unless every f is whole; most still tell longitudes apart at the
/// poles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Spatial {
    /// For lon, then lat: per f `sin, cos` of degrees · f. 4F columns. Space2Vec (Mai et al., ICLR 2020).
    Grid,
    /// Per f: sin, cos of degrees · f along 0°, 120°, 240°. 6F columns. Space2Vec.
    Theory,
    /// Per f: `sin Y°, cos Y° cos X°, cos Y° sin X°`. 3F columns. Sphere2Vec (Mai et al., ISPRS 2023).
    SphereC,
    /// Per f: `sin Y°, cos Y°, sin X°, cos X°`, then the last two of sphereC. 6F columns. Sphere2Vec.
    SphereCPlus,
    /// Per f: `sin Y°, cos Y° cos λ, cos β cos X°, cos Y° sin λ, cos β sin X°`. 5F columns. Sphere2Vec.
    SphereM,
    /// Per f: `sin Y°, cos Y°, sin X°, cos X°`, then the last four of sphereM. 8F columns. TorchSpatial's code forgets r_min:
    /// f = r_max^(−k/(F − 1)).
    SphereMPlus,
    /// As [`Spatial::SphereMPlus`] with the frequencies of Sphere2Vec's own repository, which keep both radii.
    SphereMPlusOfSphere2Vec,
    /// `[sin X° | cos X°] ⊗ [sin Y° | cos Y°]`, lon-major, then per f `sin Y°, cos Y°, sin X°, cos X°`. 4F² + 4F columns.
    /// f as for [`Spatial::SphereMPlus`]; F at most 121.
    Dfs,
    /// `cos β cos λ, cos β sin λ, sin β`. Continuous everywhere.
    Xyz,
    /// xyz times `π·2^k`, k = 0..F, F the count of [`Radii`]: sines of all x, then y, then z; then cosines. 6F columns.
    /// Continuous everywhere.
    Nerf,
    /// `sin λ, sin 2β, cos λ, cos 2β`: the poles coincide.
    Wrap,
}

/// Waves of longitude and latitude: `unit` turns a degree and unit of frequency.
pub(in crate::encode) fn lon(f: f64, unit: f64) -> Wave {
    Wave::new(Source::LonDeg, f * unit)
}

pub(in crate::encode) fn lat(f: f64, unit: f64) -> Wave {
    Wave::new(Source::LatDeg, f * unit)
}

/// Features of one frequency, each a product of one or two sines.
pub(in crate::encode) type Features = Vec<Vec<Wave>>;

/// What the sphere encoders have at one frequency; `unit` as for [`lon`].
pub(in crate::encode) fn sphere(encoding: Spatial, f: f64, unit: f64) -> Features {
    let (x, y, lambda, beta) = (lon(f, unit), lat(f, unit), lon(1.0, unit), lat(1.0, unit));
    let (cos_x, cos_y) = (x.clone().cos(), y.clone().cos());
    let four = vec![vec![y.clone()], vec![cos_y.clone()], vec![x.clone()], vec![cos_x.clone()]];
    let of_c = vec![vec![cos_y.clone(), cos_x.clone()], vec![cos_y.clone(), x.clone()]];
    let of_m = vec![
        vec![cos_y.clone(), lambda.clone().cos()],
        vec![beta.clone().cos(), cos_x],
        vec![cos_y, lambda],
        vec![beta.cos(), x],
    ];
    match encoding {
        Spatial::SphereC => [vec![vec![y]], of_c].concat(),
        Spatial::SphereCPlus => [four, of_c].concat(),
        Spatial::SphereM => [vec![vec![y]], of_m].concat(),
        Spatial::SphereMPlus | Spatial::SphereMPlusOfSphere2Vec => [four, of_m].concat(),
        _ => four,
    }
}

/// Longitude or latitude alone: per frequency sin, cos of degrees · f.
pub(in crate::encode) fn grid(frequencies: &[f64]) -> Waves {
    let ladder = |waves: Waves, of: fn(f64, f64) -> Wave| {
        waves.ladder(Order::Interleaved, 1.0, frequencies.iter().map(|f| of(*f, 1.0 / TAU)))
    };
    ladder(ladder(Waves::new(), lon), lat)
}

/// The three directions of `theory` at one frequency.
pub(in crate::encode) fn directions(f: f64) -> impl Iterator<Item = Wave> {
    (0..3).map(move |j| {
        let (across, along) = (f64::from(j) / 3.0 * TAU).sin_cos();
        Wave::new(Source::LonDeg, f * along / TAU).plus(Source::LatDeg, f * across / TAU)
    })
}

pub(in crate::encode) fn columns(features: impl IntoIterator<Item = Vec<Wave>>) -> Waves {
    features.into_iter().fold(Waves::new(), |waves, product| waves.product(1.0, product))
}

pub(in crate::encode) fn waves(encoding: Spatial, radii: &Radii) -> Waves {
    const DEGREES: f64 = 1.0 / 360.0;
    let frequencies = radii.frequencies();
    let of_max = radii.frequencies_of_max();
    let spheres =
        |frequencies: &[f64]| columns(frequencies.iter().flat_map(|f| sphere(encoding, *f, DEGREES)));
    match encoding {
        Spatial::Grid => grid(&frequencies),
        Spatial::Theory => {
            Waves::new().ladder(Order::Interleaved, 1.0, frequencies.iter().flat_map(|f| directions(*f)))
        }
        Spatial::SphereMPlus => spheres(&of_max),
        Spatial::Dfs => {
            let both = |of: fn(f64, f64) -> Wave| -> Vec<Wave> {
                let sines = of_max.iter().map(|f| of(*f, DEGREES));
                sines.clone().chain(sines.map(Wave::cos)).collect()
            };
            let (along, across) = (both(lon), both(lat));
            let outer = along.iter().flat_map(|x| across.iter().map(|y| vec![x.clone(), y.clone()]));
            columns(outer).then(spheres(&of_max))
        }
        Spatial::Xyz => {
            let (x, y) = (lon(1.0, DEGREES), lat(1.0, DEGREES));
            let cos_y = y.clone().cos();
            columns([vec![cos_y.clone(), x.clone().cos()], vec![cos_y, x], vec![y]])
        }
        Spatial::Nerf => {
            let of = |source| (0..radii.count as i32).map(move |k| Wave::new(source, 2f64.powi(k - 1)));
            let sines = [Source::UnitX, Source::UnitY, Source::UnitZ].into_iter().flat_map(of);
            columns(sines.clone().chain(sines.map(Wave::cos)).map(|wave| vec![wave]))
        }
        Spatial::Wrap => {
            let (x, y) = (lon(1.0, DEGREES), lat(2.0, DEGREES));
            columns([vec![x.clone()], vec![y.clone()], vec![x.cos()], vec![y.cos()]])
        }
        _ => spheres(&frequencies),
    }
}

pub(in crate::encode) fn scheme(encoding: Spatial, radii: Radii, validity: bool) -> Box<dyn Scheme> {
    let name = match encoding {
        Spatial::Grid => "grid",
        Spatial::Theory => "theory",
        Spatial::SphereC => "sphere_c",
        Spatial::SphereCPlus => "sphere_c_plus",
        Spatial::SphereM => "sphere_m",
        Spatial::SphereMPlus | Spatial::SphereMPlusOfSphere2Vec => "sphere_m_plus",
        Spatial::Dfs => "dfs",
        Spatial::Xyz => "xyz",
        Spatial::Nerf => "nerf",
        Spatial::Wrap => "wrap",
    };
    let check = radii.check().and_then(|()| match encoding {
        Spatial::Dfs if radii.count > MAX_DFS => {
            let rule = format!("dfs has 4F² + 4F columns, so that F is at most {MAX_DFS}");
            Err(Error::argument(OP, "count", radii.count, rule, "take fewer frequencies, or sphere_m_plus"))
        }
        _ => Ok(()),
    });
    Published::checked(name, validity, check.map(|()| waves(encoding, &radii)))
}

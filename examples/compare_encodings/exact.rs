//! Every scheme once more as a plain f64 formula, written from the publications and not from the library.

use crate::at::At;
use gtca::encode::{Radii, Spatial};
use std::f64::consts::{PI, SQRT_2, TAU};

/// sin of every angle, then cos.
pub fn split(angles: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    angles.clone().map(f64::sin).chain(angles.map(f64::cos)).collect()
}

/// sin and cos of every angle in turn.
pub fn interleaved(angles: impl Iterator<Item = f64>) -> Vec<f64> {
    angles.flat_map(|angle| [angle.sin(), angle.cos()]).collect()
}

/// `[sin p·T^(−i/n) | cos …]`, n = width/2, T = 10,000.
pub fn sinusoid(width: u32, p: f64) -> Vec<f64> {
    let n = width / 2;
    split((0..n).map(move |i| p * 1e4f64.powf(-f64::from(i) / f64::from(n))))
}

/// The same frequencies, sines and cosines in turn.
pub fn sinusoid_interleaved(width: u32, p: f64) -> Vec<f64> {
    interleaved((0..width / 2).map(|i| p * 1e4f64.powf(-2.0 * f64::from(i) / f64::from(width))))
}

/// Harmonics k = 1..=count of a number of turns.
pub fn harmonics_of(turns: f64, count: u32) -> Vec<f64> {
    split((1..=count).map(move |k| TAU * f64::from(k) * turns))
}

/// cos φ cos λ, cos φ sin λ, sin φ.
pub fn unit_vector(at: &At) -> [f64; 3] {
    let ((sin_lat, cos_lat), (sin_lon, cos_lon)) =
        (at.lat.to_radians().sin_cos(), at.lon.to_radians().sin_cos());
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// GeoCLIP's scaling of the Equal Earth projection.
pub fn equal_earth(at: &At) -> [f64; 2] {
    const A: [f64; 4] = [1.340264, -0.081106, 0.000893, 0.003796];
    const SCALE: f64 = 66.50336 / 180.0;
    let theta = (3f64.sqrt() / 2.0 * at.lat.to_radians().sin()).asin();
    let slope = 9.0 * A[3] * theta.powi(8) + 7.0 * A[2] * theta.powi(6) + 3.0 * A[1] * theta.powi(2) + A[0];
    let x = 2.0 * 3f64.sqrt() * at.lon.to_radians() * theta.cos() / (3.0 * slope);
    let y = A[3] * theta.powi(9) + A[2] * theta.powi(7) + A[1] * theta.powi(3) + A[0] * theta;
    [x * SCALE, y * SCALE]
}

/// `[cos 2π B(x, y) | sin 2π B(x, y)]`.
pub fn gaussian(b: &[[f32; 2]], [x, y]: [f64; 2]) -> Vec<f64> {
    let angles = b.iter().map(|row| TAU * (f64::from(row[0]) * x + f64::from(row[1]) * y));
    angles.clone().map(f64::cos).chain(angles.map(f64::sin)).collect()
}

/// Real spherical harmonics by the textbook recursion: of `z` = cos θ and longitude φ, m = 0 times `zonal`.
pub fn spherical_harmonics(degree: i32, z: f64, phi: f64, zonal: f64) -> Vec<f64> {
    let legendre = |l: i32, m: i32| {
        let mut value: f64 = (1..=m).map(|k| f64::from(2 * k - 1) * (1.0 - z * z).max(0.0).sqrt()).product();
        let mut last = 0.0;
        for n in m + 1..=l {
            let next = (f64::from(2 * n - 1) * z * value - f64::from(n + m - 1) * last) / f64::from(n - m);
            (last, value) = (value, next);
        }
        let ratio: f64 = (l - m + 1..=l + m).map(f64::from).product();
        value * (f64::from(2 * l + 1) / (4.0 * PI) / ratio).sqrt()
    };
    let wave = |m: i32| match m {
        0 => zonal,
        1.. => SQRT_2 * (f64::from(m) * phi).cos(),
        _ => SQRT_2 * (f64::from(-m) * phi).sin(),
    };
    let terms = (0..=degree).flat_map(|l| (-l..=l).map(move |m| (l, m)));
    terms.map(|(l, m)| legendre(l, m.abs()) * wave(m)).collect()
}

/// The location encoders of TorchSpatial.
pub fn spatial(encoding: Spatial, radii: &Radii, at: &At) -> Vec<f64> {
    let steps = (0..radii.count).map(|k| f64::from(k) / f64::from(radii.count - 1));
    let frequencies = steps.clone().map(|t| 1.0 / (radii.min * (radii.max / radii.min).powf(t)));
    // TorchSpatial's sphereM+ and dfs leave the smallest radius out.
    let of_max = steps.map(|t| radii.max.powf(-t));
    let (lambda, beta) = (at.lon.to_radians(), at.lat.to_radians());
    let four = |f: f64| interleaved([f * beta, f * lambda].into_iter());
    let of_c = |f: f64| {
        let cos_y = (f * beta).cos();
        vec![cos_y * (f * lambda).cos(), cos_y * (f * lambda).sin()]
    };
    let of_m = |f: f64| {
        let (cos_y, cos_lat) = ((f * beta).cos(), beta.cos());
        let (sin_x, cos_x) = (f * lambda).sin_cos();
        vec![cos_y * lambda.cos(), cos_lat * cos_x, cos_y * lambda.sin(), cos_lat * sin_x]
    };
    let first = |f: f64| vec![(f * beta).sin()];
    match encoding {
        Spatial::Grid => [at.lon, at.lat]
            .into_iter()
            .flat_map(|degrees| interleaved(frequencies.clone().map(move |f| f * degrees)))
            .collect(),
        Spatial::Theory => {
            let along = |j: i32, f: f64| {
                let (sin, cos) = (f64::from(j) * TAU / 3.0).sin_cos();
                f * (cos * at.lon + sin * at.lat)
            };
            interleaved(frequencies.flat_map(|f| (0..3).map(move |j| along(j, f))))
        }
        Spatial::SphereC => frequencies.flat_map(|f| [first(f), of_c(f)].concat()).collect(),
        Spatial::SphereCPlus => frequencies.flat_map(|f| [four(f), of_c(f)].concat()).collect(),
        Spatial::SphereM => frequencies.flat_map(|f| [first(f), of_m(f)].concat()).collect(),
        Spatial::SphereMPlus => of_max.flat_map(|f| [four(f), of_m(f)].concat()).collect(),
        Spatial::SphereMPlusOfSphere2Vec => frequencies.flat_map(|f| [four(f), of_m(f)].concat()).collect(),
        Spatial::Dfs => {
            let across = split(of_max.clone().map(|f| f * beta));
            let outer = split(of_max.clone().map(|f| f * lambda));
            let outer = outer.iter().flat_map(|x| across.iter().map(move |y| x * y));
            outer.chain(of_max.flat_map(four)).collect()
        }
        Spatial::Xyz => unit_vector(at).to_vec(),
        Spatial::Nerf => {
            let scales = (0..radii.count).map(|k| PI * f64::from(1 << k));
            split(unit_vector(at).into_iter().flat_map(move |x| scales.clone().map(move |s| s * x)))
        }
        Spatial::Wrap => {
            let (x, y) = (lambda, 2.0 * beta);
            vec![x.sin(), y.sin(), x.cos(), y.cos()]
        }
        other => panic!("no formula for {other:?}"),
    }
}

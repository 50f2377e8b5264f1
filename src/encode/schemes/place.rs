//! Real spherical harmonics; `shaders/encode/schemes/place.wgsl` and, for the features, `shaders/encode/harmonics.wgsl`.

use crate::Error;
use crate::common::phase::{sincos_turns, turns_from_degrees};
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::encode::{Convention, OP};
use crate::records::{Field, Fields};
use std::f64::consts::{PI, SQRT_2, TAU};

/// The kernel's arrays hold the waves of so many levels.
const MAX_DEGREE: u32 = 40;
/// Series that one invocation sums at a time.
const AT_ONCE: usize = 4;

pub(in crate::encode) struct Place {
    degree: u32,
    convention: Convention,
    /// A published block learns nothing; it says whether a validity column follows.
    published: Option<bool>,
}

impl Place {
    pub(in crate::encode) fn ours(degree: u32) -> Self {
        Self { degree, convention: Convention::Orthonormal, published: None }
    }

    pub(in crate::encode) fn published(degree: u32, convention: Convention, validity: bool) -> Self {
        Self { degree, convention, published: Some(validity) }
    }

    /// `(m, l)` of the first of up to four series l, l + 2, … that are summed together, in the order of the constants.
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        let degree = self.degree as usize;
        (0..=degree).flat_map(move |m| {
            [m, m + 1].into_iter().flat_map(move |l| (l..=degree).step_by(2 * AT_ONCE).map(move |l| (m, l)))
        })
    }

    /// The series of a tile.
    fn levels(&self, first: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        (first..self.degree as usize + 1).step_by(2).take(AT_ONCE)
    }

    /// The k of a tile's series.
    fn waves(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        (first % 2..=self.levels(first).next_back().unwrap_or(0)).step_by(2)
    }
}

impl Place {
    /// Gradient of latitude and longitude, per degree, given that of the features; the kernel's order of sums.
    pub(in crate::encode) fn gradient(&self, sample: &Sample, constants: &[f32], de: &[f32]) -> [f32; 2] {
        let Some([theta, phi]) = position(sample) else { return [0.0; 2] };
        let (along_theta, along_phi) = (self.harmonics_of(theta), self.harmonics_of(phi));
        let mut constants = constants[along_theta.len().next_multiple_of(4)..].chunks_exact(AT_ONCE);
        let [mut by_theta, mut by_phi] = [0f32; 2];
        for (m, first) in self.tiles() {
            let [mut values, mut slopes] = [[0f32; AT_ONCE]; 2];
            for (k, four) in self.waves(first).zip(&mut constants) {
                let [sine, cosine] = along_theta[k];
                let [wave, slope] = if m % 2 == 1 { [sine, cosine] } else { [cosine, -sine] };
                for (i, constant) in four.iter().enumerate() {
                    values[i] = constant.mul_add(wave, values[i]);
                    slopes[i] = constant.mul_add(slope * k as f32, slopes[i]);
                }
            }
            let [sine, cosine] = along_phi[m];
            for (i, l) in self.levels(first).enumerate() {
                let [below, above] = [de[l * l + l - m], de[l * l + l + m]];
                by_theta = slopes[i].mul_add(above.mul_add(cosine, below * sine), by_theta);
                by_phi = (m as f32 * values[i]).mul_add(below.mul_add(cosine, -(above * sine)), by_phi);
            }
        }
        const RADIANS_PER_DEGREE: f32 = 0.017_453_292;
        [-RADIANS_PER_DEGREE * by_theta, RADIANS_PER_DEGREE * by_phi]
    }

    /// (sin, cos) of the multiples 0..=degree of an angle.
    fn harmonics_of(&self, turns: u32) -> Vec<[f32; 2]> {
        (0..=self.degree).map(|k| sincos_turns(turns.wrapping_mul(k))).collect()
    }
}

impl Scheme for Place {
    fn opcode(&self) -> u32 {
        0
    }

    fn name(&self) -> &'static str {
        if self.published.is_some() { "harmonics" } else { "place" }
    }

    fn check(&self) -> Result<(), Error> {
        if self.degree <= MAX_DEGREE {
            return Ok(());
        }
        let rule = format!("spherical harmonics run up to degree {MAX_DEGREE}");
        Err(Error::argument(OP, "degree", self.degree, rule, "lower the degree"))
    }

    fn features(&self) -> Vec<String> {
        let degree = self.degree as i32;
        (0..=degree).flat_map(|l| (-l..=l).map(move |m| format!("l{l}.m{m}"))).collect()
    }

    fn fields(&self) -> Fields {
        Fields::PLACE
    }

    fn parameter(&self) -> u32 {
        self.degree
    }

    /// Where the series of each m start, in fours, up to the next multiple of four; then the series of every tile.
    fn constants(&self) -> Vec<f32> {
        let levels = self.degree as usize + 1;
        let mut constants = vec![0.0; levels.next_multiple_of(4)];
        let mut series = Vec::new();
        for (m, first) in self.tiles() {
            if first == m {
                // A multiple of four far below 2²⁴, hence exact.
                constants[m] = (constants.len() / 4) as f32;
                series = all_series(levels, m);
            }
            for k in self.waves(first) {
                let of = |l: usize| (series[l - m][k] * self.convention.factor(l, m)) as f32;
                let mut four = self.levels(first).map(of).collect::<Vec<_>>();
                four.resize(AT_ONCE, 0.0);
                constants.extend(four);
            }
        }
        constants
    }

    fn is_learned(&self) -> bool {
        self.published.is_none()
    }

    fn has_validity(&self) -> bool {
        self.published.unwrap_or(true)
    }

    fn encode(&self, sample: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let [theta, phi] = position(sample)?;
        let (along_theta, along_phi) = (self.harmonics_of(theta), self.harmonics_of(phi));
        let mut constants = given.constants[along_theta.len().next_multiple_of(4)..].chunks_exact(AT_ONCE);
        for (m, first) in self.tiles() {
            let mut sums = [0f32; AT_ONCE];
            for (k, four) in self.waves(first).zip(&mut constants) {
                let [sine, cosine] = along_theta[k];
                let wave = if m % 2 == 1 { sine } else { cosine };
                sums.iter_mut().zip(four).for_each(|(sum, constant)| *sum = constant.mul_add(wave, *sum));
            }
            let [sine, cosine] = along_phi[m];
            for (l, legendre) in self.levels(first).zip(sums) {
                out[l * l + l - m] = legendre * sine;
                out[l * l + l + m] = legendre * cosine;
            }
        }
        Some(1)
    }
}

impl Convention {
    /// What a harmonic of this convention is times ours. SatCLIP counts its colatitude from the south, which gives
    /// (−1)^(l+m); its longitude from the antimeridian and its Condon–Shortley sign, (−1)^m each, cancel.
    fn factor(self, l: usize, m: usize) -> f64 {
        let sign = |odd: usize| if odd % 2 == 1 { -1.0 } else { 1.0 };
        match (self, m) {
            (Self::Orthonormal, _) => 1.0,
            (Self::SatClip, _) => sign(l + m),
            (Self::SatClipAnalytic, 0) => PI * sign(l),
            (Self::SatClipAnalytic, _) => sign(l),
        }
    }
}

/// Colatitude and longitude in turns, where both are known; `position` in `shaders/encode/position.wgsl`.
fn position(sample: &Sample) -> Option<[u32; 2]> {
    let turns = |field| turns_from_degrees(sample.wide(field) as i64);
    sample.has(Fields::PLACE).then(|| [(1u32 << 30).wrapping_sub(turns(Field::Lat)), turns(Field::Lon)])
}

/// P_lm(cos θ) for l = m.. below `levels`, normalised so that P_lm · (√2 cos mφ, …) is orthonormal on the sphere, without
/// the Condon–Shortley sign; θ may run round the whole circle. The recursion over l at fixed m is stable (Holmes and
/// Featherstone, "A unified approach to the Clenshaw summation", J. Geodesy 76, 2002).
fn legendre(levels: usize, m: usize, theta: f64) -> Vec<f64> {
    let (sine, cosine) = theta.sin_cos();
    let mut last = 0.0;
    let mut value = (1.0 / (4.0 * PI)).sqrt();
    for order in 1..=m {
        value *= ((2 * order + 1) as f64 / (2 * order) as f64).sqrt() * sine;
    }
    let m2 = (m * m) as f64;
    let mut values = vec![value];
    for degree in m + 1..levels {
        let n = degree as f64;
        let up = ((4.0 * n * n - 1.0) / (n * n - m2)).sqrt();
        let before = (((n - 1.0).powi(2) - m2) / (4.0 * (n - 1.0).powi(2) - 1.0)).sqrt();
        (last, value) = (value, up * (cosine * value - before * last));
        values.push(value);
    }
    values
}

/// `[l − m][k]`: coefficients of P_lm, l = m.. below `levels`, as series in cos kθ (m even) or sin kθ (m odd), with √2
/// where m > 0: by quadrature over the circle, exact for so short a series.
fn all_series(levels: usize, m: usize) -> Vec<Vec<f64>> {
    let points = 2 * levels;
    let factor = if m > 0 { SQRT_2 } else { 1.0 };
    let mut series = vec![vec![0.0; levels]; levels - m];
    for point in 0..points {
        let theta = TAU * point as f64 / points as f64;
        let values = legendre(levels, m, theta);
        for k in 0..levels {
            // Reduced exactly.
            let (sine, cosine) = (TAU * (k * point % points) as f64 / points as f64).sin_cos();
            let norm = if k == 0 { 1.0 } else { 2.0 } / points as f64;
            let wave = factor * norm * if m % 2 == 1 { sine } else { cosine };
            series.iter_mut().zip(&values).for_each(|(series, value)| series[k] += wave * value);
        }
    }
    for (l, series) in (m..).zip(&mut series) {
        // What the quadrature leaves where the coefficient is zero.
        (0..levels).filter(|k| *k > l || k % 2 != l % 2).for_each(|k| series[k] = 0.0);
    }
    series
}

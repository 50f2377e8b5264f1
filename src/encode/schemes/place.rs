//! Real spherical harmonics; `shaders/encode/schemes/place.wgsl`.

use crate::Error;
use crate::common::phase::{sincos_turns, turns_from_degrees};
use crate::encode::OP;
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::records::{Field, Fields};
use std::f64::consts::PI;

/// The kernel keeps so many waves in registers.
const MAX_DEGREE: u32 = 16;

pub(in crate::encode) struct Place {
    pub degree: u32,
}

impl Scheme for Place {
    fn opcode(&self) -> u32 {
        0
    }

    fn name(&self) -> &'static str {
        "place"
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

    fn constants(&self) -> Vec<f32> {
        (0..=self.degree as usize).flat_map(|l| (0..=l).flat_map(move |m| series(l, m))).collect()
    }

    fn encode(&self, sample: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        if !sample.has(Fields::PLACE) {
            return None;
        }
        let theta = (1u32 << 30).wrapping_sub(turns_from_degrees(sample.wide(Field::Lat) as i64));
        let phi = turns_from_degrees(sample.wide(Field::Lon) as i64);
        let waves = |turns: u32| -> Vec<[f32; 2]> {
            (0..=self.degree).map(|k| sincos_turns(turns.wrapping_mul(k))).collect()
        };
        let (along_theta, along_phi) = (waves(theta), waves(phi));
        let mut constants = given.constants.iter();
        for l in 0..=self.degree as usize {
            let centre = l * l + l;
            for m in 0..=l {
                let mut legendre = 0f32;
                for (k, constant) in (l % 2..=l).step_by(2).zip(&mut constants) {
                    let [sine, cosine] = along_theta[k];
                    legendre = constant.mul_add(if m % 2 == 1 { sine } else { cosine }, legendre);
                }
                let [sine, cosine] = along_phi[m];
                out[centre - m] = legendre * sine;
                out[centre + m] = legendre * cosine;
            }
        }
        Some(1)
    }
}

/// P_lm(cos θ), normalised so that P_lm · (√2 cos mφ, …) is orthonormal on the sphere, without the Condon–Shortley sign;
/// θ may run round the whole circle. The recursion over l at fixed m is stable (Holmes and Featherstone, "A unified
/// approach to the Clenshaw summation", J. Geodesy 76, 2002).
fn legendre(l: usize, m: usize, theta: f64) -> f64 {
    let (sine, cosine) = theta.sin_cos();
    let mut last = 0.0;
    let mut value = (1.0 / (4.0 * PI)).sqrt();
    for order in 1..=m {
        value *= ((2 * order + 1) as f64 / (2 * order) as f64).sqrt() * sine;
    }
    let m2 = (m * m) as f64;
    for degree in m + 1..=l {
        let n = degree as f64;
        let up = ((4.0 * n * n - 1.0) / (n * n - m2)).sqrt();
        let before = (((n - 1.0).powi(2) - m2) / (4.0 * (n - 1.0).powi(2) - 1.0)).sqrt();
        (last, value) = (value, up * (cosine * value - before * last));
    }
    value
}

/// Coefficients of P_lm as a series in cos kθ (m even) or sin kθ (m odd), k = l mod 2, …, l, with √2 where m > 0: by
/// quadrature over the circle, exact for so short a series.
fn series(l: usize, m: usize) -> Vec<f32> {
    let points = 2 * l + 2;
    let factor = if m > 0 { 2f64.sqrt() } else { 1.0 };
    let coefficient = |k: usize| {
        let term = |j: usize| {
            let theta = 2.0 * PI * j as f64 / points as f64;
            let wave = if m % 2 == 1 { (k as f64 * theta).sin() } else { (k as f64 * theta).cos() };
            legendre(l, m, theta) * wave
        };
        let norm = if k == 0 { 1.0 } else { 2.0 } / points as f64;
        (factor * norm * (0..points).map(term).sum::<f64>()) as f32
    };
    (l % 2..=l).step_by(2).map(coefficient).collect()
}

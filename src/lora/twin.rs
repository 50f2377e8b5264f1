//! CPU twins of the injection's kernels, with the kernels' order of sums. Slow on purpose: they read like the shaders.

use super::gpu::{GATE_TOKENS, lambda_rows, outer_chunks};
use super::{Dropout, Family, PURPOSE_DROPOUT};
use crate::common::numeric::is_zero;
use crate::common::reduce::column_sum;
use crate::common::rng;
use crate::gpu::{Dtype, Mode};

/// Gates on the host, per sample.
#[derive(Clone, Copy, Debug)]
pub enum Gates<'a> {
    /// g = 1.
    None,
    /// `[samples, rank]`.
    Rank(&'a [f32]),
    /// `[samples]`.
    Scalar(&'a [f32]),
}

impl Gates<'_> {
    /// `value · g`.
    fn apply(self, value: f32, sample: usize, rank: usize, j: usize) -> f32 {
        match self {
            Self::None => value,
            Self::Rank(gates) => value * gates[sample * rank + j],
            Self::Scalar(gates) => value * gates[sample],
        }
    }
}

/// Rows of width `rank`, `tokens` of them a sample, with the samples' gates.
#[derive(Clone, Copy, Debug)]
pub struct Gated<'a> {
    /// `[rows, rank]`.
    pub values: &'a [f32],
    /// Width of a row.
    pub rank: usize,
    /// Rows per sample.
    pub tokens: usize,
    /// The samples' gates.
    pub gates: Gates<'a>,
}

impl Gated<'_> {
    /// `values[row, j] · g[sample, j]`.
    fn at(&self, row: usize, j: usize) -> f32 {
        self.gates.apply(self.values[row * self.rank + j], row / self.tokens, self.rank, j)
    }

    fn rows(&self) -> usize {
        self.values.len() / self.rank
    }
}

/// Rows of x after dropout.
pub fn dropped(dropout: Option<Dropout>, x: &[f32], width: usize) -> Vec<f32> {
    let Some(Dropout { seed, step, first_row, .. }) = dropout else { return x.to_vec() };
    let (threshold, scale) = dropout.map_or((0, 1.0), |dropout| (dropout.threshold(), dropout.scale()));
    let of_row = |(row, x): (usize, &[f32])| {
        let id = first_row.wrapping_add(row as u64);
        let of_four = |(four, x): (usize, &[f32])| {
            let draws = rng::draw4(seed, PURPOSE_DROPOUT, id, step, four as u32);
            let kept = x.iter().zip(draws).map(|(x, draw)| if draw >= threshold { scale * x } else { 0.0 });
            kept.collect::<Vec<_>>()
        };
        x.chunks(4).enumerate().flat_map(of_four).collect::<Vec<_>>()
    };
    x.chunks(width).enumerate().flat_map(of_row).collect()
}

/// `h[row, j] = Σ_k x[row, k] A[j, k]`: part p of the family's parts sums the fours of columns c with c mod parts = p, then
/// the parts are added in order.
pub fn down(family: Family, x: &[f32], inputs: usize, a: &[f32]) -> Vec<f32> {
    let parts = family.parts((a.len() / inputs) as u32) as usize;
    let part = |x: &[f32], a: &[f32], part: usize| {
        let fours = x.chunks(4).zip(a.chunks(4)).skip(part).step_by(parts);
        fours.fold(0.0, |sum, (x, a)| x.iter().zip(a).fold(sum, |sum, (x, a)| x.mul_add(*a, sum)))
    };
    let dot = |x: &[f32], a: &[f32]| (1..parts).fold(part(x, a, 0), |sum: f32, p| sum + part(x, a, p));
    x.chunks_exact(inputs).flat_map(|x| a.chunks_exact(inputs).map(move |a| dot(x, a))).collect()
}

/// What [`up`] does with its sums.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// Added to the sum, `[width]`.
    pub bias: Option<&'a [f32]>,
    /// Of the rows that are written: those of dx.
    pub dropout: Option<Dropout>,
    /// λ·s.
    pub factor: f32,
    /// How y is stored.
    pub dtype: Dtype,
    /// Whether y is replaced or added to.
    pub mode: Mode,
}

/// λ·s = 1, into an f32 y that is replaced.
impl Default for Finish<'_> {
    fn default() -> Self {
        Self { bias: None, dropout: None, factor: 1.0, dtype: Dtype::F32, mode: Mode::Overwrite }
    }
}

/// `y[row, n] += λ·s·(Σ_j (h[row, j] g[sample, j]) B_t[j, n] + bias[n])`, or `=`; rounded once, as y is stored.
pub fn up(h: Gated<'_>, b_t: &[f32], finish: &Finish<'_>, y: &mut [f32]) {
    let (width, factor) = (b_t.len() / h.rank, finish.factor);
    for (row, y) in y.chunks_exact_mut(width).enumerate() {
        let sum = |n: usize| {
            let sum = (0..h.rank).fold(0.0, |sum, j| h.at(row, j).mul_add(b_t[j * width + n], sum));
            finish.bias.map_or(sum, |bias| sum + bias[n])
        };
        let sums: Vec<f32> = (0..width).map(sum).collect();
        let of_row = finish.dropout.map(|d| Dropout { first_row: d.first_row.wrapping_add(row as u64), ..d });
        for (y, sum) in y.iter_mut().zip(dropped(of_row, &sums, width)) {
            let value = match finish.mode {
                Mode::Overwrite if is_zero(factor) => 0.0,
                Mode::Overwrite => factor * sum,
                Mode::Accumulate if is_zero(factor) || is_zero(factor * sum) => continue,
                Mode::Accumulate => factor.mul_add(sum, *y),
            };
            *y = finish.dtype.round(value);
        }
    }
}

/// `out[j, n] = λ·Σ_chunks s·Σ_rows (w[row, j] g[sample, j]) v[row, n]`, chunks of rows in order.
pub fn outer(family: Family, w: Gated<'_>, v: &[f32], scale: f32, lambda: f32) -> Vec<f32> {
    let rows = w.rows();
    let width = v.len() / rows;
    let chunk = outer_chunks(family, rows as u64, w.rank as u32, width as u32).rows as usize;
    let mut out = vec![0.0; w.rank * width];
    for first in (0..rows).step_by(chunk) {
        for (at, total) in out.iter_mut().enumerate() {
            let (j, n) = (at / width, at % width);
            let rows = first..rows.min(first + chunk);
            *total += scale * rows.fold(0.0, |sum, row| w.at(row, j).mul_add(v[row * width + n], sum));
        }
    }
    out.iter().map(|sum| sum * lambda).collect()
}

/// `dg[sample, j] = λ·Σ_chunks s·Σ_tokens u h`; `scalar`: also summed over j.
pub fn dgate(u: &[f32], h: &[f32], rank: usize, tokens: usize, scalar: bool, factors: [f32; 2]) -> Vec<f32> {
    let [scale, lambda] = factors;
    let columns = if scalar { 1 } else { rank };
    let one = |sample: usize, column: usize| {
        let chunks = (0..tokens).step_by(GATE_TOKENS as usize);
        let total: f32 = chunks.fold(0.0, |total, first| {
            let mut sum = 0.0f32;
            for token in first..tokens.min(first + GATE_TOKENS as usize) {
                let row = (sample * tokens + token) * rank;
                for j in if scalar { 0..rank } else { column..column + 1 } {
                    sum = u[row + j].mul_add(h[row + j], sum);
                }
            }
            total + scale * sum
        });
        total * lambda
    };
    let samples = u.len() / (rank * tokens);
    (0..samples * columns).map(|at| one(at / columns, at % columns)).collect()
}

/// `dbias = λ·(s·Σ dy)`, chunks of rows in order.
pub fn dbias(dy: &[f32], outputs: usize, [scale, lambda]: [f32; 2]) -> Vec<f32> {
    column_sum(dy, outputs).iter().map(|sum| lambda * (scale * sum)).collect()
}

/// A bias, for dλ: the family whose order the sum of `(Σ dy)·bias` has, dy, and the bias itself.
pub type OfBias<'a> = (Family, &'a [f32], &'a [f32]);

/// `dλ = s·(Σ u g h + (Σ dy)·bias)`, chunks of rows in order, the bias's part last.
pub fn dlambda(u: Gated<'_>, h: &[f32], bias: Option<OfBias<'_>>, scale: f32) -> f32 {
    let rows = u.rows();
    let chunk = lambda_rows(rows as u64, u.rank as u32) as usize;
    let mut total: f32 = (0..rows).step_by(chunk).fold(0.0, |total, first| {
        let mut sum = 0.0f32;
        for row in first..rows.min(first + chunk) {
            for j in 0..u.rank {
                sum = u.at(row, j).mul_add(h[row * u.rank + j], sum);
            }
        }
        total + sum
    });
    if let Some((family, dy, bias)) = bias {
        total += down(family, &column_sum(dy, bias.len()), bias.len(), bias)[0];
    }
    total * scale
}

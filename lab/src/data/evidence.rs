//! Image evidence: the spectral series of a task's steps, standardised on the training part, with its mask.

use super::{Dataset, Task};

/// Raw evidence of a task, `[rows, features]`; NaN is a missing observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Steps times spectral channels.
    pub features: usize,
    /// `[rows, features]`, step-major.
    pub values: Vec<f32>,
}

impl Evidence {
    /// Cuts the task's rows, steps and spectral channels out of the series.
    pub fn of(data: &Dataset, task: &Task) -> Self {
        let width = data.channels.len();
        let mut values = Vec::with_capacity(task.rows.len() * task.steps.len() * data.spectral.len());
        for &row in &task.rows {
            for &step in &task.steps {
                let at = (row * data.steps + step) * width;
                values.extend(data.spectral.iter().map(|&c| data.series[at + c]));
            }
        }
        Self { features: task.steps.len() * data.spectral.len(), values }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.features
    }
}

/// Mean and scale of every feature over the observed values of the training part.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    mean: Vec<f64>,
    /// 1/sd; 1 where a feature is constant.
    scale: Vec<f64>,
}

impl Standardiser {
    /// Fits on the given rows.
    pub fn fit(evidence: &Evidence, rows: &[usize]) -> Self {
        let width = evidence.features;
        let observed = |f: usize| {
            let value = move |&r: &usize| f64::from(evidence.values[r * width + f]);
            rows.iter().map(value).filter(|v| !v.is_nan())
        };
        let (mean, scale) = (0..width)
            .map(|f| {
                let n = observed(f).count().max(1) as f64;
                let mean = observed(f).sum::<f64>() / n;
                let sd = (observed(f).map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
                (mean, if sd > 1e-12 * mean.abs().max(1e-30) { 1.0 / sd } else { 1.0 })
            })
            .unzip();
        Self { mean, scale }
    }

    /// Width of [`Standardiser::apply`]'s rows: values, then mask.
    pub fn width(&self) -> usize {
        2 * self.mean.len()
    }

    /// `[rows, 2·features]`: standardised values with 0 where missing, then 1 where observed and 0 where missing.
    pub fn apply(&self, evidence: &Evidence) -> Vec<f32> {
        let width = evidence.features;
        let mut out = Vec::with_capacity(2 * evidence.values.len());
        for row in evidence.values.chunks_exact(width) {
            out.extend(row.iter().zip(&self.mean).zip(&self.scale).map(
                |((&v, mean), scale)| match v.is_nan() {
                    true => 0.0,
                    false => ((f64::from(v) - mean) * scale) as f32,
                },
            ));
            out.extend(row.iter().map(|v| if v.is_nan() { 0.0 } else { 1.0 }));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_values_are_filled_with_zero_and_masked_and_do_not_move_the_mean() {
        let evidence = Evidence { features: 2, values: vec![1.0, 5.0, f32::NAN, 5.0, 3.0, 5.0, 99.0, 6.0] };
        let standard = Standardiser::fit(&evidence, &[0, 1, 2]);
        let out = standard.apply(&evidence);
        assert_eq!(out[0..4], [-1.0, 0.0, 1.0, 1.0]);
        assert_eq!(out[4..8], [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(out[8..12], [1.0, 0.0, 1.0, 1.0]);
        assert_eq!(out[12..16], [97.0, 1.0, 1.0, 1.0], "a constant feature keeps its unit");
    }
}

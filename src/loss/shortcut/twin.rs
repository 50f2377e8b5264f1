//! CPU twin of the anti-shortcut loss, with the kernels' order of sums.

use super::super::IGNORE;
use super::super::twin::{Loss, ratio};
use super::gpu::run_of_others;
use crate::common::numeric::{LSE_EMPTY, lse_merge, precise_exp, precise_log};
use crate::common::reduce::column_sum;

/// Four others of one anchor.
struct Four {
    exponents: [f32; 4],
    weights: [f32; 4],
    positives: [f32; 4],
}

/// All pairs of a batch.
struct Pairs<'a> {
    z: &'a [f32],
    width: usize,
    classes: &'a [u32],
    regions: &'a [u32],
    inverse_temperature: f32,
    weight: f32,
}

impl Pairs<'_> {
    fn samples(&self) -> usize {
        self.classes.len()
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.z[i * self.width..][..self.width]
    }

    /// `z_i·z_j / t`.
    fn exponent(&self, i: usize, j: usize) -> f32 {
        let dot = self.row(i).iter().zip(self.row(j)).fold(0.0, |sum: f32, (a, b)| a.mul_add(*b, sum));
        dot * self.inverse_temperature
    }

    /// Weight, 0 where the pair is left out, and whether j is a positive of i.
    fn relation(&self, i: usize, j: usize) -> (f32, bool) {
        let is_unknown = |k: usize| self.classes[k] == IGNORE || self.regions[k] == IGNORE;
        let (same_class, same_region) =
            (self.classes[i] == self.classes[j], self.regions[i] == self.regions[j]);
        match (same_class, same_region) {
            _ if is_unknown(i) || is_unknown(j) => (0.0, false),
            (true, true) => (0.0, false),
            (true, false) => (1.0, true),
            (false, true) => (self.weight, false),
            (false, false) => (1.0, false),
        }
    }

    /// Others `first..first + 4`; those from `end` on are left out.
    fn four(&self, anchor: usize, first: usize, end: usize) -> Four {
        let mut four = Four { exponents: [-1.0e38; 4], weights: [0.0; 4], positives: [0.0; 4] };
        for (k, other) in (first..end.min(first + 4)).enumerate() {
            let (weight, is_positive) = self.relation(anchor, other);
            if weight > 0.0 {
                four.exponents[k] = self.exponent(anchor, other);
            }
            four.weights[k] = weight;
            four.positives[k] = is_positive.into();
        }
        four
    }

    /// What an anchor makes of all others: `[largest a, Σ w e^(a − largest), Σ_P a, |P|]`.
    fn running(&self, anchor: usize) -> [f32; 4] {
        let (samples, run) = (self.samples(), run_of_others(self.width as u32) as usize);
        let mut state = Running { sum: LSE_EMPTY, positives: [0.0; 2] };
        for first in (0..samples).step_by(run) {
            let end = samples.min(first + run);
            for lane in 0..16 {
                let fours = (first + lane * 4..end).step_by(64).map(|first| self.four(anchor, first, end));
                let empty = Running { sum: LSE_EMPTY, positives: [0.0; 2] };
                state = state.merged(fours.fold(empty, Running::add));
            }
        }
        [state.sum[0], state.sum[1], state.positives[0], state.positives[1]]
    }
}

struct Running {
    sum: [f32; 2],
    positives: [f32; 2],
}

fn total(four: [f32; 4]) -> f32 {
    (four[0] + four[1]) + (four[2] + four[3])
}

impl Running {
    fn add(self, four: Four) -> Self {
        let Four { exponents, weights, positives } = four;
        let largest = exponents.into_iter().fold(self.sum[0], f32::max);
        let more = total([0, 1, 2, 3].map(|k| weights[k] * precise_exp(exponents[k] - largest)));
        let sum = self.sum[1].mul_add(precise_exp(self.sum[0] - largest), more);
        let found = total([0, 1, 2, 3].map(|k| if positives[k] > 0.0 { exponents[k] } else { 0.0 }));
        let positives = [self.positives[0] + found, self.positives[1] + total(positives)];
        Self { sum: [largest, sum], positives }
    }

    fn merged(self, other: Self) -> Self {
        let positives = [0, 1].map(|k| self.positives[k] + other.positives[k]);
        Self { sum: lse_merge(self.sum, other.sum), positives }
    }
}

/// The loss of z `[S, width]` and `scale` times its gradient; `numbers` are temperature and weight.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn anti_shortcut(
    z: &[f32],
    width: usize,
    [classes, regions]: [&[u32]; 2],
    (temperature, weight): (f32, f32),
    scale: f32,
) -> Loss {
    let pairs = Pairs { z, width, classes, regions, inverse_temperature: 1.0 / temperature, weight };
    let (mut terms, mut finished) = (Vec::new(), Vec::new());
    for anchor in 0..pairs.samples() {
        let [largest, sum, positives, count] = pairs.running(anchor);
        let (log_sum, is_anchor) = (precise_log(sum), count > 0.0);
        let inverse = if is_anchor { 1.0 / count } else { 0.0 };
        terms.extend([
            if is_anchor { log_sum + (largest - positives * inverse) } else { 0.0 },
            is_anchor.into(),
        ]);
        finished.push([largest, log_sum, inverse]);
    }
    let totals = column_sum(&terms, 2);
    let factor = ratio(scale * pairs.inverse_temperature, totals[1]);
    let dz = (0..pairs.samples()).flat_map(|i| gradient(&pairs, &finished, i, factor)).collect();
    let per_row = terms.chunks_exact(2).map(|term| term[0]).collect();
    Loss { value: ratio(totals[0], totals[1]), per_row, gradients: vec![dz] }
}

/// Every pair pulls at both its ends.
fn gradient(pairs: &Pairs<'_>, finished: &[[f32; 3]], i: usize, factor: f32) -> Vec<f32> {
    let mut dz = vec![0.0; pairs.width];
    for j in 0..pairs.samples() {
        let (weight, is_positive) = pairs.relation(i, j);
        if weight == 0.0 {
            continue;
        }
        let exponent = pairs.exponent(i, j);
        let share = |[largest, log_sum, inverse]: [f32; 3]| {
            if inverse > 0.0 { precise_exp((exponent - largest) - log_sum) } else { 0.0 }
        };
        let both = share(finished[i]) + share(finished[j]);
        let drawn = if is_positive { finished[j][2] + finished[i][2] } else { 0.0 };
        let pull = factor * weight.mul_add(both, -drawn);
        dz.iter_mut().zip(pairs.row(j)).for_each(|(sum, z)| *sum = pull.mul_add(*z, *sum));
    }
    dz
}

//! Sums that a bootstrap can resample after the fact.
//!
//! Every sample belongs to a resampling unit: itself, or its spatial block. Units are scattered over 4,096 bags by a
//! fixed hash, and every bag keeps exact integer sums for each perturbation. Resampling whole bags with replacement is
//! a cluster bootstrap: neighbours within a block stay together, all perturbations are compared on the same resampled
//! samples (paired), and the cost does not grow with the data. Where units share a bag, intervals get no narrower in
//! expectation. Sums of shards add to the sums of the whole, bit for bit.

use std::collections::BTreeMap;

use super::sketch::mix;
use crate::draw::{Draws, Purpose};

const BAGS: u64 = 4096;
/// Measures are summed in units of 2⁻²⁶, as in `gtca::sensitivity`.
const UNIT: f64 = 1.0 / (1 << 26) as f64;

/// What is summed for each perturbation, over the samples that have it and whose logits are finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Cell {
    /// Samples.
    Count,
    /// Predictions that changed class.
    Flips,
    /// Total variation between the predictions.
    Change,
    /// Samples with a label; the next four are over them.
    Labelled,
    /// Right under the recorded metadata.
    CorrectBefore,
    /// Right under the wrong metadata.
    CorrectAfter,
    /// −ln p of the label under the recorded metadata.
    NllBefore,
    /// −ln p of the label under the wrong metadata.
    NllAfter,
    /// Samples for which there is a prediction without metadata.
    Weighed,
    /// Their change.
    WeighedChange,
    /// w times that change.
    SettledChange,
    /// Samples whose posterior is known.
    Known,
    /// Their change.
    KnownChange,
    /// The part of it that the posterior's change justifies.
    JustifiedChange,
    /// Total variation of those posteriors.
    PosteriorChange,
}

pub(super) const CELLS: usize = Cell::PosteriorChange as usize + 1;

/// Sums by bag, perturbation and cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bags {
    perturbations: usize,
    cells: BTreeMap<u32, Vec<i64>>,
}

/// Sums over some multiset of bags.
#[derive(Clone, Debug)]
pub struct Sums(Vec<i64>);

/// A number with the bootstrap's percentile interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Over all samples.
    pub value: f64,
    /// 2.5 % of the resamples lie below.
    pub low: f64,
    /// 2.5 % of the resamples lie above.
    pub high: f64,
}

impl Bags {
    pub(super) fn new(perturbations: usize) -> Self {
        Self { perturbations, cells: BTreeMap::new() }
    }

    pub(super) fn from_parts(perturbations: usize, bags: &[u32], cells: &[i64]) -> Option<Self> {
        let width = perturbations * CELLS;
        let fits = cells.len() == bags.len() * width && bags.is_sorted_by(|a, b| a < b);
        fits.then(|| {
            let rows = bags.iter().zip(cells.chunks_exact(width.max(1)));
            Self { perturbations, cells: rows.map(|(&bag, cells)| (bag, cells.to_vec())).collect() }
        })
    }

    /// Bags and their cells, `[bags, perturbations, CELLS]`.
    pub(super) fn parts(&self) -> (Vec<u32>, Vec<i64>) {
        (self.cells.keys().copied().collect(), self.cells.values().flatten().copied().collect())
    }

    /// The sums to which a sample of this unit adds.
    pub(super) fn of_unit(&mut self, unit: u64, perturbation: usize) -> &mut [i64] {
        let width = self.perturbations * CELLS;
        let bag = (mix(unit) % BAGS) as u32;
        let cells = self.cells.entry(bag).or_insert_with(|| vec![0; width]);
        &mut cells[perturbation * CELLS..][..CELLS]
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let width = self.perturbations * CELLS;
        for (&bag, more) in &other.cells {
            let cells = self.cells.entry(bag).or_insert_with(|| vec![0; width]);
            cells.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// How many bags hold samples: what the bootstrap draws from.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Sums over all samples, then over `replicates` resamples of the bags.
    pub fn bootstrap(&self, replicates: usize, seed: u64) -> Bootstrap {
        let bags: Vec<&Vec<i64>> = self.cells.values().collect();
        let width = self.perturbations * CELLS;
        let total = |counts: &[i64]| {
            let mut sums = vec![0; width];
            for (&count, bag) in counts.iter().zip(&bags).filter(|(count, _)| **count > 0) {
                sums.iter_mut().zip(*bag).for_each(|(sum, cell)| *sum += count * cell);
            }
            Sums(sums)
        };
        let resample = |replicate: usize| {
            let mut draws = Draws::new(seed, Purpose::Bootstrap, replicate as u64);
            let mut counts = vec![0; bags.len()];
            (0..bags.len()).for_each(|_| counts[draws.below(bags.len())] += 1);
            total(&counts)
        };
        Bootstrap { all: total(&vec![1; bags.len()]), resamples: (0..replicates).map(resample).collect() }
    }
}

impl Sums {
    /// One cell: a count, or a measure in its unit.
    pub(super) fn get(&self, perturbation: usize, cell: Cell) -> f64 {
        let sum = self.0[perturbation * CELLS + cell as usize] as f64;
        use Cell::{CorrectAfter, CorrectBefore, Count, Flips, Known, Labelled, Weighed};
        let is_count =
            matches!(cell, Count | Flips | Labelled | CorrectBefore | CorrectAfter | Weighed | Known);
        if is_count { sum } else { sum * UNIT }
    }

    /// The quotient of two cells; none where the divisor is 0.
    pub(super) fn ratio(&self, perturbation: usize, cell: Cell, over: Cell) -> Option<f64> {
        let divisor = self.get(perturbation, over);
        (divisor > 0.0).then(|| self.get(perturbation, cell) / divisor)
    }
}

/// Sums of the whole and of resamples.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    all: Sums,
    resamples: Vec<Sums>,
}

impl Bootstrap {
    /// A statistic with its interval; none where the data give none.
    ///
    /// Resamples for which there is none (say, without a labelled sample) are left out of the interval.
    pub fn estimate(&self, statistic: impl Fn(&Sums) -> Option<f64>) -> Option<Estimate> {
        let value = statistic(&self.all)?;
        let mut drawn: Vec<f64> = self.resamples.iter().filter_map(&statistic).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| match drawn.len() {
            0 => value,
            n => drawn[((n - 1) as f64 * share).round() as usize],
        };
        Some(Estimate { value, low: at(0.025), high: at(0.975) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` samples of which every third is right before and every second after.
    fn halves(n: u64, unit: impl Fn(u64) -> u64) -> Bags {
        let mut bags = Bags::new(1);
        for row in 0..n {
            let cells = bags.of_unit(unit(row), 0);
            cells[Cell::Labelled as usize] += 1;
            cells[Cell::CorrectBefore as usize] += i64::from(row % 3 == 0);
            cells[Cell::CorrectAfter as usize] += i64::from(row % 2 == 0);
        }
        bags
    }

    fn gain(sums: &Sums) -> Option<f64> {
        let [before, after] =
            [Cell::CorrectBefore, Cell::CorrectAfter].map(|cell| sums.ratio(0, cell, Cell::Labelled));
        Some(after? - before?)
    }

    #[test]
    fn the_interval_has_the_width_that_theory_gives_a_paired_difference() {
        let bags = halves(3000, |row| row);
        let found = bags.bootstrap(2000, 7).estimate(gain).unwrap();
        assert!((found.value - 1.0 / 6.0).abs() < 1e-12);
        // Differences are −1, 0, 1 with shares 1/6, 1/2, 1/3: variance 17/36.
        let half = 1.96 * (17.0_f64 / 36.0 / 3000.0).sqrt();
        for (end, expected) in [(found.low, found.value - half), (found.high, found.value + half)] {
            assert!((end - expected).abs() < 0.12 * half, "{found:?} against ±{half}");
        }
        assert_eq!(bags.bootstrap(2000, 7).estimate(gain), Some(found), "a seed repeats");
        assert_ne!(bags.bootstrap(2000, 8).estimate(gain), Some(found));
    }

    #[test]
    fn samples_of_one_block_are_drawn_together() {
        // Each block repeats one sample 30 times: 100 blocks know as much as 100 samples.
        let blocks = halves(3000, |row| row / 30);
        let copies = {
            let mut bags = Bags::new(1);
            for row in 0..3000 {
                let cells = bags.of_unit(row / 30, 0);
                cells[Cell::Labelled as usize] += 1;
                cells[Cell::CorrectAfter as usize] += i64::from((row / 30) % 2 == 0);
            }
            bags
        };
        let width = |bags: &Bags| bags.bootstrap(1000, 1).estimate(gain).map(|e| e.high - e.low).unwrap();
        let expected = 2.0 * 1.96 * (0.25_f64 / 100.0).sqrt();
        assert!((width(&copies) / expected - 1.0).abs() < 0.2, "{} against {expected}", width(&copies));
        assert!(width(&blocks) < 0.05, "balanced blocks differ little: {}", width(&blocks));
    }

    #[test]
    fn shards_add_to_the_whole() {
        let mut merged = halves(500, |row| row);
        let rest = {
            let mut bags = halves(1200, |row| row);
            for (bag, cells) in &halves(500, |row| row).cells {
                bags.cells.get_mut(bag).unwrap().iter_mut().zip(cells).for_each(|(a, b)| *a -= b);
            }
            bags
        };
        merged.merge(&rest);
        let (bags, cells) = merged.parts();
        assert_eq!(merged, halves(1200, |row| row));
        assert_eq!(Bags::from_parts(1, &bags, &cells), Some(merged));
        assert_eq!(Bags::from_parts(1, &bags, &cells[1..]), None);
    }
}

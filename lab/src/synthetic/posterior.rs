//! Posteriors in closed form.

use super::{CLASSES, World, ZONES, geography};
use crate::data::Place;

/// Under which distribution of places and classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// The unbiased world: all land by area, classes by zone alone.
    World,
    /// The biased sample: visited tiles, classes chosen by tile.
    Sample,
}

/// Metadata that the posterior conditions on; `None` is unknown and summed over.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Known {
    /// Where; a place at sea counts as unknown.
    pub place: Option<Place>,
    /// Month of the first step, 1..=12.
    pub month: Option<u32>,
}

/// What a series says: its log density in every state, up to a constant.
#[derive(Debug, Clone)]
pub struct Seen(Vec<f64>);

/// p(y, zone, hemisphere) under both laws: `[law][hemisphere][zone][class]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Joint([[[[f64; CLASSES.len()]; ZONES]; 2]; 2]);

impl Joint {
    pub(super) fn of(world: &World) -> Self {
        let mut this = Self::default();
        for law in [Law::World, Law::Sample] {
            for cell in 0..world.grid.codes.len() {
                let place = geography::centre(cell);
                let Some(zone) = world.zone(place) else { continue };
                let hemisphere = usize::from(geography::south_of_equator(place));
                let weights = world.cell_weights(cell, zone, law);
                (0..CLASSES.len()).for_each(|y| this.0[law as usize][hemisphere][zone][y] += weights[y]);
            }
            let total: f64 = this.0[law as usize].iter().flatten().flatten().sum();
            this.0[law as usize].iter_mut().flatten().flatten().for_each(|p| *p /= total);
        }
        this
    }
}

impl World {
    /// p(y, cell) up to a constant.
    pub(super) fn cell_weights(&self, cell: usize, zone: usize, law: Law) -> [f64; CLASSES.len()] {
        let tile = geography::tile_of_cell(cell);
        let there = law == Law::World || self.visited[tile];
        let weight = if there { geography::area(cell) } else { 0.0 };
        self.class_weights(zone, tile, law).map(|w| weight * w)
    }

    /// Looks at a series of `[STEPS, CHANNELS]`, NaN = not observed, once for all posteriors.
    pub fn look(&self, series: &[f32]) -> Seen {
        Seen(self.spectra.log_likelihoods(series))
    }

    /// p(y | x, what is known).
    pub fn posterior(&self, seen: &Seen, known: Known, law: Law) -> [f64; CLASSES.len()] {
        let likelihood = &seen.0;
        let months = known.month.map_or(0..12, |m| m as usize - 1..m as usize);
        let top = likelihood.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut posterior = self.accumulate(likelihood, known, law, months.clone(), top);
        if posterior.iter().sum::<f64>() < 1e-280 {
            // The states allowed are so unlikely that they vanish beside the best: scale by the best of them.
            let top = self.best_allowed(likelihood, known, months.clone());
            posterior = self.accumulate(likelihood, known, law, months, top);
        }
        let total: f64 = posterior.iter().sum();
        posterior.map(|p| p / total)
    }

    /// (hemisphere, zone, class weights) of every state of the place that is allowed.
    fn places(&self, known: Known, law: Law) -> Vec<(usize, usize, [f64; CLASSES.len()])> {
        if let Some((place, zone)) = known.place.and_then(|p| Some((p, self.zone(p)?))) {
            let tile = geography::tile_of_cell(self.grid.cell(place));
            let hemisphere = usize::from(geography::south_of_equator(place));
            return vec![(hemisphere, zone, self.class_weights(zone, tile, law))];
        }
        let joint = &self.joint.0[law as usize];
        (0..2).flat_map(|h| (0..ZONES).map(move |z| (h, z, joint[h][z]))).collect()
    }

    fn accumulate(
        &self,
        likelihood: &[f64],
        known: Known,
        law: Law,
        months: std::ops::Range<usize>,
        top: f64,
    ) -> [f64; CLASSES.len()] {
        let mut posterior = [0.0; CLASSES.len()];
        for (hemisphere, zone, weights) in self.places(known, law) {
            for month in months.clone() {
                for (class, p) in posterior.iter_mut().enumerate() {
                    let state = (class * ZONES + zone) * 12 + local_month(month, hemisphere);
                    *p += weights[class] * (likelihood[state] - top).exp();
                }
            }
        }
        posterior
    }

    fn best_allowed(&self, likelihood: &[f64], known: Known, months: std::ops::Range<usize>) -> f64 {
        let mut best = f64::NEG_INFINITY;
        for (hemisphere, zone, _) in self.places(known, Law::World) {
            for month in months.clone() {
                for class in 0..CLASSES.len() {
                    best = best.max(likelihood[(class * ZONES + zone) * 12 + local_month(month, hemisphere)]);
                }
            }
        }
        best
    }
}

/// Month of the local season, 0-based: half a year later in the south.
pub(super) fn local_month(month: usize, hemisphere: usize) -> usize {
    (month + 6 * hemisphere) % 12
}

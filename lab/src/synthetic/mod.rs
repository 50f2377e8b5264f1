//! A world whose posteriors are known, to tell justified sensitivity to metadata from a shortcut.
//!
//! *The world.* A place has a climate zone `z` and a hemisphere; a class `y` has the probability p(y | z) there and
//! shows a yearly course of six spectral channels that depends on class, zone and local season. Twelve monthly steps
//! begin in the recorded month; so month and hemisphere say which season a step shows, and the zone says how bright
//! and green a class is there. Knowing them is *justified*: it helps everywhere.
//!
//! *The sample.* Fieldwork went to a few tiles of 10° and chose classes by tile, with weights `exp(bias · u)`,
//! u ~ N(0, 1) for every tile and class. Knowing the tile helps within the sample and nowhere else: a *shortcut*.
//!
//! Spectra are Gaussian around their mean, with a covariance of four broad factors and white noise; so p(y | x) and
//! p(y | x, m) are sums of Gaussian densities over the discrete states (class, zone, local month), in closed form
//! under the world and under the sample ([`World::posterior`]).

mod geography;
mod posterior;
mod sample;
mod spectra;

pub use posterior::{Known, Law, Seen};

use crate::data::{ClimateGrid, Place};
use crate::draw::{Draws, Purpose};

/// Class names in label order.
pub const CLASSES: [&str; 6] = ["forest", "savanna", "pasture", "summer_crop", "winter_crop", "bare"];
/// Channel names.
pub const CHANNELS: [&str; 6] = ["blue", "green", "red", "nir", "swir1", "swir2"];
/// Monthly steps.
pub const STEPS: usize = 12;
/// Zones: tropical, arid, temperate, cold; a zone's climate code is its number plus 1.
pub const ZONES: usize = 4;

/// Size, seed and strength of the spatial bias.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SyntheticOptions {
    /// Seed of world and sample.
    pub seed: u64,
    /// Samples; a multiple of sites gives every site the same number.
    pub samples: usize,
    /// Distinct places.
    pub sites: usize,
    /// Tiles of 10° that were visited.
    pub tiles: usize,
    /// Strength of the class choice by tile; at 0 only the choice of tiles differs from the world's.
    pub bias: f64,
    /// Share of observations that are missing, at random.
    pub missing_share: f64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self { seed: 0, samples: 1500, sites: 300, tiles: 40, bias: 1.5, missing_share: 0.05 }
    }
}

/// The world: geography, class preferences of the tiles, priors.
#[derive(Debug, Clone)]
pub struct World {
    options: SyntheticOptions,
    grid: ClimateGrid,
    /// u(tile, class) for every tile.
    preference: Vec<[f64; CLASSES.len()]>,
    visited: Vec<bool>,
    joint: posterior::Joint,
    spectra: spectra::Spectra,
}

impl World {
    /// Makes the world of a seed.
    pub fn new(options: SyntheticOptions) -> Self {
        let grid = geography::climate_grid();
        let mut draw = Draws::new(options.seed, Purpose::World, 0);
        let preference = (0..geography::TILES).map(|_| std::array::from_fn(|_| draw.normal())).collect();
        let visited = visited(&grid, options.tiles, &mut draw);
        let mut world = Self {
            options,
            grid,
            preference,
            visited,
            joint: posterior::Joint::default(),
            spectra: spectra::Spectra::new(),
        };
        world.joint = posterior::Joint::of(&world);
        world
    }

    /// The options it was made with.
    pub fn options(&self) -> &SyntheticOptions {
        &self.options
    }

    /// Climate zones at 1°, 0 = ocean.
    pub fn grid(&self) -> &ClimateGrid {
        &self.grid
    }

    /// p(y | place) up to a constant; under the sample with the tile's weights.
    fn class_weights(&self, zone: usize, tile: usize, law: Law) -> [f64; CLASSES.len()] {
        let mut weights = spectra::CLASS_GIVEN_ZONE[zone];
        if law == Law::Sample {
            for (weight, u) in weights.iter_mut().zip(&self.preference[tile]) {
                *weight *= (self.options.bias * u).exp();
            }
        }
        weights
    }

    /// Zone (0-based) of a place on land.
    fn zone(&self, place: Place) -> Option<usize> {
        self.grid.zone(place).map(|code| code as usize - 1)
    }
}

/// Draws tiles among those with enough land, weighted by nothing: fieldwork goes where it goes.
fn visited(grid: &ClimateGrid, count: usize, draw: &mut Draws) -> Vec<bool> {
    let mut land = vec![0; geography::TILES];
    for cell in 0..grid.codes.len() {
        land[geography::tile_of_cell(cell)] += usize::from(grid.codes[cell] != 0);
    }
    let mut tiles: Vec<usize> = (0..geography::TILES).filter(|&t| land[t] >= 50).collect();
    draw.shuffle(&mut tiles);
    let mut visited = vec![false; geography::TILES];
    tiles.iter().take(count).for_each(|&t| visited[t] = true);
    visited
}

#[cfg(test)]
mod tests;

//! Samples of the world as a [`Dataset`].

use std::collections::BTreeMap;

use super::posterior::local_month;
use super::{CHANNELS, CLASSES, Law, STEPS, World, geography};
use crate::data::{Dataset, Donor, Folds, Place, Protocol, Sample, Task, When, fnv64};
use crate::draw::{Draws, Purpose};

/// Bearings tried until a displaced place is on land.
const BEARINGS: usize = 256;
/// A far place is at least this far away.
const FAR_KM: f64 = 2000.0;

/// One draw of the sample: metadata, class, spectrum.
pub(super) struct Drawn {
    pub(super) place: Place,
    pub(super) month: u32,
    pub(super) class: usize,
    pub(super) series: Vec<f32>,
}

impl World {
    /// The biased sample, with wrong places of every kind; the folds are left to be drawn.
    pub fn dataset(&self) -> Dataset {
        let options = self.options();
        let mut draw = Draws::new(options.seed, Purpose::Samples, 0);
        let cells = self.cell_sums(Law::Sample);
        let sites: Vec<Place> = (0..options.sites).map(|_| self.draw_place(&cells, &mut draw)).collect();
        let mut samples = Vec::with_capacity(options.samples);
        let mut labels = Vec::with_capacity(options.samples);
        let mut series = Vec::with_capacity(options.samples * STEPS * CHANNELS.len());
        for i in 0..options.samples {
            let site = i % options.sites;
            let drawn = self.draw_at(sites[site], Law::Sample, &mut draw);
            samples.push(self.sample(i, site as u32, &drawn, &mut draw));
            labels.push(drawn.class as u32);
            series.extend(drawn.series);
        }
        let conflicts = self.wrong_places(&samples, &mut draw);
        let parameters = format!("{options:?}");
        let bits: Vec<u8> = series.iter().flat_map(|v: &f32| v.to_bits().to_le_bytes()).collect();
        Dataset {
            name: "synthetic".to_owned(),
            channels: CHANNELS.map(str::to_owned).to_vec(),
            spectral: (0..CHANNELS.len()).collect(),
            steps: STEPS,
            tasks: vec![Task {
                name: "cover6".to_owned(),
                classes: CLASSES.map(str::to_owned).to_vec(),
                rows: (0..samples.len()).collect(),
                labels,
                steps: (0..STEPS).collect(),
                protocols: Protocol::ALL.to_vec(),
            }],
            folds: Folds::default(),
            month_varies: true,
            notes: self.notes(),
            fingerprint: fnv64(&[parameters.as_bytes(), &bits]),
            samples,
            series,
            conflicts,
        }
    }

    fn notes(&self) -> Vec<String> {
        let o = self.options();
        vec![
            format!(
                "synthetic world: {} samples at {} sites in {} tiles of 10 degrees, spatial bias {}, seed {}",
                o.samples, o.sites, o.tiles, o.bias, o.seed
            ),
            format!("{} % of the observations are missing at random", 100.0 * o.missing_share),
        ]
    }

    /// Running sums of the cells' probabilities, up to a constant.
    pub(super) fn cell_sums(&self, law: Law) -> Vec<f64> {
        let weight = |cell: usize| match self.zone(geography::centre(cell)) {
            Some(zone) => self.cell_weights(cell, zone, law).iter().sum(),
            None => 0.0,
        };
        let mut sum = 0.0;
        let running = |cell| {
            sum += weight(cell);
            sum
        };
        (0..self.grid().codes.len()).map(running).collect()
    }

    pub(super) fn draw_place(&self, cell_sums: &[f64], draw: &mut Draws) -> Place {
        let total = cell_sums.last().expect("a grid has cells");
        let goal = draw.uniform() * total;
        geography::within(cell_sums.partition_point(|&sum| sum <= goal), draw.uniform(), draw.uniform())
    }

    /// Month, class and spectrum at a place on land.
    pub(super) fn draw_at(&self, place: Place, law: Law, draw: &mut Draws) -> Drawn {
        let zone = self.zone(place).expect("places are drawn on land");
        let tile = geography::tile_of_cell(self.grid().cell(place));
        let class = draw.weighted(&self.class_weights(zone, tile, law));
        let month = draw.below(12);
        let season = local_month(month, usize::from(geography::south_of_equator(place)));
        let spectrum = self.spectra.spectrum(self.spectra.mean(class, zone, season), || draw.normal());
        let missing = self.options().missing_share;
        let series = spectrum.iter().map(|&v| if draw.uniform() < missing { f32::NAN } else { v as f32 });
        Drawn { place, month: month as u32 + 1, class, series: series.collect() }
    }

    fn sample(&self, number: usize, site: u32, drawn: &Drawn, draw: &mut Draws) -> Sample {
        Sample {
            id: number.to_string(),
            place: drawn.place,
            when: When {
                year: Some(2016 + draw.below(5) as i32),
                month: Some(drawn.month),
                day: Some(1 + draw.below(28) as u32),
                day_of_year: None,
                second_of_day: None,
            },
            gsd_m: None,
            sensor: None,
            climate_zone: self.grid().zone(drawn.place),
            region: geography::tile_of_cell(self.grid().cell(drawn.place)) as u32,
            site,
        }
    }

    fn wrong_places(&self, samples: &[Sample], draw: &mut Draws) -> BTreeMap<String, Vec<Option<Donor>>> {
        let mut kinds: BTreeMap<String, Vec<Option<Donor>>> = BTreeMap::new();
        for sample in samples {
            let mut push = |kind: &str, place: Option<Place>| {
                let donor = place.map(|place| Donor { place, climate_zone: self.grid().zone(place) });
                kinds.entry(kind.to_owned()).or_default().push(donor);
            };
            for (kind, km) in [("d10", 10.0), ("d100", 100.0), ("d1000", 1000.0)] {
                push(
                    kind,
                    self.on_land(draw, |draw| {
                        geography::moved(sample.place, km, std::f64::consts::TAU * draw.uniform())
                    }),
                );
            }
            let zone = sample.climate_zone;
            push("far_same", self.far(sample.place, draw, |other| other == zone));
            push("far_diff", self.far(sample.place, draw, |other| other != zone));
        }
        kinds
    }

    fn on_land(&self, draw: &mut Draws, mut place: impl FnMut(&mut Draws) -> Place) -> Option<Place> {
        (0..BEARINGS).map(|_| place(draw)).find(|&p| self.grid().zone(p).is_some())
    }

    fn far(&self, from: Place, draw: &mut Draws, wanted: impl Fn(Option<u32>) -> bool) -> Option<Place> {
        let cells = self.grid().codes.len();
        let fits = |p: &Place| {
            let zone = self.grid().zone(*p);
            zone.is_some() && wanted(zone) && geography::distance_km(from, *p) > FAR_KM
        };
        (0..100 * BEARINGS).map(|_| geography::centre(draw.below(cells))).find(fits)
    }
}

//! Series, labels, metadata and folds: from `data.safetensors` of a data folder (`lab/` describes it), or of a small made-up world.

use crate::settings::Settings;
use gtca::common::rng;
use gtca::records::Record;
use safetensors::tensor::Dtype;
use safetensors::{SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::error::Error;
use std::f32::consts::TAU;
use std::path::Path;

/// Samples with everything that is known of them.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) name: String,
    /// `[samples, steps, channels]`; NaN is a missing observation.
    pub(crate) series: Vec<f32>,
    pub(crate) steps: usize,
    pub(crate) channels: usize,
    /// Classes, from 0 without gaps.
    pub(crate) labels: Vec<u32>,
    pub(crate) records: Vec<Record>,
    /// Fold of every sample by protocol, such as `random` or `block`.
    pub(crate) folds: BTreeMap<String, Vec<i32>>,
}

/// Positions of the samples that are trained on, that choose a model, and that judge it.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    pub(crate) protocol: String,
    pub(crate) fold: i32,
    pub(crate) train: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) test: Vec<usize>,
}

impl Data {
    /// The data that the settings name, or the made-up world.
    pub(crate) fn load(settings: &Settings) -> Result<Self, Box<dyn Error>> {
        let Some(name) = &settings.data else { return Ok(world(settings.seed)) };
        let root =
            std::env::var_os("GTCA_DATA").ok_or("--data needs GTCA_DATA, the folder that holds data sets")?;
        let path = Path::new(&root).join(name).join("data.safetensors");
        let bytes = std::fs::read(&path).map_err(|error| format!("{name} in GTCA_DATA: {error}"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let series = file.tensor("series")?;
        let &[samples, all_steps, all_channels] = series.shape() else {
            return Err("series are not [samples, steps, channels]".into());
        };
        let numbers = floats(&series)?;
        let column = |name: &str| file.tensor(name).ok().map(|column| floats(&column)).transpose();
        let [lat, lon, label] = ["lat", "lon", "label_id"].map(|name| column(name).ok().flatten());
        let (lat, lon) = lat.zip(lon).ok_or("there is no lat and lon")?;
        let label = label.ok_or("there is no label_id")?;
        let [year, month, zone] = [column("year")?, column("month")?, column("koppen_code")?];
        let classes = if settings.classes.is_empty() { distinct(&label) } else { settings.classes.clone() };
        let class = |row: &usize| classes.iter().position(|&class| class == label[*row] as u32);
        let rows: Vec<usize> = (0..samples).filter(|row| class(row).is_some()).collect();
        let steps = settings.first_steps.unwrap_or(all_steps).min(all_steps);
        let channels: Vec<usize> = match settings.channels.is_empty() {
            true => (0..all_channels).collect(),
            false => settings.channels.clone(),
        };
        let mut kept = Vec::new();
        for &row in &rows {
            for step in 0..steps {
                let at = (row * all_steps + step) * all_channels;
                kept.extend(channels.iter().map(|channel| numbers[at + channel]));
            }
        }
        let record = |&row: &usize| {
            let mut record = Record::new().lat_deg(lat[row].into()).lon_deg(lon[row].into());
            record.year = year.as_ref().map(|year| year[row] as i32);
            record.month = month.as_ref().map(|month| month[row] as i32);
            // 0 and 32, the ocean, are no zone.
            record.climate_zone = zone.as_ref().map(|zone| zone[row] as u32).filter(|z| ![0, 32].contains(z));
            record.sample_id(row as u64)
        };
        let mut folds = BTreeMap::new();
        for protocol in &settings.protocols {
            let of = column(&format!("fold_{protocol}"))?.ok_or(format!("there is no fold_{protocol}"))?;
            folds.insert(protocol.clone(), rows.iter().map(|&row| of[row] as i32).collect());
        }
        Ok(Self {
            name: name.clone(),
            series: kept,
            steps,
            channels: channels.len(),
            labels: rows.iter().filter_map(class).map(|class| class as u32).collect(),
            records: rows.iter().map(record).collect(),
            folds,
        })
    }

    pub(crate) fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&largest| largest as usize + 1)
    }

    /// The first folds of a protocol, each held out in turn. 15 % of the others choose the model.
    pub(crate) fn splits(&self, protocol: &str, most: usize, seed: u64) -> Vec<Split> {
        let Some(of) = self.folds.get(protocol) else { return Vec::new() };
        let mut folds: Vec<i32> = of.iter().copied().filter(|&fold| fold >= 0).collect();
        folds.sort_unstable();
        folds.dedup();
        let split = |fold: i32| {
            let mut split = Split {
                protocol: protocol.to_owned(),
                fold,
                train: Vec::new(),
                validation: Vec::new(),
                test: Vec::new(),
            };
            for (row, &found) in of.iter().enumerate().filter(|(_, found)| **found >= 0) {
                let chooses = uniform(seed, Purpose::Validation, row, fold as usize) < 0.15;
                match (found == fold, chooses) {
                    (true, _) => split.test.push(row),
                    (_, true) => split.validation.push(row),
                    _ => split.train.push(row),
                }
            }
            split
        };
        folds.into_iter().take(most).map(split).collect()
    }
}

fn floats(tensor: &TensorView<'_>) -> Result<Vec<f32>, Box<dyn Error>> {
    let words = tensor.data().chunks_exact(4).map(|word| word.try_into().expect("four bytes"));
    match tensor.dtype() {
        Dtype::F32 => Ok(words.map(f32::from_le_bytes).collect()),
        Dtype::I32 => Ok(words.map(|word| i32::from_le_bytes(word) as f32).collect()),
        other => Err(format!("numbers are f32 or i32, not {other:?}").into()),
    }
}

fn distinct(labels: &[f32]) -> Vec<u32> {
    let mut classes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// What random draws are for: unlike ones differ.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Batch = 101,
    Hidden,
    Validation,
    World,
}

/// A number in [0, 1) for every use, sample and step.
pub(crate) fn uniform(seed: u64, purpose: Purpose, sample: usize, step: usize) -> f32 {
    rng::uniform01(rng::draw4(seed, purpose as u32, sample as u64, step as u32, 0)[0])
}

/// Four crops whose twelve months differ by when they are green. South of the equator the year is turned by half, so that a course there
/// is another crop's course in the north: the place says which. Fields of a district favour one crop, which says nothing elsewhere.
fn world(seed: u64) -> Data {
    const SAMPLES: usize = 600;
    const MONTHS: usize = 12;
    const DISTRICTS: usize = 20;
    let mut data = Data {
        name: "a made-up world".to_owned(),
        series: Vec::new(),
        steps: MONTHS,
        channels: 3,
        labels: Vec::new(),
        records: Vec::new(),
        folds: BTreeMap::new(),
    };
    for sample in 0..SAMPLES {
        let draw = |number: usize| uniform(seed, Purpose::World, sample, number);
        let district = sample % DISTRICTS;
        let crop = if draw(0) < 0.4 { district * 7 % 4 } else { (draw(1) * 4.0) as usize };
        let of_district = |number: usize| uniform(seed, Purpose::World, SAMPLES + district, number);
        let lat = 60.0 * of_district(0) * if district.is_multiple_of(2) { 1.0 } else { -1.0 } + draw(2);
        let lon = -150.0 + 15.0 * district as f32 + draw(3);
        let turned = if lat < 0.0 { 6.0 } else { 0.0 };
        for month in 0..MONTHS {
            let green = (TAU * (month as f32 - 3.0 * crop as f32 - turned) / 12.0).cos();
            for channel in 0..3 {
                let noise = 2.0 * (draw(10 + 3 * month + channel) - 0.5);
                data.series.push(green * (1.0 - 0.5 * channel as f32) + noise);
            }
        }
        data.labels.push(crop as u32);
        data.records.push(Record::new().lat_deg(lat.into()).lon_deg(lon.into()).sample_id(sample as u64));
        let folds = [("random", sample / DISTRICTS % 5), ("site", district % 5), ("block", district / 4)];
        for (protocol, fold) in folds {
            data.folds.entry(protocol.to_owned()).or_default().push(fold as i32);
        }
    }
    data
}

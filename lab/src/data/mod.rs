//! A data set in memory: samples, series, tasks, folds and wrong places, from a folder or from the synthetic world.
//!
//! The folder format is described in the README: `dataset.json`, `samples.csv` and the series array are
//! required, `splits.csv` and `conflict.csv` are not, nor is any metadata column but the coordinates.

mod arrays;
mod calendar;
mod conflict;
mod description;
mod evidence;
mod folder;
mod grid;
mod labels;
mod table;

use std::collections::BTreeMap;

pub(crate) use calendar::month_and_day;
pub use evidence::{Evidence, Standardiser};
pub(crate) use folder::parse_date;
pub use folder::{LoadOptions, load};
pub use grid::ClimateGrid;

use crate::Error;

/// WGS84 coordinates in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Latitude, -90..=90, north positive.
    pub lat_deg: f64,
    /// Longitude, -180..=360, east positive.
    pub lon_deg: f64,
}

/// The parts of a date that are known, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct When {
    /// Civil year.
    pub year: Option<i32>,
    /// Month, 1..=12.
    pub month: Option<u32>,
    /// Day of the month, 1..=31.
    pub day: Option<u32>,
    /// Day of the year, 1..=366, where it was given and no full date is known.
    pub day_of_year: Option<u32>,
    /// Second of the day, UTC, 0..86,400.
    pub second_of_day: Option<u32>,
}

/// One sample: its metadata, without series and label. Fields the data set does not have are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The `id` column.
    pub id: String,
    /// Where.
    pub place: Place,
    /// When.
    pub when: When,
    /// Ground sampling distance in metres.
    pub gsd_m: Option<f64>,
    /// Sensor, numbered in the order of the sorted names.
    pub sensor: Option<u32>,
    /// Climate zone code; the no-data codes are `None`.
    pub climate_zone: Option<u32>,
    /// Group for the region protocol.
    pub region: u32,
    /// Group for the site protocol.
    pub site: u32,
}

/// How a test part is held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Protocol {
    /// Samples drawn at random, stratified by class.
    Random,
    /// Whole sites.
    Site,
    /// Whole regions (tiles).
    Region,
    /// One of five large spatial blocks.
    Block,
    /// Whole years.
    Year,
}

impl Protocol {
    /// All protocols in the order of the reports.
    pub const ALL: [Self; 5] = [Self::Random, Self::Site, Self::Region, Self::Block, Self::Year];

    /// The name used in `dataset.json`, in fold columns (`fold_…`) and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Site => "site",
            Self::Region => "region",
            Self::Block => "block",
            Self::Year => "year",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// A classification task: which rows, which label, which steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Name, as `--task` takes it.
    pub name: String,
    /// Class names; a label is a position in this list.
    pub classes: Vec<String>,
    /// Rows of the data set that belong to the task, ascending.
    pub rows: Vec<usize>,
    /// Label of each of `rows`.
    pub labels: Vec<u32>,
    /// Steps of the series that the evidence may see.
    pub steps: Vec<usize>,
    /// Protocols to evaluate.
    pub protocols: Vec<Protocol>,
}

/// Folds that came with the data. -1 marks a row that a protocol does not use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folds {
    /// Fold of every row of the data set, by protocol.
    pub of: BTreeMap<Protocol, Vec<i64>>,
    /// Year folds that are fair to evaluate; all where `None`.
    pub year_eval: Option<Vec<i64>>,
    /// What a year fold means, by fold number.
    pub year_names: BTreeMap<String, String>,
}

/// A wrong place for a sample, with the climate zone found there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Donor {
    /// Where.
    pub place: Place,
    /// Zone there; `None` where it is no data or unknown.
    pub climate_zone: Option<u32>,
}

/// A data set in memory.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Name from `dataset.json`.
    pub name: String,
    /// Channel names.
    pub channels: Vec<String>,
    /// Positions of the channels that are image evidence.
    pub spectral: Vec<usize>,
    /// Time steps a sample.
    pub steps: usize,
    /// Metadata of every sample.
    pub samples: Vec<Sample>,
    /// `[samples, steps, channels]`; NaN is a missing observation.
    pub series: Vec<f32>,
    /// Tasks, at least one.
    pub tasks: Vec<Task>,
    /// Folds that came with the data.
    pub folds: Folds,
    /// Wrong places by kind (`d10`, `far_same`, …), one for each row of the data set that has one.
    pub conflicts: BTreeMap<String, Vec<Option<Donor>>>,
    /// Whether a month shift can mean anything.
    pub month_varies: bool,
    /// What a reader of the results has to know about the data.
    pub notes: Vec<String>,
    /// Hash of everything read, part of the fingerprint under which finished splits are kept.
    pub fingerprint: u64,
}

impl Dataset {
    /// The task of that name, or the first.
    ///
    /// # Errors
    /// There is no such task.
    pub fn task(&self, name: Option<&str>) -> Result<&Task, Error> {
        let Some(name) = name else { return Ok(&self.tasks[0]) };
        self.tasks.iter().find(|t| t.name == name).ok_or_else(|| {
            let known: Vec<_> = self.tasks.iter().map(|t| t.name.as_str()).collect();
            Error::argument(
                "--task",
                format!("{} has no task {name}; it has {}", self.name, known.join(", ")),
            )
        })
    }

    /// One past the largest climate zone code that occurs in samples or donors: the size of an id table.
    pub fn climate_zones(&self) -> u32 {
        let own = self.samples.iter().filter_map(|s| s.climate_zone);
        let donors = self.conflicts.values().flatten().flatten().filter_map(|d| d.climate_zone);
        own.chain(donors).max().map_or(0, |m| m + 1)
    }

    /// One past the largest sensor number.
    pub fn sensors(&self) -> u32 {
        self.samples.iter().filter_map(|s| s.sensor).max().map_or(0, |m| m + 1)
    }
}

/// FNV-1a, 64 bits: names a configuration; no security is meant.
pub(crate) fn fnv64(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for &byte in (part.len() as u64).to_le_bytes().iter().chain(part.iter()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

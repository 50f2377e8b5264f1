//! Which wrong metadata a data set allows, and the wrong records of a part.

use crate::Error;
use crate::data::{Dataset, Task};
use crate::train::{Part, Perturbed};
use gtca::gpu::{Dtype, Gpu, View};
use gtca::perturb::{Args, Bearing, Distance, Donors, Lookup, NO_DONOR, Perturb, PerturbDesc, Perturbation};
use gtca::records::{Field, Fields, RECORD_WORDS, Record, Records};

/// Seed of the random bearings: the same for every model and split.
const SEED: u64 = 1;
/// Places of conflict.csv come with their climate zone.
const SWAP: Perturbation =
    Perturbation::Swap { fields: Fields::of(&[Field::Lat, Field::Lon, Field::ClimateZone]) };

/// One way in which the metadata is wrong.
#[derive(Clone, Debug)]
struct Wrong {
    name: String,
    perturbation: Perturbation,
    /// Other places, with their zones, of the task's rows.
    donors: Option<Vec<Option<Record>>>,
}

/// All that a data set allows.
#[derive(Clone, Debug)]
pub struct Perturbations {
    wrong: Vec<Wrong>,
    grid: Option<Lookup>,
    /// What it does not allow, with the reason.
    pub skipped: Vec<String>,
}

/// The records of a part under one perturbation.
#[derive(Debug)]
pub struct WrongMetadata {
    /// The perturbation in words.
    pub name: String,
    /// On the device.
    pub device: Perturbed,
    /// On the host.
    pub host: Records,
    /// Whether the row is perturbed: not where the data have no such wrong place for it.
    pub is_there: Vec<bool>,
}

impl Perturbations {
    /// What the data allow: places from conflict.csv where it has the kind, else displacements by the kernel.
    ///
    /// Rows for which the data have no place of a kind are left out of that perturbation's measures, and counted in
    /// [`skipped`](Self::skipped).
    pub fn of(data: &Dataset, task: &Task, grid: Option<Lookup>) -> Self {
        let mut this = Self { wrong: Vec::new(), grid, skipped: Vec::new() };
        for (kind, km) in [("d10", 10.0), ("d100", 100.0), ("d1000", 1000.0)] {
            let name = format!("{km} km");
            let displace = Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random };
            match donors(data, task, kind) {
                Some(donors) => this.push(name, SWAP, Some(donors)),
                None => this.push(name, displace, None),
            }
        }
        for months in [-6, -3, 3, 6] {
            let name = format!("{}{} months", if months < 0 { "−" } else { "+" }, i32::abs(months));
            if data.month_varies {
                this.push(name, Perturbation::ShiftMonths { months }, None);
            } else {
                this.skipped.push(format!("{name}: the month never varies in {}", data.name));
            }
        }
        this.push("missing".to_owned(), Perturbation::Drop { fields: Fields::METADATA }, None);
        for (kind, name) in [("far_same", "far, same climate"), ("far_diff", "far, other climate")] {
            match donors(data, task, kind) {
                Some(donors) => this.push(name.to_owned(), SWAP, Some(donors)),
                None => this.skipped.push(format!("{name}: {} has no {kind} places", data.name)),
            }
        }
        this
    }

    fn push(&mut self, name: String, perturbation: Perturbation, donors: Option<Vec<Option<Record>>>) {
        let rows = donors.as_deref().unwrap_or_default();
        let without = rows.iter().filter(|donor| donor.is_none()).count();
        if without > 0 {
            self.skipped.push(format!("{name}: {without} of {} samples have no such place", rows.len()));
        }
        self.wrong.push(Wrong { name, perturbation, donors });
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.wrong.iter().map(|wrong| wrong.name.clone()).collect()
    }

    /// The climate grid for the kernels.
    pub fn grid(&self) -> Option<&Lookup> {
        self.grid.as_ref()
    }

    /// The wrong records of a part whose rows these are.
    ///
    /// # Errors
    /// The GPU's.
    pub fn apply(&self, gpu: &Gpu, part: &Part, rows: &[usize]) -> Result<Vec<WrongMetadata>, Error> {
        let words = self.grid.as_ref().map(|grid| gpu.upload("climate grid", &grid.words()));
        let mut all = Vec::new();
        for (k, wrong) in self.wrong.iter().enumerate() {
            let device = Perturbed::new(gpu, part.len);
            let (donors, is_there) = match &wrong.donors {
                Some(donors) => {
                    let donors: Vec<Option<Record>> = rows.iter().map(|&row| donors[row]).collect();
                    let pool: Vec<Record> = donors.iter().map(|donor| donor.unwrap_or_default()).collect();
                    let pool = gpu.upload("places", Records::from_records(&pool)?.words());
                    let own = (0..).zip(&donors).map(|(row, donor)| donor.map_or(NO_DONOR, |_| row));
                    let indices = gpu.upload("donors", &own.collect::<Vec<u32>>());
                    (Some((indices, pool)), donors.iter().map(Option::is_some).collect())
                }
                None => (None, vec![true; rows.len()]),
            };
            let moves = matches!(wrong.perturbation, Perturbation::Displace { .. });
            let lookup =
                self.grid.as_ref().zip(words.as_ref()).filter(|_| moves).map(|(grid, words)| {
                    (grid, View::vector(words, (words.size() / 4) as u32).of(Dtype::U32))
                });
            let records = gpu.upload("records", part.host_records.words());
            let view = |buffer, words| View::matrix(buffer, words, part.len).of(Dtype::U32);
            let args = Args {
                records: view(&records, RECORD_WORDS),
                out: device.records(),
                v: device.validity(),
                donors: donors.as_ref().map(|(indices, pool)| Donors {
                    indices: view(indices, 1),
                    pool: view(pool, RECORD_WORDS),
                }),
                lookup,
                status: None,
                step: k as u32,
            };
            let mut encoder = gpu.encoder();
            let desc = PerturbDesc { parts: &[wrong.perturbation], seed: SEED };
            Perturb::new(&desc)?.record(&mut gpu.recorder(&mut encoder), &args)?;
            gpu.submit(encoder)?;
            let host = Records::from_words(gpu.read_u32_blocking(&device.records())?)?;
            all.push(WrongMetadata { name: wrong.name.clone(), device, host, is_there });
        }
        Ok(all)
    }
}

/// Donors of a kind for the task's rows.
fn donors(data: &Dataset, task: &Task, kind: &str) -> Option<Vec<Option<Record>>> {
    let places = data.conflicts.get(kind)?;
    let donor = |row: &usize| {
        places[*row].map(|donor| {
            let mut record = Record::new().lat_deg(donor.place.lat_deg).lon_deg(donor.place.lon_deg);
            record.climate_zone = donor.climate_zone;
            record
        })
    };
    Some(task.rows.iter().map(donor).collect())
}

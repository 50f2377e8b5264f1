//! `encode` against its twin, f64 references, central differences and upstream's outputs.

mod backward;
mod cells;
mod codec;
mod continuity;
mod forward;
mod frequencies;
mod geotime;
mod halves;
mod harmonics;
mod inputs;
mod published;
mod reference;
mod systems;
mod tables;
mod token_gradients;
mod waves;

use crate::support::*;
use gtca::encode::{Backward, Block, Encoder, Forward, Plan};
use gtca::gpu::{Gpu, Mode, OpenOptions};
use gtca::records::{Field, RECORD_WORDS, Record, Records};

/// Every block of ours, with small tables.
fn every_block() -> Plan {
    let id = |field, rows, width| Block::Id { field, rows, width };
    let blocks = [
        Block::Place { degree: 8 },
        Block::Season,
        Block::Day,
        Block::ClayScalars { validity: true },
        Block::Year,
        Block::Gsd,
        id(Field::Sensor, 5, 8),
        id(Field::ClimateZone, 31, 8),
        id(Field::Ecoregion, 70, 3),
        id(Field::Tile, 1, 5),
    ];
    Plan::new(&blocks).unwrap()
}

/// Places and times where something could break.
const PLACES: [[f64; 2]; 12] = [
    [90.0, 0.0],
    [-90.0, 77.0],
    [0.0, 0.0],
    [0.0, 180.0],
    [0.0, -180.0],
    [47.376_888, 8.541_694],
    [-33.868_8, 151.209_3],
    [89.999_999, -179.999_999],
    [-89.999_999, 179.999_999],
    [45.0, 90.0],
    [-45.0, -135.0],
    [1e-9, -1e-9],
];
const DATES: [[i32; 3]; 10] = [
    [2024, 2, 29],
    [2024, 12, 31],
    [2023, 12, 31],
    [2024, 1, 1],
    [2000, 2, 29],
    [1900, 3, 1],
    [2020, 12, 31],
    [1970, 1, 1],
    [2026, 7, 2],
    [1999, 12, 31],
];
const SECONDS: [i32; 6] = [0, 86_399, 43_200, 1, 3599, 3600];
const GSDS: [f64; 7] = [0.3, 0.5, 10.0, 30.0, 250.0, 1000.0, 5.0];

/// Whole records: edges first, then random ones.
fn records(count: usize, seed: u64) -> Vec<Record> {
    let mut random = Random(seed);
    (0..count)
        .map(|i| {
            let [year, month, day] = DATES[i % DATES.len()];
            let [lat, lon] = if i < 60 {
                PLACES[i % PLACES.len()]
            } else {
                [(random.unit() * 2.0 - 1.0).asin().to_degrees(), random.unit() * 360.0 - 180.0]
            };
            let record = if i < 60 {
                Record::new().date(year, month, day).second_of_day(SECONDS[i % SECONDS.len()])
            } else {
                // 1960 to 2060.
                Record::new().unix_seconds((random.unit() * 3.15e9) as i64 - 315_000_000)
            };
            record
                .lat_deg(lat)
                .lon_deg(lon)
                .utc_offset_s(random.below(24 * 2 + 1) as i32 * 1800 - 43_200)
                .gsd_m(if i < 60 { GSDS[i % GSDS.len()] } else { 0.1 * 2f64.powf(random.unit() * 14.0) })
                .sensor(random.below(6))
                .climate_zone(random.below(33))
                .ecoregion(random.below(72))
                .tile(random.below(2))
        })
        .collect()
}

/// The record without the fields whose bit in `mask` is 0, in the order of the list.
fn with_subset(full: &Record, mask: usize) -> Record {
    let mut record = *full;
    let mut clear = Vec::<Box<dyn Fn(&mut Record)>>::new();
    macro_rules! fields {
        ($($name:ident),*) => {$( clear.push(Box::new(|record| record.$name = None)); )*};
    }
    fields!(
        year,
        month,
        day,
        second_of_day,
        utc_offset_s,
        day_of_year,
        iso_week,
        hour,
        lat_deg,
        lon_deg,
        gsd_m,
        climate_zone
    );
    for (bit, clear) in clear.iter().enumerate() {
        if mask >> bit & 1 == 0 {
            clear(&mut record);
        }
    }
    record
}

/// A device that binds no more than 208 KiB at once.
fn small_gpu() -> &'static Gpu {
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 208 << 10, ..wgpu::Limits::default() };
    let options = OpenOptions { limits: Some(limits), ..Default::default() };
    Box::leak(Box::new(pollster::block_on(Gpu::open(&options)).unwrap()))
}

/// One batch on a device.
struct Batch {
    plan: Plan,
    records: Records,
    arena: Vec<f32>,
    de: Vec<f32>,
}

impl Batch {
    fn new(plan: Plan, records: Records) -> Self {
        let mut random = Random(records.len() as u64 + 17);
        let arena = random.f32s(plan.arena_len() as usize);
        let de = random.f32s(records.len() * plan.width() as usize);
        Self { plan, records, arena, de }
    }

    fn of(plan: Plan, records: &[Record]) -> Self {
        Self::new(plan, Records::from_records(records).unwrap())
    }

    /// e and the status from the kernel.
    fn forward(&self, gpu: &'static Gpu, layout: Layout) -> (Vec<f32>, Vec<u32>) {
        let samples = self.records.len() as u32;
        let mut t = Tensors::new(gpu, layout);
        let records = t.u32([RECORD_WORDS, 1, samples], self.records.words());
        let arena = t.f32([1, 1, self.plan.arena_len()], &self.arena);
        let e = t.poisoned([samples, 1, self.plan.width()]);
        let blocks = self.plan.layouts().len() as u32;
        let status = t.u32([1, 1, blocks], &vec![0; blocks as usize]);
        let encoder = Encoder::new(gpu, self.plan.clone());
        let args = Forward {
            records: t.view(records),
            arena: t.view(arena),
            given: None,
            e: t.view(e),
            status: Some(t.view(status)),
        };
        t.run(|recorder| encoder.forward(recorder, &args)).unwrap();
        (t.read(e), t.read_u32(status))
    }

    /// The arena's gradient from the kernels.
    fn backward(&self, gpu: &'static Gpu, layout: Layout) -> Vec<f32> {
        let samples = self.records.len() as u32;
        let mut t = Tensors::new(gpu, layout);
        let records = t.u32([RECORD_WORDS, 1, samples], self.records.words());
        let arena = t.f32([1, 1, self.plan.arena_len()], &self.arena);
        let de = t.f32([samples, 1, self.plan.width()], &self.de);
        let darena = t.poisoned([1, 1, self.plan.arena_len()]);
        let encoder = Encoder::new(gpu, self.plan.clone());
        let args = Backward {
            records: t.view(records),
            arena: t.view(arena),
            given: None,
            de: t.view(de),
            darena: t.view(darena),
            mode: Mode::Overwrite,
        };
        t.run(|recorder| encoder.backward(recorder, &args)).unwrap();
        t.read(darena)
    }

    /// e in f64.
    fn reference(&self, arena: &[f64]) -> Vec<f64> {
        (0..self.records.len())
            .flat_map(|i| reference::row(&self.plan, &self.records.get(i), arena))
            .collect()
    }
}

//! Gradients of missing vectors, tables and scales.

use super::*;
use gtca::encode::{Prithvi, Scale, Source, twin};

/// Whole records and ragged ones.
fn ragged(samples: usize, seed: u64) -> Vec<Record> {
    let mut random = Random(seed);
    records(samples, seed).iter().map(|record| with_subset(record, random.below(1 << 12) as usize)).collect()
}

#[test]
fn gradients_match_the_twin_around_every_tile_and_chunk_edge() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for samples in [1, 2, 63, 64, 65, 255, 256, 257, 513] {
            let batch = Batch::of(every_block(), &ragged(samples, samples as u64));
            let expected = twin::arena_gradient(&batch.plan, &batch.records, &batch.arena, &[], &batch.de);
            // Additions alone, in the twin's order: a device has nothing to contract.
            assert_same_bits("darena", &batch.backward(gpu, layout), &expected);
        }
    }
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    let blocks = [
        Block::Place { degree: 1 },
        Block::Day,
        Block::Id { field: Field::ClimateZone, rows: 31, width: 3 },
        Block::ClayScalars { validity: true },
        Block::Gsd,
    ];
    let batch = Batch::of(Plan::new(&blocks).unwrap(), &ragged(150, 3));
    let objective =
        |arena: &[f64]| batch.reference(arena).iter().zip(&batch.de).map(|(e, &de)| e * f64::from(de)).sum();
    let numeric = central_differences(&wide(&batch.arena), 1e-3, objective);
    assert_near("darena", &batch.backward(gpu, Layout::OneBuffer), &numeric, sum_bound(150, 150.0));
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(every_block(), &ragged(300, 5));
    let first = batch.backward(gpu, Layout::Separate);
    for repeat in 0..20 {
        assert_same_bits("repeat", &first, &batch.backward(gpu, LAYOUTS[repeat % 2]));
    }
}

#[test]
fn a_sum_over_200_000_records_is_whole() {
    let Some(gpu) = gpu() else { return };
    let id = Block::Id { field: Field::Tile, rows: 7, width: 2 };
    let plan = Plan::new(&[id]).unwrap();
    let of_sample = |i: usize| (i % 9) as u32;
    let all: Vec<Record> = (0..200_000).map(|i| Record::new().tile(of_sample(i))).collect();
    let batch = Batch::of(plan, &all);
    let mut expected = vec![0.0; 16];
    for (i, de) in batch.de.chunks_exact(3).enumerate() {
        for j in 0..2 {
            expected[j] += f64::from(de[j]);
            if of_sample(i) < 7 {
                expected[2 + of_sample(i) as usize * 2 + j] += f64::from(de[j]);
            }
        }
    }
    let actual = batch.backward(gpu, Layout::Separate);
    // 256 terms, then 782 partials: the error grows with the longer of the two stages, not with 200,000.
    assert_near("darena", &actual, &expected, sum_bound(256 + 782, 100_000.0));
}

#[test]
fn accumulation_adds_to_what_is_there() {
    let Some(gpu) = gpu() else { return };
    let plan = Plan::new(&[Block::Id { field: Field::Sensor, rows: 2, width: 1 }]).unwrap();
    let all = [Record::new().sensor(1), Record::new()];
    let batch = Batch::of(plan.clone(), &all);
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let records = t.u32([RECORD_WORDS, 1, 2], batch.records.words());
    let de = t.f32([2, 1, 2], &[1.0, 9.0, 2.0, 9.0]);
    let arena = t.f32([1, 1, 3], &[0.0; 3]);
    let darena = t.f32([1, 1, 3], &[0.5, 0.25, 0.125]);
    let args = Backward {
        records: t.view(records),
        arena: t.view(arena),
        given: None,
        de: t.view(de),
        darena: t.view(darena),
        mode: Mode::Accumulate,
    };
    t.run(|recorder| Encoder::new(gpu, plan.clone()).backward(recorder, &args)).unwrap();
    assert_eq!(t.read(darena), [3.5, 0.25, 1.125]);
}

/// Two learned scales beside a table.
fn scaled() -> Plan {
    let scale = Scale::Learned(0.1);
    let time = Prithvi::Time { of: [Source::Year, Source::DayOfYear], width: 8, scale };
    let blocks = [
        Block::Prithvi { encoding: time, validity: true },
        Block::Id { field: Field::ClimateZone, rows: 31, width: 3 },
        Block::Prithvi { encoding: Prithvi::Location { width: 32, scale }, validity: false },
    ];
    Plan::new(&blocks).unwrap()
}

/// The derivative by each scale in f64; the encoding is linear in it, so that differences are exact.
fn scale_differences(batch: &Batch) -> Vec<f64> {
    let half = |n: i32, p: f64| {
        let angles = (0..n).map(move |i| p * 1e4f64.powf(-f64::from(i) / f64::from(n)));
        angles.clone().map(f64::sin).chain(angles.map(f64::cos)).collect::<Vec<_>>()
    };
    let of_halves = |n: i32, values: Option<[f64; 2]>| {
        values.map_or(vec![0.0; 4 * n as usize], |[a, b]| [half(n, a), half(n, b)].concat())
    };
    let objective = |scales: &[f64]| {
        let mut sum = 0.0;
        for (i, de) in batch.de.chunks_exact(batch.plan.width() as usize).enumerate() {
            let record = batch.records.get(i);
            let place = record.lat_deg.zip(record.lon_deg).map(|(lat, lon)| [lat, lon]);
            let time = record.year.zip(record.day_of_year).map(|(year, day)| [year.into(), day.into()]);
            let dot = |de: &[f32], wave: Vec<f64>| {
                de.iter().zip(wave).map(|(&de, wave)| f64::from(de) * wave).sum::<f64>()
            };
            sum += scales[0] * dot(&de[..8], of_halves(2, time));
            sum += scales[1] * dot(&de[13..], of_halves(8, place));
        }
        sum
    };
    central_differences(&[0.1, 0.1], 1e-3, objective)
}

/// A year and its day, or none, so that the reference needs no calendar.
pub fn dated(samples: usize) -> Vec<Record> {
    let date = |(i, record): (usize, &Record)| {
        let mut record = with_subset(record, 0xf00 | (i % 7) << 8);
        record.climate_zone = Some((i % 40) as u32);
        if i % 5 != 0 {
            (record.year, record.day_of_year) = (Some(1970 + (i % 60) as i32), Some(1 + (i % 365) as i32));
        }
        record
    };
    records(samples, 11).iter().enumerate().map(date).collect()
}

#[test]
fn gradients_of_learned_scales_match_the_twin_and_central_differences() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for samples in [1, 63, 64, 65, 255, 256, 257, 700] {
            let batch = Batch::of(scaled(), &dated(samples));
            let got = batch.backward(gpu, layout);
            let at =
                batch.plan.layouts().iter().filter(|l| !l.scale.is_empty()).map(|l| l.scale.start as usize);
            let scales: Vec<f32> = at.map(|at| got[at]).collect();
            // A lane adds four rows of 32 columns, then come the tree and the chunks; a wave errs by 1e-7.
            let total: f64 = batch.de.iter().map(|de| f64::from(de.abs())).sum();
            let bound = sum_bound(4 * 32 + 6 + 3, total) + 1e-7 * total;
            assert_near("scales", &scales, &scale_differences(&batch), bound);
            let twin = twin::arena_gradient(&batch.plan, &batch.records, &batch.arena, &[], &batch.de);
            assert_near("twin", &got, &wide(&twin), bound);
            for _ in 0..3 {
                assert_same_bits("repeat", &got, &batch.backward(gpu, layout));
            }
        }
    }
}

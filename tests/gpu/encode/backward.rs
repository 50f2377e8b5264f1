//! Gradients of missing vectors and tables.

use super::*;
use gtca::encode::twin;

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
            let expected = twin::arena_gradient(&batch.plan, &batch.records, &[], &batch.de);
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
    let darena = t.f32([1, 1, 3], &[0.5, 0.25, 0.125]);
    let args = Backward {
        records: t.view(records),
        given: None,
        de: t.view(de),
        darena: t.view(darena),
        mode: Mode::Accumulate,
    };
    t.run(|recorder| Encoder::new(gpu, plan.clone()).backward(recorder, &args)).unwrap();
    assert_eq!(t.read(darena), [3.5, 0.25, 1.125]);
}

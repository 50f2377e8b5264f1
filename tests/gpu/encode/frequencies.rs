//! Learned frequencies of the day of the year.

use super::*;
use gtca::common::calendar::{CivilDate, day_number};
use gtca::encode::{Source, twin};
use std::f64::consts::TAU;

/// Frequencies of either sign up to ±1,000 turns a year, and phases of some turns.
fn batch(samples: usize, count: u32) -> Batch {
    let plan = Plan::new(&[Block::TesseraFrequencies { source: Source::DayOfYear, count }]).unwrap();
    let mut all = records(samples, 11);
    all[0] = Record::new();
    let mut batch = Batch::of(plan, &all);
    for (j, value) in batch.arena.iter_mut().enumerate() {
        *value *= if j < count as usize { 1000.0 } else { 20.0 };
    }
    batch
}

#[test]
fn learned_frequencies_stay_within_a_millionth_of_f64() {
    let Some(gpu) = gpu() else { return };
    for (layout, (samples, count)) in LAYOUTS.into_iter().zip([(129, 5), (64, 32)]) {
        let batch = batch(samples, count);
        let (e, _) = batch.forward(gpu, layout);
        let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
        assert_near("e against its twin", &e, &wide(&twin), 3e-7);
        let (arena, count) = (wide(&batch.arena), count as usize);
        let row = |sample: usize| -> Vec<f64> {
            let Some(month) = batch.records.get(sample).month else { return vec![0.0; 2 * count] };
            let record = batch.records.get(sample);
            let date = |month, day| CivilDate::new(record.year.unwrap(), month, day);
            let day = 1 + day_number(date(month, record.day.unwrap())) - day_number(date(1, 1));
            let angle = |j: usize| TAU * arena[j] * f64::from(day) / 365.0;
            let sines = (0..count).map(|j| (angle(j) + arena[count + j]).sin());
            sines.chain((0..count).map(|j| (angle(j) + arena[2 * count + j]).cos())).collect()
        };
        let expected: Vec<_> = (0..samples).flat_map(row).collect();
        assert_near("e against f64", &e, &expected, 1e-6);
    }
}

#[test]
fn frequencies_start_from_a_geometric_row_without_phases() {
    let plan = Plan::new(&[Block::TesseraFrequencies { source: Source::DayOfYear, count: 3 }]).unwrap();
    let arena = plan.initial_arena();
    assert_near("frequencies", &arena[..3], &[1.0, 365f64.sqrt(), 365.0], 1e-4);
    assert_eq!(arena[3..], [0.0; 6]);
}

#[test]
fn a_gradient_that_does_not_exist_is_refused() {
    let Some(gpu) = gpu() else { return };
    let batch = batch(2, 1);
    let mut t = Tensors::new(gpu, Layout::Separate);
    let records = t.u32([RECORD_WORDS, 1, 2], batch.records.words());
    let (de, darena) = (t.f32([2, 1, 2], &[1.0; 4]), t.poisoned([1, 1, 3]));
    let (records, de, darena) = (t.view(records), t.view(de), t.view(darena));
    let args = Backward { records, given: None, de, darena, mode: Mode::Overwrite };
    let encoder = Encoder::new(gpu, batch.plan);
    let error = t.run(|recorder| encoder.backward(recorder, &args)).unwrap_err();
    assert!(error.to_string().contains("frequencies"), "{error}");
}

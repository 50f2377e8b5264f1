//! Learned frequencies of the day of the year.

use super::*;
use gtca::common::calendar::{CivilDate, day_number};
use gtca::encode::{Source, twin};
use std::f64::consts::{PI, TAU};

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

/// Day of the year by the calendar, where the record has a date.
fn day(batch: &Batch, sample: usize) -> Option<f64> {
    let record = batch.records.get(sample);
    let date = |month, day| CivilDate::new(record.year.unwrap(), month, day);
    let day = 1 + day_number(date(record.month?, record.day.unwrap())) - day_number(date(1, 1));
    Some(f64::from(day))
}

/// Features of a day in f64.
pub fn features(day: Option<f64>, count: u32, own: &[f64]) -> Vec<f64> {
    let count = count as usize;
    let Some(day) = day else { return vec![0.0; 2 * count] };
    let angle = |j: usize| TAU * own[j] * day / 365.0;
    let sines = (0..count).map(|j| (angle(j) + own[count + j]).sin());
    sines.chain((0..count).map(|j| (angle(j) + own[2 * count + j]).cos())).collect()
}

#[test]
fn learned_frequencies_stay_within_a_millionth_of_f64() {
    let Some(gpu) = gpu() else { return };
    for (layout, (samples, count)) in LAYOUTS.into_iter().zip([(129, 5), (64, 32)]) {
        let batch = batch(samples, count);
        let (e, _) = batch.forward(gpu, layout);
        let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
        assert_near("e against its twin", &e, &wide(&twin), 3e-7);
        let arena = wide(&batch.arena);
        let expected: Vec<_> = (0..samples).flat_map(|i| features(day(&batch, i), count, &arena)).collect();
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
fn gradients_of_frequencies_and_phases_match_the_twin_and_central_differences() {
    let Some(gpu) = gpu() else { return };
    for (i, samples) in [1, 2, 63, 64, 65, 255, 256, 257, 700].into_iter().enumerate() {
        for (layout, count) in LAYOUTS.into_iter().zip([1 + i as u32, 40]) {
            let batch = batch(samples, count);
            let gradient = batch.backward(gpu, layout);
            let objective = |own: &[f64]| -> f64 {
                let rows = (0..samples).flat_map(|i| features(day(&batch, i), count, own));
                rows.zip(&batch.de).map(|(e, &de)| e * f64::from(de)).sum()
            };
            // A record adds |de| ≤ 1 to a phase, up to 4π · 366/365 to a frequency; a wave errs by 2e-7, differences by 1e-6.
            let of_phase = sum_bound(256 + 3, samples as f64) + 2e-7 * samples as f64 + 1e-6;
            let bound =
                |j: usize| if j < count as usize { of_phase * 4.0 * PI * 366.0 / 365.0 } else { of_phase };
            let bounds: Vec<f64> = (0..3 * count as usize).map(bound).collect();
            let numeric = central_differences(&wide(&batch.arena), 1e-4, objective);
            assert_close("against f64", &gradient, &numeric, &bounds);
            let twin = twin::arena_gradient(&batch.plan, &batch.records, &batch.arena, &[], &batch.de);
            assert_close("against the twin", &gradient, &wide(&twin), &bounds);
            assert_same_bits("repeat", &gradient, &batch.backward(gpu, LAYOUTS[i % 2]));
        }
    }
}

#[test]
fn a_frequency_gradient_over_120_000_records_is_whole() {
    let Some(gpu) = gpu() else { return };
    let plan = Plan::new(&[Block::TesseraFrequencies { source: Source::DayOfYear, count: 1 }]).unwrap();
    let days = |i: usize| (i % 366) as i32 + 1;
    let all: Vec<Record> = (0..120_000).map(|i| Record::new().day_of_year(days(i))).collect();
    let mut batch = Batch::of(plan, &all);
    batch.arena = vec![3.25, 0.5, -0.75];
    let mut expected = [0.0; 3];
    for (i, de) in batch.de.chunks_exact(2).enumerate() {
        let turn = TAU * f64::from(days(i)) / 365.0;
        let by_sine = f64::from(de[0]) * (3.25 * turn + 0.5).cos();
        let by_cosine = -f64::from(de[1]) * (3.25 * turn - 0.75).sin();
        let add = [(by_sine + by_cosine) * turn, by_sine, by_cosine];
        expected.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
    }
    let bound = sum_bound(256 + 469, 120_000.0 * 0.4);
    let bounds = [bound * TAU, bound, bound];
    assert_close("darena", &batch.backward(gpu, Layout::Separate), &expected, &bounds);
}

#[test]
fn days_that_no_view_holds_and_impossible_counts_are_refused_by_name() {
    let refused =
        |source, count| Plan::new(&[Block::TesseraFrequencies { source, count }]).unwrap_err().to_string();
    assert!(refused(Source::LonDeg, 1).contains("`source` is LonDeg"));
    assert!(refused(Source::Given(8), 1).contains("`source` is Given(8)"));
    assert!(refused(Source::Given(u32::MAX), 1).contains("eight columns"));
    assert!(refused(Source::S2Cell(9), 1).contains("level 8"));
    for count in [0, 8193, u32::MAX] {
        assert!(refused(Source::DayOfYear, count).contains(&format!("`count` is {count}")));
    }
}

//! Nothing jumps where nature does not.

use super::*;
use std::f64::consts::TAU;

fn rows(gpu: &'static Gpu, blocks: &[Block], all: &[Record]) -> Vec<Vec<f32>> {
    let batch = Batch::of(Plan::new(blocks).unwrap(), all);
    let (e, _) = batch.forward(gpu, Layout::Separate);
    e.chunks_exact(batch.plan.width() as usize).map(<[f32]>::to_vec).collect()
}

fn largest_step(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

#[test]
fn both_sides_of_the_antimeridian_are_one_place() {
    let Some(gpu) = gpu() else { return };
    for lat in [-89.0, -23.5, 0.0, 51.2, 90.0] {
        let at = |lon| Record::new().lat_deg(lat).lon_deg(lon);
        let near = 180.0 - 1e-6;
        let e = rows(gpu, &[Block::Place { degree: 16 }], &[at(180.0), at(-180.0), at(near), at(-near)]);
        assert_same_bits("180 and -180", &e[0], &e[1]);
        // |∂Y/∂φ| ≤ l · |Y| ≤ 16 · √(33 / 4π).
        let step = 2e-6f64.to_radians() * 16.0 * 1.63;
        assert!(largest_step(&e[2], &e[3]) <= step + 3e-6, "{}", largest_step(&e[2], &e[3]));
    }
}

#[test]
fn a_pole_has_no_longitude() {
    let Some(gpu) = gpu() else { return };
    for lat in [90.0, -90.0] {
        let all: Vec<Record> =
            (0..24).map(|k| Record::new().lat_deg(lat).lon_deg(15.0 * f64::from(k) - 180.0)).collect();
        let e = rows(gpu, &[Block::Place { degree: 10 }], &all);
        for row in &e {
            assert!(largest_step(&e[0], row) < 1e-6, "{}", largest_step(&e[0], row));
        }
        // A hundred metres across the pole.
        let beside = [0.0, 180.0].map(|lon| Record::new().lat_deg(lat * (1.0 - 5e-6)).lon_deg(lon));
        let e = rows(gpu, &[Block::Place { degree: 10 }], &beside);
        assert!(largest_step(&e[0], &e[1]) < 2e-4, "{}", largest_step(&e[0], &e[1]));
    }
}

#[test]
fn new_years_eve_runs_over_into_new_year() {
    let Some(gpu) = gpu() else { return };
    for year in [1899, 1900, 1999, 2000, 2022, 2023, 2024, 2025] {
        let eve = Record::new().date(year, 12, 31).second_of_day(86_399);
        let new_year = Record::new().date(year + 1, 1, 1).second_of_day(0);
        let e = rows(gpu, &[Block::Season, Block::Day, Block::Year], &[eve, new_year]);
        // The season's eighth harmonic in one second; the day's fourth.
        assert!(largest_step(&e[0][..16], &e[1][..16]) <= TAU * 8.0 / (365.0 * 86_400.0) + 3e-7, "{year}");
        assert!(largest_step(&e[0][17..25], &e[1][17..25]) <= TAU * 4.0 / 86_400.0 + 3e-7, "{year}");
        assert!(largest_step(&e[0][26..33], &e[1][26..33]) <= 2e-6, "{year}");
    }
}

#[test]
fn leap_days_keep_their_own_place_in_the_year() {
    let Some(gpu) = gpu() else { return };
    let day = |year, month, day| Record::new().date(year, month, day).second_of_day(0);
    let all = [
        day(2024, 2, 28),
        day(2024, 2, 29),
        day(2024, 3, 1),
        day(2024, 12, 31),
        day(2023, 12, 31),
        day(2024, 1, 1),
    ];
    let e = rows(gpu, &[Block::Season], &all);
    let turn = |row: &[f32]| f64::from(row[0]).atan2(row[8].into()) / TAU;
    for pair in e[..3].windows(2) {
        assert!((turn(&pair[1]) - turn(&pair[0]) - 1.0 / 366.0).abs() < 1e-7);
    }
    // The last day starts one day before the year's end, whatever its length.
    assert!((turn(&e[3]) + 1.0 / 366.0).abs() < 1e-7);
    assert!((turn(&e[4]) + 1.0 / 365.0).abs() < 1e-7);
    assert_eq!((e[5][0], e[5][8]), (0.0, 1.0));
}

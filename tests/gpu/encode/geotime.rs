//! Joint features of place and time.

use super::*;
use gtca::encode::{GeoTime, twin};
use std::f64::consts::PI;

fn block(phases: Vec<GeoTime>) -> Block {
    Block::GeoTime { phases, validity: true }
}

#[test]
fn joint_features_match_f64_and_their_twin() {
    let Some(gpu) = gpu() else { return };
    for (layout, (samples, count)) in LAYOUTS.into_iter().zip([(130, 40), (65, 7)]) {
        let phases = [1.0, 4.0, 16.0].iter().flat_map(|sigma| GeoTime::random(count, *sigma, [3, 2], 5));
        let blocks = [block(phases.collect()), Block::Day];
        let batch = Batch::of(Plan::new(&blocks).unwrap(), &records(samples, 21));
        let (e, status) = batch.forward(gpu, layout);
        assert_eq!(status, [0, 0]);
        // Five numbers in a phase, each 5 units of 2⁻³² turns below at most, and the sine's own 4e-7.
        assert_near("e against f64", &e, &batch.reference(&wide(&batch.arena)), 5e-7);
        let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
        assert_near("e against its twin", &e, &wide(&twin), 3e-7);
    }
}

#[test]
fn neither_the_antimeridian_nor_a_pole_nor_new_year_nor_midnight_is_a_seam() {
    let Some(gpu) = gpu() else { return };
    let phases = GeoTime::random(64, 4.0, [4, 3], 9);
    let noon = Record::new().lat_deg(12.0).lon_deg(180.0).date(2024, 6, 1).second_of_day(43_200);
    let pole = noon.lat_deg(-90.0);
    let eve = noon.date(2023, 12, 31).second_of_day(86_399);
    let records =
        [noon, noon.lon_deg(-180.0), pole, pole.lon_deg(-33.0), eve, noon.date(2024, 1, 1).second_of_day(0)];
    let batch = Batch::of(Plan::new(&[block(phases)]).unwrap(), &records);
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let rows: Vec<_> = e.chunks_exact(129).collect();
    assert_same_bits("both sides of the antimeridian", rows[0], rows[1]);
    assert_same_bits("every longitude of a pole", rows[2], rows[3]);
    // A second is 3/86,400 + 4/31,536,000 turns at most.
    let second = 2.0 * PI * (3.0 / 86_400.0 + 4.0 / 31_536_000.0) + 5e-7;
    assert_near("a second over New Year", rows[4], &wide(rows[5]), second);
}

#[test]
fn a_missing_time_of_day_leaves_the_phases_that_do_not_turn_with_it() {
    let Some(gpu) = gpu() else { return };
    let phases = vec![
        GeoTime { place: [0.5, 0.25, -1.0], season: 2, day: 0 },
        GeoTime { place: [0.0, 0.0, 3.0], season: 0, day: -1 },
    ];
    let whole = Record::new().lat_deg(40.0).lon_deg(9.0).date(2024, 2, 29).second_of_day(0);
    let mut records = [whole; 3];
    records[1].second_of_day = None;
    records[2].lat_deg = None;
    let batch = Batch::of(Plan::new(&[block(phases)]).unwrap(), &records);
    let (e, _) = batch.forward(gpu, Layout::OneBuffer);
    let known = |row: usize| std::array::from_fn(|j| e[5 * row + j] != 0.0);
    assert_eq!(known(0), [true; 5]);
    assert_eq!(known(1), [true, false, true, false, false]);
    assert_eq!(known(2), [false; 5]);
}

#[test]
fn the_product_of_two_encodings_is_a_kernel_of_place_season_and_hour() {
    let (count, sigma, season, day) = (8192, 0.4, 2, 1);
    let plan = Plan::new(&[Block::GeoTime {
        phases: GeoTime::random(count, sigma, [season, day], 3),
        validity: false,
    }]);
    let here = Record::new().lat_deg(47.4).lon_deg(8.5).date(2023, 3, 1).second_of_day(21_600);
    let others = [here, here.lat_deg(30.0), here.date(2023, 6, 1), here.second_of_day(50_000)];
    let records = Records::from_records(&others).unwrap();
    let rows = twin::forward(&plan.unwrap(), &records, &[], &[]);
    let rows: Vec<_> = rows.chunks_exact(2 * count).collect();
    let dirichlet = |n: u32, x: f64| {
        let all = f64::from(2 * n + 1);
        if x == 0.0 { 1.0 } else { (all * PI * x).sin() / (all * (PI * x).sin()) }
    };
    let chord = 2.0 * (17.4f64.to_radians() / 2.0).sin();
    let hours = f64::from(50_000 - 21_600);
    let expected = [
        1.0,
        (-2.0 * (PI * sigma * chord).powi(2)).exp(),
        dirichlet(season, 92.0 / 365.0),
        dirichlet(season, hours / 86_400.0 / 365.0) * dirichlet(day, hours / 86_400.0),
    ];
    for (row, expected) in rows.iter().zip(expected) {
        let product: f64 = row.iter().zip(rows[0]).map(|(a, b)| f64::from(a * b)).sum();
        // The mean of 8,192 cosines: four standard errors.
        let found = product / count as f64;
        assert!((found - expected).abs() < 4.0 / (count as f64).sqrt(), "{found} against {expected}");
    }
}

#[test]
fn phases_that_turn_with_nothing_or_too_fast_are_refused() {
    let message = |phases| Plan::new(&[block(phases)]).unwrap_err().to_string();
    let phase = GeoTime { place: [0.0; 3], season: 0, day: 0 };
    let unknown = message(vec![GeoTime { place: [f32::NAN, 0.0, 0.0], ..phase }]);
    assert!(unknown.contains("NaN"), "{unknown}");
    for phases in [
        vec![],
        vec![phase],
        vec![GeoTime { place: [128.0, 0.0, 0.0], ..phase }],
        vec![GeoTime { season: 1024, ..phase }],
        vec![GeoTime { day: i32::MIN, ..phase }],
    ] {
        assert!(message(phases).contains("`phases`"));
    }
}

//! Learned tables whose row is a number.

use super::*;
use gtca::encode::{Coordinate, Source, TerraMindCoordinate, twin};

fn plan() -> Plan {
    let coordinate =
        |axis, strict| Block::TerraMindCoordinate(TerraMindCoordinate { axis, width: 3, strict });
    let month = Block::Table {
        name: "month",
        source: Source::MonthIndex,
        first: 2,
        rows: 9,
        width: 5,
        validity: true,
    };
    let blocks = [
        Block::SkySenseCalendar { width: 4 },
        month,
        coordinate(Coordinate::Lat, false),
        coordinate(Coordinate::Lon, false),
        coordinate(Coordinate::Lat, true),
        coordinate(Coordinate::Lon, true),
        Block::Id { field: Field::ClimateZone, rows: 4, width: 2 },
    ];
    Plan::new(&blocks).unwrap()
}

/// Whole records and ragged ones, with ties and small negative angles.
fn ragged(samples: usize, seed: u64) -> Vec<Record> {
    let mut random = Random(seed);
    let quarter = |random: &mut Random| f64::from(random.below(1440)) / 8.0 - 90.0;
    let one = |record: &Record| {
        let (lat, lon) = (quarter(&mut random) / 2.0, quarter(&mut random));
        let near_zero = random.below(4) == 0;
        let record =
            if near_zero { record.lat_deg(-0.01).lon_deg(-0.125) } else { record.lat_deg(lat).lon_deg(lon) };
        with_subset(&record, random.below(1 << 12) as usize | 0x7)
    };
    records(samples, seed).iter().map(one).collect()
}

#[test]
fn rows_and_their_gradients_equal_the_twin_bit_for_bit() {
    let Some(gpu) = gpu() else { return };
    for (layout, samples) in LAYOUTS.into_iter().zip([513, 65]) {
        let batch = Batch::of(plan(), &ragged(samples, 4));
        let (e, _) = batch.forward(gpu, layout);
        assert_same_bits("e", &e, &twin::forward(&batch.plan, &batch.records, &batch.arena, &[]));
        let expected = twin::arena_gradient(&batch.plan, &batch.records, &batch.arena, &[], &batch.de);
        assert_same_bits("darena", &batch.backward(gpu, layout), &expected);
    }
}

#[test]
fn the_last_day_of_a_leap_year_has_a_row_and_a_missing_day_has_its_vector() {
    let Some(gpu) = gpu() else { return };
    let days = [Record::new().date(2024, 12, 31), Record::new().date(2023, 12, 31), Record::new()];
    let mut batch = Batch::of(Plan::new(&[Block::SkySenseCalendar { width: 1 }]).unwrap(), &days);
    batch.arena = (0..367).map(|row| row as f32).collect();
    assert_eq!(batch.forward(gpu, Layout::Separate).0, [366.0, 365.0, 0.0]);
    batch.de = vec![2.0, 3.0, 5.0];
    let darena = batch.backward(gpu, Layout::Separate);
    assert_eq!((darena[0], darena[365], darena[366], darena.iter().sum::<f32>()), (5.0, 3.0, 2.0, 10.0));
}

#[test]
fn a_number_without_a_row_is_counted_and_gives_the_missing_vector() {
    let Some(gpu) = gpu() else { return };
    let hours =
        Block::Table { name: "hour", source: Source::Hour, first: 6, rows: 12, width: 1, validity: true };
    let of_hour = |hour: i32| Record::new().second_of_day(hour * 3600);
    let mut batch = Batch::of(Plan::new(&[hours]).unwrap(), &[5, 6, 17, 18].map(of_hour));
    batch.arena = (0..13).map(|row| row as f32).collect();
    let (e, status) = batch.forward(gpu, Layout::OneBuffer);
    assert_eq!(e, [0.0, 0.0, 1.0, 1.0, 12.0, 1.0, 0.0, 0.0]);
    assert_eq!(status, [2]);
}

#[test]
fn tables_that_no_number_counts_are_refused() {
    let refused = |source, first, rows| {
        let block = Block::Table { name: "t", source, first, rows, width: 1, validity: false };
        Plan::new(&[block]).unwrap_err().to_string()
    };
    assert!(refused(Source::LatDeg, 0, 5).contains("`source` is LatDeg"));
    assert!(refused(Source::Hour, 0, 0).contains("`rows` is 0"));
    assert!(refused(Source::Hour, 1 << 20, 1).contains("`first`"));
}

//! Tables by S2 cell: found on the device, as on the host.

use super::*;
use gtca::encode::{Source, twin};
use gtca::records::S2Cell;

fn cells(level: u32) -> Block {
    let rows = 6 << (2 * level);
    Block::Table { name: "s2", source: Source::S2Cell(level), first: 0, rows, width: 1, validity: true }
}

#[test]
fn a_places_cell_is_the_hosts_at_every_level() {
    let Some(gpu) = gpu() else { return };
    let all = records(700, 31);
    for (level, layout) in (0..=8).zip(LAYOUTS.into_iter().cycle()) {
        let mut batch = Batch::of(Plan::new(&[cells(level)]).unwrap(), &all);
        // Row n of the table holds n, and −1 stands before them.
        batch.arena = (0..batch.arena.len()).map(|row| row as f32 - 1.0).collect();
        let (e, status) = batch.forward(gpu, layout);
        assert_same_bits("e", &e, &twin::forward(&batch.plan, &batch.records, &batch.arena, &[]));
        assert_eq!(status, [0]);
        for (record, row) in all.iter().zip(e.chunks_exact(2)) {
            let cell = S2Cell::at(record.lat_deg.unwrap(), record.lon_deg.unwrap(), level).unwrap();
            assert_eq!(row, [cell.number() as f32, 1.0], "{record:?} at level {level}");
        }
    }
}

#[test]
fn an_unknown_or_impossible_place_has_no_cell_and_gradients_reach_the_rows_that_were_used() {
    let Some(gpu) = gpu() else { return };
    let place = Record::new().lat_deg(-33.9).lon_deg(151.2);
    let mut batch =
        Batch::of(Plan::new(&[cells(3)]).unwrap(), &[place, Record::new().lat_deg(1.0), place, place]);
    // Latitude 91 in record 3, written past the host's checks.
    let mut words = batch.records.words().to_vec();
    (words[4 + 3], words[8 + 3]) = (0, 91 << 8);
    batch.records = Records::from_words(words).unwrap();
    let (e, status) = batch.forward(gpu, Layout::OneBuffer);
    let row = 1 + S2Cell::at(-33.9, 151.2, 3).unwrap().number() as usize;
    assert_eq!(e, [batch.arena[row], 1.0, batch.arena[0], 0.0, batch.arena[row], 1.0, batch.arena[0], 0.0]);
    assert_eq!(status, [1]);
    batch.de = vec![1.0, 0.0, 2.0, 0.0, 4.0, 0.0, 8.0, 0.0];
    let darena = batch.backward(gpu, Layout::Separate);
    assert_eq!((darena[0], darena[row], darena.iter().sum::<f32>()), (10.0, 5.0, 15.0));
}

#[test]
fn levels_past_the_eighth_are_refused() {
    let block =
        Block::Table { name: "s2", source: Source::S2Cell(9), first: 0, rows: 6, width: 1, validity: true };
    assert!(Plan::new(&[block]).unwrap_err().to_string().contains("level 8"));
}

//! Published schemes: the twin, what is missing, and what is refused. Upstream's numbers are in `tests/golden.rs`.

use super::*;
use gtca::encode::{AddToTokens, Galileo, Presto, Prithvi, Scale, Tessera, TokenGrid, twin};

fn blocks() -> [Block; 8] {
    [
        Block::Galileo(Galileo::Month { width: 8 }),
        Block::Galileo(Galileo::Position { width: 6 }),
        Block::Galileo(Galileo::Space { width: 8, patch_px: 4.0 }),
        Block::Galileo(Galileo::Place),
        Block::Galileo(Galileo::Nothing { width: 2 }),
        Block::Presto(Presto::Position { width: 10 }),
        Block::Presto(Presto::Place),
        Block::Tessera(Tessera::DayOfYear { width: 14 }),
    ]
}

#[test]
fn tokens_of_published_parts_equal_the_twin() {
    let Some(gpu) = gpu() else { return };
    let plan = Plan::new(&blocks()).unwrap();
    let (samples, grid, tokens) = (3u32, TokenGrid::series(14, 2, 3), 84u32);
    let records = Records::from_records(&records(samples as usize, 3)).unwrap();
    let encoder = Encoder::new(gpu, plan.clone());
    let start = Random(8).f32s((samples * tokens * plan.width()) as usize);
    let mut expected = start.clone();
    twin::add_to_tokens(&plan, &records, &[], &[], &grid, (&mut expected, tokens));
    for layout in LAYOUTS {
        let mut t = Tensors::new(gpu, layout);
        let words = t.u32([RECORD_WORDS, 1, samples], records.words());
        let arena = t.f32([1, 1, 0], &[]);
        let e = t.f32([samples, tokens, plan.width()], &start);
        let (records, arena, tokens) = (t.view(words), t.view(arena), t.view(e));
        let args = AddToTokens { records, arena, given: None, tokens, grid, status: None };
        t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
        assert_near("tokens", &t.read(e), &wide(&expected), 3e-7);
    }
}

#[test]
fn a_missing_input_makes_a_published_part_zero() {
    let Some(gpu) = gpu() else { return };
    let of_records = [
        Block::Galileo(Galileo::Month { width: 4 }),
        Block::Galileo(Galileo::Place),
        Block::Presto(Presto::Month { width: 6 }),
        Block::Presto(Presto::Place),
        Block::Tessera(Tessera::DayOfYear { width: 2 }),
    ];
    let half_known = [Record::new(), Record::new().lat_deg(3.0).year(2020), Record::new().lon_deg(3.0)];
    let batch = Batch::of(Plan::new(&of_records).unwrap(), &half_known);
    assert!(batch.forward(gpu, Layout::Separate).0.iter().all(|feature| *feature == 0.0));
}

#[test]
fn impossible_widths_are_refused_by_name() {
    let refused = |block: Block| Plan::new(&[block]).unwrap_err().to_string();
    assert!(refused(Block::Galileo(Galileo::Month { width: 3 })).contains("`width` is 3"));
    assert!(refused(Block::Galileo(Galileo::Position { width: 0 })).contains("multiple of 2"));
    assert!(refused(Block::Galileo(Galileo::Space { width: 6, patch_px: 4.0 })).contains("multiple of 4"));
    let patch_px = f64::NAN;
    assert!(refused(Block::Galileo(Galileo::Space { width: 8, patch_px })).contains("`patch_px`"));
    assert!(refused(Block::Presto(Presto::Position { width: 7 })).contains("`width` is 7"));
    let scale = Scale::Fixed(1.0);
    let prithvi = Block::Prithvi { encoding: Prithvi::Location { width: 20_000, scale }, validity: false };
    assert!(refused(prithvi).contains("16,384"));
    assert!(refused(Block::Tessera(Tessera::DayOfYear { width: 20_000 })).contains("16,384"));
}

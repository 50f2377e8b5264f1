//! Position, time and wavelength encodings of published systems, at tokens: twin, missing values, refusals. Their numbers
//! are compared with upstream's in the target `golden`.

use super::*;
use gtca::encode::{AddToTokens, Clay, Prithvi, Scale, Source, TerraMind, TokenGrid, twin};

fn clay(encoding: Clay) -> Block {
    Block::Clay { encoding, validity: false }
}

fn prithvi(encoding: Prithvi) -> Block {
    Block::Prithvi { encoding, validity: false }
}

fn terramind(encoding: TerraMind) -> Block {
    Block::TerraMind { encoding, validity: true }
}

fn time(width: u32, scale: Scale) -> Prithvi {
    Prithvi::Time { of: [Source::Year, Source::DayOfYear], width, scale }
}

/// Tokens after the plan was added to them on the device, and as the twin has them.
fn added(
    gpu: &'static Gpu,
    layout: Layout,
    plan: &Plan,
    records: &[Record],
    (grid, samples, tokens): (TokenGrid, u32, u32),
) -> (Vec<f32>, Vec<f32>) {
    let host = Records::from_records(records).unwrap();
    let arena = plan.initial_arena();
    let mut expected = Random(6).f32s((samples * tokens * plan.width()) as usize);
    let mut t = Tensors::new(gpu, layout);
    let words = t.u32([RECORD_WORDS, 1, records.len() as u32], host.words());
    let learned = t.f32([1, 1, plan.arena_len()], &arena);
    let out = t.f32([samples, tokens, plan.width()], &expected);
    let args = AddToTokens {
        records: t.view(words),
        arena: t.view(learned),
        given: None,
        tokens: t.view(out),
        grid,
        status: None,
    };
    let encoder = Encoder::new(gpu, plan.clone());
    t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
    twin::add_to_tokens(plan, &host, &arena, &[], &grid, (&mut expected, tokens));
    (t.read(out), expected)
}

#[test]
fn tokens_get_the_encodings_of_clay_prithvi_and_terramind() {
    let Some(gpu) = gpu() else { return };
    let blocks = [
        clay(Clay::Position2dGsd { width: 24 }),
        Block::ClayScalars { validity: false },
        clay(Clay::Wavelength { width: 32 }),
        prithvi(time(24, Scale::Learned(0.1))),
        prithvi(Prithvi::Location { width: 8, scale: Scale::Fixed(0.5) }),
        prithvi(Prithvi::Position3d { width: 32 }),
        terramind(TerraMind::Image { width: 64 }),
        terramind(TerraMind::Sequence { width: 6 }),
        clay(Clay::Position2d { width: 8 }),
    ];
    let plan = Plan::new(&blocks).unwrap();
    assert_eq!((plan.arena_len(), plan.initial_arena()), (1, vec![0.1]));
    let grid = TokenGrid { skipped: 1, frames_a_record: 1, ..TokenGrid::series(3, 4, 2) };
    let all: Vec<_> = (records(12, 3).iter().enumerate())
        .map(|(i, record)| with_subset(record, if i % 3 == 0 { usize::MAX } else { 0x2a5 << i }))
        .map(|record| record.wavelength_um(0.665))
        .collect();
    for layout in LAYOUTS {
        let (got, expected) = added(gpu, layout, &plan, &all, (grid, 4, 25));
        assert_near("tokens", &got, &wide(&expected), 6e-7);
    }
}

#[test]
fn a_missing_input_leaves_the_tokens_of_its_block_alone() {
    let Some(gpu) = gpu() else { return };
    let blocks = [
        clay(Clay::Position2dGsd { width: 8 }),
        prithvi(time(8, Scale::Learned(1.0))),
        prithvi(Prithvi::Location { width: 8, scale: Scale::Learned(1.0) }),
    ];
    let plan = Plan::new(&blocks).unwrap();
    let half = [Record::new().lat_deg(1.0), Record::new().date(2024, 2, 29), Record::new().gsd_m(10.0)];
    let before = Random(6).f32s(3 * 4 * 24);
    for layout in LAYOUTS {
        let (got, _) = added(gpu, layout, &plan, &half, (TokenGrid::image(2, 2), 3, 4));
        for (row, (got, before)) in got.chunks_exact(24).zip(before.chunks_exact(24)).enumerate() {
            let same = |columns: std::ops::Range<usize>| got[columns.clone()] == before[columns];
            let unchanged = [same(0..8), same(8..16), same(16..24)];
            assert_eq!(unchanged, [row / 4 != 2, row / 4 != 1, true], "token {row}");
        }
    }
}

#[test]
fn widths_that_do_not_divide_are_refused_by_name() {
    let rule = |block: Block| Plan::new(&[block]).unwrap_err().to_string();
    for (block, multiple) in [
        (clay(Clay::Position2dGsd { width: 10 }), "multiple of 4"),
        (clay(Clay::Position2d { width: 4 }), "at least 8"),
        (clay(Clay::Wavelength { width: 2 }), "at least 4"),
        (prithvi(time(6, Scale::Fixed(1.0))), "multiple of 4"),
        (prithvi(Prithvi::Position3d { width: 24 }), "multiple of 16"),
        (terramind(TerraMind::Image { width: 0 }), "multiple of 4"),
        (terramind(TerraMind::Sequence { width: 7 }), "multiple of 2"),
    ] {
        let message = rule(block);
        assert!(message.contains("`width`") && message.contains(multiple), "{message}");
    }
}

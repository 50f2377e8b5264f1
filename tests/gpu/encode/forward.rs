//! Features: kernel, twin and f64.

use super::*;
use gtca::encode::{Source, Waves, twin};
use gtca::gpu::{Dtype, View};

/// 1e-6; for the two linear features, whose magnitude is not bounded, half an f32 step where that is more.
fn bounds(expected: &[f64]) -> Vec<f64> {
    expected.iter().map(|value| 1e-6f64.max(value.abs() * 6e-8 + 1e-9)).collect()
}

fn check(batch: &Batch, gpu: &'static Gpu, layout: Layout) -> Vec<f32> {
    let (e, _) = batch.forward(gpu, layout);
    let expected = batch.reference(&wide(&batch.arena));
    assert_close("e against f64", &e, &expected, &bounds(&expected));
    let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
    assert_close(
        "e against its twin",
        &e,
        &wide(&twin),
        &bounds(&expected).iter().map(|b| b * 0.3).collect::<Vec<_>>(),
    );
    e
}

#[test]
fn features_stay_within_a_millionth_of_f64() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        check(&Batch::of(every_block(), &records(1500, 1)), gpu, layout);
    }
}

#[test]
fn every_batch_size_around_the_tile_edges_is_whole() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for samples in [1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129] {
            check(&Batch::of(every_block(), &records(samples, samples as u64)), gpu, layout);
        }
    }
}

#[test]
fn every_subset_of_missing_fields_follows_the_rules() {
    let Some(gpu) = gpu() else { return };
    let full = Record::new().lat_deg(-12.5).lon_deg(-55.0).date(2020, 12, 31).day_of_year(366).iso_week(53);
    let full = full.second_of_day(23 * 3600 + 1800).hour(23).utc_offset_s(7200).gsd_m(10.0).climate_zone(3);
    let subsets: Vec<Record> = (0..1 << 12).map(|mask| with_subset(&full, mask)).collect();
    let blocks = [
        Block::Place { degree: 2 },
        Block::Season,
        Block::Day,
        Block::Year,
        Block::Gsd,
        Block::Id { field: Field::ClimateZone, rows: 4, width: 8 },
        Block::ClayScalars { validity: true },
    ];
    check(&Batch::of(Plan::new(&blocks).unwrap(), &subsets), gpu, Layout::OneBuffer);
}

#[test]
fn what_integers_decide_equals_the_twin_bit_for_bit() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(every_block(), &records(1000, 5));
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
    let names = batch.plan.columns();
    let exact = |name: &str| {
        ["known", "decades_since_2015", "octaves_above_10m"].iter().any(|end| name.ends_with(end))
    };
    let columns: Vec<usize> = (0..names.len()).filter(|&column| exact(&names[column])).collect();
    assert_eq!(columns.len(), 12);
    let pick = |e: &[f32]| -> Vec<f32> {
        e.chunks_exact(names.len()).flat_map(|row| columns.iter().map(|&column| row[column])).collect()
    };
    assert_same_bits("integer features", &pick(&e), &pick(&twin));
}

#[test]
fn harmonics_of_a_phase_err_by_its_own_rounding_alone() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(Plan::new(&[Block::Season, Block::Day]).unwrap(), &records(1500, 6));
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let expected = batch.reference(&wide(&batch.arena));
    // 1.5e-7 for the sine, and the phase lies at most 2⁻³² turns below the exact one.
    let of_harmonic = |k: i32| 1.5e-7 + std::f64::consts::TAU * f64::from(k) * 2f64.powi(-32);
    let season = (0..16).map(|j| of_harmonic(j % 8 + 1)).chain([0.0]);
    let row: Vec<f64> = season.chain((0..8).map(|j| of_harmonic(j % 4 + 1))).chain([0.0]).collect();
    assert_close("phases", &e, &expected, &row.repeat(1500));
}

#[test]
fn twenty_repeats_and_both_layouts_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(every_block(), &records(200, 7));
    let (first, _) = batch.forward(gpu, Layout::Separate);
    for repeat in 0..20 {
        let (again, _) = batch.forward(gpu, LAYOUTS[repeat % 2]);
        assert_same_bits("repeat", &first, &again);
    }
}

#[test]
fn a_record_alone_equals_the_record_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let all = records(130, 9);
    let batch = Batch::of(every_block(), &all);
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let width = batch.plan.width() as usize;
    for sample in [0, 1, 63, 64, 129] {
        let mut alone = Batch::of(every_block(), &all[sample..=sample]);
        alone.arena = batch.arena.clone();
        let (row, _) = alone.forward(gpu, Layout::OneBuffer);
        assert_same_bits("row", &row, &e[sample * width..][..width]);
    }
}

#[test]
fn a_block_alone_equals_the_block_in_a_plan() {
    let Some(gpu) = gpu() else { return };
    let all = records(70, 11);
    let batch = Batch::of(every_block(), &all);
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let width = batch.plan.width() as usize;
    for layout in batch.plan.layouts() {
        let mut alone = Batch::of(Plan::new(std::slice::from_ref(&layout.block)).unwrap(), &all);
        alone.arena = batch.arena[layout.missing.start as usize..layout.table.end as usize].to_vec();
        let (features, _) = alone.forward(gpu, Layout::OneBuffer);
        let columns =
            layout.features.start as usize..layout.validity.unwrap_or(layout.features.end - 1) as usize + 1;
        let expected: Vec<f32> =
            e.chunks_exact(width).flat_map(|row| row[columns.clone()].to_vec()).collect();
        assert_same_bits(layout.block.name(), &features, &expected);
    }
}

#[test]
fn impossible_values_on_the_device_count_as_missing_and_are_counted() {
    let Some(gpu) = gpu() else { return };
    let full = Record::new().lat_deg(10.0).lon_deg(20.0).date(2024, 2, 29).second_of_day(60).gsd_m(10.0);
    let full = full.utc_offset_s(0).sensor(4).climate_zone(30).ecoregion(69).tile(0).iso_week(9).hour(0);
    let bad = [
        (Field::Lat, 1, 91 << 8),
        (Field::Lon, 1, (-181i32 << 8) as u32),
        (Field::Year, 0, 2_000_000),
        (Field::Month, 0, 0),
        (Field::Day, 0, 30),
        (Field::SecondOfDay, 0, 86_400),
        (Field::UtcOffset, 0, 70_000),
        (Field::Gsd, 1, u32::MAX),
        (Field::Sensor, 0, 5),
        (Field::ClimateZone, 0, u32::MAX),
        (Field::Ecoregion, 0, 70),
        (Field::Tile, 0, 1),
        (Field::IsoWeek, 0, 54),
        (Field::Hour, 0, 24),
    ];
    let samples = bad.len() + 1;
    let mut words = Records::from_records(&vec![full; samples]).unwrap().words().to_vec();
    for (sample, (field, word, value)) in bad.iter().enumerate() {
        words[(field.info().word as usize + word) * samples + sample] = *value;
    }
    let batch = Batch::new(every_block(), Records::from_words(words).unwrap());
    let (e, status) = batch.forward(gpu, Layout::OneBuffer);
    let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
    assert_near("e", &e, &wide(&twin), 3e-7);
    // place: lat, lon; season and year: year, month, day, second, offset; day: second, offset; clay: all but the offset.
    assert_eq!(status, [2, 5, 2, 8, 5, 1, 1, 1, 1, 1]);
}

#[test]
fn a_batch_larger_than_a_binding_is_cut_without_a_trace() {
    let Some(gpu) = gpu() else { return };
    let small = small_gpu();
    let batch = Batch::of(every_block(), &records(1300, 13));
    for layout in LAYOUTS {
        let (whole, status) = batch.forward(gpu, layout);
        let (cut, cut_status) = batch.forward(small, layout);
        assert_same_bits("e", &whole, &cut);
        assert_eq!(status, cut_status);
        assert_same_bits("darena", &batch.backward(gpu, layout), &batch.backward(small, layout));
    }
}

#[test]
fn unevenly_spaced_samples_stay_whole_where_scratch_ends() {
    let Some(gpu) = gpu() else { return };
    // 96 bytes of numbers a row: 16 MiB hold 174,762 rows, no whole number of samples.
    let sources = [
        Source::LatDeg,
        Source::LonDeg,
        Source::LatTurns,
        Source::LonTurns,
        Source::UnitX,
        Source::UnitY,
        Source::UnitZ,
        Source::Year,
        Source::DayOfYear,
        Source::Hour,
        Source::GsdM,
        Source::SeasonTurns,
    ];
    let waves = sources.iter().fold(Waves::new(), |waves, source| waves.linear(*source, 1.0, 0.0));
    let plan = Plan::new(&[Block::Waves { name: "numbers", waves, validity: false }]).unwrap();
    let (samples, tokens, width) = (25, 8_000, plan.width());
    let few = records(8_000, 3);
    let all: Vec<_> = (0..samples).flat_map(|_| few.iter().copied()).collect();
    let batch = Batch::of(plan, &all);
    let words = gpu.upload("records", batch.records.words());
    let arena = gpu.zeros("arena", 4);
    let gap = 5;
    let stride = tokens * width + gap;
    let buffer = gpu.zeros("e", u64::from(samples * stride) * 4);
    let e = View::tokens(&buffer, [samples, tokens, width]).strided(stride, width);
    let args = Forward {
        records: View::matrix(&words, RECORD_WORDS, samples * tokens).of(Dtype::U32),
        arena: View::vector(&arena, 0),
        given: None,
        e,
        status: None,
    };
    let encoder = Encoder::new(gpu, batch.plan.clone());
    gpu.run(|recorder| encoder.forward(recorder, &args)).unwrap();
    let got = pollster::block_on(gpu.read_f32(&View::vector(&buffer, samples * stride))).unwrap();
    let first = &got[..(tokens * width) as usize];
    let expected = twin::forward(&batch.plan, &Records::from_records(&few).unwrap(), &[], &[]);
    assert_near("the first sample", first, &wide(&expected), 3e-7);
    for sample in got.chunks_exact(stride as usize) {
        let (values, rest) = sample.split_at((tokens * width) as usize);
        assert_same_bits("a later sample", values, first);
        assert_same_bits("the gap", rest, &[0.0; 5]);
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(every_block(), &records(2, 1));
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let records = t.u32([RECORD_WORDS, 1, 2], batch.records.words());
    let arena = t.f32([1, 1, batch.plan.arena_len()], &batch.arena);
    let e = t.poisoned([2, 1, batch.plan.width()]);
    let encoder = Encoder::new(gpu, batch.plan.clone());
    let good =
        Forward { records: t.view(records), arena: t.view(arena), given: None, e: t.view(e), status: None };
    let message =
        |args: Forward<'_>| t.run(|recorder| encoder.forward(recorder, &args)).unwrap_err().to_string();
    assert!(message(Forward { records: t.view(arena), ..good }).contains("`records`"));
    // Words of a record at two distances.
    let unlike = View { shape: [5, 5, 2], sample_stride: 30, row_stride: 2, ..t.view(e).of(Dtype::U32) };
    let refusal = message(Forward { records: unlike, ..good });
    assert!(refusal.contains("`records`") && refusal.contains("one distance"), "{refusal}");
    assert!(message(Forward { arena: t.view(arena).columns(0, 3), ..good }).contains("`arena`"));
    assert!(message(Forward { e: t.view(e).columns(1, 3), ..good }).contains("`e`"));
    assert!(message(Forward { status: Some(t.view(arena).columns(0, 10)), ..good }).contains("`status`"));
    let into_arena = t.view(arena).columns(0, 10).of(Dtype::U32);
    assert!(message(Forward { status: Some(into_arena), ..good }).contains("overlap"));
    let clay = Encoder::new(gpu, Plan::new(&[Block::ClayScalars { validity: false }]).unwrap());
    let args = Backward {
        records: t.view(records),
        arena: t.view(arena),
        given: None,
        de: t.view(e),
        darena: t.view(arena),
        mode: Mode::Overwrite,
    };
    let refusal = t.run(|recorder| clay.backward(recorder, &args)).unwrap_err().to_string();
    assert!(refusal.contains("`darena`"), "{refusal}");
    assert!(t.read(e).iter().all(|value| value.to_bits() == POISON), "nothing may have been recorded");
}

#[test]
fn an_empty_batch_is_no_work() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(every_block(), &[]);
    assert!(batch.forward(gpu, Layout::OneBuffer).0.is_empty());
    assert!(batch.backward(gpu, Layout::OneBuffer).iter().all(|&value| value == 0.0));
}

#[test]
fn parameters_that_no_binding_holds_are_refused_by_name() {
    let gpu = small_gpu();
    let plan =
        Plan::new(&[Block::Season, Block::Id { field: Field::Tile, rows: 1 << 14, width: 4 }]).unwrap();
    let encoder = Encoder::new(gpu, plan);
    let plan = encoder.plan();
    let (words, e) = (gpu.zeros("records", 4 * u64::from(RECORD_WORDS)), gpu.zeros("e", 4096));
    let arena = gpu.zeros("arena", 4 * u64::from(plan.arena_len()));
    let args = Forward {
        records: View::matrix(&words, RECORD_WORDS, 1).of(Dtype::U32),
        arena: View::vector(&arena, plan.arena_len()),
        given: None,
        e: View::matrix(&e, 1, plan.width()),
        status: None,
    };
    let refusal = gpu.run(|recorder| encoder.forward(recorder, &args)).unwrap_err().to_string();
    assert!(refusal.contains("`arena`") && refusal.contains("shrink the tables"), "{refusal}");
}

#[test]
fn a_view_of_nothing_may_start_where_its_buffer_ends() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(Plan::new(&[Block::ClayScalars { validity: false }]).unwrap(), &records(3, 1));
    let words = gpu.upload("records", batch.records.words());
    let (full, e) = (gpu.zeros("full", 256), gpu.zeros("e", 96));
    let args = Forward {
        records: View::matrix(&words, RECORD_WORDS, 3).of(Dtype::U32),
        arena: View::vector(&full, 0).at(256),
        given: Some(View::matrix(&full, 3, 0).at(256)),
        e: View::matrix(&e, 3, 8),
        status: None,
    };
    let encoder = Encoder::new(gpu, batch.plan.clone());
    gpu.run(|recorder| encoder.forward(recorder, &args)).unwrap();
    let got = pollster::block_on(gpu.read_f32(&args.e)).unwrap();
    assert_same_bits("e", &got, &batch.forward(gpu, Layout::Separate).0);
}

//! Outputs of f16 and bf16: the f32 result, rounded once.

use super::*;
use gtca::common::pack;
use gtca::encode::{AddToTokens, Order, Source, TokenGrid, Wave, Waves};
use gtca::gpu::{Dtype, View};

const DTYPES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// Words of halves seen as `[samples, tokens, width]`.
fn halves<'a>(t: &'a Tensors, words: Tensor, width: u32, dtype: Dtype) -> View<'a> {
    let mut view = t.view(words).of(dtype);
    view.shape[2] = width;
    view.strided(2 * view.sample_stride, 2 * view.row_stride)
}

fn bits(dtype: Dtype, value: f32) -> u32 {
    u32::from(if dtype == Dtype::F16 { pack::f16_bits(value) } else { pack::bf16_bits(value) })
}

/// Rows of words whose unused halves hold those of `before`.
fn packed(dtype: Dtype, values: &[f32], width: usize, before: &[u32]) -> Vec<u32> {
    let words = width.div_ceil(2);
    let mut out = before.to_vec();
    for (row, values) in values.chunks_exact(width).enumerate() {
        for (column, value) in values.iter().enumerate() {
            let shift = 16 * (column as u32 % 2);
            let word = &mut out[row * words + column / 2];
            *word = *word & !(0xffff << shift) | bits(dtype, *value) << shift;
        }
    }
    out
}

/// Plans of odd and even widths, with ladders, validity columns and learned blocks.
fn plans() -> Vec<Plan> {
    let harmonics = (1..=20).map(|k| Wave::new(Source::LonTurns, f64::from(k)));
    let waves = Waves::new().ladder(Order::Interleaved, -1.5, harmonics);
    let block = Block::Waves { name: "waves", waves, validity: false };
    let id = |width| Block::Id { field: Field::Tile, rows: 2, width };
    let mut plans = vec![every_block()];
    plans.extend((1..=9).map(|width| Plan::new(&[id(width)]).unwrap()));
    plans.push(Plan::new(&[block.clone(), Block::Season]).unwrap());
    plans.push(Plan::new(&[block]).unwrap());
    plans
}

#[test]
fn features_are_the_f32_result_rounded_to_nearest_even() {
    let Some(gpu) = gpu() else { return };
    for (plan, dtype) in plans().into_iter().flat_map(|plan| DTYPES.map(|dtype| (plan.clone(), dtype))) {
        let width = plan.width();
        for (layout, count) in LAYOUTS.into_iter().flat_map(|layout| [1, 2, 63, 130].map(|n| (layout, n))) {
            let mut batch = Batch::of(plan.clone(), &records(count as usize, 3));
            batch.arena.iter_mut().for_each(|value| *value *= 1e-5); // subnormal halves too
            let (expected, status) = batch.forward(gpu, layout);
            let mut t = Tensors::new(gpu, layout);
            let words = t.u32([RECORD_WORDS, 1, count], batch.records.words());
            let arena = t.f32([1, 1, plan.arena_len()], &batch.arena);
            let before = vec![POISON; (count * width.div_ceil(2)) as usize];
            let out = t.u32([count, 1, width.div_ceil(2)], &before);
            let refused = t.u32([1, 1, status.len() as u32], &vec![0; status.len()]);
            let args = Forward {
                records: t.view(words),
                arena: t.view(arena),
                given: None,
                e: halves(&t, out, width, dtype),
                status: Some(t.view(refused)),
            };
            let encoder = Encoder::new(gpu, plan.clone());
            t.run(|recorder| encoder.forward(recorder, &args)).unwrap();
            let rounded = expected.iter().map(|value| dtype.round(*value)).collect::<Vec<_>>();
            let name = format!("{count} rows of {width}, {dtype:?}, {layout:?}");
            assert_eq!(t.read_u32(out), packed(dtype, &rounded, width as usize, &before), "{name}");
            assert_eq!(t.read_u32(refused), status, "{name}");
        }
    }
}

#[test]
fn tokens_are_rounded_once_after_the_sum_and_class_tokens_keep_their_bits() {
    let Some(gpu) = gpu() else { return };
    let pair = |source, k: u32| Wave::new(source, 0.1 * f64::from(k));
    let ladder = |source| Waves::new().ladder(Order::Split, 1.0, (1..=9).map(|k| pair(source, k)));
    let odd = Waves::new().linear(Source::Position, 0.5, 0.25);
    let waves = [ladder(Source::Row), ladder(Source::LatDeg), odd];
    let blocks = waves.map(|waves| Block::Waves { name: "waves", waves, validity: false });
    for blocks in [&blocks[..], &blocks[..2]] {
        let plan = Plan::new(blocks).unwrap();
        let (samples, tokens, width) = (3u32, 7u32, plan.width());
        let grid = TokenGrid { skipped: 1, ..TokenGrid::image(3, 2) };
        let host = Records::from_records(&records(samples as usize, 2)).unwrap();
        let encoder = Encoder::new(gpu, plan.clone());
        for (layout, dtype) in LAYOUTS.into_iter().flat_map(|layout| DTYPES.map(|dtype| (layout, dtype))) {
            let rows = (samples * tokens) as usize;
            let values = Random(8)
                .f32s(rows * width as usize)
                .iter()
                .map(|value| dtype.round(*value))
                .collect::<Vec<_>>();
            let before =
                packed(dtype, &values, width as usize, &vec![POISON; rows * width.div_ceil(2) as usize]);
            let mut t = Tensors::new(gpu, layout);
            let words = t.u32([RECORD_WORDS, 1, samples], host.words());
            let arena = t.f32([1, 1, 0], &[]);
            let full = t.f32([samples, tokens, width], &values);
            let half = t.u32([samples, tokens, width.div_ceil(2)], &before);
            for view in [t.view(full), halves(&t, half, width, dtype)] {
                let (records, arena) = (t.view(words), t.view(arena));
                let args = AddToTokens { records, arena, given: None, tokens: view, grid, status: None };
                t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
            }
            let expected = packed(dtype, &t.read(full), width as usize, &before);
            assert_eq!(t.read_u32(half), expected, "{width} wide, {dtype:?}, {layout:?}");
            assert_ne!(expected, before);
        }
    }
}

#[test]
fn many_rows_are_cut_without_a_trace() {
    let Some(gpu) = gpu() else { return };
    let wide = Block::Id { field: Field::Tile, rows: 2, width: 2001 };
    let plan = Plan::new(&[wide]).unwrap();
    let (count, width) = (5000u32, plan.width());
    let batch = Batch::of(plan.clone(), &records(count as usize, 4));
    let (expected, _) = batch.forward(gpu, Layout::Separate);
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, count], batch.records.words());
    let arena = t.f32([1, 1, plan.arena_len()], &batch.arena);
    let before = vec![POISON; (count * width.div_ceil(2)) as usize];
    let out = t.u32([count, 1, width.div_ceil(2)], &before);
    let e = halves(&t, out, width, Dtype::F16);
    let args = Forward { records: t.view(words), arena: t.view(arena), given: None, e, status: None };
    t.run(|recorder| Encoder::new(gpu, plan.clone()).forward(recorder, &args)).unwrap();
    assert!(t.read_u32(out) == packed(Dtype::F16, &expected, width as usize, &before));
}

#[test]
fn halves_that_share_words_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let plan = Plan::new(&[Block::Gsd]).unwrap();
    let batch = Batch::of(plan.clone(), &records(2, 1));
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, 2], batch.records.words());
    let arena = t.f32([1, 1, plan.arena_len()], &batch.arena);
    let out = t.u32([2, 1, 8], &[POISON; 16]);
    let encoder = Encoder::new(gpu, plan.clone());
    let e = halves(&t, out, plan.width(), Dtype::F16);
    let good = Forward { records: t.view(words), arena: t.view(arena), given: None, e, status: None };
    let message = |e: View<'_>| {
        t.run(|recorder| encoder.forward(recorder, &Forward { e, ..good })).unwrap_err().to_string()
    };
    for (bad, word) in [(e.at(2), "four bytes"), (e.strided(11, 11), "even"), (e.of(Dtype::I32), "`e`")] {
        let message = message(bad);
        assert!(message.contains("`e`") && message.contains(word), "{message}");
    }
    assert!(t.read_u32(out).iter().all(|&word| word == POISON), "nothing may have been recorded");
}

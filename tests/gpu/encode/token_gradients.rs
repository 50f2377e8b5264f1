//! Gradients of learned parameters from those of tokens.

use super::backward::dated;
use super::frequencies::features;
use super::*;
use gtca::encode::{AddToTokens, Axis, Prithvi, Scale, Source, TokenGrid, TokensBackward, twin};
use gtca::gpu::{Dtype, View};

const FREQUENCIES: u32 = 2;

/// Tables by the token's channel and by the month of its frame, a table of ids, a learned scale, learned frequencies of the
/// token's position, spherical harmonics with their missing vector.
fn plan() -> Plan {
    let table =
        |name, source, rows, width| Block::Table { name, source, first: 0, rows, width, validity: true };
    let time = Prithvi::Time { of: [Source::Year, Source::DayOfYear], width: 4, scale: Scale::Learned(0.1) };
    let blocks = [
        table("channel", Source::Channel, 2, 3),
        table("month", Source::MonthIndex, 12, 2),
        Block::Prithvi { encoding: time, validity: false },
        Block::TesseraFrequencies { source: Source::Position, count: FREQUENCIES },
        Block::Id { field: Field::ClimateZone, rows: 31, width: 2 },
        Block::Place { degree: 1 },
    ];
    Plan::new(&blocks).unwrap()
}

/// Two frames of three channels of `columns` columns, after one class token; a record for each frame, or for both.
fn grid(columns: u32, frames_a_record: u32) -> (TokenGrid, u32) {
    let axis = |count, stride| Axis { count, stride };
    let grid = TokenGrid {
        skipped: 1,
        frame: axis(2, 3 * columns),
        channel: axis(3, columns),
        column: axis(columns, 1),
        frames_a_record,
        ..Default::default()
    };
    (grid, 1 + 6 * columns)
}

struct Tokens {
    batch: Batch,
    grid: TokenGrid,
    samples: u32,
    tokens: u32,
}

impl Tokens {
    fn new(samples: u32, columns: u32, frames_a_record: u32) -> Self {
        let (grid, tokens) = grid(columns, frames_a_record);
        let count = samples * 2u32.checked_div(frames_a_record).unwrap_or(1);
        let mut records = dated(count as usize);
        records.iter_mut().step_by(3).for_each(|record| record.lon_deg = None);
        let mut batch = Batch::of(plan(), &records);
        let mut random = Random(u64::from(samples * tokens));
        batch.de = random.f32s((samples * tokens * batch.plan.width()) as usize);
        Self { batch, grid, samples, tokens }
    }

    fn backward(&self, gpu: &'static Gpu, layout: Layout, before: Option<&[f32]>) -> Vec<f32> {
        let Batch { plan, records, arena, de } = &self.batch;
        let mut t = Tensors::new(gpu, layout);
        let words = t.u32([RECORD_WORDS, 1, records.len() as u32], records.words());
        let values = t.f32([1, 1, plan.arena_len()], arena);
        let dtokens = t.f32([self.samples, self.tokens, plan.width()], de);
        let darena = match before {
            Some(before) => t.f32([1, 1, plan.arena_len()], before),
            None => t.poisoned([1, 1, plan.arena_len()]),
        };
        let args = TokensBackward {
            records: t.view(words),
            arena: t.view(values),
            given: None,
            dtokens: t.view(dtokens),
            grid: self.grid,
            darena: t.view(darena),
            mode: if before.is_some() { Mode::Accumulate } else { Mode::Overwrite },
        };
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.tokens_backward(recorder, &args)).unwrap();
        t.read(darena)
    }

    fn twin(&self) -> Vec<f32> {
        let Batch { plan, records, arena, de } = &self.batch;
        twin::tokens_gradient(plan, records, arena, &[], &self.grid, (de, self.tokens))
    }

    /// Σ dtokens · encoding in f64, from dates by a calendar of another crate.
    fn objective(&self, arena: &[f64]) -> f64 {
        let width = self.batch.plan.width() as usize;
        let at = |block: usize| self.batch.plan.layouts()[block].clone();
        let entry = |block: usize, row: Option<usize>| -> Vec<f64> {
            let layout = at(block);
            let start = layout.missing.start as usize + row.map_or(0, |row| row + 1) * layout.features.len();
            arena[start..start + layout.features.len()].to_vec()
        };
        let columns = self.grid.column.count;
        let mut sum = 0.0;
        for (row, de) in self.batch.de.chunks_exact(width).enumerate() {
            let (sample, t) = (row as u32 / self.tokens, row as u32 % self.tokens);
            let Some(position) = t.checked_sub(1) else { continue };
            let (frame, channel) = (position / (3 * columns), position / columns % 3);
            let record = match self.grid.frames_a_record {
                0 => sample,
                _ => sample * 2 + frame,
            };
            let record = self.batch.records.get(record as usize);
            let date = record.year.zip(record.day_of_year).map(|(year, day)| {
                let first = jiff::civil::date(year as i16, 1, 1);
                first.checked_add(jiff::Span::new().days(day - 1)).unwrap()
            });
            let month = date.map(|date| (date.month() as usize - 1 + frame as usize) % 12);
            let time = record.year.zip(record.day_of_year).map_or([0.0; 4], |(year, day)| {
                let [year, day] = [year, day].map(f64::from);
                [year.sin(), year.cos(), day.sin(), day.cos()]
            });
            let scale = arena[at(2).scale.start as usize];
            let own = at(3).scale;
            let zone = record.climate_zone.filter(|zone| *zone < 31).map(|zone| zone as usize);
            let mut zones = entry(4, None);
            if zone.is_some() {
                zones.iter_mut().zip(entry(4, zone)).for_each(|(sum, value)| *sum += value);
            }
            let known = |is_known: bool| vec![f64::from(u8::from(is_known))];
            let own = &arena[own.start as usize..own.end as usize];
            let encoding = [
                entry(0, (channel < 2).then_some(channel as usize)),
                known(channel < 2),
                entry(1, month),
                known(month.is_some()),
                time.map(|wave| wave * scale).to_vec(),
                features(Some(f64::from(position)), FREQUENCIES, own),
                zones,
                known(zone.is_some()),
                // A known place's harmonics do not depend on the arena: 0 serves as well.
                if record.lat_deg.and(record.lon_deg).is_some() { vec![0.0; 4] } else { entry(5, None) },
                known(true),
            ];
            sum += encoding.concat().iter().zip(de).map(|(e, &de)| e * f64::from(de)).sum::<f64>();
        }
        sum
    }
}

#[test]
fn tables_scales_and_frequencies_of_tokens_have_the_gradient_of_their_tokens_sum() {
    let Some(gpu) = gpu() else { return };
    // Rows of a sample below, at and above a chunk: 7, 13, 253, 259, 517.
    for (i, (samples, columns)) in [(1, 1), (40, 2), (3, 42), (2, 43), (3, 86)].into_iter().enumerate() {
        let batch = Tokens::new(samples, columns, i as u32 % 2);
        let gradient = batch.backward(gpu, LAYOUTS[i % 2], None);
        let rows = f64::from(samples * batch.tokens);
        let numeric = central_differences(&wide(&batch.batch.arena), 1e-4, |arena| batch.objective(arena));
        // A term of a frequency is at most 4π · position/365; positions stay below 517.
        let bounds: Vec<f64> = (0..gradient.len())
            .map(|at| {
                let own = &batch.batch.plan.layouts()[3].scale;
                let is_frequency = (own.start..own.start + FREQUENCIES).contains(&(at as u32));
                let term = if is_frequency { 18.0 } else { 4.0 };
                sum_bound(256 + 16, rows * term) + 3e-7 * rows * term + 1e-7
            })
            .collect();
        assert_close("against f64", &gradient, &numeric, &bounds);
        let twin = batch.twin();
        assert_close("against the twin", &gradient, &wide(&twin), &bounds);
        for layout in batch.batch.plan.layouts().iter().filter(|layout| layout.is_learned()) {
            let own = layout.missing.start as usize..layout.table.end as usize;
            // Additions alone, in the twin's order.
            assert_same_bits("tables against the twin", &gradient[own.clone()], &twin[own]);
        }
        for repeat in 0..3 {
            assert_same_bits("repeat", &gradient, &batch.backward(gpu, LAYOUTS[repeat % 2], None));
        }
        let added = batch.backward(gpu, LAYOUTS[i % 2], Some(&vec![1.0; gradient.len()]));
        let expected: Vec<f64> = gradient.iter().map(|value| f64::from(*value) + 1.0).collect();
        assert_close("added", &added, &expected, &bounds);
    }
}

#[test]
fn samples_cut_to_fit_a_binding_leave_no_trace() {
    let Some(gpu) = gpu() else { return };
    let small = small_gpu();
    // 13 tokens, 19 samples a chunk; 601 tokens, three chunks a sample.
    for (layout, (samples, columns)) in LAYOUTS.into_iter().zip([(300, 2), (8, 100)]) {
        let batch = Tokens::new(samples, columns, 1);
        let whole = batch.backward(gpu, layout, None);
        assert_same_bits("darena", &whole, &batch.backward(small, layout, None));
    }
}

#[test]
fn a_class_token_has_no_say_whatever_its_gradient_is() {
    let Some(gpu) = gpu() else { return };
    let mut batch = Tokens::new(5, 2, 0);
    let gradient = batch.backward(gpu, Layout::Separate, None);
    let sample = (batch.tokens * batch.batch.plan.width()) as usize;
    let width = batch.batch.plan.width() as usize;
    batch.batch.de.chunks_exact_mut(sample).for_each(|of_sample| of_sample[..width].fill(f32::NAN));
    assert_same_bits("darena", &batch.backward(gpu, Layout::OneBuffer, None), &gradient);
}

#[test]
fn a_table_of_channels_sums_150_000_tokens() {
    let Some(gpu) = gpu() else { return };
    let table = Block::Table {
        name: "channel",
        source: Source::Channel,
        first: 0,
        rows: 3,
        width: 1,
        validity: false,
    };
    let plan = Plan::new(&[table]).unwrap();
    let (samples, (grid, tokens)) = (250, grid(100, 0));
    let mut batch = Batch::of(plan, &records(samples as usize, 2));
    batch.de = Random(3).f32s((samples * tokens) as usize);
    let mut expected = [0.0; 4];
    for (row, de) in batch.de.iter().enumerate() {
        if let Some(position) = (row as u32 % tokens).checked_sub(1) {
            expected[1 + (position / 100 % 3) as usize] += f64::from(*de);
        }
    }
    let tokens = Tokens { batch, grid, samples, tokens };
    let gradient = tokens.backward(gpu, Layout::OneBuffer, None);
    // 256 terms, then three partials a sample.
    assert_near("darena", &gradient, &expected, sum_bound(256 + 750, 50_000.0));
}

#[test]
fn what_no_token_can_have_is_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let (grid, tokens) = grid(1, 0);
    let host = Records::from_records(&records(2, 1)).unwrap();
    let plan = plan();
    let words = t.u32([RECORD_WORDS, 1, 2], host.words());
    let arena = t.f32([1, 1, plan.arena_len()], &vec![0.0; plan.arena_len() as usize]);
    let dtokens = t.poisoned([2, tokens, plan.width()]);
    let darena = t.poisoned([1, 1, plan.arena_len()]);
    let good = TokensBackward {
        records: t.view(words),
        arena: t.view(arena),
        given: None,
        dtokens: t.view(dtokens),
        grid,
        darena: t.view(darena),
        mode: Mode::Overwrite,
    };
    let refusal = |plan: &Plan, args: TokensBackward<'_>| {
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.tokens_backward(recorder, &args)).unwrap_err().to_string()
    };
    let learns_nothing = Plan::new(&[Block::ClayScalars { validity: false }]).unwrap();
    assert!(refusal(&learns_nothing, good).contains("`darena`"));
    let narrow = TokensBackward { dtokens: t.view(dtokens).columns(0, 2), ..good };
    assert!(refusal(&plan, narrow).contains("`dtokens`"));
    for (rows, columns, name) in [(0, 3, "`row`"), (3, 0, "`column`")] {
        let empty = TokensBackward { grid: TokenGrid::image(rows, columns), ..good };
        let message = refusal(&plan, empty);
        assert!(message.contains(name), "{message}");
    }
    let wide = TokensBackward { given: Some(t.view(dtokens).columns(0, 9)), ..good };
    let message = refusal(&plan, wide);
    assert!(message.contains("`given` is 9 wide"), "{message}");
    let bad_grid = TokenGrid { frames_a_record: 3, ..grid };
    assert!(refusal(&plan, TokensBackward { grid: bad_grid, ..good }).contains("`frames_a_record`"));
    assert!(refusal(&plan, TokensBackward { darena: t.view(arena), ..good }).contains("overlap"));
    let encoder = Encoder::new(gpu, plan.clone());
    let (records, arena, darena) = (t.view(words), t.view(arena), t.view(darena));
    let of_records =
        Backward { records, arena, given: None, de: t.view(dtokens), darena, mode: Mode::Overwrite };
    let message = t.run(|recorder| encoder.backward(recorder, &of_records)).unwrap_err().to_string();
    assert!(message.contains("call tokens_backward"), "{message}");
    let poisoned = t.read(dtokens).iter().all(|value| value.to_bits() == POISON);
    assert!(poisoned, "nothing may have been recorded");
}

#[test]
fn samples_without_tokens_are_no_work() {
    let Some(gpu) = gpu() else { return };
    let plan = plan();
    let host = Records::from_records(&records(2, 1)).unwrap();
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, 2], host.words());
    let arena = t.f32([1, 1, plan.arena_len()], &vec![0.0; plan.arena_len() as usize]);
    let darena = t.poisoned([1, 1, plan.arena_len()]);
    // As `View::tokens` lays them: samples start where the last one did.
    let none = View::tokens(t.view(darena).buffer, [2, 0, plan.width()]);
    let (records, arena, grid) = (t.view(words), t.view(arena), TokenGrid::image(3, 3));
    let encoder = Encoder::new(gpu, plan.clone());
    for tokens in [none, none.of(Dtype::F16)] {
        let args = AddToTokens { records, arena, given: None, tokens, grid, status: None };
        t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
    }
    let (dtokens, mode) = (none, Mode::Overwrite);
    let args = TokensBackward { records, arena, given: None, dtokens, grid, darena: t.view(darena), mode };
    t.run(|recorder| encoder.tokens_backward(recorder, &args)).unwrap();
    assert!(t.read(darena).iter().all(|value| value.to_bits() == 0));
}

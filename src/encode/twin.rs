//! CPU twin of the encoder's kernels, with the kernels' order of sums.

use super::backward::Cut;
use super::scheme::{Given, Sample, Scheme};
use super::schemes::Frequencies;
use super::source::Token;
use super::{Axis, Block, Layout, Plan, Source, TokenGrid, Waves};
use crate::records::Records;
use std::ops::Range;

/// A block ready to encode.
struct Ready<'a> {
    layout: &'a Layout,
    scheme: Box<dyn Scheme>,
    waves: Option<Waves>,
    constants: Vec<f32>,
}

/// One row of input: a record, a token's place, further numbers.
struct Input<'a> {
    sample: Sample,
    token: Token,
    given: &'a [f32],
}

impl Ready<'_> {
    fn all(plan: &Plan) -> Vec<Ready<'_>> {
        let schemes = plan.layouts().iter().map(|layout| (layout, layout.block.scheme()));
        let ready = |(layout, scheme): (_, Box<dyn Scheme>)| {
            let (waves, constants) = (scheme.waves(), scheme.constants());
            Ready { layout, scheme, waves, constants }
        };
        schemes.map(ready).collect()
    }

    /// Its columns of a row.
    fn features(&self) -> Range<usize> {
        self.layout.features.start as usize..self.layout.features.end as usize
    }

    fn encode(&self, input: &Input<'_>, arena: &[f32], out: &mut [f32]) -> Option<u32> {
        let learned = &arena[self.layout.missing.start as usize..self.layout.table.end as usize];
        let known = match &self.waves {
            Some(waves) => {
                let scale = arena[self.layout.scale.start as usize..self.layout.scale.end as usize].first();
                waves.encode(&input.sample, &input.token, input.given, scale.copied(), out).then_some(1)
            }
            None => {
                let value = |source: Source| source.value(&input.sample, &input.token, input.given);
                let number = self.scheme.source().and_then(value);
                let own = &arena[self.layout.scale.start as usize..self.layout.scale.end as usize];
                let given = Given { constants: &self.constants, learned, own, number };
                self.scheme.encode(&input.sample, &given, out)
            }
        };
        if known.is_none() && self.layout.is_learned() {
            out.copy_from_slice(&learned[..out.len()]);
        }
        known
    }

    /// The whole row of an input: features and validity columns.
    fn encode_all(blocks: &[Ready<'_>], input: &Input<'_>, arena: &[f32], row: &mut [f32]) {
        for block in blocks {
            let known = block.encode(input, arena, &mut row[block.features()]).is_some();
            if let Some(column) = block.layout.validity {
                row[column as usize] = f32::from(u8::from(known));
            }
        }
    }
}

/// The rows of a batch: a record each, or a token each.
struct Batch<'a> {
    records: &'a Records,
    given: &'a [f32],
    columns: usize,
    rows: usize,
    /// Tokens of a sample; 1 for records.
    tokens: u32,
    grid: Option<&'a TokenGrid>,
}

impl<'a> Batch<'a> {
    fn of_records(records: &'a Records, given: &'a [f32]) -> Self {
        let rows = records.len();
        Self { records, given, columns: given.len() / rows.max(1), rows, tokens: 1, grid: None }
    }

    fn of_tokens(
        records: &'a Records,
        given: &'a [f32],
        grid: &'a TokenGrid,
        [rows, tokens]: [usize; 2],
    ) -> Self {
        let columns = given.len() / rows.max(1);
        Self { records, given, columns, rows, tokens: tokens as u32, grid: Some(grid) }
    }

    /// None for a class token.
    fn input(&self, row: usize) -> Option<Input<'a>> {
        let given = &self.given[row * self.columns..][..self.columns];
        let Some(grid) = self.grid else {
            return Some(Input { sample: Sample::new(self.records, row), token: Token::default(), given });
        };
        let (sample, t) = (row as u32 / self.tokens, row as u32 % self.tokens);
        let position = t.checked_sub(grid.skipped)?;
        let along = |axis: Axis| position / axis.stride % axis.count;
        let [frame, grid_row, column, channel] = grid.axes().map(along);
        let of_frame = frame.checked_div(grid.frames_a_record).unwrap_or(0);
        let record = sample * grid.records_a_sample() + of_frame;
        let token = Token { position, frame, row: grid_row, column, channel };
        Some(Input { sample: Sample::new(self.records, record as usize), token, given })
    }
}

/// `e: [S, M]` of records; `given: [S, n]`, empty where the plan reads none.
///
/// # Panics
/// When `arena` or `given` is shorter than the plan's.
pub fn forward(plan: &Plan, records: &Records, arena: &[f32], given: &[f32]) -> Vec<f32> {
    let batch = Batch::of_records(records, given);
    let width = plan.width() as usize;
    let blocks = Ready::all(plan);
    let mut e = vec![0.0; records.len() * width];
    for (row, out) in e.chunks_exact_mut(width).enumerate() {
        let Some(input) = batch.input(row) else { continue };
        Ready::encode_all(&blocks, &input, arena, out);
    }
    e
}

/// Adds to `tokens: [S, T, M]`; `given: [S, T, n]`, empty where the plan reads none.
///
/// # Panics
/// When `arena` or `given` is shorter than the plan's, or `records` than the grid's.
pub fn add_to_tokens(
    plan: &Plan,
    records: &Records,
    arena: &[f32],
    given: &[f32],
    grid: &TokenGrid,
    tokens: (&mut [f32], u32),
) {
    let (tokens, a_sample) = tokens;
    let width = plan.width() as usize;
    let batch = Batch::of_tokens(records, given, grid, [tokens.len() / width, a_sample as usize]);
    let blocks = Ready::all(plan);
    let mut features = vec![0.0; width];
    for (row, out) in tokens.chunks_exact_mut(width).enumerate() {
        let Some(input) = batch.input(row) else { continue };
        features.fill(0.0);
        Ready::encode_all(&blocks, &input, arena, &mut features);
        out.iter_mut().zip(&features).for_each(|(out, feature)| *out += feature);
    }
}

/// Gradient of the arena from `de: [S, M]`; chunks of records in order, cut as the kernel cuts them.
///
/// # Panics
/// When `arena`, `given` or `de` is shorter than the records.
pub fn arena_gradient(plan: &Plan, records: &Records, arena: &[f32], given: &[f32], de: &[f32]) -> Vec<f32> {
    gradient(plan, &Batch::of_records(records, given), arena, de)
}

/// Gradient of the arena from `dtokens: [S, T, M]`, given with T; chunks as the kernel cuts them.
///
/// # Panics
/// As [`add_to_tokens`].
pub fn tokens_gradient(
    plan: &Plan,
    records: &Records,
    arena: &[f32],
    given: &[f32],
    grid: &TokenGrid,
    (dtokens, tokens): (&[f32], u32),
) -> Vec<f32> {
    let rows = dtokens.len() / plan.width() as usize;
    gradient(plan, &Batch::of_tokens(records, given, grid, [rows, tokens as usize]), arena, dtokens)
}

fn gradient(plan: &Plan, batch: &Batch<'_>, arena: &[f32], de: &[f32]) -> Vec<f32> {
    let blocks = Ready::all(plan);
    let mut out = vec![0.0; arena.len()];
    let mut features = vec![0.0; plan.width() as usize];
    let cut = Cut::new(batch.rows as u64, batch.tokens, arena.len() as u64);
    for chunk in 0..cut.count() {
        let mut sums = vec![0.0; arena.len()];
        for row in cut.rows_of(chunk) {
            let Some(input) = batch.input(row) else { continue };
            for block in blocks.iter().filter(|block| block.layout.is_learned()) {
                let de = &de[row * features.len()..][block.features()];
                let used = block.encode(&input, arena, &mut features[block.features()]);
                let has_table = !block.layout.table.is_empty();
                let shared = has_table && block.scheme.shares_missing();
                let missing = (used.is_none() || shared).then_some(0);
                for row in missing.into_iter().chain(used.filter(|_| has_table)) {
                    let at = block.layout.missing.start as usize + row as usize * de.len();
                    sums[at..at + de.len()].iter_mut().zip(de).for_each(|(sum, de)| *sum += de);
                }
            }
        }
        out.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
    }
    for block in blocks.iter().filter(|block| !block.layout.scale.is_empty()) {
        let own = block.layout.scale.start as usize..block.layout.scale.end as usize;
        let gradient = match block.layout.block {
            Block::TesseraFrequencies { source, count } => {
                let frequencies = Frequencies { source, count };
                frequency_gradient(&frequencies, block, batch, &arena[own.clone()], (plan, de))
            }
            _ => vec![scale_gradient(block, plan, batch, de)],
        };
        out[own].copy_from_slice(&gradient);
    }
    out
}

/// Σ de · wave of one block, the wave without its amplitude; chunks, lanes and the tree over them as in the kernel, a row's
/// columns in order.
fn scale_gradient(block: &Ready<'_>, plan: &Plan, batch: &Batch<'_>, de: &[f32]) -> f32 {
    let unscaled = vec![1.0; plan.arena_len() as usize];
    let mut features = vec![0.0; block.layout.features.len()];
    let cut = Cut::new(batch.rows as u64, batch.tokens, 1);
    let mut total = 0.0;
    for chunk in 0..cut.count() {
        let mut lanes = [0.0f32; 64];
        for (step, row) in cut.rows_of(chunk).enumerate() {
            let Some(input) = batch.input(row) else { continue };
            block.encode(&input, &unscaled, &mut features);
            let de = &de[row * plan.width() as usize..][block.features()];
            let lane = &mut lanes[step % 64];
            *lane = features.iter().zip(de).fold(*lane, |sum, (wave, de)| de.mul_add(*wave, sum));
        }
        for half in [32, 16, 8, 4, 2, 1] {
            (0..half).for_each(|lane| lanes[lane] += lanes[lane + half]);
        }
        total += lanes[0];
    }
    total
}

/// Of one block's frequencies and phases, as they lie in the arena; chunks and rows in the kernel's order.
fn frequency_gradient(
    frequencies: &Frequencies,
    block: &Ready<'_>,
    batch: &Batch<'_>,
    own: &[f32],
    (plan, de): (&Plan, &[f32]),
) -> Vec<f32> {
    let mut total = vec![0.0; own.len()];
    let cut = Cut::new(batch.rows as u64, batch.tokens, own.len() as u64);
    for chunk in 0..cut.count() {
        let mut sums = vec![0.0; own.len()];
        for row in cut.rows_of(chunk) {
            let Some(input) = batch.input(row) else { continue };
            let de = &de[row * plan.width() as usize..][block.features()];
            if let Some(number) = frequencies.source.value(&input.sample, &input.token, input.given) {
                frequencies.add_slopes(number, own, de, &mut sums);
            }
        }
        frequencies.finish_slopes(&mut sums);
        total.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
    }
    total
}

/// Gradient `[S, 4]` of latitude and longitude (per degree), time (per day) and ground sample distance (per metre), from
/// `de: [S, M]`.
///
/// # Panics
/// When `arena`, `given` or `de` is shorter than the records.
pub fn input_gradient(plan: &Plan, records: &Records, arena: &[f32], given: &[f32], de: &[f32]) -> Vec<f32> {
    let batch = Batch::of_records(records, given);
    let blocks = Ready::all(plan);
    let numbers = plan.numbers();
    let of_row = |(row, de): (usize, &[f32])| {
        let mut sums = [0.0; 4];
        let Some(input) = batch.input(row) else { return sums };
        let value = |source: Source| source.value(&input.sample, &input.token, input.given);
        let mut slopes = vec![0.0; numbers.len()];
        for block in &blocks {
            let Some(waves) = &block.waves else { continue };
            let own = &arena[block.layout.scale.start as usize..block.layout.scale.end as usize];
            let mut add = |source: Source, slope: f32| {
                if let Some(at) = numbers.iter().position(|other| *other == source) {
                    slopes[at] += slope;
                }
            };
            waves.add_slopes(&value, own.first().copied(), &de[block.features()], &mut add);
        }
        for (source, slope) in numbers.iter().zip(slopes) {
            if value(*source).is_some() {
                let by_input = super::input::slopes(*source, &input.sample);
                sums.iter_mut().zip(by_input).for_each(|(sum, by)| *sum = slope.mul_add(by, *sum));
            }
        }
        for block in &blocks {
            let Some(place) = block.layout.block.harmonics() else { continue };
            let gradient = place.gradient(&input.sample, &block.constants, &de[block.features()]);
            sums.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
        sums
    };
    de.chunks_exact(plan.width() as usize).enumerate().flat_map(of_row).collect()
}

//! CPU twin of the encoder's kernels, with the kernels' order of sums.

use super::scheme::{Given, Sample, Scheme};
use super::source::Token;
use super::{Axis, Layout, Plan, Source, TokenGrid, Waves};
use crate::gpu::reduce::Chunks;
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

/// `e: [S, M]` of records; `given: [S, n]`, empty where the plan reads none.
///
/// # Panics
/// When `arena` or `given` is shorter than the plan's.
pub fn forward(plan: &Plan, records: &Records, arena: &[f32], given: &[f32]) -> Vec<f32> {
    let width = plan.width() as usize;
    let columns = given.len() / records.len().max(1);
    let blocks = Ready::all(plan);
    let mut e = vec![0.0; records.len() * width];
    for (index, row) in e.chunks_exact_mut(width).enumerate() {
        let given = &given[index * columns..][..columns];
        let input = Input { sample: Sample::new(records, index), token: Token::default(), given };
        Ready::encode_all(&blocks, &input, arena, row);
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
    let rows = tokens.len() / width;
    let columns = given.len() / rows.max(1);
    let blocks = Ready::all(plan);
    let mut features = vec![0.0; width];
    for (row, out) in tokens.chunks_exact_mut(width).enumerate() {
        let (sample, t) = (row as u32 / a_sample, row as u32 % a_sample);
        let Some(position) = t.checked_sub(grid.skipped) else { continue };
        let along = |axis: Axis| position / axis.stride % axis.count;
        let [frame, grid_row, column, channel] = grid.axes().map(along);
        let of_frame = frame.checked_div(grid.frames_a_record).unwrap_or(0);
        let record = sample * grid.records_a_sample() + of_frame;
        let input = Input {
            sample: Sample::new(records, record as usize),
            token: Token { position, frame, row: grid_row, column, channel },
            given: &given[row * columns..][..columns],
        };
        Ready::encode_all(&blocks, &input, arena, &mut features);
        out.iter_mut().zip(&features).for_each(|(out, feature)| *out += feature);
    }
}

/// Gradient of the arena from `de: [S, M]`; chunks of records in order, cut as the kernel cuts them.
///
/// # Panics
/// When `de` is shorter than the records.
pub fn arena_gradient(plan: &Plan, records: &Records, given: &[f32], de: &[f32]) -> Vec<f32> {
    let columns = given.len() / records.len().max(1);
    let arena = vec![0.0; plan.arena_len() as usize];
    let blocks = Ready::all(plan);
    let mut out = arena.clone();
    let mut features = vec![0.0; plan.width() as usize];
    let chunk = Chunks::new(records.len() as u64, arena.len() as u64).rows as usize;
    for first in (0..records.len()).step_by(chunk) {
        let mut sums = arena.clone();
        for index in first..records.len().min(first + chunk) {
            let given = &given[index * columns..][..columns];
            let input = Input { sample: Sample::new(records, index), token: Token::default(), given };
            for block in blocks.iter().filter(|block| block.layout.is_learned()) {
                let de = &de[index * features.len()..][block.features()];
                let used = block.encode(&input, &arena, &mut features[block.features()]);
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
        out[block.layout.scale.start as usize] = scale_gradient(block, plan, (records, given), de);
    }
    out
}

/// Σ de · wave of one block, the wave without its amplitude; chunks, lanes and the tree over them as in the kernel, a row's
/// columns in order.
fn scale_gradient(block: &Ready<'_>, plan: &Plan, (records, given): (&Records, &[f32]), de: &[f32]) -> f32 {
    let columns = given.len() / records.len().max(1);
    let unscaled = vec![1.0; plan.arena_len() as usize];
    let mut features = vec![0.0; block.layout.features.len()];
    let chunk = Chunks::new(records.len() as u64, 1).rows as usize;
    let mut total = 0.0;
    for first in (0..records.len()).step_by(chunk) {
        let mut lanes = [0.0f32; 64];
        for index in first..records.len().min(first + chunk) {
            let given = &given[index * columns..][..columns];
            let input = Input { sample: Sample::new(records, index), token: Token::default(), given };
            block.encode(&input, &unscaled, &mut features);
            let de = &de[index * plan.width() as usize..][block.features()];
            let lane = &mut lanes[(index - first) % 64];
            *lane = features.iter().zip(de).fold(*lane, |sum, (wave, de)| de.mul_add(*wave, sum));
        }
        for half in [32, 16, 8, 4, 2, 1] {
            (0..half).for_each(|lane| lanes[lane] += lanes[lane + half]);
        }
        total += lanes[0];
    }
    total
}

/// Gradient `[S, 2]` of latitudes and longitudes, per degree, through blocks of spherical harmonics, from `de: [S, M]`.
///
/// # Panics
/// When `de` is shorter than the records.
pub fn place_gradient(plan: &Plan, records: &Records, de: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; records.len() * 2];
    for layout in plan.layouts() {
        let Some(place) = layout.block.harmonics() else { continue };
        let constants = place.constants();
        for (index, sums) in out.chunks_exact_mut(2).enumerate() {
            let row = index * plan.width() as usize;
            let de = &de[row + layout.features.start as usize..row + layout.features.end as usize];
            let gradient = place.gradient(&Sample::new(records, index), &constants, de);
            sums.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
    }
    out
}

//! CPU twin of the encoder's kernels, with the kernels' order of sums.

use super::scheme::{Given, Sample, Scheme};
use super::{Layout, Plan};
use crate::gpu::reduce::Chunks;
use crate::records::Records;
use std::ops::Range;

/// A block ready to encode.
struct Ready<'a> {
    layout: &'a Layout,
    scheme: Box<dyn Scheme>,
    constants: Vec<f32>,
}

impl Ready<'_> {
    fn all(plan: &Plan) -> Vec<Ready<'_>> {
        let schemes = plan.layouts().iter().map(|layout| (layout, layout.block.scheme()));
        let ready = |(layout, scheme): (_, Box<dyn Scheme>)| {
            let constants = scheme.constants();
            Ready { layout, scheme, constants }
        };
        schemes.map(ready).collect()
    }

    /// Its columns of a row.
    fn features(&self) -> Range<usize> {
        self.layout.features.start as usize..self.layout.features.end as usize
    }

    fn encode(&self, sample: &Sample, arena: &[f32], out: &mut [f32]) -> Option<u32> {
        let learned = &arena[self.layout.missing.start as usize..self.layout.table.end as usize];
        let known = self.scheme.encode(sample, &Given { constants: &self.constants, learned }, out);
        if known.is_none() && self.layout.is_learned() {
            out.copy_from_slice(&learned[..out.len()]);
        }
        known
    }
}

/// `e: [S, M]` of records.
///
/// # Panics
/// When `arena` is shorter than the plan's.
pub fn forward(plan: &Plan, records: &Records, arena: &[f32]) -> Vec<f32> {
    let width = plan.width() as usize;
    let blocks = Ready::all(plan);
    let mut e = vec![0.0; records.len() * width];
    for (sample, row) in e.chunks_exact_mut(width).enumerate() {
        let sample = Sample::new(records, sample);
        for block in &blocks {
            let known = block.encode(&sample, arena, &mut row[block.features()]).is_some();
            if let Some(column) = block.layout.validity {
                row[column as usize] = f32::from(u8::from(known));
            }
        }
    }
    e
}

/// Gradient of the arena from `de: [S, M]`; chunks of records in order, cut as the kernel cuts them.
///
/// # Panics
/// When `de` is shorter than the records.
pub fn arena_gradient(plan: &Plan, records: &Records, de: &[f32]) -> Vec<f32> {
    let arena = vec![0.0; plan.arena_len() as usize];
    let blocks = Ready::all(plan);
    let mut out = arena.clone();
    let mut features = vec![0.0; plan.width() as usize];
    let chunk = Chunks::new(records.len() as u64, arena.len() as u64).rows as usize;
    for first in (0..records.len()).step_by(chunk) {
        let mut sums = arena.clone();
        for index in first..records.len().min(first + chunk) {
            let sample = Sample::new(records, index);
            for block in blocks.iter().filter(|block| block.layout.is_learned()) {
                let de = &de[index * features.len()..][block.features()];
                let used = block.encode(&sample, &arena, &mut features[block.features()]);
                let has_table = !block.layout.table.is_empty();
                let missing = (used.is_none() || has_table).then_some(0);
                for row in missing.into_iter().chain(used.filter(|_| has_table)) {
                    let at = block.layout.missing.start as usize + row as usize * de.len();
                    sums[at..at + de.len()].iter_mut().zip(de).for_each(|(sum, de)| *sum += de);
                }
            }
        }
        out.iter_mut().zip(&sums).for_each(|(total, sum)| *total += sum);
    }
    out
}

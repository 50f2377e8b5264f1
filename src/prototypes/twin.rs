//! CPU twins of the kernels of prototypes, with the kernels' order of sums.

use super::Prototypes;
use crate::common::numeric::precise_exp;
use crate::gpu::reduce::Chunks;
use crate::records::Records;

/// The set of each record: 0 where its region is not known, else 1 + region.
pub fn sets(prototypes: &Prototypes, records: &Records) -> Vec<u32> {
    let word = prototypes.region.info().word as usize;
    let set = |sample: usize| {
        let id = records.words()[word * records.len() + sample];
        let known = records.fields(sample).contains(prototypes.region) && id < prototypes.regions;
        if known { id + 1 } else { 0 }
    };
    (0..records.len()).map(set).collect()
}

/// The prototypes of one sample, with the softmax over them.
struct Attention<'a> {
    set: &'a [f32],
    /// e^(score − largest).
    exponentials: Vec<f32>,
    inverse: f32,
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum))
}

/// Σ_p weights_p P_p.
fn mix(weights: &[f32], set: &[f32], width: usize) -> Vec<f32> {
    let column = |d: usize| {
        weights.iter().zip(set.chunks_exact(width)).fold(0.0, |sum, (w, row)| w.mul_add(row[d], sum))
    };
    (0..width).map(column).collect()
}

impl<'a> Attention<'a> {
    fn new(prototypes: &Prototypes, table: &'a [f32], set: u32, query: &[f32]) -> Self {
        let size = prototypes.each as usize * query.len();
        let set = &table[set as usize * size..][..size];
        let score = |row: &[f32]| prototypes.scale * dot(query, row);
        let scores: Vec<_> = set.chunks_exact(query.len()).map(score).collect();
        let top = scores.iter().copied().fold(scores[0], f32::max);
        let exponentials: Vec<_> = scores.iter().map(|score| precise_exp(score - top)).collect();
        let inverse = 1.0 / exponentials.iter().fold(0.0, |sum, e| sum + e);
        Self { set, exponentials, inverse }
    }
}

/// `context: [S, width]` of queries `[S, width]` and prototypes `[(regions + 1) · each, width]`.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn attend(prototypes: &Prototypes, records: &Records, query: &[f32], table: &[f32]) -> Vec<f32> {
    let width = prototypes.width as usize;
    let sets = sets(prototypes, records);
    let one = |(query, set): (&[f32], &u32)| {
        let attention = Attention::new(prototypes, table, *set, query);
        let sums = mix(&attention.exponentials, attention.set, width);
        sums.into_iter().map(|sum| sum * attention.inverse).collect::<Vec<_>>()
    };
    query.chunks_exact(width).zip(&sets).flat_map(one).collect()
}

/// Gradients of the queries and of the prototypes from `dcontext: [S, width]`.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn backward(
    prototypes: &Prototypes,
    records: &Records,
    query: &[f32],
    table: &[f32],
    dcontext: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let width = prototypes.width as usize;
    let sets = sets(prototypes, records);
    let chunk = Chunks::new(records.len() as u64, table.len() as u64).rows as usize;
    let (mut dquery, mut dtable) = (Vec::new(), vec![0.0f32; table.len()]);
    for first in (0..records.len()).step_by(chunk) {
        let mut partial = vec![0.0f32; table.len()];
        for sample in first..records.len().min(first + chunk) {
            let [query, dcontext] = [query, dcontext].map(|rows| &rows[sample * width..][..width]);
            let attention = Attention::new(prototypes, table, sets[sample], query);
            let along: Vec<_> = attention.set.chunks_exact(width).map(|row| dot(dcontext, row)).collect();
            let weights: Vec<_> = attention.exponentials.iter().map(|e| e * attention.inverse).collect();
            let mean = dot(&weights, &along);
            let slope = |(w, a): (&f32, &f32)| prototypes.scale * w * (a - mean);
            let slopes: Vec<_> = weights.iter().zip(&along).map(slope).collect();
            dquery.extend(mix(&slopes, attention.set, width));
            let rows = partial[sets[sample] as usize * attention.set.len()..].chunks_exact_mut(width);
            for ((row, weight), slope) in rows.zip(&weights).zip(&slopes) {
                for ((sum, dc), q) in row.iter_mut().zip(dcontext).zip(query) {
                    *sum += weight.mul_add(*dc, slope * q);
                }
            }
        }
        dtable.iter_mut().zip(&partial).for_each(|(total, sum)| *total += sum);
    }
    (dquery, dtable)
}

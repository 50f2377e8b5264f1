//! From logits to sums: every source of logits feeds this one.

use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::records::Record;
use gtca::sensitivity::{External, Probe};
use gtca::wgpu;

use super::diagnosis::{self, Change, Pair, settled, softmax};
use super::partial::{Partial, Subject};
use super::rows::Rows;
use super::sketch::{Case, Point, mix};
use crate::Error;

/// Logits of one submission at most: bounds memory, and time well below any watchdog of an operating system.
pub(crate) const MOST_LOGITS: usize = 1 << 22;

/// What is known of a row beside its logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number in the data.
    pub number: u64,
    /// The sample's id.
    pub id: String,
    /// Latitude and longitude in degrees.
    pub place: Option<[f64; 2]>,
    /// The date as text.
    pub date: String,
    /// The label.
    pub label: Option<u32>,
    /// Its group in each grouping.
    pub groups: Vec<u32>,
    /// Its metadata; only a source that makes logits needs them.
    pub record: Record,
    /// What the bootstrap draws: equal numbers are drawn together.
    pub unit: u64,
}

/// Rows with their logits; a variant's row is NaN where the row has no such wrong metadata.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The rows.
    pub rows: Vec<Row>,
    /// Logits under the recorded metadata, `[rows, classes]`.
    pub base: Vec<f32>,
    /// Logits under each perturbation, `[rows, classes]`.
    pub variants: Vec<Vec<f32>>,
    /// Log posteriors where they are known: recorded, then under each perturbation.
    pub known: Option<(Vec<f32>, Vec<Vec<f32>>)>,
}

/// Changes of a row under each perturbation; none where it was not compared.
pub type Changes = Vec<Option<Change>>;

/// A sweep under way.
#[derive(Debug)]
pub struct Sweep {
    gpu: Gpu,
    partial: Partial,
    probes: Vec<(Probe, wgpu::Buffer)>,
}

impl Sweep {
    /// Goes on from `partial`.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn new(gpu: &Gpu, partial: Partial) -> Result<Self, Error> {
        let probe = |desc| Probe::new(&desc).map(|probe| (probe, probe.sums(gpu)));
        let probes = partial.subject.probes().map(probe).collect::<Result<_, _>>()?;
        Ok(Self { gpu: gpu.clone(), partial, probes })
    }

    /// Compares the rows of a chunk, and returns what each says.
    ///
    /// # Errors
    /// A row that is already in; the GPU's.
    pub fn add(&mut self, chunk: &Chunk) -> Result<Vec<Changes>, Error> {
        let numbers: Vec<u64> = chunk.rows.iter().map(|row| row.number).collect();
        let joined = Rows::of(&numbers).and_then(|rows| self.partial.rows.join(&rows).ok());
        self.partial.rows =
            joined.ok_or_else(|| Error::argument("rows", "a row of this chunk has been swept before"))?;
        let classes = self.partial.subject.classes.len();
        let step = (MOST_LOGITS / classes).max(1);
        for from in (0..chunk.rows.len()).step_by(step) {
            self.tabulate(chunk, from..chunk.rows.len().min(from + step))?;
        }
        Ok((0..chunk.rows.len()).map(|i| self.remember(chunk, i)).collect())
    }

    /// The tables, on the device.
    fn tabulate(&self, chunk: &Chunk, rows: std::ops::Range<usize>) -> Result<(), Error> {
        let (gpu, width) = (&self.gpu, self.partial.subject.classes.len());
        let (count, classes) = (rows.len() as u32, width as u32);
        let logits = |logits: &[f32]| gpu.upload("logits", &logits[rows.start * width..rows.end * width]);
        let base = logits(&chunk.base);
        let labels: Vec<u32> = chunk.rows[rows.clone()].iter().map(|r| r.label.unwrap_or(u32::MAX)).collect();
        let labels = gpu.upload("labels", &labels);
        for (k, variant) in chunk.variants.iter().enumerate() {
            let variants = logits(variant);
            let mut encoder = gpu.encoder();
            for (grouping, (probe, sums)) in self.probes.iter().enumerate() {
                // A row without this perturbation goes to the slot behind the last group.
                let group = |i: usize| match is_absent(&variant[i * width..][..width]) {
                    true => u32::MAX,
                    false => chunk.rows[i].groups[grouping],
                };
                let groups = gpu.upload("groups", &rows.clone().map(group).collect::<Vec<_>>());
                let args = External {
                    base: View::matrix(&base, count, classes),
                    variants: View::tokens(&variants, [1, count, classes]),
                    labels: Some(View::matrix(&labels, count, 1).of(Dtype::U32)),
                    groups: Some(View::matrix(&groups, count, 1).of(Dtype::U32)),
                    per_sample: None,
                    first_perturbation: k as u32,
                    sums: probe.view(sums),
                    mode: Mode::Accumulate,
                };
                probe.external(&mut gpu.recorder(&mut encoder), &args)?;
            }
            gpu.submit(encoder)?;
        }
        Ok(())
    }

    /// Everything that needs the single row.
    fn remember(&mut self, chunk: &Chunk, i: usize) -> Changes {
        let Partial { subject, bags, sketch, worst, content, .. } = &mut self.partial;
        let width = subject.classes.len();
        let (row, at) = (&chunk.rows[i], i * width..(i + 1) * width);
        let base = &chunk.base[at.clone()];
        *content = content.wrapping_add(row_hash(row, base, &chunk.variants, at.clone()));
        let Some(before) = softmax(base) else { return vec![None; chunk.variants.len()] };
        let alone = subject.without_metadata().and_then(|k| softmax(&chunk.variants[k][at.clone()]));
        let mut changes = Changes::new();
        for (k, variant) in chunk.variants.iter().enumerate() {
            let known = chunk.known.as_ref();
            let known = known.map(|(base, variants)| [&base[at.clone()], &variants[k][at.clone()]]);
            let logits = [base, &variant[at.clone()]];
            let (label, settled) = (row.label.map(|label| label as usize), alone.as_deref().map(settled));
            let pair = Pair { logits, label, before: &before, settled, known };
            let change = match is_absent(logits[1]) {
                true => None,
                false => diagnosis::add(bags.of_unit(row.unit, k), &pair),
            };
            if let (Some(change), Some(place)) = (change, row.place) {
                let first =
                    before.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |top| top.0);
                worst.add(k, change.change, row.number, || Case {
                    change: change.change,
                    row: row.number,
                    id: row.id.clone(),
                    place,
                    date: row.date.clone(),
                    label: row.label,
                    predicted: [first as u32, change.predicted],
                });
            }
            changes.push(change);
        }
        if let Some(place) = row.place {
            let changes = changes.iter().map(|change| change.map(|change| change.change)).collect();
            sketch.add(Point { row: row.number, place, changes });
        }
        changes
    }

    /// Takes the sums from the device into the result, which stands for all chunks so far.
    ///
    /// # Errors
    /// The GPU's.
    pub fn flush(&mut self) -> Result<&Partial, Error> {
        for ((probe, sums), table) in self.probes.iter_mut().zip(&mut self.partial.tables) {
            table.merge(&pollster::block_on(probe.read(&self.gpu, &probe.view(sums)))?)?;
            *sums = probe.sums(&self.gpu);
        }
        Ok(&self.partial)
    }

    /// What is measured.
    pub fn subject(&self) -> &Subject {
        &self.partial.subject
    }

    /// The result.
    ///
    /// # Errors
    /// The GPU's.
    pub fn finish(mut self) -> Result<Partial, Error> {
        self.flush()?;
        Ok(self.partial)
    }
}

/// NaN in every class says that the row has no such wrong metadata.
fn is_absent(logits: &[f32]) -> bool {
    logits.iter().all(|logit| logit.is_nan())
}

/// Names what a row brought; sums of such names do not depend on the order.
fn row_hash(row: &Row, base: &[f32], variants: &[Vec<f32>], at: std::ops::Range<usize>) -> u64 {
    let mut hash = mix(row.number) ^ u64::from(row.label.map_or(0, |label| label + 1));
    let logits = base.iter().chain(variants.iter().flat_map(|variant| &variant[at.clone()]));
    logits.for_each(|logit| {
        hash = (hash ^ u64::from(logit.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    row.groups.iter().for_each(|group| hash = mix(hash ^ u64::from(*group)));
    mix(hash ^ row.unit)
}

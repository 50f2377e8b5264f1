//! A sweep over a source: chunk by chunk, with checkpoints that a later run goes on from.

use std::path::{Path, PathBuf};

use gtca::gpu::Gpu;
use indicatif::{ProgressBar, ProgressStyle};

use super::engine::{Changes, Chunk, MOST_LOGITS, Sweep};
use super::partial::{Partial, Subject};
use super::source::Source;
use crate::Error;
use crate::shards::{RowWriter, Values};

/// How a sweep is cut and where its results go.
#[derive(Clone, Debug)]
pub struct Job {
    /// The result.
    pub out: PathBuf,
    /// Folder for the changes of single samples, one Parquet file a checkpoint.
    pub per_sample: Option<PathBuf>,
    /// Rows that are in memory at a time; less where logits are many.
    pub chunk_rows: usize,
    /// Chunks between two checkpoints.
    pub checkpoint: usize,
    /// Which part of how many, from 1: the rows of one job out of several.
    pub part: [u64; 2],
}

impl Job {
    /// The whole, in chunks of 16,384 rows, a checkpoint every 16.
    pub fn new(out: &Path) -> Self {
        Self { out: out.to_owned(), per_sample: None, chunk_rows: 1 << 14, checkpoint: 16, part: [1, 1] }
    }

    /// Sweeps what the result does not hold yet.
    ///
    /// # Errors
    /// A result of another sweep at that place; what cannot be read or written; the GPU's.
    pub fn run(&self, gpu: &Gpu, subject: Subject, source: &mut dyn Source) -> Result<Partial, Error> {
        let [part, parts] = self.part;
        if part == 0 || part > parts {
            return Err(Error::argument("--part", format!("{part}/{parts}: parts are counted from 1")));
        }
        let [start, end] =
            [part - 1, part].map(|n| (u128::from(source.rows()) * u128::from(n) / u128::from(parts)) as u64);
        let partial = self.begin(subject)?;
        let mut from = partial.rows.end_from(start);
        let rows = self.chunk_rows.min(MOST_LOGITS / partial.subject.classes.len()).max(1) as u64;
        let bar = ProgressBar::new(end - start).with_style(style());
        bar.set_position(from - start);
        let mut sweep = Sweep::new(gpu, partial)?;
        while from < end {
            let to = end.min(from + rows * self.checkpoint.max(1) as u64);
            let mut writer = None;
            for at in (from..to).step_by(rows as usize) {
                let chunk = source.chunk(at, (to - at).min(rows) as usize)?;
                let changes = sweep.add(&chunk)?;
                if let Some(folder) = &self.per_sample {
                    write(
                        &mut writer,
                        &folder.join(format!("rows-{from:012}.parquet")),
                        sweep.subject(),
                        &chunk,
                        &changes,
                    )?;
                }
                bar.inc(chunk.rows.len() as u64);
            }
            // The samples' file first: what the result holds is then always there.
            writer.map(RowWriter::finish).transpose()?;
            sweep.flush()?.store(&self.out)?;
            from = to;
        }
        bar.finish_and_clear();
        let partial = sweep.finish()?;
        partial.store(&self.out)?;
        Ok(partial)
    }

    /// What is there already, if it is of this sweep.
    fn begin(&self, subject: Subject) -> Result<Partial, Error> {
        if !self.out.exists() {
            return Partial::new(subject);
        }
        let partial = Partial::load(&self.out)?;
        let other = |e: Error| {
            Error::file(&self.out, format!("is there and of another sweep ({e}); remove or rename it"))
        };
        partial.subject.same(&subject).map_err(other)?;
        Ok(partial)
    }
}

/// Changes of a chunk: number, id, label, then total variation, KL and flip under every perturbation; NaN where it was
/// not compared.
fn write(
    writer: &mut Option<RowWriter>,
    path: &Path,
    subject: &Subject,
    chunk: &Chunk,
    changes: &[Changes],
) -> Result<(), Error> {
    let mut names = ["row", "id", "lat", "lon", "label"].map(str::to_owned).to_vec();
    let place =
        |n: usize| chunk.rows.iter().map(|row| row.place.map_or(f64::NAN, |place| place[n])).collect();
    let mut columns = vec![
        Values::Integer(chunk.rows.iter().map(|row| row.number as i64).collect()),
        Values::Text(chunk.rows.iter().map(|row| row.id.clone()).collect()),
        Values::Double(place(0)),
        Values::Double(place(1)),
        Values::Integer(chunk.rows.iter().map(|row| row.label.map_or(-1, i64::from)).collect()),
    ];
    for (k, name) in subject.perturbations.iter().enumerate() {
        let column = |of: fn(&super::Change) -> f32| {
            Values::Float(changes.iter().map(|changes| changes[k].as_ref().map_or(f32::NAN, of)).collect())
        };
        names.extend(["tv", "kl", "flip"].map(|measure| format!("{measure}: {name}")));
        columns.extend([column(|c| c.change), column(|c| c.kl), column(|c| f32::from(u8::from(c.is_flip)))]);
    }
    if writer.is_none() {
        *writer = Some(RowWriter::create(path, &names, &columns)?);
    }
    writer.as_mut().map_or(Ok(()), |writer| writer.write(&columns))
}

fn style() -> ProgressStyle {
    let template = "{bar:30} {human_pos}/{human_len} rows, {per_sec}, {elapsed} gone, {eta} to go";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

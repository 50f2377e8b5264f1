//! `gtca-lab sweep`.

use std::path::PathBuf;

use gtca::gpu::{Gpu, OpenOptions};

use crate::Error;
use crate::data::{ClimateGrid, fnv64};
use crate::report;
use crate::shards::Shards;
use crate::sweep::{BASE, Columns, FORMS, Factored, Files, Job, Logits, Metadata, Source, Subject, Wrong};

const INPUT: &str = "\
Input:
  The table (CSV or Parquet) has the columns id, and where known lat, lon, date (or year, month), a label, and any others
  to group by. Each shard (Parquet or safetensors) has the array `base`, the logits under the recorded metadata, and one
  array of logits for each kind of wrong metadata, named after it. Row n of the table belongs to row n of the shards, one
  shard after the other in the order given. An array is a column of lists of floats, or an f32 tensor [rows, classes].
  Rows that have no such wrong metadata are null or NaN. Parquet may be compressed by Snappy, Zstandard, gzip or LZ4 (raw).

  With --adapter and --head, the logits of the variants are made here: the shards then hold `x`, the pooled input of the
  adapted layer, and `base`, the logits without the adapter. The adapter must sit in the last layer, before a linear head;
  its metadata are the table's lat, lon, date, hour, gsd_m and koppen_code.

  Names of arrays with a meaning: `missing` (all metadata dropped: the prediction from the image alone); `10 km` and the
  like, and `+3 months` and the like (drawn against distance and month); `neighbour` (`10 km` where few samples have one),
  `far, same climate` and `far, other climate` (the four-way test of the diagnosis).";

const CHOICE: &str = "\
Wrong metadata of an adapter:
  --wrong takes one of the names below, and may be given several times. Without it: 10, 100 and 1000 km, three and six
  months either way, missing, and with --climate-grid the rest of the four-way test: neighbour and both far places. A moved
  place takes the climate zone that the grid has there. Other rows are those of the whole table, whose metadata are then
  kept in memory (some 300 bytes a row). A row that has no such wrong metadata (no date to shift, no neighbour) is left out
  of what is measured under that name; its changes in --per-sample are NaN. Draws depend on the table, the row and the
  name alone: not on the model, --part, or what else is asked for.";

const EXAMPLES: &str = "\
Examples:
  gtca-lab sweep --metadata samples.csv --label crop --shards logits-*.parquet --out all.safetensors
  gtca-lab sweep ... --group-by class --group-by latitude-band --group-by urban --resample region
  gtca-lab sweep ... --part 3/8 --out part-3.safetensors      one of eight jobs; `merge` adds them, to the bit
  gtca-lab sweep --metadata samples.csv --shards x-*.parquet --adapter adapter.safetensors --head head.safetensors
  gtca-lab sweep ... --adapter ... --head ... --climate-grid koppen.npy
  gtca-lab sweep ... --wrong \"10 km\" --wrong \"+3 months\" --wrong \"drop place\" --wrong \"gsd x2\" --wrong missing
  gtca-lab sweep ... --per-sample changes/                    every sample's change, as Parquet

A sweep that was interrupted goes on where it stopped when it is started again.";

fn help() -> String {
    [INPUT, CHOICE, FORMS, EXAMPLES].join("\n\n")
}

/// Measures what wrong metadata do to a model's predictions, from logits in files of any size.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
pub(super) struct Options {
    /// Table of the samples: .csv or .parquet.
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
    /// Logits: .parquet or .safetensors, in the order of the table's rows.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    shards: Vec<PathBuf>,
    /// Where the result goes; if it is there already, it is continued.
    #[arg(long, value_name = "FILE", default_value = "out/sweep.safetensors")]
    out: PathBuf,
    /// Column of the table with the class; without it there is no accuracy, NLL or calibration.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Class names in the order of the logits; else numbers, or the names of the table in alphabetical order.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    classes: Vec<String>,
    /// class, latitude-band, or a column of the table; may be given several times, one table each.
    #[arg(long, value_name = "COLUMN")]
    group_by: Vec<String>,
    /// What the bootstrap resamples: sample, block (tiles of two degrees), or a column of the table.
    #[arg(long, value_name = "UNIT", default_value = "block")]
    resample: String,
    /// Adapter of one layer, as the library saves it: make the variants' logits from embeddings.
    #[arg(long, value_name = "FILE", requires = "head")]
    adapter: Option<PathBuf>,
    /// Linear head behind the adapted layer: safetensors with `weight`, f32 [classes, outputs].
    #[arg(long, value_name = "FILE", requires = "adapter")]
    head: Option<PathBuf>,
    /// The adapter's α; its scale is α/r.
    #[arg(long, value_name = "A", default_value_t = 16.0)]
    alpha: f32,
    /// Size of the adapter's table of climate zones.
    #[arg(long, value_name = "N", default_value_t = 0)]
    climate_zones: u32,
    /// What the adapter's metadata are changed to, by a name from the list below; may be given several times.
    #[arg(long, value_name = "NAME", requires = "adapter", allow_hyphen_values = true)]
    wrong: Vec<String>,
    /// Climate zones by place, for moved places, far places, and tables without koppen_code: a global 2-D u8 .npy, first row
    /// north, first column at 180 degrees west.
    #[arg(long, value_name = "FILE", requires = "adapter")]
    climate_grid: Option<PathBuf>,
    /// Climate codes that mean "no data", beside 0.
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "32")]
    no_data: Vec<u8>,
    /// Name of the model in the report.
    #[arg(long, value_name = "NAME", default_value = "model")]
    model: String,
    /// Name of the data in the report; the table's file name if not given.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Folder for every sample's change (total variation, KL, flip), in Parquet files.
    #[arg(long, value_name = "DIR")]
    per_sample: Option<PathBuf>,
    /// Only this part of the rows, as 3/8.
    #[arg(long, value_name = "N/OF", default_value = "1/1", value_parser = part)]
    part: [u64; 2],
    /// Rows in memory at a time.
    #[arg(long, value_name = "N", default_value_t = 1 << 14)]
    chunk_rows: usize,
    /// Chunks between checkpoints.
    #[arg(long, value_name = "N", default_value_t = 16)]
    checkpoint: usize,
}

fn part(text: &str) -> Result<[u64; 2], String> {
    let parts = text.split_once('/').and_then(|(n, of)| Some([n.parse().ok()?, of.parse().ok()?]));
    parts.filter(|[n, of]| (1..=*of).contains(n)).ok_or_else(|| "a part is written as 3/8".to_owned())
}

#[expect(clippy::print_stdout, reason = "the table is what the program says")]
pub(super) fn run(options: &Options) -> Result<(), Error> {
    let shards = Shards::open(&options.shards)?;
    let files = files(options)?;
    let grid =
        options.climate_grid.as_ref().map(|path| ClimateGrid::load(path, &options.no_data)).transpose()?;
    let wrong = Wrong::list(&options.wrong, grid.is_some())?;
    let (width, perturbations) = match (&files, shards.array(BASE)) {
        (Some(_), Some((_, width))) => (width, wrong.iter().map(|wrong| wrong.name().to_owned()).collect()),
        _ => Logits::check(&shards)?,
    };
    let columns = Columns {
        label: options.label.clone(),
        classes: options.classes.clone(),
        group_by: options.group_by.clone(),
        resample: options.resample.clone(),
    };
    let metadata = Metadata::open(&options.metadata, &columns, width)?.with_climate(grid, &options.no_data);
    let stem =
        || options.metadata.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
    let subject = Subject {
        dataset: options.dataset.clone().unwrap_or_else(stem),
        model: options.model.clone(),
        classes: metadata.classes.clone(),
        perturbations,
        groupings: metadata.groupings.clone(),
        resample: options.resample.clone(),
        inputs: format!("{:016x}", fingerprint(&metadata, &shards, files.as_ref())?),
    };
    let job = Job {
        per_sample: options.per_sample.clone(),
        chunk_rows: options.chunk_rows,
        checkpoint: options.checkpoint,
        part: options.part,
        ..Job::new(&options.out)
    };
    let gpu = Gpu::open_blocking(&OpenOptions::default())?;
    let mut source: Box<dyn Source> = match &files {
        Some(files) => Box::new(Factored::new(&gpu, metadata, shards, files, wrong)?),
        None => Box::new(Logits::new(metadata, shards)?),
    };
    println!("{}: {} wrong metadata on {gpu}", subject.dataset, subject.perturbations.len());
    let partial = job.run(&gpu, subject, source.as_mut())?;
    println!("{}", report::sensitivity::table(&partial));
    println!("result: {} ({} rows)", options.out.display(), partial.rows.len());
    Ok(())
}

/// The adapter and its head, where they are given.
fn files(options: &Options) -> Result<Option<Files>, Error> {
    let (Some(adapter), Some(head)) = (&options.adapter, &options.head) else { return Ok(None) };
    let read = |path: &PathBuf| std::fs::read(path).map_err(Error::io(path));
    let (alpha, climate_zones) = (options.alpha, options.climate_zones);
    Ok(Some(Files { adapter: read(adapter)?, head: read(head)?, alpha, climate_zones }))
}

/// Names the inputs: table, adapter, head and grid by their content, the shards by name, size and rows.
fn fingerprint(metadata: &Metadata, shards: &Shards, files: Option<&Files>) -> Result<u64, Error> {
    let mut parts = vec![metadata.fingerprint.to_le_bytes().to_vec()];
    if let Some(files) = files {
        parts.extend([files.adapter.clone(), files.head.clone(), files.alpha.to_le_bytes().to_vec()]);
        parts.extend(metadata.climate_bytes());
    }
    for (path, rows) in shards.shards() {
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        let name = path.file_name().map_or_else(Vec::new, |name| name.to_string_lossy().as_bytes().to_vec());
        parts.extend([name, size.to_le_bytes().to_vec(), rows.to_le_bytes().to_vec()]);
    }
    Ok(fnv64(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

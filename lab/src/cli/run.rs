//! `gtca-lab run`.

use std::path::{Path, PathBuf};

use gtca::gpu::{Gpu, OpenOptions};

use crate::data::{self, ClimateGrid, LoadOptions};
use crate::run::Run;
use crate::shards::text;
use crate::sweep::latitude_band;
use crate::synthetic::{SyntheticOptions, World};
use crate::train::Config;
use crate::{Error, report};

const EXAMPLES: &str = "\
Examples:
  gtca-lab run                                  the synthetic world, a few minutes
  gtca-lab run --quick                          seconds; shows that everything works
  gtca-lab run --data DIR --task NAME --out DIR --group-by class --group-by koppen";

/// Trains a backbone without metadata and three adapters on it (plain LoRA, concatenated metadata, the Geo-Time
/// Conditional Adapter), evaluates them on held-out samples, sites, regions, blocks and years, measures what wrong
/// metadata does to their predictions, and writes a report.
///
/// Without --data it makes a synthetic world whose posteriors are known, so that justified sensitivity can be told
/// from a shortcut. With --data it reads a folder: dataset.json, samples.csv, data.safetensors, and where they exist
/// splits.csv and conflict.csv. Finished splits are kept under --out and not run again. Equal arguments give equal
/// files, bit for bit, on one device.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Folder of a data set; without it the synthetic world is used.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Task of the data set; the first one if not given.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Where report.html, sensitivity.html, results.csv, results.json, the finished splits and the sweeps go.
    #[arg(long, value_name = "DIR", default_value = "out/lab")]
    pub out: PathBuf,
    /// Model seeds a split; 1 for real data, where the splits are the repetitions, 3 for the synthetic world.
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// First model seed, and the seed of drawn splits and of the synthetic world.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Climate zones by place, for moved places and, where conflict.csv has none, far places: a global 2-D u8 .npy, first
    /// row north, first column at 180 degrees west.
    #[arg(long, value_name = "FILE")]
    pub climate_grid: Option<PathBuf>,
    /// Climate codes that mean "no data", beside 0.
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "32")]
    pub no_data: Vec<u8>,
    /// At most this many splits of each protocol; all for real data, 1 for the synthetic world, whose repetitions are
    /// the seeds.
    #[arg(long, value_name = "N")]
    pub splits: Option<usize>,
    /// Groups of the sensitivity tables: class, latitude-band, or a column of samples.csv; may be given several times.
    #[arg(long, value_name = "COLUMN")]
    pub group_by: Vec<String>,
    /// What the bootstrap of the shortcut diagnosis resamples: sample, or block (tiles of two degrees).
    #[arg(long, value_name = "UNIT", default_value = "block")]
    pub resample: String,
    /// A few steps on few splits: shows that everything runs; the numbers mean nothing.
    #[arg(long)]
    pub quick: bool,
}

#[expect(clippy::print_stdout, reason = "the table is what the program says")]
pub(super) fn run(arguments: &Options) -> Result<(), Error> {
    let seeds = arguments.seeds.unwrap_or(if arguments.data.is_some() || arguments.quick { 1 } else { 3 });
    if seeds == 0 {
        return Err(Error::argument("--seeds", "there must be at least 1"));
    }
    let grid = match &arguments.climate_grid {
        Some(path) => Some(ClimateGrid::load(path, &arguments.no_data)?),
        None => None,
    };
    let samples = if arguments.quick { 400 } else { 1500 };
    let options = SyntheticOptions { seed: arguments.seed, samples, ..Default::default() };
    let world = arguments.data.is_none().then(|| World::new(options));
    let data = match (&arguments.data, &world) {
        (Some(folder), _) => {
            data::load(folder, &LoadOptions { no_data: &arguments.no_data, grid: grid.as_ref() })?
        }
        (None, Some(world)) => world.dataset(),
        (None, None) => unreachable!("without a folder there is a world"),
    };
    let grid = grid.as_ref().or(world.as_ref().map(World::grid)).map(ClimateGrid::lookup).transpose()?;
    let mut group_by = options_or_default(&arguments.group_by);
    let group_by = group_by
        .drain(..)
        .map(|by| groups(&data, arguments.data.as_deref(), by))
        .collect::<Result<_, _>>()?;
    if !matches!(arguments.resample.as_str(), "sample" | "block") {
        return Err(Error::argument("--resample", "sample or block"));
    }
    let run = Run {
        task: data.task(arguments.task.as_deref())?,
        data: &data,
        world: world.as_ref(),
        grid,
        seed: arguments.seed,
        seeds,
        group_by,
        resample: arguments.resample.clone(),
        most_splits: arguments.splits.unwrap_or(if arguments.quick || world.is_some() {
            1
        } else {
            usize::MAX
        }),
        config: if arguments.quick { Config::quick() } else { Config::default() },
    };
    let gpu = Gpu::open_blocking(&OpenOptions::default())?;
    println!("{}: task {} on {gpu}", data.name, run.task.name);
    let results = run.run(&gpu, &arguments.out)?;
    report::write(&results, &arguments.out)?;
    println!("{}", report::table(&results));
    println!("report: {}", arguments.out.join("report.html").display());
    Ok(())
}

fn options_or_default(group_by: &[String]) -> Vec<String> {
    match group_by.is_empty() {
        true => ["class", "climate-zone", "latitude-band"].map(str::to_owned).to_vec(),
        false => group_by.to_vec(),
    }
}

/// The group of every sample; classes belong to the task and stay empty here.
fn groups(data: &data::Dataset, folder: Option<&Path>, by: String) -> Result<(String, Vec<String>), Error> {
    let of = |name: fn(&data::Sample) -> String| data.samples.iter().map(name).collect();
    let names = match (by.as_str(), folder) {
        ("class", _) => Vec::new(),
        ("climate-zone", _) => {
            of(|sample| sample.climate_zone.map_or(String::new(), |zone| zone.to_string()))
        }
        ("latitude-band", _) => of(|sample| latitude_band(sample.place.lat_deg)),
        (column, Some(folder)) => text::rows(&folder.join("samples.csv"), &[column.to_owned()])?
            .map(|row| row.map(|cells| cells.concat()))
            .collect::<Result<_, _>>()?,
        (column, None) => {
            return Err(Error::argument("--group-by", format!("the synthetic world has no column {column}")));
        }
    };
    Ok((by, names))
}

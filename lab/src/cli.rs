//! The command line.

use crate::data::{self, ClimateGrid, LoadOptions};
use crate::run::{Run, kernel_grid};
use crate::synthetic::{SyntheticOptions, World};
use crate::train::Config;
use crate::{Error, report};
use clap::Parser;
use gtca::gpu::{Gpu, OpenOptions};
use std::path::PathBuf;

/// Trains a backbone without metadata and three adapters on it (plain LoRA, concatenated metadata, the Geo-Time
/// Conditional Adapter), evaluates them on held-out samples, sites, regions, blocks and years, measures what wrong
/// metadata does to their predictions, and writes a report.
///
/// Without --data it makes a synthetic world whose posteriors are known, so that justified sensitivity can be told
/// from a shortcut. With --data it reads a folder: dataset.json, samples.csv, data.safetensors, and where they exist
/// splits.csv and conflict.csv. Finished splits are kept under --out and not run again. Equal arguments give equal
/// files, bit for bit, on one device.
#[derive(Debug, Parser)]
#[command(name = "gtca-lab", version)]
pub struct Arguments {
    /// Folder of a data set; without it the synthetic world is used.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Task of the data set; the first one if not given.
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// Where report.html, results.csv, results.json and the finished splits go.
    #[arg(long, value_name = "DIR", default_value = "out/lab")]
    pub out: PathBuf,
    /// Model seeds a split; 1 for real data, where the splits are the repetitions, 3 for the synthetic world.
    #[arg(long, value_name = "N")]
    pub seeds: Option<u32>,
    /// First model seed, and the seed of drawn splits and of the synthetic world.
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Climate zones by place: a global 2-D u8 .npy, first row north, first column at 180 degrees west.
    #[arg(long, value_name = "FILE")]
    pub climate_grid: Option<PathBuf>,
    /// Climate codes that mean "no data", beside 0.
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "32")]
    pub no_data: Vec<u8>,
    /// At most this many splits of each protocol; all for real data, 1 for the synthetic world, whose repetitions are
    /// the seeds.
    #[arg(long, value_name = "N")]
    pub splits: Option<usize>,
    /// A few steps on few splits: shows that everything runs; the numbers mean nothing.
    #[arg(long)]
    pub quick: bool,
}

/// Runs the lab and prints its table.
///
/// # Errors
/// Broken input, no adapter, a folder that cannot be written; nothing is written for broken input.
#[expect(clippy::print_stdout, reason = "the table is what the program says")]
pub fn run(arguments: &Arguments) -> Result<(), Error> {
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
    let grid = match (&grid, &world) {
        (Some(grid), _) => Some(kernel_grid(grid, &arguments.no_data)?),
        (None, Some(world)) => Some(kernel_grid(world.grid(), &[])?),
        (None, None) => None,
    };
    let run = Run {
        task: data.task(arguments.task.as_deref())?,
        data: &data,
        world: world.as_ref(),
        grid,
        seed: arguments.seed,
        seeds,
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

//! The command line.

mod merge;
mod report;
mod run;
mod sweep;

use clap::{Parser, Subcommand};

use crate::Error;

/// Experiments on how Earth-observation models use place and time.
///
/// `run` trains models and evaluates them; `sweep` measures what wrong metadata do to the predictions of any model,
/// whose logits come from files; `merge` adds results of several machines; `report` draws results.
#[derive(Debug, Parser)]
#[command(name = "gtca-lab", version, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gtca-lab run --quick
      a small run on the synthetic world, with all reports
  gtca-lab sweep --metadata samples.csv --label crop --shards logits-*.parquet --out all.safetensors
      what wrong metadata do to a model whose logits are in Parquet files
  gtca-lab report all.safetensors --out report.html
      the same as a page with plots and a diagnosis

`gtca-lab COMMAND --help` tells the rest.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Options),
    Sweep(sweep::Options),
    Merge(merge::Options),
    Report(report::Options),
}

/// Does what the arguments say.
///
/// # Errors
/// Broken input, no adapter, a file that cannot be written; nothing is written for broken input.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    match &arguments.command {
        Command::Run(options) => run::run(options),
        Command::Sweep(options) => sweep::run(options),
        Command::Merge(options) => merge::run(options),
        Command::Report(options) => report::run(options),
    }
}

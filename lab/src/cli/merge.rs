//! `gtca-lab merge`.

use std::path::PathBuf;

use crate::Error;
use crate::report;
use crate::sweep::Partial;

const EXAMPLES: &str = "\
Examples:
  gtca-lab merge part-*.safetensors --out all.safetensors

The sum is the result of one sweep over all rows, to the bit, in whatever order the parts are named.";

/// Adds results of `sweep` over different rows of the same data.
///
/// Results of other data, models, perturbations or groups are refused, and so are rows that two results hold.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Results to add.
    #[arg(value_name = "RESULT", required = true)]
    results: Vec<PathBuf>,
    /// Where the sum goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the table is what the program says")]
pub(super) fn run(options: &Options) -> Result<(), Error> {
    let mut results = options.results.iter();
    let first = results.next().ok_or_else(|| Error::argument("RESULT", "name at least one"))?;
    let mut sum = Partial::load(first)?;
    for path in results {
        let more = Partial::load(path)?;
        sum.merge(&more).map_err(|e| Error::file(path, e.to_string()))?;
    }
    sum.store(&options.out)?;
    println!("{}", report::sensitivity::table(&sum));
    println!(
        "result: {} ({} rows in {} runs)",
        options.out.display(),
        sum.rows.len(),
        sum.rows.ranges().len()
    );
    Ok(())
}

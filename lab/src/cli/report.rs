//! `gtca-lab report`.

use std::path::PathBuf;

use crate::Error;
use crate::report::sensitivity;
use crate::sweep::Partial;

const EXAMPLES: &str = "\
Examples:
  gtca-lab report all.safetensors --out report.html
  gtca-lab report concat.safetensors gtca.safetensors --out both.html      models side by side
  gtca-lab report part-*.safetensors                                       parts of one model are added first

Beside report.html there are report.csv and report.parquet: every number of the page, one a row.";

/// Draws results of `sweep`: sensitivity by distance, month and group, a map, the worst cases, and a diagnosis.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Results of one data set; those of one model are added.
    #[arg(value_name = "RESULT", required = true)]
    results: Vec<PathBuf>,
    /// Where the page goes.
    #[arg(long, value_name = "FILE", default_value = "out/sensitivity.html")]
    out: PathBuf,
    /// Resamples of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = sensitivity::REPLICATES)]
    replicates: usize,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

#[expect(clippy::print_stdout, reason = "the verdict is what the program says")]
pub(super) fn run(options: &Options) -> Result<(), Error> {
    let mut models: Vec<Partial> = Vec::new();
    for path in &options.results {
        let more = Partial::load(path)?;
        match models.iter_mut().find(|model| model.subject.model == more.subject.model) {
            Some(model) => model.merge(&more).map_err(|e| Error::file(path, e.to_string()))?,
            None => models.push(more),
        }
    }
    let page = sensitivity::Page::new(models, options.replicates, options.seed)?;
    page.write(&options.out)?;
    println!("{}", page.text());
    println!("report: {}", options.out.display());
    Ok(())
}

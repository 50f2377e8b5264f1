//! Measures every encoding scheme at its seams, and draws what they do to similarity. `docs/ENCODINGS.md` shows a run.

#![allow(unreachable_pub, reason = "modules of one program")]
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

mod at;
mod exact;
mod maps;
mod measure;
mod schemes;
mod table;
mod upstream;

use clap::Parser;
use gtca::gpu::{Gpu, OpenOptions};
use measure::Runner;
use std::path::PathBuf;
use table::Line;

/// Measure every encoding scheme of gtca at its seams, on this machine's adapter, and draw similarity maps.
///
/// Places: the step of 0.1° across ±180° in mean steps of that length elsewhere (1 = no seam; steps that change nothing do
/// not count), the cosine similarity of its ends inside and across, whether 180° and −180° have one code, how far apart
/// the codes of one pole are by their length (0 = one point, 2 = opposite).
/// Seasons: after how many days the code changes, the step from 31 December to 1 January in mean steps (1 = no seam),
/// whether 29 February and day 366 have codes of their own, how far a leap year runs from a common one at the same
/// fraction of the year, in mean steps.
/// All: the largest error against f64 formulas written in this example and not taken from the library; beside it
/// upstream's own f32 against its own f64, where the golden tensors of the test suite lie in tests/golden (or where
/// GTCA_GOLDEN says); and what comes out where the input is missing.
///
/// Writes compare.md and compare.json, and maps/*.png: the cosine similarity of one place with all others (beside the
/// antimeridian, and within a continent), or of 31 December 2023 with the noons of sixteen years, blue −1, white 0, red 1.
///
/// Examples:
///   cargo run --example compare_encodings
///   cargo run --release --example compare_encodings -- --all-maps --scheme sphere
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Options {
    /// Where the tables and maps go
    #[arg(long, value_name = "DIR", default_value = "out/compare")]
    out: PathBuf,
    /// Only schemes whose name contains this, for example `Prithvi`
    #[arg(long, value_name = "PART", default_value = "")]
    scheme: String,
    /// A map of every scheme, not only of those that the documentation shows
    #[arg(long)]
    all_maps: bool,
    /// Few places for the errors, and no maps
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let gpu = match pollster::block_on(Gpu::open(&OpenOptions::default())) {
        Err(error @ gtca::Error::NoAdapter { .. })
            if std::env::var("GTCA_REQUIRE_ADAPTER") != Ok("1".into()) =>
        {
            println!("nothing to show: {error}");
            return Ok(());
        }
        gpu => gpu?,
    };
    let maps = options.out.join("maps");
    std::fs::create_dir_all(&maps)?;
    let schemes = schemes::all();
    let mut lines = Vec::new();
    for scheme in schemes.iter().filter(|scheme| scheme.name.contains(&options.scheme)) {
        let runner = Runner::new(&gpu, scheme)?;
        let measured = runner.measure(if options.quick { 100 } else { 1500 })?;
        if !options.quick && (options.all_maps || scheme.drawn) {
            maps::draw(&runner, scheme.kind, &maps, &file_name(&scheme.name), 2.0)?;
        }
        let upstream = scheme.upstream.and_then(upstream::error);
        lines.push(Line { scheme, measured, upstream });
    }
    if lines.is_empty() {
        return Err(format!("no scheme's name contains `{}`", options.scheme).into());
    }
    let text = table::markdown(&lines);
    std::fs::write(options.out.join("compare.md"), &text)?;
    std::fs::write(options.out.join("compare.json"), table::json(&lines, &gpu.to_string()))?;
    println!("{text}\nmeasured on {gpu}; errors against the f64 formulas of this example");
    println!("written to {}; blocks not compared: {}", options.out.display(), others(&schemes));
    Ok(())
}

/// The blocks of the library that no scheme here has: ids and tokens, and what is newer than this example.
fn others(compared: &[schemes::Scheme]) -> String {
    let has = |name: &str| {
        compared.iter().flat_map(|scheme| &scheme.blocks).any(|block| block.info().block == name)
    };
    let names = gtca::encode::schemes().iter().map(|scheme| scheme.block).filter(|name| !has(name));
    names.collect::<Vec<_>>().join(", ")
}

/// Letters and digits, the rest as single dashes.
fn file_name(scheme: &str) -> String {
    let words = scheme.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

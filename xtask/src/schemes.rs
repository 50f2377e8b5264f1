//! `cargo xtask schemes`: README's table of encoding schemes, written by the test that also checks it.

use crate::process::{self, Failure};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only check that README says what the code says
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--quiet"]).args(process::PACKAGES).args(["--test", "readme"]);
    if !options.check {
        cargo.env("GTCA_WRITE_README", "1");
    }
    process::run(&mut cargo)
}

//! `cargo xtask isa`: what an AMD compiler makes of every kernel; the program is `xtask/isa`.

use crate::process::{self, Failure};
use std::process::Command;

#[derive(clap::Args)]
// The program explains itself.
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Passed on to the program; see `cargo xtask isa --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

/// Built with what `cargo xtask test` builds, so that one compilation of wgpu serves both; this program stays light.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    process::run(process::build_programs().arg("--quiet"))?;
    let program = process::dev_programs()?.join("gtca-isa");
    // Paths are the reader's own, so they count from where they are.
    process::run(Command::new(program).args(&options.args))
}

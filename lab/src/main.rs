//! The lab as a program; see `gtca-lab --help`.

use clap::Parser;
use gtca_lab::cli;

#[expect(clippy::print_stderr, reason = "an error is what the program says")]
fn main() -> std::process::ExitCode {
    match cli::run(&cli::Arguments::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

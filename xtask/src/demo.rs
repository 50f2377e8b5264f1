//! `cargo xtask demo`: the main job in one command.

use crate::driver;
use crate::process::{self, Failure};

/// Where the lab writes when nobody says.
const DEFAULT_OUT: &str = "out/demo";

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    driver: driver::Options,
    /// Passed on to `gtca-lab run`, for example `--data DIR --task NAME`; see `cargo xtask demo -- --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    driver::ensure(&options.driver)?;
    let mut cargo = process::cargo();
    cargo.args(cargo_args(&options.args));
    println!("demo: {}", process::typed(&cargo));
    process::run(&mut cargo)
}

fn cargo_args(args: &[String]) -> Vec<String> {
    let names_out = args.iter().any(|arg| arg == "--out" || arg.starts_with("--out="));
    let out: &[&str] = if names_out { &[] } else { &["--out", DEFAULT_OUT] };
    let words = ["run", "--release", "-p", "gtca-lab", "--", "run"].iter().chain(out);
    words.map(|word| (*word).to_owned()).chain(args.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_gets_a_default_folder_unless_one_is_named() {
        let default = cargo_args(&["--seeds".into(), "1".into()]);
        assert_eq!(default.join(" "), "run --release -p gtca-lab -- run --out out/demo --seeds 1");
        let named = cargo_args(&["--out=elsewhere".into()]);
        assert_eq!(named.join(" "), "run --release -p gtca-lab -- run --out=elsewhere");
    }
}

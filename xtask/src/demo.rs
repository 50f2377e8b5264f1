//! `cargo xtask demo`: the main job in one command.

use crate::driver;
use crate::process::{self, Failure};

/// What runs, best first: the first entry whose file exists. Until the lab stands, its newest forerunner runs.
const CANDIDATES: [(&str, Target); 4] = [
    ("lab/src/cli/mod.rs", Target::Lab),
    ("examples/sensitivity_table.rs", Target::Example("sensitivity_table")),
    ("examples/train_adapter.rs", Target::Example("train_adapter")),
    ("examples/encode_places.rs", Target::Example("encode_places")),
];

/// Where the lab writes when nobody says.
const DEFAULT_OUT: &str = "out/demo";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Lab,
    Example(&'static str),
}

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
    let root = process::workspace_root();
    let target = choose(|path| root.join(path).exists()).ok_or_else(|| {
        Failure::new("there is neither a lab nor an example in this checkout: nothing to show")
    })?;
    let mut cargo = process::cargo();
    cargo.args(cargo_args(target, &options.args));
    println!("demo: {}", process::typed(&cargo));
    process::run(&mut cargo)
}

fn choose(exists: impl Fn(&str) -> bool) -> Option<Target> {
    CANDIDATES.into_iter().find(|(path, _)| exists(path)).map(|(_, target)| target)
}

fn cargo_args(target: Target, args: &[String]) -> Vec<String> {
    let (head, default_out): (&[&str], bool) = match target {
        Target::Lab => {
            (&["-p", "gtca-lab"], !args.iter().any(|arg| arg == "--out" || arg.starts_with("--out=")))
        }
        Target::Example(name) => (&["-p", "gtca", "--all-features", "--example", name], false),
    };
    let command: &[&str] = if target == Target::Lab { &["run"] } else { &[] };
    let tail: &[&str] = if default_out { &["--out", DEFAULT_OUT] } else { &[] };
    let words = ["run", "--release"].iter().chain(head).chain(&["--"]).chain(command).chain(tail);
    words.map(|word| (*word).to_owned()).chain(args.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_is_preferred_and_the_newest_example_stands_in() {
        assert_eq!(choose(|_| true), Some(Target::Lab));
        assert_eq!(choose(|path| path.starts_with("examples/")), Some(Target::Example("sensitivity_table")));
        assert_eq!(choose(|_| false), None);
    }

    #[test]
    fn the_lab_gets_a_default_folder_unless_one_is_named() {
        let default = cargo_args(Target::Lab, &["--seeds".into(), "1".into()]);
        assert_eq!(default.join(" "), "run --release -p gtca-lab -- run --out out/demo --seeds 1");
        let named = cargo_args(Target::Lab, &["--out=elsewhere".into()]);
        assert_eq!(named.join(" "), "run --release -p gtca-lab -- run --out=elsewhere");
    }
}

//! `cargo xtask test`: every check that runs code, one after the other.

use crate::process::{self, Failure};
use crate::{driver, swiftshader};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Turns what would be skipped for want of an adapter into a failure.
const REQUIRE: (&str, &str) = ("GTCA_REQUIRE_ADAPTER", "1");

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    driver: driver::Options,
    /// Only `cargo test` over the workspace: no second feature set, no examples, no lab
    #[arg(long)]
    quick: bool,
    /// Only the GPU suite and golden tensors, on the adapter with this in its name; `swiftshader` is fetched first
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Passed on to `cargo test`, for example `-- --test gpu -- --nocapture`; other steps are then left out
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut suite = Suite::default();
    match &options.adapter {
        Some(name) => {
            suite.tests("GPU suite", &mut gpu_suite(name, options)?)?;
        }
        None => {
            driver::ensure(&options.driver)?;
            suite.tests("tests", cargo_test(&process::PACKAGES).args(&options.extra))?;
            if !options.quick && options.extra.is_empty() {
                without_default_features(&mut suite)?;
                programs(&mut suite)?;
            }
        }
    }
    suite.report();
    Ok(())
}

/// One feature set and one profile for as many steps as can be, so that one compilation serves them.
fn cargo_test(args: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.arg("test").args(args).env(REQUIRE.0, REQUIRE.1);
    cargo
}

fn gpu_suite(adapter: &str, options: &Options) -> Result<Command, Failure> {
    let mut cargo = cargo_test(&process::PACKAGES);
    cargo.args(["--test", "gpu", "--test", "golden"]).args(&options.extra);
    if adapter.eq_ignore_ascii_case("swiftshader") {
        let manifest = swiftshader::ensure(&options.driver)?;
        cargo.env("GTCA_ADAPTER", "SwiftShader").env("GTCA_BACKEND", "vulkan");
        cargo.envs(swiftshader::environment(&manifest));
    } else {
        driver::ensure(&options.driver)?;
        cargo.env("GTCA_ADAPTER", adapter);
    }
    Ok(cargo)
}

fn without_default_features(suite: &mut Suite) -> Result<(), Failure> {
    suite.tests(
        "tests without default features",
        &mut cargo_test(&["-p", "gtca", "--no-default-features", "--lib"]),
    )
}

/// The examples and the lab, built by one command with the features of the tests, then run one by one.
fn programs(suite: &mut Suite) -> Result<(), Failure> {
    let root = process::workspace_root();
    let examples = examples_in(&root.join("examples"));
    suite.step("build the examples and the lab", &mut process::build_programs())?;
    let programs = process::dev_programs()?;
    for name in examples {
        let mut example = process::command(programs.join("examples").join(&name));
        suite.step(&format!("example {name}"), example.env(REQUIRE.0, REQUIRE.1))?;
    }
    // A fresh folder: the lab skips what it finds finished.
    let out = process::target_dir()?.join("xtask/lab-quick");
    if out.exists() {
        std::fs::remove_dir_all(&out)
            .map_err(|e| Failure::new(format!("cannot empty {}: {e}", out.display())))?;
    }
    let mut lab = process::command(programs.join("gtca-lab"));
    suite.step("lab, quick", lab.args(["run", "--quick", "--out"]).arg(&out))
}

/// The names of the examples: `NAME.rs`, or a folder with a `main.rs`.
fn examples_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_example =
        |path: &Path| path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").exists();
    let stem = |path: &Path| Some(path.file_stem()?.to_string_lossy().into_owned());
    let mut names: Vec<_> = entries.filter(|path| is_example(path)).filter_map(|path| stem(&path)).collect();
    names.sort();
    names
}

/// The steps so far.
#[derive(Default)]
struct Suite {
    done: Vec<(String, Duration)>,
    passed: u64,
}

impl Suite {
    fn step(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        self.timed(name, command, process::run)
    }

    /// A step of `cargo test`. No failure is not enough: a step in which no test ran has checked nothing.
    fn tests(&mut self, name: &str, command: &mut Command) -> Result<(), Failure> {
        let mut passed = 0;
        let count = |line: &str| passed += passed_tests(line).unwrap_or(0);
        self.timed(name, command, |command| process::run_reading(command, count))?;
        if passed == 0 {
            return Err(Failure::new(format!("step `{name}` ran no test, which proves nothing")));
        }
        self.passed += passed;
        Ok(())
    }

    fn timed(
        &mut self,
        name: &str,
        command: &mut Command,
        run: impl FnOnce(&mut Command) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n== {name}: {}", process::typed(command));
        let start = Instant::now();
        let result = run(command);
        let took = start.elapsed();
        println!(
            "== {name}: {} in {:.1} s",
            if result.is_ok() { "done" } else { "FAILED" },
            took.as_secs_f64()
        );
        self.done.push((name.to_owned(), took));
        result
    }

    fn report(&self) {
        println!("\nAll steps passed, {} tests:", self.passed);
        for (name, took) in &self.done {
            println!("{:>8.1} s  {name}", took.as_secs_f64());
        }
    }
}

/// The count in a line like `test result: ok. 12 passed; 0 failed; …`.
fn passed_tests(line: &str) -> Option<u64> {
    let (before, _) = line.strip_prefix("test result:")?.split_once(" passed")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_result_lines_count_tests() {
        let line =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(passed_tests(line), Some(12));
        assert_eq!(passed_tests("running 12 tests"), None);
        assert_eq!(passed_tests("test that_3 passed"), None);
    }

    #[test]
    fn a_step_in_which_no_test_ran_fails() {
        let mut nothing = process::cargo();
        nothing.arg("--version");
        let failure = Suite::default().tests("nothing", &mut nothing).unwrap_err();
        assert!(failure.to_string().contains("ran no test"));
    }

    #[test]
    fn a_failing_step_names_its_command() {
        let mut wrong = process::cargo();
        wrong.arg("--no-such-flag");
        let failure = Suite::default().step("wrong", &mut wrong).unwrap_err();
        assert!(failure.to_string().contains("--no-such-flag"));
    }
}

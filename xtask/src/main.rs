//! The project's tasks, run as `cargo xtask <command>`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod bench;
mod demo;
mod driver;
mod isa;
mod process;
mod schemes;
mod swiftshader;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tasks of the gtca workspace: find or install a Vulkan driver, test, run the demo.
///
/// Start with `cargo xtask demo` to see what the library does, and with `cargo xtask test` to check that it works
/// on this machine. Both need a GPU adapter, and a software one will do: on Debian and Ubuntu they install it when
/// they may, elsewhere they print the line to type. Windows (DX12, with WARP) and macOS (Metal) bring their own.
///
/// The library, its tests, the examples and the lab choose the adapter by environment variables:
/// GTCA_ADAPTER (a part of its name), GTCA_BACKEND (vulkan, metal, dx12), GTCA_POWER (low, high);
/// GTCA_REQUIRE_ADAPTER=1 turns a test skipped for want of an adapter into a failure (`test` sets it).
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", verbatim_doc_comment, version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find a Vulkan driver, or install a software one (Linux; nothing to do elsewhere)
    Setup(driver::Options),
    /// Run everything that can fail: unit, integration and doc tests, examples, the lab in a quick mode
    Test(test::Options),
    /// Run the main job and write its report to out/demo
    Demo(demo::Options),
    /// Time every kernel against the adapter's own roofs and print JSON lines
    Bench(bench::Options),
    /// Compile every kernel for an AMD GPU that need not be there: registers, spills, waves
    Isa(isa::Options),
    /// Write README's table of encoding schemes from the code
    Schemes(schemes::Options),
    /// Fetch SwiftShader, a second software Vulkan driver, into the target folder (Debian)
    Swiftshader(driver::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(options) => driver::ensure(&options),
        Task::Test(options) => test::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Isa(options) => isa::run(&options),
        Task::Schemes(options) => schemes::run(&options),
        Task::Swiftshader(options) => swiftshader::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_after_the_double_dash_go_to_cargo_test_unread() {
        let line = "xtask test --quick -- --test gpu -- --nocapture";
        let Task::Test(options) = Cli::parse_from(line.split(' ')).task else { panic!("not the test task") };
        assert_eq!(options.extra, ["--test", "gpu", "--", "--nocapture"]);
    }

    #[test]
    fn the_labs_words_need_no_double_dash() {
        for line in ["xtask demo --data d --task t", "xtask demo -- --data d --task t"] {
            let Task::Demo(options) = Cli::parse_from(line.split(' ')).task else {
                panic!("not the demo task")
            };
            assert_eq!(options.args, ["--data", "d", "--task", "t"]);
        }
    }

    #[test]
    fn help_on_the_statistics_comes_from_their_program() {
        let Task::Isa(options) = Cli::parse_from(["xtask", "isa", "--help"]).task else {
            panic!("not the task")
        };
        assert_eq!(options.args, ["--help"]);
    }
}

//! What an AMD compiler makes of every kernel, run as `cargo xtask isa`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

mod radv;
mod report;
mod spirv;

use clap::Parser;
use gtca::gpu::{Kernel, kernels};
use radv::Radv;
use report::{Limits, Report, Row};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compile every variant of every kernel for an AMD GPU that need not be there, and print what the compiler reports:
/// registers, spills, workgroup memory, waves.
///
/// WGSL goes through naga to SPIR-V as in wgpu, then through Mesa's RADV, which RADV_FORCE_FAMILY makes compile for
/// any GPU; nothing runs. These are compiler statistics, not timings: they tell what a kernel asks of a GPU, not how
/// fast it is, and they are this driver's alone.
///
/// Without RADV (Mesa's Vulkan drivers; `mesa-vulkan-drivers` on Debian and Ubuntu) it says so and succeeds, unless
/// --require is given.
///
/// Examples:
///   cargo xtask isa --filter encode
///   cargo xtask isa --family GFX1100 --json out/isa.json
///   cargo xtask isa --check --min-waves 6
#[derive(Parser)]
#[command(name = "cargo xtask isa", bin_name = "cargo xtask isa", verbatim_doc_comment)]
struct Options {
    /// The GPU to compile for, as RADV_FORCE_FAMILY names it: NAVI21, GFX1100, VEGA20, …; RADV aborts at others
    #[arg(long, value_name = "NAME", default_value = "NAVI21")]
    family: String,
    /// Only kernels whose name contains this, for example `encode/`
    #[arg(long, value_name = "PART", default_value = "")]
    filter: String,
    /// Compile the variants for tensors that share one buffer, with every binding writable
    #[arg(long)]
    one_buffer: bool,
    /// Also write everything that the driver reports to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where a kernel spills registers, keeps too few waves, or takes too much workgroup memory
    #[arg(long)]
    check: bool,
    /// With --check: the least waves a SIMD may hold
    #[arg(long, value_name = "N", default_value_t = 6)]
    min_waves: u64,
    /// With --check: the most workgroup memory, in bytes; WebGPU promises 16,384
    #[arg(long, value_name = "BYTES", default_value_t = 16_384)]
    max_lds: u64,
    /// Fail where there is no RADV, instead of skipping
    #[arg(long)]
    require: bool,
    /// The driver's manifest, where it lies in no usual folder
    #[arg(long, value_name = "FILE")]
    icd: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let radv = match open(&options) {
        Ok(radv) => radv,
        Err(why) if options.require => return fail(&format!("no RADV: {why}")),
        Err(why) => {
            println!("isa: skipped, there is no RADV here: {why}");
            return ExitCode::SUCCESS;
        }
    };
    match run(&radv, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&why),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("\nisa: {why}");
    ExitCode::FAILURE
}

fn open(options: &Options) -> Result<Radv, String> {
    let manifest = options.icd.clone().or_else(|| manifest(&FOLDERS));
    let manifest = manifest.ok_or("no manifest radeon_icd*.json in the usual folders; name it by --icd")?;
    // SAFETY: this is the program's only thread.
    unsafe { radv::choose(&manifest, &options.family) };
    Radv::open()
}

/// Where packages put the manifests of Vulkan drivers.
const FOLDERS: [&str; 3] = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/// RADV's manifest in the first folder that has one.
fn manifest(folders: &[impl AsRef<Path>]) -> Option<PathBuf> {
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let is_radv = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("radeon_icd") && name.ends_with(".json") && !name.contains("i686")
    };
    files.map(|entry| entry.path()).find(is_radv)
}

fn run(radv: &Radv, options: &Options) -> Result<(), String> {
    // Kernels with subgroups are for software adapters; an AMD GPU never runs them.
    let chosen = (kernels().into_iter())
        .filter(|kernel| kernel.name.contains(&options.filter) && !kernel.uses_subgroups());
    let variants: Vec<_> =
        chosen.flat_map(|kernel| kernel.variants().into_iter().map(move |flags| (kernel, flags))).collect();
    if variants.is_empty() {
        return Err(format!("no kernel's name contains `{}`", options.filter));
    }
    let rows: Result<Vec<_>, _> =
        variants.into_iter().map(|(kernel, flags)| row(radv, kernel, &flags, options.one_buffer)).collect();
    let report = Report { driver: radv.name.clone(), one_buffer: options.one_buffer, rows: rows? };
    print!("{report}");
    if let Some(file) = &options.json {
        write(file, &report.json())?;
    }
    let limits = Limits { min_waves: options.min_waves, max_lds: options.max_lds };
    let problems = if options.check { report.problems(&limits) } else { Vec::new() };
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn row(radv: &Radv, kernel: &Kernel, flags: &[&str], one_buffer: bool) -> Result<Row, String> {
    let words = spirv::words(kernel, flags, one_buffer);
    let statistics = words.and_then(|words| radv.compile(&words, kernel.storage.len() as u32));
    let flags = flags.join(" ");
    let statistics = statistics.map_err(|why| format!("{} {flags}: {why}", kernel.name))?;
    Ok(Row { kernel: kernel.name, flags, statistics })
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let failed = |e| format!("cannot write {}: {e}", file.display());
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, text).map_err(failed)?;
    println!("\nisa: wrote {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_machine_without_the_driver_has_no_manifest() {
        assert_eq!(manifest(&["/no/such/folder"]), None);
    }

    #[test]
    fn every_variant_becomes_spirv() {
        for kernel in kernels() {
            for flags in kernel.variants() {
                let words = spirv::words(kernel, &flags, false);
                assert_eq!(words.map(|words| words[..2].to_vec()), Ok(vec![0x0723_0203, 0x0001_0300]));
            }
        }
    }
}

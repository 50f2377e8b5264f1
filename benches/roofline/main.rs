//! `cargo xtask bench`: every kernel's time against the adapter's own roofs, measured in the same run.
//!
//! Prints one JSON object a line: job, shape, adapter, median_ms, min_ms, bytes, flops, roof_pct. The first line holds
//! the roofs. Arguments: `--job PART` runs the jobs whose name contains PART, `--repeats N` (default 15).

mod jobs;
mod roofs;
mod timing;

use gtca::gpu::{Gpu, OpenOptions};

/// One measured job.
pub struct Job {
    /// Its name in the output.
    pub name: &'static str,
    /// Its shape, as text.
    pub shape: String,
    /// Bytes that any implementation must move.
    pub bytes: f64,
    /// Floating-point operations of the formula.
    pub flops: f64,
    /// Records one repetition.
    pub record: Box<dyn FnMut(&mut wgpu::CommandEncoder)>,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's output is its purpose")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too; there is nothing to test.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let repeats = value("--repeats").and_then(|text| text.parse().ok()).unwrap_or(15);
    let gpu = match pollster::block_on(Gpu::open(&OpenOptions::default())) {
        Ok(gpu) => gpu,
        Err(error) => {
            eprintln!("no benchmark: {error}");
            std::process::exit(1);
        }
    };
    let roofs = roofs::calibrate(&gpu, repeats);
    let adapter = gpu.to_string().replace(['"', '\\'], "");
    println!(
        r#"{{"job":"roofs","shape":"","adapter":"{adapter}","add_gb_s":{:.2},"read_gb_s":{:.2},"write_gb_s":{:.2},"fma_gflop_s":{:.1}}}"#,
        roofs.add / 1e9,
        roofs.read / 1e9,
        roofs.write / 1e9,
        roofs.flops / 1e9
    );
    let wanted = value("--job").map_or("", String::as_str);
    for make in jobs::all() {
        for mut job in make(&gpu).into_iter().filter(|job| job.name.contains(wanted)) {
            let timing = timing::measure(&gpu, repeats, &mut job.record);
            println!(
                r#"{{"job":"{}","shape":"{}","adapter":"{adapter}","median_ms":{:.3},"min_ms":{:.3},"bytes":{:.0},"flops":{:.0},"roof_pct":{:.1}}}"#,
                job.name,
                job.shape,
                timing.median * 1e3,
                timing.min * 1e3,
                job.bytes,
                job.flops,
                roofs.percent(timing, job.bytes, job.flops)
            );
        }
    }
}

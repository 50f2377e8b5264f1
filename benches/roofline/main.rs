//! `cargo xtask bench`: every kernel's time against the adapter's own roofs, measured in the same run.
//!
//! Prints one JSON object a line. The first, `"job":"run"`, says when, on what commit, adapter and driver; the second,
//! `"job":"roofs"`, holds the roofs; then one a job: job, shape, adapter, median_ms, min_ms, bytes, flops, roof_pct.
//! On a software adapter, cpu_ms and cpu_roof_pct say the same by processor time, roofs and job alike: a busy machine
//! disturbs them less. ratio_to_naive says how many times longer the job's unfused twin takes (processor time where there is one),
//! where it ran before it: `--job lora_forward`. ratio_to_plain says how many plain forwards a sweep takes, by the same time, where
//! one ran before it: `--job sensitivity_full`. pairs_per_s: samples · perturbations a second, by the median.
//! Arguments: `--job PART` runs the jobs whose name and shape contain PART, `--repeats N` (default 15), `--commit ID` and
//! `--note TEXT` go into the first line.

mod jobs;
mod kernels;
mod roofs;
mod timing;

use gtca::gpu::{Gpu, OpenOptions};
use std::collections::HashMap;

/// What can be measured; nothing is allocated yet.
pub(crate) struct Case {
    /// Its name in the output.
    pub(crate) name: &'static str,
    /// Its shape, as text.
    pub(crate) shape: String,
    /// Allocates the buffers.
    pub(crate) make: Box<dyn Fn(&Gpu) -> Job>,
}

/// One job with its buffers.
pub(crate) struct Job {
    /// Bytes that any implementation must move.
    pub(crate) bytes: f64,
    /// Those of them that a kernel with hardly any input writes; 0 where the traffic is mixed.
    pub(crate) written: f64,
    /// Floating-point operations of the formula.
    pub(crate) flops: f64,
    /// Samples · perturbations; 0 where nothing is perturbed.
    pub(crate) pairs: f64,
    /// Records one repetition.
    pub(crate) record: Box<dyn FnMut(&mut wgpu::CommandEncoder)>,
    /// Called after the first repetition; panics where the result is wrong.
    pub(crate) check: Box<dyn Fn(&Gpu)>,
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
    let repeats = value("--repeats").and_then(|text| text.parse().ok()).unwrap_or(15).max(1);
    let gpu = match pollster::block_on(Gpu::open(&OpenOptions::default())) {
        Ok(gpu) => gpu,
        Err(error) => {
            eprintln!("no benchmark: {error}");
            std::process::exit(1);
        }
    };
    let info = gpu.info();
    let adapter = text(&info.name);
    println!(
        r#"{{"job":"run","shape":"","adapter":{adapter},"date":{},"commit":{},"backend":{},"driver":{},"repeats":{repeats},"note":{}}}"#,
        text(&jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%MZ").to_string()),
        text(value("--commit").map_or("unknown", String::as_str)),
        text(&info.backend.to_string()),
        text(&format!("{} {}", info.driver, info.driver_info)),
        text(value("--note").map_or("", String::as_str)),
    );
    let roofs = roofs::calibrate(&gpu, repeats);
    let cpu = roofs.cpu.map(|rates| format!(",{}", roof_fields("cpu_", &rates))).unwrap_or_default();
    let wall = roof_fields("", &roofs.wall);
    println!(r#"{{"job":"roofs","shape":"","adapter":{adapter},{wall}{cpu}}}"#);
    let wanted = value("--job").map_or("", String::as_str);
    // Of the jobs so far, the time that counts: processor time where the system tells, else the best by the clock.
    let mut times = HashMap::new();
    for case in
        jobs::all().into_iter().filter(|case| format!("{} {}", case.name, case.shape).contains(wanted))
    {
        let mut job = (case.make)(&gpu);
        timing::once(&gpu, &mut job.record);
        (job.check)(&gpu);
        let timing = timing::measure(&gpu, repeats, &mut job.record);
        let (bytes, flops) = (job.bytes, job.flops);
        let cpu = roofs.cpu.zip(timing.cpu).map(|(rates, seconds)| {
            let percent = rates.percent(seconds, &job);
            format!(r#","cpu_ms":{:.3},"cpu_roof_pct":{percent:.1}"#, seconds * 1e3)
        });
        let time = timing.cpu.filter(|_| roofs.cpu.is_some()).unwrap_or(timing.min);
        let time_of = |name: String| times.get(&(name, case.shape.clone())).copied();
        let twin = time_of(format!("{}_naive", case.name));
        let ratio = twin.map(|twin: f64| format!(r#","ratio_to_naive":{:.2}"#, twin / time));
        let room = case.name.rsplit_once('_').map_or(case.name, |(room, _)| room);
        let plain = time_of(format!("{room}_plain"));
        let forwards = plain.map(|plain: f64| format!(r#","ratio_to_plain":{:.2}"#, time / plain));
        let rate = (job.pairs > 0.0).then(|| format!(r#","pairs_per_s":{:.0}"#, job.pairs / timing.median));
        times.insert((case.name.to_owned(), case.shape.clone()), time);
        println!(
            r#"{{"job":"{}","shape":"{}","adapter":{adapter},"median_ms":{:.3},"min_ms":{:.3},"bytes":{bytes:.0},"flops":{flops:.0},"roof_pct":{:.1}{}{}{}{}}}"#,
            case.name,
            case.shape,
            timing.median * 1e3,
            timing.min * 1e3,
            roofs.wall.percent(timing.median, &job),
            cpu.unwrap_or_default(),
            ratio.unwrap_or_default(),
            forwards.unwrap_or_default(),
            rate.unwrap_or_default()
        );
    }
}

fn roof_fields(prefix: &str, rates: &roofs::Rates) -> String {
    let fields = [("add", rates.add), ("read", rates.read), ("write", rates.write)];
    let bandwidths = fields.map(|(name, rate)| format!(r#""{prefix}{name}_gb_s":{:.2}"#, rate / 1e9));
    format!(r#"{},"{prefix}fma_gflop_s":{:.1}"#, bandwidths.join(","), rates.flops / 1e9)
}

/// A JSON string; characters that JSON would have to escape are left out.
fn text(words: &str) -> String {
    let plain: String = words.chars().filter(|&c| c != '"' && c != '\\' && !c.is_control()).collect();
    format!("\"{}\"", plain.trim())
}

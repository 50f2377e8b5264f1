//! Times from submit to done, in seconds.

use gtca::gpu::Gpu;
use std::time::Instant;

/// Seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// The middle one.
    pub(crate) median: f64,
    /// The best one.
    pub(crate) min: f64,
    /// The least processor time of this process, where the system tells. On a software adapter it is the kernel's
    /// own work, however busy the machine.
    pub(crate) cpu: Option<f64>,
}

/// Records, submits and waits; the seconds from submit to done, and of processor time. Recording is not timed.
pub(crate) fn once(gpu: &Gpu, mut record: impl FnMut(&mut wgpu::CommandEncoder)) -> (f64, Option<f64>) {
    let mut encoder = gpu.encoder();
    record(&mut encoder);
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let submission = gpu.submit(encoder).expect("the device is alive");
    let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    gpu.device().poll(wait).expect("the device answers");
    let cpu = cpu_seconds().zip(cpu_start).map(|(end, start)| end - start);
    (start.elapsed().as_secs_f64(), cpu)
}

/// `repeats` times after two warm-ups.
pub(crate) fn measure(
    gpu: &Gpu,
    repeats: usize,
    mut record: impl FnMut(&mut wgpu::CommandEncoder),
) -> Timing {
    let times: Vec<_> = (0..repeats + 2).map(|_| once(gpu, &mut record)).skip(2).collect();
    let (mut wall, cpu): (Vec<f64>, Vec<_>) = times.into_iter().unzip();
    wall.sort_by(f64::total_cmp);
    let cpu = cpu.into_iter().flatten().min_by(f64::total_cmp);
    Timing { median: wall[wall.len() / 2], min: wall[0], cpu }
}

/// Processor time of all threads so far, as Linux counts it; elsewhere nothing.
fn cpu_seconds() -> Option<f64> {
    let threads = std::fs::read_dir("/proc/self/task").ok()?;
    let of_thread = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    let nanoseconds: f64 = threads.flatten().filter_map(of_thread).sum();
    (nanoseconds > 0.0).then_some(nanoseconds * 1e-9)
}

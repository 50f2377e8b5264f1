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
}

/// Records, submits and waits; the seconds from submit to done. Recording is not timed.
pub(crate) fn once(gpu: &Gpu, mut record: impl FnMut(&mut wgpu::CommandEncoder)) -> f64 {
    let mut encoder = gpu.encoder();
    record(&mut encoder);
    let start = Instant::now();
    let submission = gpu.submit(encoder).expect("the device is alive");
    let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
    gpu.device().poll(wait).expect("the device answers");
    start.elapsed().as_secs_f64()
}

/// `repeats` times after two warm-ups.
pub(crate) fn measure(
    gpu: &Gpu,
    repeats: usize,
    mut record: impl FnMut(&mut wgpu::CommandEncoder),
) -> Timing {
    let mut seconds: Vec<f64> = (0..repeats + 2).map(|_| once(gpu, &mut record)).skip(2).collect();
    seconds.sort_by(f64::total_cmp);
    Timing { median: seconds[seconds.len() / 2], min: seconds[0] }
}

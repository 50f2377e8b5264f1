//! The adapter's own roofs, measured in the same run as the jobs: add, read and write bandwidth, FMA rate.

use super::kernels::Kernels;
use super::timing::{Timing, measure};
use crate::Job;
use gtca::gpu::Gpu;

/// Bytes of each of the three buffers: the largest that default limits bind.
const BYTES: u64 = 128 << 20;
/// Flops of one invocation of the FMA kernels.
const FMA_FLOPS: f64 = 65_536.0;
/// Invocations of the FMA kernels.
const FMA_INVOCATIONS: u32 = 1 << 16;

/// What the adapter can do, a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roofs {
    /// By the clock.
    pub(crate) wall: Rates,
    /// By processor time; of use on a software adapter.
    pub(crate) cpu: Option<Rates>,
}

/// Rates by one measure of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Bytes a second of c = a + b.
    pub(crate) add: f64,
    /// Bytes a second of a pure read.
    pub(crate) read: f64,
    /// Bytes a second of a pure write.
    pub(crate) write: f64,
    /// Floating-point operations a second, the best of the forms tried.
    pub(crate) flops: f64,
}

impl Rates {
    /// Share of the roof in percent: the time that the adapter would need for the bytes (at add bandwidth; those of a pure
    /// write at write bandwidth) or the flops, whichever is longer, over the time taken.
    pub(crate) fn percent(&self, seconds: f64, job: &Job) -> f64 {
        let traffic = (job.bytes - job.written) / self.add + job.written / self.write;
        100.0 * traffic.max(job.flops / self.flops) / seconds
    }
}

/// Measures the roofs.
pub(crate) fn calibrate(gpu: &Gpu, repeats: usize) -> Roofs {
    let kernels = Kernels::new(gpu, include_str!("roofs.wgsl"));
    let buffers = [(); 3].map(|()| gpu.zeros("roof", BYTES));
    let time = |name: &str, groups: u32| {
        let step = kernels.step(name, &[], buffers.each_ref().map(|b| b.as_entire_buffer_binding()), groups);
        measure(gpu, repeats, |encoder| step.record(encoder))
    };
    // As large as the largest job's buffers: 134 MB. Smaller ones stay in caches and read as a roof that no such job can reach.
    let groups = (BYTES / 16 / 64) as u32;
    let vectors = f64::from(groups) * 64.0 * 16.0;
    // The read kernel reads 16 vec4s and writes one per invocation.
    let readers = (BYTES / 16 / 16 / 64) as u32;
    let [add, write] = ["stream_add", "stream_write"].map(|name| time(name, groups));
    let read = time("stream_read", readers);
    let fma = ["fma_eight", "fma_four"].map(|name| time(name, FMA_INVOCATIONS / 64));
    let rates = |seconds: fn(&Timing) -> Option<f64>| {
        let flops = f64::from(FMA_INVOCATIONS) * FMA_FLOPS;
        Some(Rates {
            add: 3.0 * vectors / seconds(&add)?,
            read: f64::from(readers) * 64.0 * 17.0 * 16.0 / seconds(&read)?,
            write: vectors / seconds(&write)?,
            flops: flops / seconds(&fma[0])?.min(seconds(&fma[1])?),
        })
    };
    let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
    Roofs {
        wall: rates(|timing| Some(timing.min)).expect("the clock runs"),
        cpu: rates(|timing| timing.cpu).filter(|_| software),
    }
}

//! The ladders of `encode` from unfused ops, as a tensor library would run them: per number a table of angles, its sines, its
//! cosines, and a copy of each into the row. Builtin trigonometry on f32 angles, so its results are not compared.

use super::{FREQUENCIES, RECORDS, frequency};
use crate::Job;
use crate::jobs::STEPS;
use crate::kernels::Kernels;
use gtca::gpu::Gpu;

pub(super) fn ladders(gpu: &Gpu) -> Job {
    let kernels = Kernels::new(gpu, STEPS);
    let frequencies: Vec<f32> = (0..FREQUENCIES).map(|i| frequency(i) as f32).collect();
    let frequencies = gpu.upload("frequencies", &frequencies);
    let numbers: Vec<f32> = (0..RECORDS).map(|i| (i % 180) as f32).collect();
    let numbers = gpu.upload("numbers", &numbers);
    let elements = RECORDS * FREQUENCIES;
    let [angles, sines, cosines] =
        ["angles", "sines", "cosines"].map(|name| gpu.zeros(name, u64::from(elements) * 4));
    let e = gpu.zeros("e", u64::from(RECORDS * 512) * 4);
    let step = |name, buffers: [&wgpu::Buffer; 3], column: u32| {
        let constants = [("width", f64::from(FREQUENCIES)), ("column", f64::from(column)), ("stride", 512.0)];
        kernels.step(name, &constants, buffers.map(|b| b.as_entire_buffer_binding()), elements.div_ceil(256))
    };
    let mut steps = Vec::new();
    for number in 0..4 {
        let column = number * 2 * FREQUENCIES;
        steps.push(step("outer_product", [&numbers, &frequencies, &angles], 0));
        steps.push(step("sine", [&angles, &angles, &sines], 0));
        steps.push(step("cosine", [&angles, &angles, &cosines], 0));
        steps.push(step("copy_columns", [&sines, &sines, &e], column));
        steps.push(step("copy_columns", [&cosines, &cosines, &e], column + FREQUENCIES));
    }
    let record = move |encoder: &mut wgpu::CommandEncoder| steps.iter().for_each(|step| step.record(encoder));
    let written = 4.0 * f64::from(RECORDS * 512);
    let bytes = written + 16.0 * f64::from(RECORDS);
    Job { bytes, written, flops: 0.0, pairs: 0.0, record: Box::new(record), check: Box::new(|_| ()) }
}

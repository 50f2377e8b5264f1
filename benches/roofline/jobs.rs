//! The jobs. Each allocates its own buffers, so that only one job's memory lives at a time.

use super::Job;
use gtca::gpu::{Gpu, View};
use gtca::linear::{Forward, Linear, LinearDesc};

/// Makes a job's shapes on a device.
type Make = fn(&Gpu) -> Vec<Job>;

/// Every job, by name.
pub(crate) fn all() -> [Make; 1] {
    [linear_forward]
}

/// A buffer of `n` small numbers.
fn numbers(gpu: &Gpu, n: u32) -> wgpu::Buffer {
    let values: Vec<f32> =
        (0..n).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect();
    gpu.upload("bench", &values)
}

fn linear_forward(gpu: &Gpu) -> Vec<Job> {
    let (rows, inputs, outputs) = (4096, 256, 256);
    let [x, w] = [rows * inputs, outputs * inputs].map(|n| numbers(gpu, n));
    let y = gpu.zeros("y", u64::from(rows * outputs) * 4);
    let op = Linear::new(&LinearDesc { inputs, outputs, ..Default::default() }).expect("a valid shape");
    let host = gpu.clone();
    let elements = f64::from(rows * inputs + outputs * inputs + rows * outputs);
    vec![Job {
        name: "linear_forward",
        shape: format!("{rows}x{inputs}x{outputs}"),
        bytes: elements * 4.0,
        flops: 2.0 * f64::from(rows) * f64::from(inputs) * f64::from(outputs),
        record: Box::new(move |encoder| {
            let weight = View::matrix(&w, outputs, inputs);
            let (x, y) = (View::matrix(&x, rows, inputs), View::matrix(&y, rows, outputs));
            let args = Forward { x, weight, bias: None, pre: None, y };
            op.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
        }),
    }]
}

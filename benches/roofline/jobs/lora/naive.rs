//! The injection from unfused ops: linear maps with elementwise steps between them, every intermediate stored.

use super::{Problem, ROWS, SAMPLES, Shape, TOKENS, read_rows};
use crate::Job;
use crate::jobs::{STEPS, transposed};
use crate::kernels::{Kernels, Step};
use gtca::gpu::{Gpu, Mode, View};
use gtca::linear::{Backward, Forward, Linear, LinearDesc};
use std::rc::Rc;

/// The two maps' intermediates.
struct Unfused {
    /// B, `[width, rank]`, as a linear map has it.
    b: wgpu::Buffer,
    /// `h ⊙ g`.
    gated: wgpu::Buffer,
    /// Gradient of `h ⊙ g`.
    dgated: wgpu::Buffer,
    /// `(h ⊙ g) Bᵀ`.
    z: wgpu::Buffer,
}

impl Unfused {
    fn new(gpu: &Gpu, problem: &Problem, gated: &[f32]) -> Self {
        Self {
            b: gpu.upload("b", &transposed(&problem.b_t, problem.width as usize)),
            gated: gpu.upload("gated", gated),
            dgated: gpu.zeros("dgated", u64::from(ROWS * problem.rank) * 4),
            z: gpu.zeros("z", u64::from(ROWS * problem.width) * 4),
        }
    }
}

fn maps(Shape { width, rank, .. }: Shape) -> (Linear, Linear) {
    let map = |inputs, outputs| Linear::new(&LinearDesc { inputs, outputs, ..Default::default() });
    (map(width, rank).expect("a valid shape"), map(rank, width).expect("a valid shape"))
}

/// An elementwise step that writes `elements` numbers.
fn step(kernels: &Kernels, rank: u32, name: &str, buffers: [&wgpu::Buffer; 3], elements: u32) -> Step {
    let constants = [("width", f64::from(rank)), ("tokens", f64::from(TOKENS))];
    kernels.step(name, &constants, buffers.map(|b| b.as_entire_buffer_binding()), elements.div_ceil(256))
}

pub(super) fn forward(gpu: &Gpu, shape: Shape) -> Job {
    let Shape { width, rank, .. } = shape;
    let problem = Problem::new(gpu, shape);
    let buffers =
        Rc::new(problem.upload(gpu, &vec![0.0; problem.x.len()], &vec![0.0; (ROWS * rank) as usize]));
    let unfused = Unfused::new(gpu, &problem, &vec![0.0; (ROWS * rank) as usize]);
    let kernels = Kernels::new(gpu, STEPS);
    let gate = step(&kernels, rank, "gate", [&buffers.h, &buffers.gate, &unfused.gated], ROWS * rank);
    let add = step(&kernels, rank, "add_to", [&unfused.z, &unfused.z, &buffers.y], ROWS * width);
    let (host, device, (down, up)) = (gpu.clone(), Rc::clone(&buffers), maps(shape));
    let (bytes, flops) = problem.job(3, 1, 2);
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let (x, a) = (View::matrix(&device.x, ROWS, width), View::matrix(&device.a, rank, width));
        let args = Forward { x, weight: a, bias: None, pre: None, y: View::matrix(&device.h, ROWS, rank) };
        down.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
        gate.record(encoder);
        let (x, b) = (View::matrix(&unfused.gated, ROWS, rank), View::matrix(&unfused.b, width, rank));
        let args = Forward { x, weight: b, bias: None, pre: None, y: View::matrix(&unfused.z, ROWS, width) };
        up.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
        add.record(encoder);
    };
    let check = move |gpu: &Gpu| problem.check_forward(gpu, &buffers.y);
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

pub(super) fn backward(gpu: &Gpu, shape: Shape) -> Job {
    let Shape { width, rank, .. } = shape;
    let problem = Problem::new(gpu, shape);
    let h = problem.h();
    let gates = problem.gate.chunks(rank as usize).flat_map(|gate| gate.repeat(TOKENS as usize));
    let gated: Vec<f32> = h.iter().zip(gates).map(|(h, g)| h * g).collect();
    let buffers = Rc::new(problem.upload(gpu, &problem.dy, &h));
    let unfused = Rc::new(Unfused::new(gpu, &problem, &gated));
    let kernels = Kernels::new(gpu, STEPS);
    let dh = gpu.zeros("dh", u64::from(ROWS * rank) * 4);
    let sum = [&unfused.dgated, &buffers.h, &buffers.dgate];
    let sum = step(&kernels, rank, "gate_sum", sum, SAMPLES * rank);
    let gate = step(&kernels, rank, "gate", [&unfused.dgated, &buffers.gate, &dh], ROWS * rank);
    let (host, device, maps_of, own) = (gpu.clone(), Rc::clone(&buffers), maps(shape), Rc::clone(&unfused));
    let (bytes, flops) = problem.job(4, 2, 4);
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let (down, up) = maps_of;
        let wide = |buffer| View::matrix(buffer, ROWS, width);
        let narrow = |buffer| View::matrix(buffer, ROWS, rank);
        let args = Backward {
            x: narrow(&own.gated),
            weight: View::matrix(&own.b, width, rank),
            pre: None,
            dy: wide(&device.y),
            dx: Some(narrow(&own.dgated)),
            dweight: Some(View::matrix(&device.db, width, rank)),
            dbias: None,
            dx_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
        };
        up.backward(&mut host.recorder(encoder), &args).expect("valid arguments");
        sum.record(encoder);
        gate.record(encoder);
        let args = Backward {
            x: wide(&device.x),
            weight: View::matrix(&device.a, rank, width),
            dy: narrow(&dh),
            dx: Some(wide(&device.dx)),
            dweight: Some(View::matrix(&device.da, rank, width)),
            dx_mode: Mode::Accumulate,
            ..args
        };
        down.backward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        let db = read_rows(gpu, &buffers.db, rank, 0..width);
        problem.check_backward(gpu, &buffers, &transposed(&db, rank as usize));
    };
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

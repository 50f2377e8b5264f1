//! `lora_forward` and `lora_backward` with gates per rank, and the same from unfused ops (`…_naive`).
//!
//! `…_apart` leaves y alone and writes the sum elsewhere. `…_routed` takes A and B from a bank of 1 or 64 adapters, each sample its
//! own; all have the same numbers.
//!
//! λ·s = 1. `f16`: x, y and their gradients are halves, all else f32. Bytes are the least traffic: forward x, y twice, A, B,
//! gates; backward x, dy, dx twice, A, B, gates and
//! their gradients. h, which an implementation may store or compute again, counts for none.

mod naive;

use super::{assert_near, assert_near_stored, numbers, read_rows};
use crate::{Case, Job};
use gtca::common::pack;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::lora::twin::{self, Finish, Gated, Gates};
use gtca::lora::{
    Backward, Bank, BankBackward, BankDesc, BankForward, Family, Forward, Gate, Lora, LoraDesc, Member,
    Routing, RowSample,
};
use std::rc::Rc;

const SAMPLES: u32 = 32;
const TOKENS: u32 = 256;
const ROWS: u32 = SAMPLES * TOKENS;
const RANKS: [u32; 4] = [4, 8, 16, 64];

/// What varies between jobs.
#[derive(Clone, Copy)]
struct Shape {
    width: u32,
    rank: u32,
    /// Type of x, y and their gradients.
    wide: Dtype,
}

type Make = fn(&Gpu, Shape) -> Job;
type MakeRouted = fn(&Gpu, u32) -> Job;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, make: Make, shape: Shape| {
        let Shape { width, rank, wide } = shape;
        let stored = if wide == Dtype::F16 { ",f16" } else { "" };
        let text = format!("{SAMPLES}x{TOKENS}x{width},r={rank}{stored}");
        Case { name, shape: text, make: Box::new(move |gpu| make(gpu, shape)) }
    };
    let shape = |width| move |rank| Shape { width, rank, wide: Dtype::F32 };
    // A twin goes first, so that the job after it can say how much faster it is.
    let jobs: [(&str, Make, &str, Make); 2] = [
        ("lora_forward", forward, "lora_forward_naive", naive::forward),
        ("lora_backward", backward, "lora_backward_naive", naive::backward),
    ];
    let mut cases = Vec::new();
    for (name, make, twin, make_twin) in jobs {
        for shape in RANKS.map(shape(768)) {
            cases.push(case(twin, make_twin, shape));
            cases.push(case(name, make, shape));
        }
        cases.extend(RANKS.map(shape(1024)).map(|shape| case(name, make, shape)));
        cases.push(case(name, make, Shape { width: 768, rank: 16, wide: Dtype::F16 }));
    }
    cases.extend([16, 64].map(shape(768)).map(|shape| case("lora_forward_apart", apart, shape)));
    let routed: [(&str, MakeRouted); 2] =
        [("lora_forward_routed", routed_forward), ("lora_backward_routed", routed_backward)];
    for (name, make) in routed {
        cases.extend([1, 64].map(|adapters| Case {
            name,
            shape: format!("{SAMPLES}x{TOKENS}x768,r=16,adapters={adapters}"),
            make: Box::new(move |gpu| make(gpu, adapters)),
        }));
    }
    cases
}

/// The numbers on the host.
struct Problem {
    width: u32,
    rank: u32,
    wide: Dtype,
    family: Family,
    x: Vec<f32>,
    dy: Vec<f32>,
    a: Vec<f32>,
    b_t: Vec<f32>,
    gate: Vec<f32>,
}

/// The numbers on the device, and what is written.
struct Buffers {
    x: wgpu::Buffer,
    a: wgpu::Buffer,
    b_t: wgpu::Buffer,
    gate: wgpu::Buffer,
    h: wgpu::Buffer,
    /// y forward, dy backward.
    y: wgpu::Buffer,
    dx: wgpu::Buffer,
    da: wgpu::Buffer,
    /// `[rank, width]`; transposed in the naive composition.
    db: wgpu::Buffer,
    dgate: wgpu::Buffer,
}

impl Problem {
    fn new(gpu: &Gpu, Shape { width, rank, wide }: Shape) -> Self {
        let rows = |seed| numbers(ROWS * width, seed).into_iter().map(|value| wide.round(value));
        let [x, dy] = [0, 1].map(|seed| rows(seed).collect());
        let [a, b_t] = [2, 3].map(|seed| numbers(rank * width, seed));
        let gate = numbers(SAMPLES * rank, 4);
        Self { width, rank, wide, family: Family::of(gpu), x, dy, a, b_t, gate }
    }

    /// Uploads; h is what a forward would have stored.
    fn upload(&self, gpu: &Gpu, y: &[f32], h: &[f32]) -> Buffers {
        let zeros = |n: u32| gpu.zeros("gradient", u64::from(n) * 4);
        let wide = |label, values: &[f32]| match self.wide {
            Dtype::F32 => gpu.upload(label, values),
            _ => gpu.upload(label, &values.iter().map(|&value| pack::f16_bits(value)).collect::<Vec<_>>()),
        };
        Buffers {
            x: wide("x", &self.x),
            a: gpu.upload("a", &self.a),
            b_t: gpu.upload("b_t", &self.b_t),
            gate: gpu.upload("gate", &self.gate),
            h: gpu.upload("h", h),
            y: wide("y", y),
            dx: zeros(ROWS * self.width),
            da: zeros(self.rank * self.width),
            db: zeros(self.rank * self.width),
            dgate: zeros(SAMPLES * self.rank),
        }
    }

    fn h(&self) -> Vec<f32> {
        twin::down(self.family, &self.x, self.width as usize, &self.a)
    }

    fn gated<'a>(&'a self, values: &'a [f32]) -> Gated<'a> {
        Gated { values, rank: self.rank as usize, tokens: TOKENS as usize, gates: Gates::Rank(&self.gate) }
    }

    /// `((x Aᵀ) ⊙ g) Bᵀ` of the first or the last rows, from x and A or, for dx, from dy and B.
    fn injected(&self, x: &[f32], a: &[f32], b_t: &[f32], rows: &std::ops::Range<u32>) -> Vec<f32> {
        let elements = (rows.start * self.width) as usize..(rows.end * self.width) as usize;
        let h = twin::down(self.family, &x[elements], self.width as usize, a);
        let sample = (rows.start / TOKENS * self.rank) as usize;
        let gates = Gates::Rank(&self.gate[sample..]);
        let mut y = vec![0.0; ((rows.end - rows.start) * self.width) as usize];
        twin::up(Gated { gates, ..self.gated(&h) }, b_t, &Finish::default(), &mut y);
        y
    }

    /// Some rows of y or dx.
    fn read_wide(&self, gpu: &Gpu, buffer: &wgpu::Buffer, rows: &std::ops::Range<u32>) -> Vec<f32> {
        if self.wide == Dtype::F32 {
            return read_rows(gpu, buffer, self.width, rows.clone());
        }
        let bytes = [rows.start, rows.end].map(|row| u64::from(row * self.width) * 2);
        let bytes =
            pollster::block_on(gpu.read_bytes(buffer, bytes[0]..bytes[1])).expect("the device answers");
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        words.into_iter().flat_map(pack::unpack_f16).collect()
    }

    fn assert_near_wide(&self, what: &str, got: &[f32], expected: &[f32]) {
        let ulp = if self.wide == Dtype::F32 { 0.0 } else { 2f32.powi(-10) };
        assert_near_stored(what, got, expected, ulp);
    }

    fn check_forward(&self, gpu: &Gpu, y: &wgpu::Buffer) {
        for rows in few_rows() {
            let expected = self.injected(&self.x, &self.a, &self.b_t, &rows);
            self.assert_near_wide("lora y", &self.read_wide(gpu, y, &rows), &expected);
        }
    }

    fn check_dx(&self, gpu: &Gpu, dx: &wgpu::Buffer) {
        for rows in few_rows() {
            let expected = self.injected(&self.dy, &self.b_t, &self.a, &rows);
            self.assert_near_wide("lora dx", &self.read_wide(gpu, dx, &rows), &expected);
        }
    }

    /// `db` as `[rank, width]`.
    fn check_backward(&self, gpu: &Gpu, buffers: &Buffers, db: &[f32]) {
        self.check_dx(gpu, &buffers.dx);
        let (h, u) = (self.h(), twin::down(self.family, &self.dy, self.width as usize, &self.b_t));
        let da = read_rows(gpu, &buffers.da, self.width, 0..self.rank);
        for (what, got, w, v) in [("lora da", &da[..], &u, &self.x), ("lora db", db, &h, &self.dy)] {
            let expected = twin::outer(self.family, self.gated(w), &last_columns(v, self.width), 1.0, 1.0);
            assert_near(what, &last_columns(got, self.width), &expected);
        }
        let rank = self.rank as usize;
        let expected = twin::dgate(&u, &h, rank, TOKENS as usize, false, [1.0, 1.0]);
        assert_near("lora dgate", &read_rows(gpu, &buffers.dgate, self.rank, 0..SAMPLES), &expected);
    }

    fn job(&self, wide: u32, small: u32, products: u32) -> (f64, f64) {
        let rows = self.wide.bytes() as f64 * f64::from(wide * ROWS * self.width);
        let elements = small * (2 * self.rank * self.width + SAMPLES * self.rank);
        let flops = f64::from(products) * 2.0 * f64::from(ROWS * self.rank) * f64::from(self.width);
        (rows + 4.0 * f64::from(elements), flops)
    }
}

/// Inside the first sample and at the batch's end.
fn few_rows() -> [std::ops::Range<u32>; 2] {
    [3..6, ROWS - 3..ROWS]
}

/// The last three columns of rows of `width`.
fn last_columns(values: &[f32], width: u32) -> Vec<f32> {
    values.chunks_exact(width as usize).flat_map(|row| row[row.len() - 3..].iter().copied()).collect()
}

fn op(width: u32, rank: u32) -> Lora {
    let desc = LoraDesc { inputs: width, outputs: width, rank, alpha: rank as f32, ..Default::default() };
    Lora::new(&desc).expect("a valid shape")
}

/// f32 `[samples, tokens, width]`.
fn tokens(buffer: &wgpu::Buffer, width: u32) -> View<'_> {
    View::tokens(buffer, [SAMPLES, TOKENS, width])
}

fn forward(gpu: &Gpu, shape: Shape) -> Job {
    injecting(gpu, shape, false)
}

fn apart(gpu: &Gpu, shape: Shape) -> Job {
    injecting(gpu, shape, true)
}

/// A forward; what it writes lies where dx does if y is left alone.
fn injecting(gpu: &Gpu, shape: Shape, is_apart: bool) -> Job {
    let Shape { width, rank, wide } = shape;
    let problem = Problem::new(gpu, shape);
    let buffers = Rc::new(problem.upload(gpu, &vec![0.0; problem.x.len()], &[0.0]));
    let (host, device) = (gpu.clone(), Rc::clone(&buffers));
    let (bytes, flops) = problem.job(3, 1, 2);
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let args = Forward {
            x: tokens(&device.x, width).of(wide),
            a: View::matrix(&device.a, rank, width),
            b_t: View::matrix(&device.b_t, rank, width),
            bias: None,
            gate: Gate::Rank(View::matrix(&device.gate, SAMPLES, rank)),
            lambda: Knob::Host(1.0),
            dropout: None,
            y: tokens(&device.y, width).of(wide),
            out: is_apart.then(|| tokens(&device.dx, width).of(wide)),
            h: None,
        };
        op(width, rank).forward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        problem.check_forward(gpu, if is_apart { &buffers.dx } else { &buffers.y });
    };
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

fn backward(gpu: &Gpu, shape: Shape) -> Job {
    let Shape { width, rank, wide } = shape;
    let problem = Problem::new(gpu, shape);
    let buffers = Rc::new(problem.upload(gpu, &problem.dy, &problem.h()));
    let (host, device) = (gpu.clone(), Rc::clone(&buffers));
    let (bytes, flops) = problem.job(4, 2, 4);
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let matrix = |buffer| View::matrix(buffer, rank, width);
        let args = Backward {
            x: tokens(&device.x, width).of(wide),
            dy: tokens(&device.y, width).of(wide),
            a: matrix(&device.a),
            b_t: matrix(&device.b_t),
            bias: None,
            gate: Gate::Rank(View::matrix(&device.gate, SAMPLES, rank)),
            lambda: Knob::Host(1.0),
            dropout: None,
            h: Some(tokens(&device.h, rank)),
            u: None,
            dx: Some(tokens(&device.dx, width).of(wide)),
            da: Some(matrix(&device.da)),
            db_t: Some(matrix(&device.db)),
            dbias: None,
            dgate: Some(View::matrix(&device.dgate, SAMPLES, rank)),
            dlambda: None,
            dx_mode: Mode::Accumulate,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        op(width, rank).backward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        let db = read_rows(gpu, &buffers.db, width, 0..rank);
        problem.check_backward(gpu, &buffers, &db);
    };
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

/// Many adapters, each sample its own.
struct Routed {
    bank: Bank,
    routing: Routing,
    arena: wgpu::Buffer,
    problem: Problem,
}

impl Routed {
    const SHAPE: Shape = Shape { width: 768, rank: 16, wide: Dtype::F32 };

    fn new(gpu: &Gpu, adapters: u32) -> Self {
        let Shape { width, rank, .. } = Self::SHAPE;
        let problem = Problem::new(gpu, Self::SHAPE);
        let members = Member::pack(width, width, &vec![(rank, rank as f32); adapters as usize], u32::MAX);
        let desc = BankDesc { inputs: width, outputs: width, members: &members, ..Default::default() };
        let bank = Bank::new(gpu, &desc).expect("valid adapters");
        let ids: Vec<i32> = (0..SAMPLES).map(|sample| (sample * 37 % adapters) as i32).collect();
        let routing = bank.route(gpu, &ids, RowSample::Uniform(TOKENS)).expect("valid ids");
        let arena = gpu.upload("arena", &[&problem.a[..], &problem.b_t].concat().repeat(adapters as usize));
        Self { bank, routing, arena, problem }
    }

    /// Elements of the arena.
    fn elements(&self) -> u32 {
        (self.arena.size() / 4) as u32
    }

    /// Bytes of the matrices beyond the first adapter's.
    fn other_bytes(&self) -> f64 {
        let others = self.routing.present().count() as f64 - 1.0;
        others * f64::from(2 * self.problem.rank * self.problem.width * 4)
    }
}

fn routed_forward(gpu: &Gpu, adapters: u32) -> Job {
    let Shape { width, rank, .. } = Routed::SHAPE;
    let routed = Rc::new(Routed::new(gpu, adapters));
    let problem = &routed.problem;
    let buffers = Rc::new(problem.upload(gpu, &vec![0.0; problem.x.len()], &[0.0]));
    let (host, device, own) = (gpu.clone(), Rc::clone(&buffers), Rc::clone(&routed));
    let (bytes, flops) = problem.job(3, 1, 2);
    let bytes = bytes + routed.other_bytes();
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let args = BankForward {
            bias: None,
            dropout: None,
            x: tokens(&device.x, width),
            arenas: &[View::vector(&own.arena, own.elements())],
            routing: &own.routing,
            gate: Gate::Rank(View::matrix(&device.gate, SAMPLES, rank)),
            lambda: Knob::Host(1.0),
            y: tokens(&device.y, width),
            h: None,
        };
        own.bank.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| routed.problem.check_forward(gpu, &buffers.y);
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

fn routed_backward(gpu: &Gpu, adapters: u32) -> Job {
    let Shape { width, rank, .. } = Routed::SHAPE;
    let routed = Rc::new(Routed::new(gpu, adapters));
    let problem = &routed.problem;
    let buffers = Rc::new(problem.upload(gpu, &problem.dy, &problem.h()));
    let gradients = gpu.zeros("gradients", routed.arena.size());
    let (host, device, own) = (gpu.clone(), Rc::clone(&buffers), Rc::clone(&routed));
    let (bytes, flops) = problem.job(4, 2, 4);
    let bytes = bytes + 2.0 * routed.other_bytes();
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let args = BankBackward {
            bias: None,
            dropout: None,
            dbias: None,
            x: tokens(&device.x, width),
            dy: tokens(&device.y, width),
            arenas: &[View::vector(&own.arena, own.elements())],
            routing: &own.routing,
            gate: Gate::Rank(View::matrix(&device.gate, SAMPLES, rank)),
            lambda: Knob::Host(1.0),
            h: Some(tokens(&device.h, rank)),
            u: None,
            dx: Some(tokens(&device.dx, width)),
            gradients: Some(&[View::vector(&gradients, own.elements())]),
            dgate: Some(View::matrix(&device.dgate, SAMPLES, rank)),
            dlambda: None,
            dx_mode: Mode::Accumulate,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        own.bank.backward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    // The gradients of matrices are the plain job's, split by adapter; tests/gpu/lora/many.rs compares them.
    let check = move |gpu: &Gpu| routed.problem.check_dx(gpu, &buffers.dx);
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

//! `sensitivity_full_…`: 16 perturbations and the recorded metadata through a last layer of 256 samples of 64 tokens, from
//! activations to the sums of eight groups and the numbers of every pair.
//!
//! `…_plain`: one forward of the adapter over the same tokens, the measure of the others. `…_factored`: no activation, base
//! logits given by the frozen forward. `…_reinjected`: ReLU. `…_reinjected_naive`: the loop over gates from unfused ops, then the
//! external path. `…_hidden` and `…_logits` are the two sweeps up to the pooled h and to the logits: what is left is the comparison.
//! Bytes are x, y, gates and pairs; flops those of the formula: the plain forward's, the pooled path's two maps, h and every y_k.

use super::{STEPS, assert_near, numbers, read_rows, transposed};
use crate::kernels::Kernels;
use crate::{Case, Job};
use gtca::adapter::{LastLayer, LastLayerDesc, Sweep, SweepPath};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::linear::{self, Linear, LinearDesc};
use gtca::lora::{self, Family, Forward, Gate, Lora, LoraDesc};
use gtca::readout::{self, Activation, Head, Injected, Mean, Readout, ReadoutDesc};
use gtca::sensitivity::{Change, External, Probe, ProbeDesc};
use std::rc::Rc;

const SAMPLES: u32 = 256;
const TOKENS: u32 = 64;
const WIDTH: u32 = 768;
const RANK: u32 = 16;
const CLASSES: u32 = 16;
const GROUPS: u32 = 8;
const PERTURBATIONS: u32 = 16;
/// The recorded metadata's among them.
const GATES: u32 = 1 + PERTURBATIONS;
const ROWS: u32 = SAMPLES * TOKENS;
/// Numbers of a [`Change`].
const PAIR: u32 = 4;

type Make = fn(&Gpu) -> Job;

pub(super) fn cases() -> Vec<Case> {
    let jobs: [(&'static str, Make); 6] = [
        ("sensitivity_full_plain", plain),
        ("sensitivity_full_hidden", hidden),
        ("sensitivity_full_factored", |gpu| sweep(gpu, Activation::Identity)),
        ("sensitivity_full_logits", logits),
        ("sensitivity_full_reinjected_naive", naive),
        ("sensitivity_full_reinjected", |gpu| sweep(gpu, Activation::Relu)),
    ];
    let shape = format!("{SAMPLES}x{TOKENS}x{WIDTH},r={RANK},K={PERTURBATIONS},C={CLASSES}");
    jobs.map(|(name, make)| Case { name, shape: shape.clone(), make: Box::new(make) }).into()
}

/// Numbers on the host, small enough for the maps that follow, and on the device.
struct Tensor {
    host: Vec<f32>,
    device: wgpu::Buffer,
}

impl Tensor {
    fn new(gpu: &Gpu, count: u32, seed: u32, scale: f32) -> Self {
        let host: Vec<f32> = numbers(count, seed).into_iter().map(|value| value * scale).collect();
        Self { device: gpu.upload("tensor", &host), host }
    }
}

struct Problem {
    x: Tensor,
    y: Tensor,
    a: Tensor,
    b_t: Tensor,
    weight: Tensor,
    /// `[1 + perturbations, samples, rank]`.
    gates: Tensor,
    base: wgpu::Buffer,
    groups: wgpu::Buffer,
    pairs: wgpu::Buffer,
    sums: wgpu::Buffer,
    probe: Probe,
}

fn lora_desc() -> LoraDesc {
    LoraDesc { inputs: WIDTH, outputs: WIDTH, rank: RANK, alpha: RANK as f32, ..Default::default() }
}

impl Problem {
    fn new(gpu: &Gpu, act: Activation) -> Rc<Self> {
        let desc = ProbeDesc { classes: CLASSES, groups: GROUPS, perturbations: PERTURBATIONS };
        let probe = Probe::new(&desc).expect("a valid shape");
        let (y, weight) = (Tensor::new(gpu, ROWS * WIDTH, 1, 1.0), Tensor::new(gpu, CLASSES * WIDTH, 4, 1.0));
        let logits = |sample: u32| Self::head(act, of_sample(&y.host, sample), &weight.host);
        let base: Vec<f32> = (0..SAMPLES).flat_map(logits).collect();
        let groups: Vec<u32> = (0..SAMPLES).map(|sample| sample % GROUPS).collect();
        Rc::new(Self {
            x: Tensor::new(gpu, ROWS * WIDTH, 0, 1.0),
            a: Tensor::new(gpu, RANK * WIDTH, 2, 0.05),
            b_t: Tensor::new(gpu, RANK * WIDTH, 3, 0.2),
            gates: Tensor::new(gpu, GATES * SAMPLES * RANK, 5, 1.0),
            base: gpu.upload("base", &base),
            groups: gpu.upload("groups", &groups),
            pairs: gpu.zeros("pairs", u64::from(PERTURBATIONS * SAMPLES * PAIR) * 4),
            sums: probe.sums(gpu),
            probe,
            y,
            weight,
        })
    }

    /// Logits of one sample's rows.
    fn head(act: Activation, rows: &[f32], weight: &[f32]) -> Vec<f32> {
        readout::twin::head(&readout::twin::mean(act, rows, WIDTH as usize), weight, None)
    }

    /// Of one sample, `[tokens, rank]`.
    fn hidden(&self, gpu: &Gpu, sample: u32) -> Vec<f32> {
        lora::twin::down(Family::of(gpu), of_sample(&self.x.host, sample), WIDTH as usize, &self.a.host)
    }

    fn logits(&self, gpu: &Gpu, act: Activation, gate: u32, sample: u32) -> Vec<f32> {
        let at = ((gate * SAMPLES + sample) * RANK) as usize;
        let gate = &self.gates.host[at..at + RANK as usize];
        let (y, h) = (of_sample(&self.y.host, sample), self.hidden(gpu, sample));
        let moved = readout::twin::injected(y, &h, gate, &self.b_t.host, WIDTH as usize, 1.0);
        Self::head(act, &moved, &self.weight.host)
    }

    /// The changes of the first and the last sample under the first and the last perturbation.
    fn check(&self, gpu: &Gpu, act: Activation) {
        for (k, sample) in [(0, 0), (PERTURBATIONS - 1, SAMPLES - 1)] {
            let row = k * SAMPLES + sample;
            let got = read_rows(gpu, &self.pairs, PAIR, row..row + 1);
            let [base, moved] = [0, 1 + k].map(|gate| self.logits(gpu, act, gate, sample));
            let change = bytemuck::cast::<Change, [f32; PAIR as usize]>(Change::of(&base, &moved, None));
            assert_near("sensitivity pairs", &got, &change);
        }
    }

    /// A job that makes `pairs` comparisons, on the bytes of a sweep with this activation.
    fn job(act: Activation, pairs: u32, record: Record, check: Check) -> Job {
        let (y, flops) = match act {
            Activation::Identity => (0, f64::from(ROWS * WIDTH)),
            _ => (ROWS * WIDTH, maps(ROWS, 1 + GATES)),
        };
        let bytes = f64::from(ROWS * WIDTH + y + GATES * SAMPLES * RANK + pairs * PAIR) * 4.0;
        Job { written: 0.0, bytes, flops, pairs: pairs.into(), record, check }
    }

    fn sweep(self: &Rc<Self>, act: Activation, record: Record) -> Job {
        let problem = Rc::clone(self);
        let check = move |gpu: &Gpu| problem.check(gpu, act);
        Self::job(act, PERTURBATIONS * SAMPLES, record, Box::new(check))
    }
}

type Record = Box<dyn FnMut(&mut wgpu::CommandEncoder)>;
type Check = Box<dyn Fn(&Gpu)>;

/// One sample's rows.
fn of_sample(values: &[f32], sample: u32) -> &[f32] {
    let size = (TOKENS * WIDTH) as usize;
    &values[sample as usize * size..][..size]
}

/// Flops of rows through as many maps of rank × width.
fn maps(rows: u32, count: u32) -> f64 {
    2.0 * f64::from(rows) * f64::from(WIDTH * RANK) * f64::from(count)
}

fn tokens(buffer: &wgpu::Buffer, width: u32) -> View<'_> {
    View::tokens(buffer, [SAMPLES, TOKENS, width])
}

fn plain(gpu: &Gpu) -> Job {
    let problem = Problem::new(gpu, Activation::Identity);
    let host = gpu.clone();
    let lora = Lora::new(&lora_desc()).expect("a valid shape");
    let bytes = f64::from(3 * ROWS * WIDTH) * 4.0;
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let args = Forward {
            x: tokens(&problem.x.device, WIDTH),
            a: View::matrix(&problem.a.device, RANK, WIDTH),
            b_t: View::matrix(&problem.b_t.device, RANK, WIDTH),
            bias: None,
            gate: Gate::Rank(View::matrix(&problem.gates.device, SAMPLES, RANK)),
            lambda: Knob::Host(1.0),
            dropout: None,
            y: tokens(&problem.y.device, WIDTH),
            out: None,
            h: None,
        };
        lora.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    // `lora_forward` checks its result; this is the same op on more rows.
    let flops = maps(ROWS, 2);
    Job { bytes, written: 0.0, flops, pairs: 0.0, record: Box::new(record), check: Box::new(|_| ()) }
}

fn hidden(gpu: &Gpu) -> Job {
    let act = Activation::Identity;
    let problem = Problem::new(gpu, act);
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let lora = Lora::new(&lora_desc()).expect("a valid shape");
    let room = |count: u32| gpu.zeros("pooled", u64::from(count) * 4);
    let (mean, h) = (room(SAMPLES * WIDTH), room(SAMPLES * RANK));
    let result = h.clone();
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let mut recorder = host.recorder(encoder);
        let out = View::matrix(&mean, SAMPLES, WIDTH);
        let args = Mean { x: tokens(&own.x.device, WIDTH), counts: None, out };
        Readout::mean(&mut recorder, act, &args).expect("valid arguments");
        let (a, h) = (View::matrix(&own.a.device, RANK, WIDTH), View::matrix(&h, SAMPLES, RANK));
        lora.hidden(&mut recorder, out, a, h).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        for sample in [0, SAMPLES - 1] {
            let got = read_rows(gpu, &result, RANK, sample..sample + 1);
            let expected = readout::twin::mean(act, &problem.hidden(gpu, sample), RANK as usize);
            assert_near("pooled h", &got, &expected);
        }
    };
    Problem::job(act, 0, Box::new(record), Box::new(check))
}

fn logits(gpu: &Gpu) -> Job {
    let act = Activation::Relu;
    let problem = Problem::new(gpu, act);
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let lora = Lora::new(&lora_desc()).expect("a valid shape");
    let desc = ReadoutDesc { width: WIDTH, classes: CLASSES, activation: act, form: None };
    let readout = Readout::new(&desc).expect("a valid shape");
    let room = |count: u32| gpu.zeros("logits", u64::from(count) * 4);
    let (h, means, logits) =
        (room(ROWS * RANK), room(GATES * SAMPLES * WIDTH), room(GATES * SAMPLES * CLASSES));
    let result = logits.clone();
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let mut recorder = host.recorder(encoder);
        let (a, h) = (View::matrix(&own.a.device, RANK, WIDTH), tokens(&h, RANK));
        lora.hidden(&mut recorder, tokens(&own.x.device, WIDTH), a, h).expect("valid arguments");
        let out = View::tokens(&means, [GATES, SAMPLES, WIDTH]);
        let args = Injected {
            y: tokens(&own.y.device, WIDTH),
            h,
            b_t: View::matrix(&own.b_t.device, RANK, WIDTH),
            gates: View::tokens(&own.gates.device, [GATES, SAMPLES, RANK]),
            lambda: Knob::Host(1.0),
            scale: lora.scale(),
            counts: None,
            out,
        };
        readout.injected(&mut recorder, &args).expect("valid arguments");
        let weight = View::matrix(&own.weight.device, CLASSES, WIDTH);
        let logits = View::tokens(&logits, [GATES, SAMPLES, CLASSES]);
        readout.head(&mut recorder, &Head { x: out, weight, bias: None, logits }).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        for (gate, sample) in [(0, 0), (GATES - 1, SAMPLES - 1)] {
            let row = gate * SAMPLES + sample;
            let got = read_rows(gpu, &result, CLASSES, row..row + 1);
            assert_near("logits", &got, &problem.logits(gpu, act, gate, sample));
        }
    };
    Problem::job(act, 0, Box::new(record), Box::new(check))
}

fn sweep(gpu: &Gpu, activation: Activation) -> Job {
    let problem = Problem::new(gpu, activation);
    let desc = LastLayerDesc { lora: lora_desc(), classes: CLASSES, activation, ..Default::default() };
    let layer = LastLayer::new(&desc).expect("a valid layer");
    let is_factored = layer.path() == SweepPath::Factored;
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let args = Sweep {
            x: tokens(&own.x.device, WIDTH),
            y: tokens(&own.y.device, WIDTH),
            a: View::matrix(&own.a.device, RANK, WIDTH),
            b_t: View::matrix(&own.b_t.device, RANK, WIDTH),
            weight: View::matrix(&own.weight.device, CLASSES, WIDTH),
            bias: None,
            base: is_factored.then(|| View::matrix(&own.base, SAMPLES, CLASSES)),
            counts: None,
            gates: View::tokens(&own.gates.device, [GATES, SAMPLES, RANK]),
            lambda: Knob::Host(1.0),
            labels: None,
            groups: Some(View::matrix(&own.groups, SAMPLES, 1).of(Dtype::U32)),
            per_sample: Some(View::tokens(&own.pairs, [PERTURBATIONS, SAMPLES, PAIR])),
            first_perturbation: 0,
            sums: own.probe.view(&own.sums),
            mode: Mode::Overwrite,
        };
        layer.sweep(&mut host.recorder(encoder), &own.probe, &args).expect("valid arguments");
    };
    problem.sweep(activation, Box::new(record))
}

fn naive(gpu: &Gpu) -> Job {
    let act = Activation::Relu;
    let problem = Problem::new(gpu, act);
    let kernels = Kernels::new(gpu, STEPS);
    let room = |count: u32| gpu.zeros("unfused", u64::from(count) * 4);
    let (h, gated, z) = (room(ROWS * RANK), room(ROWS * RANK), room(ROWS * WIDTH));
    let (mean, logits) = (room(SAMPLES * WIDTH), room(GATES * SAMPLES * CLASSES));
    let b = gpu.upload("b", &transposed(&problem.b_t.host, WIDTH as usize));
    let of_gate = |k: u32| wgpu::BufferBinding {
        buffer: &problem.gates.device,
        offset: u64::from(k * SAMPLES * RANK) * 4,
        size: wgpu::BufferSize::new(u64::from(SAMPLES * RANK) * 4),
    };
    let constants = [("width", f64::from(RANK)), ("tokens", f64::from(TOKENS))];
    let whole = wgpu::Buffer::as_entire_buffer_binding;
    let gates: Vec<_> = (0..GATES)
        .map(|k| kernels.step("gate", &constants, [whole(&h), of_gate(k), whole(&gated)], ROWS * RANK / 256))
        .collect();
    let y = &problem.y.device;
    let add = kernels.step("add_to", &[], [whole(y), whole(y), whole(&z)], ROWS * WIDTH / 256);
    let map = |inputs, outputs| {
        Linear::new(&LinearDesc { inputs, outputs, ..Default::default() }).expect("a valid shape")
    };
    let (down, up, head) = (map(WIDTH, RANK), map(RANK, WIDTH), map(WIDTH, CLASSES));
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let record = move |encoder: &mut wgpu::CommandEncoder| {
        let at = |k: u32| u64::from(k * SAMPLES * CLASSES) * 4;
        let linear = |encoder: &mut _, map: &Linear, x, weight, y| {
            let args = linear::Forward { x, weight, bias: None, pre: None, y };
            map.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
        };
        for (k, gate) in (0..).zip(&gates) {
            let (x, a) = (View::matrix(&own.x.device, ROWS, WIDTH), View::matrix(&own.a.device, RANK, WIDTH));
            linear(encoder, &down, x, a, View::matrix(&h, ROWS, RANK));
            gate.record(encoder);
            let (x, b) = (View::matrix(&gated, ROWS, RANK), View::matrix(&b, WIDTH, RANK));
            linear(encoder, &up, x, b, View::matrix(&z, ROWS, WIDTH));
            add.record(encoder);
            let out = View::matrix(&mean, SAMPLES, WIDTH);
            let args = Mean { x: tokens(&z, WIDTH), counts: None, out };
            Readout::mean(&mut host.recorder(encoder), act, &args).expect("valid arguments");
            let weight = View::matrix(&own.weight.device, CLASSES, WIDTH);
            linear(encoder, &head, out, weight, View::matrix(&logits, SAMPLES, CLASSES).at(at(k)));
        }
        let args = External {
            base: View::matrix(&logits, SAMPLES, CLASSES),
            variants: View::tokens(&logits, [PERTURBATIONS, SAMPLES, CLASSES]).at(at(1)),
            labels: None,
            groups: Some(View::matrix(&own.groups, SAMPLES, 1).of(Dtype::U32)),
            per_sample: Some(View::tokens(&own.pairs, [PERTURBATIONS, SAMPLES, PAIR])),
            first_perturbation: 0,
            sums: own.probe.view(&own.sums),
            mode: Mode::Overwrite,
        };
        own.probe.external(&mut host.recorder(encoder), &args).expect("valid arguments");
    };
    problem.sweep(act, Box::new(record))
}

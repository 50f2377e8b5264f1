//! `sensitivity_factored`: 16 perturbations of 65,536 samples in 8 groups, a gate per rank for each pair; the change of
//! each pair written, and the sums by group. `…_naive`: a loop over the perturbations, logits from unfused ops, then the
//! external path. `sensitivity_external`: that path alone, on logits that are there.
//!
//! Bytes are gates, hidden, base logits and the pairs written. Flops are those of the logits; the measures' count for
//! none.

use super::{STEPS, assert_near, numbers, read_rows, transposed};
use crate::kernels::{Kernels, Step};
use crate::{Case, Job};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::linear::{Forward, Linear, LinearDesc};
use gtca::sensitivity::{Change, External, Factored, Probe, ProbeDesc, twin};
use std::rc::Rc;

const SAMPLES: u32 = 65_536;
const PERTURBATIONS: u32 = 16;
const CLASSES: u32 = 16;
const RANK: u32 = 16;
const GROUPS: u32 = 8;

type Make = fn(&Gpu) -> Job;

pub(super) fn cases() -> Vec<Case> {
    let jobs: [(&'static str, Make); 3] = [
        ("sensitivity_factored", factored),
        ("sensitivity_factored_naive", naive),
        ("sensitivity_external", external),
    ];
    jobs.map(|(name, make)| Case {
        name,
        shape: format!("{SAMPLES}xK={PERTURBATIONS}xC={CLASSES},r={RANK}"),
        make: Box::new(make),
    })
    .into()
}

/// On the host, and the same on the device.
struct Problem {
    base_host: Vec<f32>,
    hidden_host: Vec<f32>,
    map_host: Vec<f32>,
    gates_host: Vec<f32>,
    base: wgpu::Buffer,
    hidden: wgpu::Buffer,
    map: wgpu::Buffer,
    /// `[1 + perturbations, samples, rank]`; the first are those under the recorded metadata.
    gates: wgpu::Buffer,
    groups: wgpu::Buffer,
    /// `[perturbations, samples, 4]`.
    pairs: wgpu::Buffer,
    sums: wgpu::Buffer,
    probe: Probe,
}

impl Problem {
    fn new(gpu: &Gpu) -> Self {
        let base_host = numbers(SAMPLES * CLASSES, 0);
        let [hidden_host, map_host] = [(SAMPLES, 1), (CLASSES, 2)].map(|(n, seed)| numbers(n * RANK, seed));
        let gates_host = numbers((1 + PERTURBATIONS) * SAMPLES * RANK, 3);
        let desc = ProbeDesc { classes: CLASSES, groups: GROUPS, perturbations: PERTURBATIONS };
        let probe = Probe::new(&desc).expect("a valid shape");
        let groups: Vec<u32> = (0..SAMPLES).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) % GROUPS).collect();
        Self {
            base: gpu.upload("base", &base_host),
            hidden: gpu.upload("hidden", &hidden_host),
            map: gpu.upload("map", &map_host),
            gates: gpu.upload("gates", &gates_host),
            groups: gpu.upload("groups", &groups),
            pairs: gpu.zeros("pairs", u64::from(PERTURBATIONS * SAMPLES) * 16),
            sums: probe.sums(gpu),
            base_host,
            hidden_host,
            map_host,
            gates_host,
            probe,
        }
    }

    fn groups(&self) -> View<'_> {
        View::matrix(&self.groups, SAMPLES, 1).of(Dtype::U32)
    }

    /// Records the comparison of logits `[1 + perturbations, samples, classes]`.
    fn compare(&self, gpu: &Gpu, logits: &wgpu::Buffer, encoder: &mut wgpu::CommandEncoder) {
        let args = External {
            base: View::matrix(logits, SAMPLES, CLASSES),
            variants: View::tokens(logits, [PERTURBATIONS, SAMPLES, CLASSES])
                .at(u64::from(SAMPLES * CLASSES) * 4),
            labels: None,
            groups: Some(self.groups()),
            per_sample: Some(View::tokens(&self.pairs, [PERTURBATIONS, SAMPLES, 4])),
            first_perturbation: 0,
            sums: self.probe.view(&self.sums),
            mode: Mode::Overwrite,
        };
        self.probe.external(&mut gpu.recorder(encoder), &args).expect("valid arguments");
    }

    /// Gates of some variants, the recorded metadata's first.
    fn gates(&self, variants: std::ops::Range<u32>) -> View<'_> {
        View::tokens(&self.gates, [variants.end - variants.start, SAMPLES, RANK]).at(u64::from(
            variants.start,
        ) * u64::from(
            SAMPLES * RANK,
        ) * 4)
    }

    fn logits(&self, variant: u32, sample: u32) -> Vec<f32> {
        let row = |values: &'_ [f32], row: u32, width: u32| {
            let start = (row * width) as usize;
            values[start..start + width as usize].to_vec()
        };
        let gate = row(&self.gates_host, variant * SAMPLES + sample, RANK);
        let base = row(&self.base_host, sample, CLASSES);
        twin::factored(&base, &gate, &row(&self.hidden_host, sample, RANK), &self.map_host, 1.0, 1.0)
    }

    /// The changes of the first samples under the first and the last perturbation.
    fn check(&self, gpu: &Gpu) {
        for k in [0, PERTURBATIONS - 1] {
            let first = k * SAMPLES;
            let got = read_rows(gpu, &self.pairs, 4, first..first + 64);
            let expected: Vec<f32> = (0..64)
                .flat_map(|sample| {
                    let (base, variant) = (self.logits(0, sample), self.logits(1 + k, sample));
                    bytemuck::cast::<Change, [f32; 4]>(Change::of(&base, &variant, None))
                })
                .collect();
            assert_near("sensitivity pairs", &got, &expected);
        }
    }

    fn job(self: &Rc<Self>, record: Box<dyn FnMut(&mut wgpu::CommandEncoder)>) -> Job {
        let read = (1 + PERTURBATIONS) * RANK + RANK + CLASSES;
        let flops = (1 + PERTURBATIONS) * RANK * (2 * CLASSES + 1);
        self.job_of(read, flops, record)
    }

    /// A job that reads so many numbers of a sample, besides its group.
    fn job_of(
        self: &Rc<Self>,
        read: u32,
        flops: u32,
        record: Box<dyn FnMut(&mut wgpu::CommandEncoder)>,
    ) -> Job {
        let of_sample = read + 1 + 4 * PERTURBATIONS;
        let problem = Rc::clone(self);
        Job {
            written: 0.0,
            bytes: 4.0 * f64::from(SAMPLES) * f64::from(of_sample),
            flops: f64::from(SAMPLES) * f64::from(flops),
            pairs: f64::from(SAMPLES * PERTURBATIONS),
            record,
            check: Box::new(move |gpu| problem.check(gpu)),
        }
    }
}

fn factored(gpu: &Gpu) -> Job {
    let problem = Rc::new(Problem::new(gpu));
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    problem.job(Box::new(move |encoder| {
        let args = Factored {
            base: View::matrix(&own.base, SAMPLES, CLASSES),
            hidden: View::matrix(&own.hidden, SAMPLES, RANK),
            map: View::matrix(&own.map, RANK, CLASSES),
            true_gates: own.gates(0..1),
            gates: own.gates(1..1 + PERTURBATIONS),
            lambda: Knob::Host(1.0),
            scale: 1.0,
            labels: None,
            groups: Some(own.groups()),
            per_sample: Some(View::tokens(&own.pairs, [PERTURBATIONS, SAMPLES, 4])),
            first_perturbation: 0,
            sums: own.probe.view(&own.sums),
            mode: Mode::Overwrite,
        };
        own.probe.factored(&mut host.recorder(encoder), &args).expect("valid arguments");
    }))
}

/// The variant's share of a buffer that holds `width` numbers of each sample.
fn part(buffer: &wgpu::Buffer, variant: u32, width: u32) -> wgpu::BufferBinding<'_> {
    let bytes = u64::from(SAMPLES * width) * 4;
    wgpu::BufferBinding { buffer, offset: u64::from(variant) * bytes, size: wgpu::BufferSize::new(bytes) }
}

fn naive(gpu: &Gpu) -> Job {
    let problem = Rc::new(Problem::new(gpu));
    let kernels = Kernels::new(gpu, STEPS);
    let gated = gpu.zeros("gated", u64::from(SAMPLES * RANK) * 4);
    let logits = gpu.zeros("logits", u64::from((1 + PERTURBATIONS) * SAMPLES * CLASSES) * 4);
    let weight = gpu.upload("weight", &transposed(&problem.map_host, CLASSES as usize));
    let steps: Vec<[Step; 2]> = (0..=PERTURBATIONS)
        .map(|k| {
            let gates = part(&problem.gates, k, RANK);
            let hidden = part(&problem.hidden, 0, RANK);
            let gate = [hidden, gates, part(&gated, 0, RANK)];
            let base = part(&problem.base, 0, CLASSES);
            let add = [base.clone(), base, part(&logits, k, CLASSES)];
            let groups = |width: u32| SAMPLES * width / 256;
            let width = [("width", f64::from(RANK))];
            [
                kernels.step("gate", &width, gate, groups(RANK)),
                kernels.step("add_to", &[], add, groups(CLASSES)),
            ]
        })
        .collect();
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let head = Linear::new(&LinearDesc { inputs: RANK, outputs: CLASSES, ..Default::default() })
        .expect("a valid shape");
    problem.job(Box::new(move |encoder| {
        let rows = |k: u32| {
            let skipped = u64::from(k) * u64::from(SAMPLES * CLASSES) * 4;
            View::matrix(&logits, SAMPLES, CLASSES).at(skipped)
        };
        for (k, [gate, add]) in (0..).zip(&steps) {
            gate.record(encoder);
            let args = Forward {
                x: View::matrix(&gated, SAMPLES, RANK),
                weight: View::matrix(&weight, CLASSES, RANK),
                bias: None,
                pre: None,
                y: rows(k),
            };
            head.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
            add.record(encoder);
        }
        own.compare(&host, &logits, encoder);
    }))
}

fn external(gpu: &Gpu) -> Job {
    let problem = Rc::new(Problem::new(gpu));
    let mut host_logits = Vec::new();
    for k in 0..=PERTURBATIONS {
        (0..SAMPLES).for_each(|sample| host_logits.extend(problem.logits(k, sample)));
    }
    let logits = gpu.upload("logits", &host_logits);
    let (host, own) = (gpu.clone(), Rc::clone(&problem));
    let read = (1 + PERTURBATIONS) * CLASSES;
    problem.job_of(read, 0, Box::new(move |encoder| own.compare(&host, &logits, encoder)))
}

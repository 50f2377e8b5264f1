//! One h and many gates: y under each of them delivered, or pooled down to logits; and the three paths of a sweep.

use crate::support::*;
use gtca::adapter::{LastLayer, LastLayerDesc, Sweep, SweepPath};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::lora::{Deliver, Family, Forward, Gate, Inject, Lora, LoraDesc};
use gtca::readout::{Activation, Head, Mean, Readout, ReadoutDesc};
use gtca::sensitivity::{External, Probe, ProbeDesc, Sensitivity};

fn lora([inputs, outputs, rank]: [u32; 3]) -> LoraDesc {
    LoraDesc { inputs, outputs, rank, alpha: 6.0, ..Default::default() }
}

/// y with −0, NaN and infinities among its numbers.
fn with_specials(mut y: Vec<f32>) -> Vec<f32> {
    for (at, value) in [-0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0].into_iter().enumerate() {
        let at = at * 3 % y.len();
        y[at] = value;
    }
    y
}

/// Bits as stored, NaN's too.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn two_halves_and_every_delivered_y_have_the_bits_of_a_forward() {
    let Some(gpu) = gpu() else { return };
    let families: Vec<_> = Family::ALL.into_iter().filter(|family| family.runs_on(gpu)).collect();
    let types = [Dtype::F32, Dtype::F16, Dtype::Bf16];
    for (i, [samples, tokens, inputs, outputs, rank, variants]) in
        [[3, 5, 33, 35, 7, 4], [2, 4, 64, 64, 16, 3], [1, 1, 1, 1, 1, 1], [2, 9, 20, 12, 65, 2]]
            .into_iter()
            .enumerate()
    {
        for (&family, layout) in families.iter().flat_map(|family| LAYOUTS.map(|layout| (family, layout))) {
            for wide in types {
                let scalar = i % 2 == 1;
                let desc = LoraDesc { family: Some(family), ..lora([inputs, outputs, rank]) };
                let op = Lora::new(&desc).unwrap();
                let mut random = Random(u64::from(inputs * 100 + outputs));
                let n = |shape: [u32; 3]| shape.iter().map(|&n| n as usize).product::<usize>();
                let mut t = Tensors::new(gpu, layout);
                let mut numbers = |shape: [u32; 3]| random.f32s(n(shape));
                let x = numbers([samples, tokens, inputs]);
                let x = t.stored([samples, tokens, inputs], wide, &x);
                let y = with_specials(numbers([samples, tokens, outputs]));
                let columns = if scalar { 1 } else { rank };
                let gates = numbers([variants, samples, columns]);
                let (a, b_t) = (numbers([rank, 1, inputs]), numbers([rank, 1, outputs]));
                let (a, b_t) = (t.f32([rank, 1, inputs], &a), t.f32([rank, 1, outputs], &b_t));
                let bias = numbers([1, 1, outputs]);
                let bias = t.f32([1, 1, outputs], &bias);
                let base = t.stored([samples, tokens, outputs], wide, &y);
                let all_gates = t.f32([variants, samples, columns], &gates);
                let h = t.poisoned([samples, tokens, rank]);
                let out = t.poisoned_as([variants * samples, tokens, outputs], wide);
                let each: Vec<_> = (0..variants as usize)
                    .map(|k| {
                        let of_k = n([1, samples, columns]);
                        let gate = t.f32([samples, 1, columns], &gates[k * of_k..(k + 1) * of_k]);
                        let two = [(); 2].map(|()| t.stored([samples, tokens, outputs], wide, &y));
                        (gate, two)
                    })
                    .collect();
                let lambda = Knob::Host(0.7);
                let (bias, b_t) = (Some(t.view(bias)), t.view(b_t));
                t.run(|recorder| {
                    op.hidden(recorder, t.view(x), t.view(a), t.view(h))?;
                    let (y, h) = (t.view(base), t.view(h));
                    let gates = t.view(all_gates);
                    op.deliver(recorder, &Deliver { y, h, b_t, bias, gates, lambda, out: t.view(out) })?;
                    for (gate, [forward, injected]) in &each {
                        let gate =
                            if scalar { Gate::Scalar(t.view(*gate)) } else { Gate::Rank(t.view(*gate)) };
                        let (x, a) = (t.view(x), t.view(a));
                        let args = Forward {
                            x,
                            a,
                            b_t,
                            bias,
                            gate,
                            lambda,
                            dropout: None,
                            y: t.view(*forward),
                            out: None,
                            h: None,
                        };
                        op.forward(recorder, &args)?;
                        op.inject(recorder, &Inject { h, b_t, bias, gate, lambda, y: t.view(*injected) })?;
                    }
                    Ok(())
                })
                .unwrap();
                let delivered = t.read_stored(out);
                for (k, (_, [forward, injected])) in each.iter().enumerate() {
                    let name = format!("{family:?} {layout:?} {wide:?} {k}");
                    let expected = t.read_stored(*forward);
                    assert_eq!(bits(&t.read_stored(*injected)), bits(&expected), "{name}: in halves");
                    let of_k = expected.len();
                    assert_eq!(bits(&delivered[k * of_k..(k + 1) * of_k]), bits(&expected), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_delivery_that_is_off_has_the_bits_of_y() {
    let Some(gpu) = gpu() else { return };
    let op = Lora::new(&lora([8, 7, 3])).unwrap();
    for wide in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for (lambda, in_buffer, b) in [(0.0, false, 1.0), (0.0, true, f32::NAN), (1.0, false, 0.0)] {
            let mut t = Tensors::new(gpu, Layout::OneBuffer);
            let y = with_specials(Random(5).f32s(2 * 3 * 7));
            let y = t.stored([2, 3, 7], wide, &y);
            let h = t.f32([2, 3, 3], &[0.5; 18]);
            let b_t = t.f32([3, 1, 7], &[b; 21]);
            let gates = t.f32([4, 2, 3], &[1.5; 24]);
            let out = t.poisoned_as([8, 3, 7], wide);
            let knob = gpu.upload("lambda", &[lambda]);
            let lambda = if in_buffer { Knob::Buffer(&knob, 0) } else { Knob::Host(lambda) };
            t.run(|recorder| {
                let [y, h, b_t, gates, out] = [y, h, b_t, gates, out].map(|tensor| t.view(tensor));
                op.deliver(recorder, &Deliver { y, h, b_t, bias: None, gates, lambda, out })
            })
            .unwrap();
            let y = bits(&t.read_stored(y));
            assert!(bits(&t.read_stored(out)).chunks_exact(y.len()).all(|out| out == y), "{wide:?} {b}");
        }
    }
}

/// A last layer's numbers.
struct Problem {
    samples: u32,
    tokens: u32,
    inputs: u32,
    outputs: u32,
    rank: u32,
    classes: u32,
    variants: u32,
    act: Activation,
    x: Vec<f32>,
    y: Vec<f32>,
    a: Vec<f32>,
    b_t: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gates: Vec<f32>,
    counts: Vec<u32>,
    labels: Vec<u32>,
    groups: Vec<u32>,
}

impl Problem {
    fn new([samples, tokens, inputs, outputs, rank, classes, variants]: [u32; 7], act: Activation) -> Self {
        let mut random = Random(u64::from(samples * 97 + tokens * 31 + outputs));
        let n = |counts: &[u32]| counts.iter().map(|&n| n as usize).product::<usize>();
        let scaled =
            |values: Vec<f32>, by: f32| values.into_iter().map(|value| value * by).collect::<Vec<_>>();
        Self {
            samples,
            tokens,
            inputs,
            outputs,
            rank,
            classes,
            variants,
            act,
            x: random.f32s(n(&[samples, tokens, inputs])),
            y: random.f32s(n(&[samples, tokens, outputs])),
            a: scaled(random.f32s(n(&[rank, inputs])), 0.3),
            b_t: scaled(random.f32s(n(&[rank, outputs])), 0.3),
            weight: scaled(random.f32s(n(&[classes, outputs])), 0.5),
            bias: random.f32s(classes as usize),
            gates: random.f32s(n(&[variants, samples, rank])).iter().map(|g| 1.0 + g).collect(),
            counts: (0..samples).map(|_| 1 + random.below(tokens)).collect(),
            labels: (0..samples).map(|_| random.below(classes)).collect(),
            groups: (0..samples).map(|_| random.below(3)).collect(),
        }
    }

    /// Probabilities under every gate in f64, `[variants, samples, classes]`, with ŷ and logits from the definition.
    fn reference(&self) -> Vec<f64> {
        let scale = 6.0 / f64::from(self.rank);
        let [t, i, o, r, c] =
            [self.tokens, self.inputs, self.outputs, self.rank, self.classes].map(|n| n as usize);
        let act = |x: f64| match self.act {
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            _ => x,
        };
        let mut all = Vec::new();
        for k in 0..self.variants as usize {
            for s in 0..self.samples as usize {
                let gate = &self.gates[(k * self.samples as usize + s) * r..][..r];
                let mut mean = vec![0.0; o];
                for row in s * t..s * t + self.counts[s] as usize {
                    let hidden: Vec<f64> = (0..r)
                        .map(|j| {
                            let terms =
                                (0..i).map(|n| f64::from(self.x[row * i + n]) * f64::from(self.a[j * i + n]));
                            terms.sum::<f64>() * f64::from(gate[j])
                        })
                        .collect();
                    for (n, mean) in mean.iter_mut().enumerate() {
                        let added: f64 = (0..r).map(|j| hidden[j] * f64::from(self.b_t[j * o + n])).sum();
                        *mean += act(f64::from(self.y[row * o + n]) + 0.9 * scale * added);
                    }
                }
                let logits: Vec<f64> = (0..c)
                    .map(|c| {
                        let terms =
                            mean.iter().enumerate().map(|(n, m)| m * f64::from(self.weight[c * o + n]));
                        terms.sum::<f64>() / f64::from(self.counts[s]) + f64::from(self.bias[c])
                    })
                    .collect();
                let top = logits.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
                all.extend(logits.iter().map(|l| (l - top).exp() / total));
            }
        }
        all
    }
}

/// How a problem is run.
#[derive(Clone, Copy, Debug)]
enum How {
    Sweep(SweepPath),
    /// Every y_k delivered, pooled and read out by single ops, then the external path.
    External,
}

/// The sums; (KL, flip) of every pair.
fn run(gpu: &'static Gpu, layout: Layout, p: &Problem, how: How) -> (Sensitivity, Vec<f32>) {
    let (samples, tokens, classes, changes) = (p.samples, p.tokens, p.classes, p.variants - 1);
    let groups = p.groups.iter().max().unwrap() + 1;
    let probe = Probe::new(&ProbeDesc { classes, groups, perturbations: changes + 2 }).unwrap();
    let words = probe.sums_words() as u32;
    let mut t = Tensors::new(gpu, layout);
    let x = t.f32([samples, tokens, p.inputs], &p.x);
    let y = t.f32([samples, tokens, p.outputs], &p.y);
    let a = t.f32([p.rank, 1, p.inputs], &p.a);
    let b_t = t.f32([p.rank, 1, p.outputs], &p.b_t);
    let weight = t.f32([classes, 1, p.outputs], &p.weight);
    let bias = t.f32([1, 1, classes], &p.bias);
    let gates = t.f32([p.variants, samples, p.rank], &p.gates);
    let [counts, labels, groups] =
        [&p.counts, &p.labels, &p.groups].map(|values| t.u32([samples, 1, 1], values));
    let per_sample = t.poisoned([changes, samples, 4]);
    let sums = t.u32([1, 1, words], &vec![POISON; words as usize]);
    let lora = lora([p.inputs, p.outputs, p.rank]);
    let (activation, lambda) = (p.act, Knob::Host(0.9));
    let path = if let How::Sweep(path) = how { Some(path) } else { None };
    let layer = LastLayer::new(&LastLayerDesc { lora, classes, activation, path, form: None }).unwrap();
    let h = t.poisoned([samples, tokens, p.rank]);
    let delivered = t.poisoned([p.variants * samples, tokens, p.outputs]);
    let means = t.poisoned([p.variants * samples, 1, p.outputs]);
    let logits = t.poisoned([p.variants, samples, classes]);
    let repeated: Vec<u32> = (0..p.variants).flat_map(|_| p.counts.clone()).collect();
    let all_counts = t.u32([p.variants * samples, 1, 1], &repeated);
    t.run(|recorder| {
        let [x, y, a, b_t, weight, gates] = [x, y, a, b_t, weight, gates].map(|tensor| t.view(tensor));
        let (bias, per_sample, sums) = (Some(t.view(bias)), Some(t.view(per_sample)), t.view(sums));
        let (labels, groups) = (Some(t.view(labels)), Some(t.view(groups)));
        let (first_perturbation, mode) = (1, Mode::Overwrite);
        if let How::Sweep(_) = how {
            let counts = Some(t.view(counts));
            let args = Sweep {
                x,
                y,
                a,
                b_t,
                weight,
                bias,
                base: None,
                counts,
                gates,
                lambda,
                labels,
                groups,
                per_sample,
                first_perturbation,
                sums,
                mode,
            };
            return layer.sweep(recorder, &probe, &args);
        }
        let op = Lora::new(&lora)?;
        op.hidden(recorder, x, a, t.view(h))?;
        let out = t.view(delivered);
        op.deliver(recorder, &Deliver { y, h: t.view(h), b_t, bias: None, gates, lambda, out })?;
        let of_all = Mean { x: out, counts: Some(t.view(all_counts)), out: t.view(means) };
        Readout::mean(recorder, activation, &of_all)?;
        let readout = ReadoutDesc { width: p.outputs, classes, activation, form: None };
        let logits = t.view(logits);
        Readout::new(&readout)?.head(recorder, &Head { x: t.view(means), weight, bias, logits })?;
        let part = |from: u32, count: u32| View {
            shape: [count, samples, classes],
            offset: logits.offset + u64::from(from) * u64::from(logits.sample_stride) * 4,
            ..logits
        };
        let (base, variants) = (part(0, 1), part(1, changes));
        let args = External { base, variants, labels, groups, per_sample, first_perturbation, sums, mode };
        probe.external(recorder, &args)
    })
    .unwrap();
    let table = pollster::block_on(probe.read(gpu, &t.view(sums))).unwrap();
    (table, t.read(per_sample))
}

const PROBLEMS: [[u32; 7]; 3] =
    [[5, 6, 12, 20, 4, 3, 4], [9, 7, 33, 35, 9, 5, 6], [4, 5, 64, 64, 16, 16, 18]];

/// KL and total variation of every pair against f64; each is a smooth function of probabilities that are within 1e-5.
fn check(name: &str, p: &Problem, (table, pairs): &(Sensitivity, Vec<f32>)) {
    let probabilities = p.reference();
    let of = |k: usize, s: usize| {
        let (c, samples) = (p.classes as usize, p.samples as usize);
        &probabilities[(k * samples + s) * c..][..c]
    };
    for k in 1..p.variants as usize {
        let (mut tv_sum, mut nll_sum) = (0.0, 0.0);
        for s in 0..p.samples as usize {
            let (base, moved) = (of(0, s), of(k, s));
            let kl: f64 = base.iter().zip(moved).map(|(p, q)| p * (p / q).ln()).sum();
            let got = f64::from(pairs[((k - 1) * p.samples as usize + s) * 4]);
            assert!((got - kl).abs() < 1e-5, "{name} {k} {s}: KL {got} against {kl}");
            tv_sum += 0.5 * base.iter().zip(moved).map(|(p, q)| (p - q).abs()).sum::<f64>();
            nll_sum -= moved[p.labels[s] as usize].max(1e-6).ln();
        }
        // Row 0 is nobody's, since the chunk's first perturbation is 1.
        let tally = table.overall(k as u32).unwrap();
        let unit = 1.0 / f64::from(1 << 26) / f64::from(p.samples);
        let near = |what: &str, units: i64, sum: f64, bound: f64| {
            let (got, wanted) = (units as f64 * unit, sum / f64::from(p.samples));
            assert!((got - wanted).abs() < bound, "{name} {k}: mean {what} {got} against {wanted}");
        };
        near("TV", tally.tv().units(), tv_sum, 1e-5);
        near("NLL", tally.nll().units(), nll_sum, 2e-5);
        assert_eq!((tally.count(), tally.invalid()), (p.samples.into(), 0), "{name}");
    }
    assert_eq!(table.overall(0).unwrap().count(), 0);
}

#[test]
fn factored_reinjected_and_external_paths_give_one_answer() {
    let Some(gpu) = gpu() else { return };
    for shape in PROBLEMS {
        let p = Problem::new(shape, Activation::Identity);
        for layout in LAYOUTS {
            for how in [How::Sweep(SweepPath::Factored), How::Sweep(SweepPath::Reinjected), How::External] {
                check(&format!("{shape:?} {layout:?} {how:?}"), &p, &run(gpu, layout, &p, how));
            }
        }
    }
}

/// The probability of every class under every gate, `[variants − 1, samples, classes]`: every sample a group of its own and that class its
/// label, its NLL is −ln of it.
fn probabilities(gpu: &'static Gpu, p: &mut Problem, how: How) -> Vec<f64> {
    let (samples, classes) = (p.samples, p.classes);
    p.groups = (0..samples).collect();
    let mut all = vec![0.0; ((p.variants - 1) * samples * classes) as usize];
    for class in 0..classes {
        p.labels = vec![class; samples as usize];
        let (table, _) = run(gpu, Layout::Separate, p, how);
        for (k, s) in (0..p.variants - 1).flat_map(|k| (0..samples).map(move |s| (k, s))) {
            let nll = table.group(k + 1, s).unwrap().nll();
            all[((k * samples + s) * classes + class) as usize] =
                (-nll.units() as f64 / f64::from(1 << 26)).exp();
        }
    }
    all
}

#[test]
fn every_path_gives_every_class_its_probability_to_a_hundred_thousandth() {
    let Some(gpu) = gpu() else { return };
    for (shape, act) in PROBLEMS
        .into_iter()
        .flat_map(|shape| [Activation::Identity, Activation::Relu].map(|act| (shape, act)))
    {
        let mut p = Problem::new(shape, act);
        // The second gates are the recorded ones again, so that the recorded probabilities are among those seen.
        let of_k = (p.samples * p.rank) as usize;
        p.gates.copy_within(0..of_k, of_k);
        let wanted = p.reference().split_off((p.samples * p.classes) as usize);
        let linear = (act == Activation::Identity).then_some(How::Sweep(SweepPath::Factored));
        for how in linear.into_iter().chain([How::Sweep(SweepPath::Reinjected), How::External]) {
            let got = probabilities(gpu, &mut p, how);
            for (at, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                assert!(
                    (got - wanted).abs() < 1e-5,
                    "{shape:?} {act:?} {how:?} {at}: {got} against {wanted}"
                );
            }
        }
    }
}

#[test]
fn reinjected_and_external_paths_give_one_answer_and_the_same_bits_through_activations() {
    let Some(gpu) = gpu() else { return };
    for (shape, act) in PROBLEMS.into_iter().zip([Activation::Relu, Activation::Silu, Activation::Relu]) {
        let p = Problem::new(shape, act);
        let fused = run(gpu, Layout::OneBuffer, &p, How::Sweep(SweepPath::Reinjected));
        let external = run(gpu, Layout::Separate, &p, How::External);
        check(&format!("{shape:?} {act:?}"), &p, &fused);
        assert_same_bits(&format!("{shape:?} {act:?}"), &fused.1, &external.1);
        assert_eq!(fused.0, external.0);
    }
}

#[test]
fn a_sweep_in_two_chunks_of_perturbations_is_the_sweep_in_one() {
    let Some(gpu) = gpu() else { return };
    for path in [SweepPath::Factored, SweepPath::Reinjected] {
        let p = Problem::new(PROBLEMS[1], Activation::Identity);
        let whole = run(gpu, Layout::Separate, &p, How::Sweep(path)).1;
        let of_k = (p.samples * p.rank) as usize;
        let from_base = |ks: std::ops::Range<usize>| {
            let gates = [&p.gates[..of_k], &p.gates[ks.start * of_k..ks.end * of_k]].concat();
            let fields = Problem::new(PROBLEMS[1], Activation::Identity);
            Problem { variants: 1 + ks.len() as u32, gates, ..fields }
        };
        let parts = [1..3, 3..6].map(|ks| run(gpu, Layout::Separate, &from_base(ks), How::Sweep(path)).1);
        assert_same_bits(&format!("{path:?}"), &parts.concat(), &whole);
    }
}

#[test]
fn a_bad_sweep_records_nothing() {
    let Some(gpu) = gpu() else { return };
    let room = gpu.zeros("room", 1 << 20);
    let at = |shape: [u32; 3], place: u64| View::tokens(&room, shape).at(place * 16384);
    let layer = LastLayerDesc { lora: lora([8, 8, 2]), classes: 3, ..Default::default() };
    let layer = LastLayer::new(&layer).unwrap();
    let probe = Probe::new(&ProbeDesc { classes: 3, groups: 1, perturbations: 2 }).unwrap();
    let good = Sweep {
        x: at([4, 3, 8], 0),
        y: at([4, 3, 8], 1),
        a: at([2, 1, 8], 2),
        b_t: at([2, 1, 8], 3),
        weight: at([3, 1, 8], 4),
        bias: None,
        base: None,
        counts: None,
        gates: at([3, 4, 2], 5),
        lambda: Knob::Host(1.0),
        labels: None,
        groups: None,
        per_sample: None,
        first_perturbation: 0,
        sums: View::vector(&room, probe.sums_words() as u32).at(6 * 16384).of(Dtype::U32),
        mode: Mode::Accumulate,
    };
    let sweep = |args: &Sweep<'_>| {
        let mut encoder = gpu.encoder();
        let result = layer.sweep(&mut gpu.recorder(&mut encoder), &probe, args);
        drop(encoder);
        result
    };
    sweep(&good).unwrap();
    for (args, name) in [
        (Sweep { gates: at([1, 4, 2], 5), ..good }, "gates"),
        (Sweep { gates: at([3, 12, 2], 5), ..good }, "gates"),
        (Sweep { first_perturbation: 1, ..good }, "first_perturbation"),
        (Sweep { weight: at([4, 1, 8], 4), ..good }, "weight"),
        (Sweep { lambda: Knob::Host(f32::NAN), ..good }, "lambda"),
        (Sweep { y: at([4, 2, 8], 1), ..good }, "y"),
    ] {
        let error = sweep(&args).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{name}: {error}");
    }
}

//! `readout` against its twin and an f64 reference.

use crate::support::*;
use gtca::gpu::{Dtype, Gpu, Knob, View};
use gtca::readout::{Activation, Form, Head, Injected, Mean, Readout, ReadoutDesc, twin};

const ACTIVATIONS: [Activation; 5] =
    [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu];

/// The forms that this adapter can run; each takes every test.
fn forms(gpu: &Gpu) -> Vec<Form> {
    [Form::Lanes, Form::Threads].into_iter().filter(|form| form.runs_on(gpu)).collect()
}

/// Φ in f64: the error function's series near 0, its continued fraction beyond.
fn normal(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let tail = if z < 2.5 {
        let mut term = z;
        let mut sum = z;
        for n in 1..80 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        0.5 - sum / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..60).rev().fold(z, |rest, n| z + f64::from(n) / 2.0 / rest);
        0.5 * (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
    };
    if x >= 0.0 { 1.0 - tail } else { tail }
}

/// An activation from its definition.
fn exact(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Relu => x.max(0.0),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        _ => x,
    }
}

/// One case's shape and inputs.
#[derive(Clone)]
struct Case {
    samples: usize,
    tokens: usize,
    width: usize,
    rank: usize,
    variants: usize,
    act: Activation,
    form: Form,
    wide: Dtype,
    lambda: f32,
    lambda_in_buffer: bool,
    y: Vec<f32>,
    h: Vec<f32>,
    b_t: Vec<f32>,
    /// `[variants, samples, rank or 1]`.
    gates: Vec<f32>,
    counts: Option<Vec<u32>>,
}

impl Case {
    fn new([samples, tokens, width, rank, variants]: [usize; 5], act: Activation) -> Self {
        let seed = [samples, tokens, width, rank, variants].iter().fold(3, |seed, n| seed * 1009 + n);
        let mut random = Random(seed as u64);
        let rows = samples * tokens;
        let gates = variants * samples * if seed % 3 == 0 { 1 } else { rank };
        Self {
            samples,
            tokens,
            width,
            rank,
            variants,
            act,
            form: Form::Threads,
            wide: Dtype::F32,
            lambda: 0.75,
            lambda_in_buffer: rows % 2 == 1,
            y: random.f32s(rows * width).iter().map(|y| y * 3.0).collect(),
            h: random.f32s(rows * rank),
            b_t: random.f32s(rank * width),
            gates: random.f32s(gates).iter().map(|g| g + 1.0).collect(),
            counts: None,
        }
    }

    fn with(&self, form: Form) -> Self {
        Self { form, ..self.clone() }
    }

    fn stored(mut self, wide: Dtype) -> Self {
        self.wide = wide;
        self.y.iter_mut().for_each(|y| *y = wide.round(*y));
        self
    }

    /// From no token to more than there are.
    fn ragged(mut self) -> Self {
        let count = |s: usize| [0, self.tokens + 3, 1, self.tokens - self.tokens / 3][s % 4] as u32;
        self.counts = Some((0..self.samples).map(count).collect());
        self
    }

    fn gate_width(&self) -> usize {
        self.gates.len() / (self.variants * self.samples)
    }

    fn count(&self, s: usize) -> usize {
        self.counts.as_ref().map_or(self.tokens, |counts| (counts[s] as usize).min(self.tokens))
    }

    fn run(&self, gpu: &'static Gpu, layout: Layout) -> Vec<f32> {
        let [samples, tokens, width, rank, variants] =
            [self.samples, self.tokens, self.width, self.rank, self.variants].map(|n| n as u32);
        let mut t = Tensors::new(gpu, layout);
        let y = t.stored([samples, tokens, width], self.wide, &self.y);
        let h = t.f32([samples, tokens, rank], &self.h);
        let b_t = t.f32([rank, 1, width], &self.b_t);
        let gates = t.f32([variants, samples, self.gate_width() as u32], &self.gates);
        let counts = self.counts.as_ref().map(|counts| t.u32([samples, 1, 1], counts));
        let out = t.poisoned([variants, samples, width]);
        let knob = gpu.upload("lambda", &[0.0, self.lambda]);
        let lambda = if self.lambda_in_buffer { Knob::Buffer(&knob, 4) } else { Knob::Host(self.lambda) };
        let desc = ReadoutDesc { width, classes: 1, activation: self.act, form: Some(self.form) };
        let readout = Readout::new(&desc).unwrap();
        t.run(|recorder| {
            let args = Injected {
                y: t.view(y),
                h: t.view(h),
                b_t: t.view(b_t),
                gates: t.view(gates),
                lambda,
                scale: 0.5,
                counts: counts.map(|counts| t.view(counts)),
                out: t.view(out),
            };
            readout.injected(recorder, &args)
        })
        .unwrap();
        t.read(out)
    }

    fn twin(&self) -> Vec<f32> {
        let (width, rank, gate_width) = (self.width, self.rank, self.gate_width());
        let one = |k: usize, s: usize| {
            let rows = s * self.tokens..s * self.tokens + self.count(s);
            let y = &self.y[rows.start * width..rows.end * width];
            let h = &self.h[rows.start * rank..rows.end * rank];
            let gate = &self.gates[(k * self.samples + s) * gate_width..][..gate_width];
            let moved = twin::injected(y, h, gate, &self.b_t, width, self.lambda * 0.5);
            twin::mean(self.act, &moved, width)
        };
        (0..self.variants).flat_map(|k| (0..self.samples).flat_map(move |s| one(k, s))).collect()
    }

    /// Each mean in f64 from the definition, and a bound on the f32 error: that of a sum of rank + 1 products through a function
    /// whose slope is at most 1.13, its own 3e-7, and that of a sum over tokens.
    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut means, mut bounds) = (Vec::new(), Vec::new());
        let factor = f64::from(self.lambda) * 0.5;
        let gate_width = self.gate_width();
        for (k, s, n) in (0..self.variants)
            .flat_map(|k| (0..self.samples).map(move |s| (k, s)))
            .flat_map(|(k, s)| (0..self.width).map(move |n| (k, s, n)))
        {
            let (mut sum, mut size, mut error) = (0.0, 0.0, 0.0);
            let gates = &self.gates[(k * self.samples + s) * gate_width..][..gate_width];
            for t in 0..self.count(s) {
                let row = s * self.tokens + t;
                let term = |j: usize| {
                    let gate = f64::from(gates[if gate_width > 1 { j } else { 0 }]);
                    factor
                        * f64::from(self.h[row * self.rank + j])
                        * gate
                        * f64::from(self.b_t[j * self.width + n])
                };
                let y = f64::from(self.y[row * self.width + n]);
                let value = exact(self.act, (0..self.rank).map(term).sum::<f64>() + y);
                let magnitude = (0..self.rank).map(|j| term(j).abs()).sum::<f64>() + y.abs();
                sum += value;
                size += value.abs();
                error += 1.13 * sum_bound(self.rank + 3, magnitude) + 3e-7 * (1.0 + magnitude);
            }
            let count = self.count(s).max(1) as f64;
            means.push(sum / count);
            bounds.push((error + sum_bound(self.tokens + 3, size)) / count);
        }
        (means, bounds)
    }
}

/// Around the edges of every tile: 4 and 32 columns, 4, 8, 16, 32 and 64 ranks, 4, 5 and 17 gates, 4 tokens; above 64 ranks.
const SHAPES: [[usize; 5]; 10] = [
    [1, 1, 1, 1, 1],
    [3, 4, 4, 4, 2],
    [2, 5, 36, 7, 4],
    [3, 7, 28, 8, 5],
    [2, 3, 33, 9, 6],
    [2, 8, 64, 16, 17],
    [5, 6, 32, 15, 18],
    [1, 9, 68, 17, 6],
    [2, 4, 40, 64, 3],
    [2, 3, 12, 67, 5],
];

#[test]
fn means_under_many_gates_are_the_references() {
    let Some(gpu) = gpu() else { return };
    for (shape, act) in SHAPES.into_iter().zip(ACTIVATIONS.into_iter().cycle()) {
        let case = Case::new(shape, act);
        let (means, bounds) = case.reference();
        for form in forms(gpu) {
            for layout in LAYOUTS {
                let name = format!("{shape:?} {act:?} {form:?} {layout:?}");
                assert_close(&name, &case.with(form).run(gpu, layout), &means, &bounds);
            }
        }
        let halves = case.clone().stored(Dtype::F16).ragged();
        let (means, bounds) = halves.reference();
        assert_close(&format!("{shape:?} f16"), &halves.run(gpu, LAYOUTS[shape[1] % 2]), &means, &bounds);
    }
}

#[test]
fn every_activation_and_type_of_y_is_the_reference_and_the_twin() {
    let Some(gpu) = gpu() else { return };
    for act in ACTIVATIONS {
        for wide in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let case = Case::new([3, 6, 36, 12, 7], act).stored(wide).ragged();
            let (means, bounds) = case.reference();
            let twin = case.twin();
            assert_close(&format!("twin {act:?} {wide:?}"), &twin, &means, &bounds);
            for form in forms(gpu) {
                let got = case.with(form).run(gpu, Layout::Separate);
                assert_close(&format!("{act:?} {wide:?} {form:?}"), &got, &means, &bounds);
            }
        }
    }
}

#[test]
fn lanes_are_chosen_by_software_subgroups_of_eight_for_whole_vectors_of_f32_and_threads_by_all_else() {
    let Some(gpu) = gpu() else { return };
    let info = gpu.info();
    let has_lanes = info.device_type == wgpu::DeviceType::Cpu
        && gpu.device().features().contains(wgpu::Features::SUBGROUP)
        && [info.subgroup_min_size, info.subgroup_max_size] == [8, 8];
    let best = if has_lanes { Form::Lanes } else { Form::Threads };
    assert_eq!(Form::of(gpu), best, "{gpu}");
    let plain = with_features(gpu, wgpu::Features::empty());
    assert_eq!(Form::of(&plain), Form::Threads, "nobody asked for subgroups");

    let room = gpu.zeros("room", 1 << 18);
    let at = |shape: [u32; 3], byte: u64| View::tokens(&room, shape).at(byte);
    let call = |width: u32, rank: u32, byte: u64| Injected {
        y: at([2, 3, width], byte),
        h: at([2, 3, rank], 32768),
        b_t: at([rank, 1, width], 65536),
        gates: at([5, 2, rank], 98304),
        lambda: Knob::Host(1.0),
        scale: 1.0,
        counts: None,
        out: at([5, 2, width], 131_072),
    };
    let of = |gpu: &Gpu, form: Option<Form>, args: &Injected<'_>| {
        let desc = ReadoutDesc { width: args.y.width(), classes: 2, form, ..Default::default() };
        Readout::new(&desc).unwrap().variant(gpu, args)
    };
    let whole = call(40, 16, 0);
    let halves = Injected { y: at([2, 3, 40], 0).of(Dtype::F16), ..whole };
    let padded = Injected { out: View { row_stride: 41, sample_stride: 41 * 5, ..whole.out }, ..whole };
    for (args, form, what) in [
        (whole, best, "whole vectors"),
        (call(40, 64, 256), best, "64 ranks, elsewhere"),
        (call(40, 65, 0), Form::Threads, "65 ranks"),
        (call(42, 16, 0), Form::Threads, "an odd width"),
        (call(40, 16, 4), Form::Threads, "an odd offset"),
        (halves, Form::Threads, "halves"),
        (padded, Form::Threads, "odd rows of means"),
    ] {
        assert_eq!(of(gpu, None, &args), Ok(form), "{what}");
        assert_eq!(of(gpu, Some(Form::Threads), &args), Ok(Form::Threads), "{what}, asked for");
    }
    let refused = of(&plain, Some(Form::Lanes), &whole).unwrap_err().to_string();
    assert!(refused.contains("`form`") && refused.contains("SUBGROUP"), "{refused}");
}

#[test]
fn forms_layouts_and_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for act in [Activation::Identity, Activation::Relu, Activation::Gelu] {
        let case = Case::new([3, 7, 100, 16, 18], act);
        let expected = case.run(gpu, Layout::Separate);
        for form in forms(gpu) {
            for layout in LAYOUTS {
                for _ in 0..3 {
                    let name = format!("{act:?} {form:?} {layout:?}");
                    assert_same_bits(&name, &case.with(form).run(gpu, layout), &expected);
                }
            }
        }
    }
}

#[test]
fn a_device_without_64_bit_words_gives_the_same_means() {
    let Some(gpu) = gpu() else { return };
    let features = gpu.device().features() & wgpu::Features::SUBGROUP;
    let short: &'static Gpu = Box::leak(Box::new(with_features(gpu, features)));
    let run = |gpu: &'static Gpu| {
        let case = Case::new([3, 7, 100, 16, 18], Activation::Gelu).with(Form::of(gpu));
        case.run(gpu, Layout::Separate)
    };
    assert_same_bits("64-bit words", &run(short), &run(gpu));
}

#[test]
fn a_mean_depends_on_no_other_sample_and_no_other_gate() {
    let Some(gpu) = gpu() else { return };
    for form in forms(gpu) {
        let all = Case::new([4, 5, 68, 11, 19], Activation::GeluTanh).with(form);
        let whole = all.run(gpu, Layout::Separate);
        let (s, k) = (2, 17);
        let rows = |values: &[f32], width: usize| {
            let of_sample = all.tokens * width;
            values[s * of_sample..(s + 1) * of_sample].to_vec()
        };
        let width = all.gate_width();
        let alone = Case {
            samples: 1,
            variants: 1,
            y: rows(&all.y, all.width),
            h: rows(&all.h, all.rank),
            gates: all.gates[(k * all.samples + s) * width..][..width].to_vec(),
            ..all.clone()
        };
        let at = (k * all.samples + s) * all.width;
        let name = format!("{form:?}");
        assert_same_bits(&name, &alone.run(gpu, Layout::Separate), &whole[at..at + all.width]);
    }
}

#[test]
fn an_adapter_that_is_off_leaves_the_mean_of_y_whatever_h_and_gates_hold() {
    let Some(gpu) = gpu() else { return };
    for form in forms(gpu) {
        for (lambda, in_buffer, b) in [(0.0, false, f32::INFINITY), (-0.0, true, f32::NAN), (1.0, false, 0.0)]
        {
            let mut case = Case::new([2, 5, 36, 12, 6], Activation::Silu).with(form);
            (case.lambda, case.lambda_in_buffer) = (lambda, in_buffer);
            case.b_t.fill(b);
            if lambda == 0.0 {
                case.h[3] = f32::NAN;
                case.gates[5] = f32::INFINITY;
            }
            let of_y = |s: usize| {
                let of_sample = case.tokens * case.width;
                mean(gpu, case.act, &case.y[s * of_sample..(s + 1) * of_sample], case.width)
            };
            let expected: Vec<f32> = (0..case.variants).flat_map(|_| (0..2).flat_map(of_y)).collect();
            assert_same_bits("off", &case.run(gpu, Layout::Separate), &expected);
        }
    }
}

/// The mean of one sample.
fn mean(gpu: &'static Gpu, act: Activation, x: &[f32], width: usize) -> Vec<f32> {
    let mut t = Tensors::new(gpu, Layout::Separate);
    let input = t.f32([1, (x.len() / width) as u32, width as u32], x);
    let out = t.poisoned([1, 1, width as u32]);
    t.run(|recorder| {
        Readout::mean(recorder, act, &Mean { x: t.view(input), counts: None, out: t.view(out) })
    })
    .unwrap();
    t.read(out)
}

#[test]
fn what_is_not_finite_stays_so() {
    let Some(gpu) = gpu() else { return };
    for act in ACTIVATIONS {
        for bad in [f32::NAN, f32::INFINITY] {
            let got = mean(gpu, act, &[1.0, bad, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0], 4);
            assert!(!got[1].is_finite(), "{act:?} of {bad} became {}", got[1]);
            assert!([0, 2, 3].iter().all(|&n| got[n].is_finite()), "{act:?}");
        }
    }
}

#[test]
fn activations_are_within_four_parts_in_ten_million_from_far_below_to_far_above_zero() {
    let Some(gpu) = gpu() else { return };
    let x: Vec<f32> = (-2000..2000).map(|i| i as f32 * 0.01).chain([-1e30, 1e30, -100.0, 100.0]).collect();
    for act in ACTIVATIONS {
        let expected: Vec<f64> = x.iter().map(|&x| exact(act, x.into())).collect();
        let bounds: Vec<f64> = x.iter().map(|x| 4e-7 * f64::from(x.abs().max(1.0))).collect();
        assert_close(&format!("{act:?}"), &mean(gpu, act, &x, x.len()), &expected, &bounds);
        let twin: Vec<f32> = x.iter().map(|&x| act.of(x)).collect();
        assert_close(&format!("twin {act:?}"), &twin, &expected, &bounds);
    }
}

#[test]
fn means_of_every_type_and_count_are_the_twins_and_a_sample_alone_has_its_bits() {
    let Some(gpu) = gpu() else { return };
    for (wide, width) in [(Dtype::F32, 36), (Dtype::F32, 5), (Dtype::F16, 7), (Dtype::Bf16, 8)] {
        for layout in LAYOUTS {
            let case = Case::new([5, 9, width, 1, 1], Activation::Identity).stored(wide).ragged();
            let mut t = Tensors::new(gpu, layout);
            let x = t.stored([5, 9, width as u32], wide, &case.y);
            let counts = t.u32([5, 1, 1], case.counts.as_ref().unwrap());
            let out = t.poisoned([5, 1, width as u32]);
            t.run(|recorder| {
                let args = Mean { x: t.view(x), counts: Some(t.view(counts)), out: t.view(out) };
                Readout::mean(recorder, Activation::Identity, &args)
            })
            .unwrap();
            let got = t.read(out);
            for s in 0..5 {
                let rows = &case.y[s * 9 * width..(s * 9 + case.count(s)) * width];
                let name = format!("{wide:?} {width} {layout:?}");
                let expected = wide_mean(rows, width);
                assert_near(&name, &got[s * width..(s + 1) * width], &expected, 3e-6);
                if !rows.is_empty() {
                    assert_same_bits(&name, &mean(gpu, case.act, rows, width), &got[s * width..][..width]);
                }
            }
        }
    }
}

/// The mean in f64.
fn wide_mean(rows: &[f32], width: usize) -> Vec<f64> {
    let count = (rows.len() / width).max(1) as f64;
    (0..width)
        .map(|n| rows.iter().skip(n).step_by(width).map(|&x| f64::from(x)).sum::<f64>() / count)
        .collect()
}

#[test]
fn a_head_gives_the_references_logits_at_every_edge_and_a_row_alone_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for [rows, width, classes] in [[1, 1, 1], [8, 4, 8], [9, 12, 2], [7, 30, 9], [70, 33, 17], [3, 768, 16]] {
        let mut random = Random((rows * 31 + width * 7 + classes) as u64);
        let (x, weight) = (random.f32s(rows * width), random.f32s(classes * width));
        let bias = random.f32s(classes);
        let bias = (rows % 2 == 1).then_some(&bias[..]);
        let run = |layout, x: &[f32]| {
            let rows = (x.len() / width) as u32;
            let (width, classes) = (width as u32, classes as u32);
            let mut t = Tensors::new(gpu, layout);
            let (input, matrix) = (t.f32([rows, 1, width], x), t.f32([classes, 1, width], &weight));
            let bias = bias.map(|bias| t.f32([1, 1, classes], bias));
            let logits = t.poisoned([rows, 1, classes]);
            let readout = Readout::new(&ReadoutDesc { width, classes, ..Default::default() }).unwrap();
            t.run(|recorder| {
                let bias = bias.map(|bias| t.view(bias));
                let args = Head { x: t.view(input), weight: t.view(matrix), bias, logits: t.view(logits) };
                readout.head(recorder, &args)
            })
            .unwrap();
            t.read(logits)
        };
        let name = format!("{rows} x {width} x {classes}");
        let got = run(Layout::Separate, &x);
        assert_same_bits(&name, &run(Layout::OneBuffer, &x), &got);
        assert_same_bits(
            &name,
            &run(Layout::Separate, &x[(rows - 1) * width..]),
            &got[(rows - 1) * classes..],
        );
        for (row, got) in x.chunks_exact(width).zip(got.chunks_exact(classes)) {
            let products =
                |c: usize| row.iter().zip(&weight[c * width..]).map(|(&x, &w)| f64::from(x) * f64::from(w));
            let of_bias = |c: usize| bias.map_or(0.0, |bias| f64::from(bias[c]));
            let expected: Vec<f64> = (0..classes).map(|c| products(c).sum::<f64>() + of_bias(c)).collect();
            let bounds: Vec<f64> = (0..classes)
                .map(|c| sum_bound(width + 1, products(c).map(f64::abs).sum::<f64>() + of_bias(c).abs()))
                .collect();
            assert_close(&name, got, &expected, &bounds);
            assert_close(&format!("twin {name}"), &twin::head(row, &weight, bias), &expected, &bounds);
        }
    }
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let room = gpu.zeros("room", 1 << 16);
    let at = |shape: [u32; 3], byte: u64| View::tokens(&room, shape).at(byte);
    let readout = Readout::new(&ReadoutDesc { width: 8, classes: 2, ..Default::default() }).unwrap();
    let good = Injected {
        y: at([2, 3, 8], 0),
        h: at([2, 3, 4], 4096),
        b_t: at([4, 1, 8], 8192),
        gates: at([5, 2, 4], 12288),
        lambda: Knob::Host(1.0),
        scale: 1.0,
        counts: None,
        out: at([5, 2, 8], 16384),
    };
    let refused = |args: Injected<'_>, name: &str| {
        let mut encoder = gpu.encoder();
        let error = readout.injected(&mut gpu.recorder(&mut encoder), &args).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    };
    refused(Injected { gates: at([5, 6, 4], 12288), ..good }, "gates");
    refused(Injected { gates: at([5, 2, 3], 12288), ..good }, "gates");
    refused(Injected { h: at([2, 3, 257], 4096), ..good }, "h");
    refused(Injected { y: at([2, 3, 9], 0), ..good }, "y");
    refused(Injected { y: at([2, 0, 8], 0), ..good }, "y");
    refused(Injected { y: at([2, 3, 8], 0).of(Dtype::U32), ..good }, "y");
    refused(Injected { lambda: Knob::Host(f32::NAN), ..good }, "lambda");
    refused(Injected { scale: f32::INFINITY, ..good }, "scale");
    refused(Injected { counts: Some(at([2, 1, 1], 30000)), ..good }, "counts");
    refused(Injected { out: at([5, 2, 8], 0), ..good }, "out");
    assert!(Readout::new(&ReadoutDesc { width: 60_000, classes: 2, ..Default::default() }).is_err());
}

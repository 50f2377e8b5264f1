//! `gate` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::gate::{Backward, Forward, MetadataGate, MetadataGateDesc, Mu, twin};
use gtca::gpu::{Gpu, Knob, Mode, OpenOptions};

/// Where μ comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Host,
    Buffer,
    Rows,
}

const SOURCES: [Source; 3] = [Source::Host, Source::Buffer, Source::Rows];

/// One case's shape and inputs.
#[derive(Clone)]
struct Case {
    rows: usize,
    width: usize,
    source: Source,
    logits: Vec<f32>,
    null: Vec<f32>,
    validity: Vec<f32>,
    /// One a row; with one μ for the batch all are equal.
    mu: Vec<f32>,
    dgates: Vec<f32>,
}

/// What forward and backward give.
struct Results<T> {
    gates: Vec<T>,
    dlogits: Vec<T>,
    dnull: Vec<T>,
    dmu: Vec<T>,
}

impl<T> Results<T> {
    fn each(&self) -> [(&'static str, &[T]); 4] {
        [("gates", &self.gates), ("dlogits", &self.dlogits), ("dnull", &self.dnull), ("dmu", &self.dmu)]
    }
}

/// The inputs in f64.
#[derive(Clone)]
struct Wide {
    logits: Vec<f64>,
    null: Vec<f64>,
    mu: Vec<f64>,
}

fn curve(a: f64) -> f64 {
    2.0 / (1.0 + (-a).exp())
}

fn slope(a: f64) -> f64 {
    2.0 * (-a).exp() / (1.0 + (-a).exp()).powi(2)
}

impl Case {
    fn new(rows: usize, width: usize, source: Source) -> Self {
        let mut random = Random((rows * 10_007 + width) as u64);
        let mu = match source {
            Source::Rows => random.f32s(rows).iter().map(|mu| mu.abs()).collect(),
            _ => vec![0.625; rows],
        };
        Self {
            rows,
            width,
            source,
            logits: random.f32s(rows * width).iter().map(|a| a * 6.0).collect(),
            null: random.f32s(width).iter().map(|a| a * 6.0).collect(),
            validity: (0..rows).map(|_| random.below(4).min(1) as f32).collect(),
            mu,
            dgates: random.f32s(rows * width),
        }
    }

    fn op(&self) -> MetadataGate {
        MetadataGate::new(&MetadataGateDesc { width: self.width as u32 }).unwrap()
    }

    /// Forward and backward on the kernels; every output is poisoned first.
    fn run(&self, gpu: &'static Gpu, layout: Layout) -> Results<f32> {
        let (rows, width) = (self.rows as u32, self.width as u32);
        let mut t = Tensors::new(gpu, layout);
        let logits = t.f32([rows, 1, width], &self.logits);
        let null = t.f32([1, 1, width], &self.null);
        let validity = t.f32([rows, 1, 1], &self.validity);
        let mu_rows = t.f32([rows, 1, 1], &self.mu);
        let dgates = t.f32([rows, 1, width], &self.dgates);
        let [gates, dlogits] = [(); 2].map(|()| t.poisoned([rows, 1, width]));
        let dnull = t.poisoned([1, 1, width]);
        let dmu = t.poisoned([if self.source == Source::Rows { rows } else { 1 }, 1, 1]);
        let first = self.mu.first().copied().unwrap_or(1.0);
        let knob = gpu.upload("mu", &[9.0, first]);
        let mu = match self.source {
            Source::Host => Mu::Knob(Knob::Host(first)),
            Source::Buffer => Mu::Knob(Knob::Buffer(&knob, 4)),
            Source::Rows => Mu::PerSample(t.view(mu_rows)),
        };
        let (logits, null_logits, validity) = (t.view(logits), t.view(null), t.view(validity));
        t.run(|recorder| {
            let gates = t.view(gates);
            self.op().forward(recorder, &Forward { logits, null_logits, validity, mu, gates })?;
            let args = Backward {
                logits,
                null_logits,
                validity,
                mu,
                dgates: t.view(dgates),
                dlogits: Some(t.view(dlogits)),
                dnull_logits: Some(t.view(dnull)),
                dmu: Some(t.view(dmu)),
                dlogits_mode: Mode::Overwrite,
                parameter_mode: Mode::Overwrite,
            };
            self.op().backward(recorder, &args)
        })
        .unwrap();
        Results { gates: t.read(gates), dlogits: t.read(dlogits), dnull: t.read(dnull), dmu: t.read(dmu) }
    }

    fn twin(&self) -> Results<f32> {
        let weights: Vec<f32> = self.mu.iter().zip(&self.validity).map(|(mu, v)| mu * v).collect();
        let inputs = twin::Inputs { logits: &self.logits, null_logits: &self.null, weights: &weights };
        let of_rows = twin::dmu(inputs, &self.validity, &self.dgates);
        Results {
            gates: twin::mix(inputs),
            dlogits: twin::dlogits(inputs, &self.dgates),
            dnull: twin::dnull(inputs, &self.dgates),
            dmu: if self.source == Source::Rows { of_rows } else { vec![of_rows.iter().sum()] },
        }
    }

    fn wide(&self) -> Wide {
        let mu = if self.source == Source::Rows { &self.mu[..] } else { &self.mu[..1] };
        Wide { logits: wide(&self.logits), null: wide(&self.null), mu: wide(mu) }
    }

    fn mu_of(&self, w: &Wide, row: usize) -> f64 {
        w.mu[if self.source == Source::Rows { row } else { 0 }]
    }

    /// The f64 reference of the gates: the convex mix, not the kernel's form.
    fn gates(&self, w: &Wide) -> Vec<f64> {
        let one = |at: usize| {
            let (row, j) = (at / self.width, at % self.width);
            let weight = self.mu_of(w, row) * f64::from(self.validity[row]);
            weight * curve(w.logits[at]) + (1.0 - weight) * curve(w.null[j])
        };
        (0..self.rows * self.width).map(one).collect()
    }

    /// Gradients by the chain rule in f64, and with them Σ|terms| of every sum.
    fn gradients(&self, w: &Wide) -> (Results<f64>, Results<f64>) {
        let empty = || Results {
            gates: Vec::new(),
            dlogits: vec![0.0; w.logits.len()],
            dnull: vec![0.0; w.null.len()],
            dmu: vec![0.0; w.mu.len()],
        };
        let (mut sums, mut magnitudes) = (empty(), empty());
        for at in 0..self.rows * self.width {
            let (row, j) = (at / self.width, at % self.width);
            let valid = f64::from(self.validity[row]);
            let weight = self.mu_of(w, row) * valid;
            let dg = f64::from(self.dgates[at]);
            let mu_at = if self.source == Source::Rows { row } else { 0 };
            let dnull = (1.0 - weight) * dg * slope(w.null[j]);
            sums.dlogits[at] = weight * dg * slope(w.logits[at]);
            sums.dnull[j] += dnull;
            sums.dmu[mu_at] += valid * (curve(w.logits[at]) - curve(w.null[j])) * dg;
            magnitudes.dlogits[at] = sums.dlogits[at].abs();
            magnitudes.dnull[j] += dnull.abs();
            magnitudes.dmu[mu_at] += valid * (curve(w.logits[at]) + curve(w.null[j])) * dg.abs();
        }
        (sums, magnitudes)
    }

    /// The f64 results and their bounds. A sigmoid of |a| ≤ 6 costs 3 + 2·6 ulp for WGSL's exp and 2.5 + 1 for the
    /// quotient and the sum, 20 in all; the slope has two of them; every term of a sum adds one rounding.
    fn reference(&self) -> (Results<f64>, Results<f64>) {
        let w = self.wide();
        let (mut expected, magnitudes) = self.gradients(&w);
        expected.gates = self.gates(&w);
        let scaled = |values: &[f64], terms| values.iter().map(|&m| sum_bound(terms, m)).collect::<Vec<_>>();
        // An ulp is two of sum_bound's units.
        let over_rows = self.rows.min(256) + self.rows / 256 + 2;
        let bounds = Results {
            gates: vec![sum_bound(40, 2.0 * 2.0); expected.gates.len()],
            dlogits: scaled(&magnitudes.dlogits, 80 + 4),
            dnull: scaled(&magnitudes.dnull, 80 + 4 + over_rows),
            dmu: scaled(&magnitudes.dmu, 40 + 4 + self.width + over_rows),
        };
        (expected, bounds)
    }

    fn check(&self, gpu: &'static Gpu, layout: Layout) {
        let label = format!("{} × {} {:?}", self.rows, self.width, self.source);
        let actual = self.run(gpu, layout);
        let (twin, (expected, bounds)) = (self.twin(), self.reference());
        for (i, (name, values)) in actual.each().into_iter().enumerate() {
            let bounds = bounds.each()[i].1;
            assert_close(&format!("{name} {label}"), values, expected.each()[i].1, bounds);
            let doubled: Vec<f64> = bounds.iter().map(|bound| bound * 2.0).collect();
            assert_close(&format!("{name}'s twin {label}"), values, &wide(twin.each()[i].1), &doubled);
        }
    }
}

#[track_caller]
fn assert_same_results(a: &Results<f32>, b: &Results<f32>) {
    for ((name, a), (_, b)) in a.each().into_iter().zip(b.each()) {
        assert_same_bits(name, a, b);
    }
}

#[test]
fn every_size_around_the_workgroup_edges_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    let sizes = [1, 2, 3, 5, 7, 8, 31, 63, 64, 65, 129];
    for (i, &rows) in sizes.iter().enumerate() {
        for (j, &width) in sizes.iter().enumerate() {
            Case::new(rows, width, SOURCES[(i + j) % 3]).check(gpu, Layout::Separate);
        }
        Case::new(rows, 2_049, SOURCES[i % 3]).check(gpu, LAYOUTS[i % 2]);
    }
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    for source in SOURCES {
        let case = Case::new(9, 5, source);
        let actual = case.run(gpu, Layout::OneBuffer);
        let objective = |w: &Wide| -> f64 {
            case.gates(w).iter().zip(&case.dgates).map(|(gate, &dg)| gate * f64::from(dg)).sum()
        };
        let check = |name: &str, actual: &[f32], at: &[f64], put: &dyn Fn(&mut Wide, &[f64])| {
            let expected = central_differences(at, 1e-5, |values| {
                let mut w = case.wide();
                put(&mut w, values);
                objective(&w)
            });
            assert_near(name, actual, &expected, 5e-6);
        };
        let w = case.wide();
        check("dlogits", &actual.dlogits, &w.logits, &|w, v| w.logits = v.to_vec());
        check("dnull", &actual.dnull, &w.null, &|w, v| w.null = v.to_vec());
        check("dmu", &actual.dmu, &w.mu, &|w, v| w.mu = v.to_vec());
    }
}

#[test]
fn twenty_repeats_both_layouts_and_every_source_of_mu_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(300, 37, Source::Host);
    let first = case.run(gpu, Layout::Separate);
    for repeat in 0..20 {
        case.source = SOURCES[repeat % 3];
        let again = case.run(gpu, LAYOUTS[usize::from(repeat % 4 == 0)]);
        if case.source == Source::Rows {
            assert_same_bits("gates", &first.gates, &again.gates);
            assert_same_bits("dlogits", &first.dlogits, &again.dlogits);
            assert_same_bits("dnull", &first.dnull, &again.dnull);
        } else {
            assert_same_results(&first, &again);
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(70, 33, Source::Rows);
    let all = case.run(gpu, Layout::Separate);
    for row in [0, 1, 31, 64, 69] {
        let part = |values: &[f32], width: usize| values[row * width..][..width].to_vec();
        let alone = Case {
            rows: 1,
            logits: part(&case.logits, 33),
            dgates: part(&case.dgates, 33),
            validity: part(&case.validity, 1),
            mu: part(&case.mu, 1),
            ..case.clone()
        };
        let one = alone.run(gpu, Layout::OneBuffer);
        assert_same_bits("gates", &one.gates, &part(&all.gates, 33));
        assert_same_bits("dlogits", &one.dlogits, &part(&all.dlogits, 33));
        assert_same_bits("dmu", &one.dmu, &part(&all.dmu, 1));
    }
}

#[test]
fn without_weight_every_metadata_gives_the_null_gate_and_gets_no_gradient() {
    let Some(gpu) = gpu() else { return };
    for source in SOURCES {
        for (mu, validity) in [(0.0, 1.0), (-0.0, 1.0), (0.5, 0.0)] {
            let mut case = Case::new(6, 7, source);
            (case.mu, case.validity) = (vec![mu; 6], vec![validity; 6]);
            let first = case.run(gpu, Layout::Separate);
            for row in first.gates.chunks(7) {
                assert_same_bits("all rows are the null gate", row, &first.gates[..7]);
            }
            let expected: Vec<f64> = wide(&case.null).into_iter().map(curve).collect();
            assert_near("null gate", &first.gates[..7], &expected, sum_bound(40, 2.0));
            for (i, logit) in [f32::NAN, f32::INFINITY, -1e30, 1e30, 0.0].into_iter().enumerate() {
                case.logits[i * 7 + i] = logit;
            }
            let other = case.run(gpu, Layout::OneBuffer);
            assert_same_bits("gates", &first.gates, &other.gates);
            assert_same_bits("dnull", &first.dnull, &other.dnull);
            assert!(other.dlogits.iter().all(|gradient| *gradient == 0.0));
            if validity == 0.0 {
                assert!(other.dmu.iter().all(|gradient| *gradient == 0.0));
            }
        }
    }
}

#[test]
fn zero_logits_open_the_gate_to_exactly_one() {
    let Some(gpu) = gpu() else { return };
    for source in SOURCES {
        let mut case = Case::new(5, 9, source);
        case.logits.fill(0.0);
        case.null.fill(0.0);
        assert_eq!(case.run(gpu, Layout::Separate).gates, [1.0; 45]);
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(3, 2, Source::Host);
    case.validity.fill(1.0);
    case.logits = vec![1e30, -1e30, 88.0, -88.0, f32::MAX, f32::MIN];
    let actual = case.run(gpu, Layout::Separate);
    for (name, values) in actual.each() {
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
    assert_near("gates", &actual.gates, &case.gates(&case.wide()), 1e-5);
}

#[test]
fn sums_over_200_000_rows_are_whole() {
    let Some(gpu) = gpu() else { return };
    Case::new(200_000, 3, Source::Host).check(gpu, Layout::Separate);
    Case::new(200_000, 2, Source::Rows).check(gpu, Layout::Separate);
}

#[test]
fn a_batch_beyond_the_binding_limit_gives_the_same_bits() {
    let Some(whole) = gpu() else { return };
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 32 << 10, ..Default::default() };
    let options = OpenOptions { limits: Some(limits), ..Default::default() };
    let small: &'static Gpu = Box::leak(Box::new(pollster::block_on(Gpu::open(&options)).unwrap()));
    for source in SOURCES {
        let case = Case::new(3_001, 7, source);
        let expected = case.run(whole, Layout::Separate);
        for layout in LAYOUTS {
            assert_same_results(&expected, &case.run(small, layout));
        }
    }
}

#[test]
fn accumulation_adds_to_what_is_there() {
    let Some(gpu) = gpu() else { return };
    let op = MetadataGate::new(&MetadataGateDesc { width: 1 }).unwrap();
    for per_row in [false, true] {
        let mut t = Tensors::new(gpu, Layout::OneBuffer);
        let [logits, null] = [(); 2].map(|()| t.f32([1, 1, 1], &[0.0]));
        let [validity, mu] = [1.0, 0.5].map(|value| t.f32([1, 1, 1], &[value]));
        let dgates = t.f32([1, 1, 1], &[4.0]);
        let [dlogits, dnull, dmu] = [0.25, 0.5, 0.75].map(|value| t.f32([1, 1, 1], &[value]));
        let args = Backward {
            logits: t.view(logits),
            null_logits: t.view(null),
            validity: t.view(validity),
            mu: if per_row { Mu::PerSample(t.view(mu)) } else { Mu::Knob(Knob::Host(0.5)) },
            dgates: t.view(dgates),
            dlogits: Some(t.view(dlogits)),
            dnull_logits: Some(t.view(dnull)),
            dmu: Some(t.view(dmu)),
            dlogits_mode: Mode::Accumulate,
            parameter_mode: Mode::Accumulate,
        };
        t.run(|recorder| op.backward(recorder, &args)).unwrap();
        // g'(0) = ½, and both gates are 1.
        assert_eq!((t.read(dlogits), t.read(dnull), t.read(dmu)), (vec![1.25], vec![1.5], vec![0.75]));
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let logits = t.f32([2, 1, 3], &[0.0; 6]);
    let null = t.f32([1, 1, 3], &[0.0; 3]);
    let validity = t.f32([2, 1, 1], &[1.0; 2]);
    let gates = t.poisoned([2, 1, 3]);
    let op = MetadataGate::new(&MetadataGateDesc { width: 3 }).unwrap();
    let good = Forward {
        logits: t.view(logits),
        null_logits: t.view(null),
        validity: t.view(validity),
        mu: Mu::default(),
        gates: t.view(gates),
    };
    let message = |args: Forward<'_>| t.run(|recorder| op.forward(recorder, &args)).unwrap_err().to_string();
    assert!(message(Forward { logits: t.view(null).columns(0, 2), ..good }).contains("`logits`"));
    assert!(message(Forward { null_logits: t.view(logits), ..good }).contains("`null_logits`"));
    assert!(message(Forward { validity: t.view(null), ..good }).contains("`validity`"));
    assert!(message(Forward { mu: Mu::Knob(Knob::Host(1.5)), ..good }).contains("`mu`"));
    assert!(message(Forward { mu: Mu::PerSample(t.view(null)), ..good }).contains("`mu`"));
    assert!(message(Forward { gates: t.view(logits), ..good }).contains("overlap"));
    assert!(t.read(gates).iter().all(|value| value.to_bits() == POISON), "nothing may have been recorded");
}

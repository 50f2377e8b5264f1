//! `optim` against its twin and an f64 reference.

use crate::support::*;
use gtca::gpu::Gpu;
use gtca::optim::{AdamW, AdamWDesc, Slot, twin};

const STEPS: u32 = 5;
const RATE: f32 = 0.01;
const EPS: f64 = f32::EPSILON as f64 / 2.0;

fn desc(max_norm: Option<f32>) -> AdamWDesc {
    AdamWDesc { weight_decay: 0.1, max_norm, ..Default::default() }
}

/// A matrix and a vector of three elements, with gradients that differ from step to step by their sign and size.
#[derive(Clone)]
struct Case {
    shape: [u32; 3],
    theta: Vec<f32>,
    gradient: Vec<f32>,
    desc: AdamWDesc,
    rate: f32,
}

/// θ, m, v and the last ‖g‖².
type State<T> = [Vec<T>; 4];

impl Case {
    fn new(rows: usize, width: usize, max_norm: Option<f32>) -> Self {
        let count = rows * width + 3;
        let mut random = Random((rows * 7919 + width) as u64);
        let (theta, gradient) = (random.f32s(count), random.f32s(count));
        Self { shape: [rows as u32, 1, width as u32], theta, gradient, desc: desc(max_norm), rate: RATE }
    }

    /// The gradient of a step: exact multiples of the first, so that it is the same in f32 and f64.
    fn scale(step: u32) -> f32 {
        [1.0, -0.5, 2.0, 0.25, -1.0][(step as usize - 1) % 5]
    }

    fn at_step(&self, step: u32) -> Vec<f32> {
        self.gradient.iter().map(|g| g * Self::scale(step)).collect()
    }

    fn run(&self, gpu: &'static Gpu, layout: Layout, steps: u32) -> State<f32> {
        let mut t = Tensors::new(gpu, layout);
        let split = self.theta.len() - 3;
        let parts = [(self.shape, 0..split), ([1, 1, 3], split..split + 3)].map(|(shape, range)| {
            let zeros = vec![0.0; range.len()];
            let state = [&self.theta[range.clone()], &zeros, &zeros].map(|data| t.f32(shape, data));
            let gradients: Vec<Tensor> =
                (1..=steps).map(|step| t.f32(shape, &self.at_step(step)[range.clone()])).collect();
            (state, gradients)
        });
        let norm = t.poisoned([1, 1, 1]);
        let op = AdamW::new(&self.desc).unwrap();
        t.run(|recorder| {
            (1..=steps).try_for_each(|step| {
                let slots = [0, 1].map(|i| {
                    let ([theta, m, v], gradients) = &parts[i];
                    let [theta, m, v] = [theta, m, v].map(|tensor| t.view(*tensor));
                    Slot { gradient: t.view(gradients[step as usize - 1]), theta, m, v }
                });
                op.step(recorder, &slots, step, self.rate, Some(t.view(norm)))
            })
        })
        .unwrap();
        let both = |i: usize| [t.read(parts[0].0[i]), t.read(parts[1].0[i])].concat();
        [both(0), both(1), both(2), t.read(norm)]
    }

    /// The formula in f64.
    fn reference(&self, steps: u32) -> State<f64> {
        let AdamWDesc { beta1, beta2, epsilon, weight_decay, max_norm } = self.desc;
        let [b1, b2, eps, decay, rate] = [beta1, beta2, epsilon, weight_decay, self.rate].map(f64::from);
        let mut theta = wide(&self.theta);
        let [mut m, mut v] = [(); 2].map(|()| vec![0.0; theta.len()]);
        let mut square = 0.0;
        for step in 1..=steps {
            let g = wide(&self.at_step(step));
            square = g.iter().map(|g| g * g).sum::<f64>();
            let clip = max_norm.map_or(1.0, |max| (f64::from(max) / square.sqrt()).min(1.0));
            let (c1, c2) = (1.0 - b1.powi(step as i32), 1.0 - b2.powi(step as i32));
            for (i, g) in g.iter().map(|g| g * clip).enumerate() {
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                theta[i] -= rate * decay * theta[i] + rate * (m[i] / c1) / ((v[i] / c2).sqrt() + eps);
            }
        }
        [theta, m, v, vec![square]]
    }

    fn twin(&self, steps: u32) -> State<f32> {
        let mut theta = self.theta.clone();
        let [mut m, mut v] = [(); 2].map(|()| vec![0.0; theta.len()]);
        let mut square = 0.0;
        for step in 1..=steps {
            let g = self.at_step(step);
            let split = g.len() - 3;
            square = twin::square_norm(&[&g[..split], &g[split..]]);
            twin::adamw(&self.desc, step, self.rate, square, &g, &mut theta, &mut m, &mut v);
        }
        [theta, m, v, vec![square]]
    }

    /// Bounds on θ, m, v and ‖g‖². The norm sums 256 squares, then the chunks; its root errs by half of that.
    /// Moments: five roundings a step, of numbers up to the largest so far, and the clipped gradient's error.
    /// θ: two roundings of |θ| ≤ 1.1 a step, and of each move, at most 3·lr here, some 20.
    fn bounds(&self, square: f64) -> [f64; 4] {
        let terms = self.theta.len().min(256) + self.theta.len() / 256 + 2;
        let norm = sum_bound(terms, 1.0);
        let steps = f64::from(STEPS);
        let moment = if self.desc.max_norm.is_some() { norm } else { 0.0 } + 5.0 * steps * EPS;
        let moved = 3.0 * f64::from(self.rate) * (20.0 * EPS + moment);
        [steps * (2.2 * EPS + moved), 2.0 * moment, 4.0 * moment, norm * square]
    }
}

#[test]
fn five_steps_match_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    let flat = [1, 2, 3, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1000].map(|n| (1, n));
    let tall = [(2, 1), (3, 5), (31, 7), (33, 2), (64, 4), (65, 33), (257, 3)];
    for layout in LAYOUTS {
        for (rows, width) in flat.into_iter().chain(tall) {
            for max_norm in [None, Some(0.5)] {
                let case = Case::new(rows, width, max_norm);
                let (state, twin) = (case.run(gpu, layout, STEPS), case.twin(STEPS));
                let expected = case.reference(STEPS);
                let bounds = case.bounds(expected[3][0]);
                for (i, name) in ["theta", "m", "v", "norm"].iter().enumerate() {
                    assert_near(name, &state[i], &expected[i], bounds[i]);
                    assert_near(&format!("{name} of the twin"), &twin[i], &expected[i], bounds[i]);
                }
            }
        }
    }
}

#[test]
fn the_first_step_moves_every_parameter_by_the_learning_rate() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(1, 65, None);
    case.desc.weight_decay = 0.0;
    let [theta, ..] = case.run(gpu, Layout::OneBuffer, 1);
    let expected: Vec<f64> =
        case.theta.iter().zip(&case.gradient).map(|(t, g)| f64::from(t - g.signum() * RATE)).collect();
    assert_near("theta", &theta, &expected, 1e-6);
}

#[test]
fn a_norm_below_the_limit_changes_no_bits() {
    let Some(gpu) = gpu() else { return };
    let free = Case::new(9, 33, None).run(gpu, Layout::Separate, STEPS);
    let clipped = Case::new(9, 33, Some(1e3)).run(gpu, Layout::OneBuffer, STEPS);
    free.iter().zip(&clipped).for_each(|(a, b)| assert_same_bits("state", a, b));
}

#[test]
fn a_learning_rate_of_zero_keeps_the_parameters() {
    let Some(gpu) = gpu() else { return };
    let case = Case { rate: 0.0, ..Case::new(5, 13, Some(0.5)) };
    assert_same_bits("theta", &case.run(gpu, Layout::OneBuffer, STEPS)[0], &case.theta);
}

#[test]
fn a_zero_gradient_only_decays() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(3, 5, Some(0.5));
    case.gradient.fill(0.0);
    let [theta, m, v, norm] = case.run(gpu, Layout::Separate, 1);
    let decayed: Vec<f64> = case.theta.iter().map(|&t| f64::from(t) * (1.0 - 0.001)).collect();
    assert_near("theta", &theta, &decayed, 2.0 * EPS + 1e-9);
    assert!(m.iter().chain(&v).chain(&norm).all(|&x| x == 0.0));
}

#[test]
fn an_element_alone_equals_the_element_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let batch = Case::new(65, 7, None);
    let state = batch.run(gpu, Layout::Separate, STEPS);
    let elements = batch.theta.len();
    for at in [0, 1, 63, 64, 65 * 7 - 1] {
        let mut alone = Case::new(1, 1, None);
        let pick = |data: &[f32]| [&data[at..=at], &data[elements - 3..]].concat();
        (alone.theta, alone.gradient) = (pick(&batch.theta), pick(&batch.gradient));
        let one = alone.run(gpu, Layout::OneBuffer, STEPS);
        (0..3).for_each(|i| assert_same_bits("element", &one[i], &pick(&state[i])));
    }
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(111, 7, Some(1.0));
    let first = case.run(gpu, Layout::Separate, STEPS);
    for repeat in 0..20 {
        let again = case.run(gpu, LAYOUTS[repeat % 2], STEPS);
        first.iter().zip(&again).for_each(|(a, b)| assert_same_bits("repeat", a, b));
    }
}

#[test]
fn a_norm_over_long_axes_is_whole() {
    let Some(gpu) = gpu() else { return };
    // The last one needs chunks of 512.
    for (rows, width) in [(1, 200_000), (200_000, 1), (100_001, 47)] {
        let case = Case::new(rows, width, None);
        let [.., norm] = case.run(gpu, Layout::Separate, 1);
        let expected: f64 = wide(&case.gradient).iter().map(|g| g * g).sum();
        let chunk = if case.theta.len() > 4_194_304 { 512 } else { 256 };
        let bound = sum_bound(chunk + case.theta.len() / chunk + 2, expected);
        assert_near("norm", &norm, &[expected], bound);
        assert_near("norm of the twin", &case.twin(1)[3], &[expected], bound);
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::Separate);
    let [gradient, theta, m, v] = [(); 4].map(|()| t.f32([1, 1, 2], &[1.0, 2.0]));
    let place = t.poisoned([1, 1, 1]);
    let slot = Slot { gradient: t.view(gradient), theta: t.view(theta), m: t.view(m), v: t.view(v) };
    let op = AdamW::new(&desc(Some(1.0))).unwrap();
    let message = |slot, step, rate, norm| {
        t.run(|recorder| op.step(recorder, &[slot], step, rate, norm)).unwrap_err().to_string()
    };
    let norm = Some(t.view(place));
    assert!(message(slot, 1, 0.1, None).contains("`square_norm`"));
    assert!(message(slot, 0, 0.1, norm).contains("`step`"));
    assert!(message(slot, 1, f32::NAN, norm).contains("`learning_rate`"));
    assert!(message(slot, 1, -0.1, norm).contains("`learning_rate`"));
    assert!(message(slot, 1, 0.1, Some(slot.theta.columns(0, 1))).contains("overlap"));
    assert!(message(slot, 1, 0.1, Some(slot.theta)).contains("`square_norm`"));
    assert!(message(Slot { m: slot.theta, ..slot }, 1, 0.1, norm).contains("overlap"));
    assert!(message(Slot { v: t.view(place), ..slot }, 1, 0.1, norm).contains("`v`"));
    let twice = t.run(|recorder| op.step(recorder, &[slot, slot], 1, 0.1, norm)).unwrap_err();
    assert!(twice.to_string().contains("overlap"));
    let refused = |desc: AdamWDesc| AdamW::new(&desc).unwrap_err().to_string();
    assert!(refused(AdamWDesc { max_norm: Some(0.0), ..Default::default() }).contains("`max_norm`"));
    assert!(refused(AdamWDesc { beta2: f32::NAN, ..Default::default() }).contains("`beta2`"));
    assert!(refused(AdamWDesc { epsilon: 0.0, ..Default::default() }).contains("`epsilon`"));
    assert!(refused(AdamWDesc { weight_decay: -0.1, ..Default::default() }).contains("`weight_decay`"));
    assert_eq!(t.read(theta), [1.0, 2.0]);
    assert_eq!(t.read(place)[0].to_bits(), POISON, "nothing may have been recorded");
}

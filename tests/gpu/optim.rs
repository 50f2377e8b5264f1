//! `optim` against its twin and an f64 reference.

use crate::support::*;
use gtca::gpu::Gpu;
use gtca::optim::{AdamW, AdamWDesc, Slot, twin};

const STEPS: u32 = 5;
const RATE: f32 = 0.01;

fn desc(max_norm: Option<f32>) -> AdamWDesc {
    AdamWDesc { weight_decay: 0.1, max_norm, ..Default::default() }
}

/// θ, m, v and ‖g‖² after five steps on two tensors of `n` and 3 elements with constant gradients.
fn run(gpu: &'static Gpu, layout: Layout, n: usize, max_norm: Option<f32>) -> [Vec<f32>; 4] {
    let (theta, gradient) = start(n);
    let mut t = Tensors::new(gpu, layout);
    let parts = [(0, n), (n, 3)].map(|(from, len)| {
        let shape = [1, 1, len as u32];
        let zeros = vec![0.0; len];
        [&gradient[from..][..len], &theta[from..][..len], &zeros, &zeros].map(|data| t.f32(shape, data))
    });
    let norm = t.poisoned([1, 1, 1]);
    let op = AdamW::new(&desc(max_norm)).unwrap();
    let slots = parts.map(|[gradient, theta, m, v]| Slot {
        gradient: t.view(gradient),
        theta: t.view(theta),
        m: t.view(m),
        v: t.view(v),
    });
    t.run(|recorder| {
        (1..=STEPS).try_for_each(|step| op.step(recorder, &slots, step, RATE, Some(t.view(norm))))
    })
    .unwrap();
    let both = |i: usize| [t.read(parts[0][i]), t.read(parts[1][i])].concat();
    [both(1), both(2), both(3), t.read(norm)]
}

fn start(n: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random(n as u64);
    (random.f32s(n + 3), random.f32s(n + 3))
}

/// The formula in f64.
fn reference(n: usize, max_norm: Option<f32>) -> Vec<f64> {
    let (theta, gradient) = start(n);
    let (mut theta, mut g) = (wide(&theta), wide(&gradient));
    let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
    if let Some(max) = max_norm.map(f64::from).filter(|&max| norm > max) {
        g.iter_mut().for_each(|g| *g *= max / norm);
    }
    let d = desc(None);
    let (b1, b2) = (f64::from(d.beta1), f64::from(d.beta2));
    for (theta, g) in theta.iter_mut().zip(&g) {
        let (mut m, mut v) = (0.0, 0.0);
        for step in 1..=STEPS as i32 {
            m = b1 * m + (1.0 - b1) * g;
            v = b2 * v + (1.0 - b2) * g * g;
            *theta -= f64::from(RATE) * f64::from(d.weight_decay) * *theta;
            *theta -= f64::from(RATE) * (m / (1.0 - b1.powi(step)))
                / ((v / (1.0 - b2.powi(step))).sqrt() + f64::from(d.epsilon));
        }
    }
    theta
}

#[test]
fn five_steps_match_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for n in [1, 2, 31, 63, 64, 65, 255, 256, 257, 1000] {
            for max_norm in [None, Some(0.5)] {
                let [theta, m, v, norm] = run(gpu, layout, n, max_norm);
                // A step moves θ by at most lr; each carries a few roundings of (1 − β) and √v: 1e-4 of a step.
                assert_near(
                    "theta",
                    &theta,
                    &reference(n, max_norm),
                    f64::from(RATE) * f64::from(STEPS) * 1e-4,
                );
                let (mut twin_theta, gradient) = start(n);
                let (mut twin_m, mut twin_v) = (vec![0.0; n + 3], vec![0.0; n + 3]);
                let square = twin::square_norm(&[&gradient[..n], &gradient[n..]]);
                for step in 1..=STEPS {
                    let state = (&mut twin_theta, &mut twin_m, &mut twin_v);
                    twin::adamw(&desc(max_norm), step, RATE, square, &gradient, state.0, state.1, state.2);
                }
                assert_near("theta of the twin", &theta, &wide(&twin_theta), 1e-6);
                assert_near("m", &m, &wide(&twin_m), 1e-6);
                assert_near("v", &v, &wide(&twin_v), 1e-6);
                assert_near("norm", &norm, &[f64::from(square)], sum_bound(n + 3, f64::from(square)));
            }
        }
    }
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let first = run(gpu, Layout::Separate, 777, Some(1.0));
    for repeat in 0..20 {
        let again = run(gpu, LAYOUTS[repeat % 2], 777, Some(1.0));
        first.iter().zip(&again).for_each(|(a, b)| assert_same_bits("repeat", a, b));
    }
}

#[test]
fn a_norm_over_200_000_elements_is_whole() {
    let Some(gpu) = gpu() else { return };
    let [.., norm] = run(gpu, Layout::Separate, 200_000, None);
    let expected: f64 = wide(&start(200_000).1).iter().map(|g| g * g).sum();
    assert_near("norm", &norm, &[expected], sum_bound(256 + 782, expected));
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::Separate);
    let [gradient, theta, m, v] = [(); 4].map(|()| t.f32([1, 1, 2], &[1.0, 2.0]));
    let slot = Slot { gradient: t.view(gradient), theta: t.view(theta), m: t.view(m), v: t.view(v) };
    let op = AdamW::new(&desc(Some(1.0))).unwrap();
    let message = |slot, step, rate, norm| {
        t.run(|recorder| op.step(recorder, &[slot], step, rate, norm)).unwrap_err().to_string()
    };
    let norm = Some(t.view(theta).columns(0, 1));
    assert!(message(slot, 1, 0.1, None).contains("`square_norm`"));
    assert!(message(slot, 0, 0.1, norm).contains("`step`"));
    assert!(message(slot, 1, f32::NAN, norm).contains("`learning_rate`"));
    assert!(message(slot, 1, 0.1, norm).contains("overlap"));
    assert!(message(Slot { m: t.view(theta), ..slot }, 1, 0.1, None).contains("`square_norm`"));
    assert!(AdamW::new(&AdamWDesc { max_norm: Some(0.0), ..Default::default() }).is_err());
    assert_eq!(t.read(theta), [1.0, 2.0]);
}

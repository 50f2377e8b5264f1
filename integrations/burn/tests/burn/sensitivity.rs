//! The sensitivity sweep.

use crate::support::{host, random, values};
use burn::tensor::{Int, Tensor};
use gtca::sensitivity::{ProbeDesc, Sensitivity};
use gtca_burn::sensitivity::{Factored, Samples, Sweep};

const SAMPLES: usize = 37;
const CLASSES: usize = 11;
const COUNT: usize = 3;
const RANK: usize = 8;

fn desc() -> ProbeDesc {
    ProbeDesc { classes: CLASSES as u32, groups: 2, perturbations: COUNT as u32 }
}

/// Labels and groups, as i32: Burn's default.
fn samples(device: &burn::tensor::Device) -> Samples {
    let column = |of: fn(usize) -> i32| {
        let numbers: Vec<i32> = (0..SAMPLES).map(of).collect();
        Some(Tensor::<1, Int>::from_ints(numbers.as_slice(), device))
    };
    Samples {
        labels: column(|i| if i == 3 { -1 } else { (i % CLASSES) as i32 }),
        groups: column(|i| (i % 2) as i32),
    }
}

/// Shares of changed predictions, by perturbation, as Burn's ops count them.
fn flips(base: &Tensor<2>, variants: &Tensor<3>) -> Vec<f32> {
    let before = base.clone().argmax(1).reshape([1, SAMPLES]);
    let after = variants.clone().argmax(2).reshape([COUNT, SAMPLES]);
    values(before.not_equal(after).float().mean_dim(1))
}

fn assert_flips(sensitivity: &Sensitivity, expected: &[f32]) {
    for (k, share) in expected.iter().enumerate() {
        let overall = sensitivity.overall(k as u32).expect("a perturbation");
        assert_eq!(overall.count(), SAMPLES as u64);
        assert_eq!(overall.labelled(), SAMPLES as u64 - 1);
        let found = overall.flip_rate().expect("a share");
        assert!((found - f64::from(*share)).abs() < 1e-6, "{found} instead of {share}");
    }
}

#[test]
fn chunks_add_up_to_the_sums_of_one_call_and_flips_are_those_of_burns_argmax() {
    let (device, gpu) = host();
    let base = random::<2>(1, [SAMPLES, CLASSES], &device);
    let variants = base.clone().unsqueeze::<3>() + random::<3>(2, [COUNT, SAMPLES, CLASSES], &device) * 0.7;
    let mut whole = Sweep::new(&gpu, &desc(), &device).expect("a sweep");
    whole.external(base.clone(), variants.clone(), 0, &samples(&device));
    let whole = whole.read().expect("sums");
    let expected = flips(&base, &variants);
    assert!(expected.iter().any(|share| *share > 0.0), "nothing flips");
    assert_flips(&whole, &expected);

    let mut chunks = Sweep::new(&gpu, &desc(), &device).expect("a sweep");
    chunks.external(base.clone(), variants.clone().narrow(0, 0, 1), 0, &samples(&device));
    chunks.external(base, variants.narrow(0, 1, COUNT - 1), 1, &samples(&device));
    assert_eq!(chunks.read().expect("sums").to_words(), whole.to_words());
}

#[test]
fn the_factored_path_measures_what_the_external_one_measures_of_the_same_logits() {
    let (device, gpu) = host();
    let base = random::<2>(1, [SAMPLES, CLASSES], &device);
    let hidden = random::<2>(2, [SAMPLES, RANK], &device);
    let map = random::<2>(3, [RANK, CLASSES], &device);
    let true_gates = random::<2>(4, [SAMPLES, RANK], &device) + 1.0;
    let gates = random::<3>(5, [COUNT, SAMPLES, RANK], &device) + 1.0;
    let (lambda, scale) = (0.75, 2.0);
    let logits = |gates: Tensor<3>| {
        let moved = (gates * hidden.clone().unsqueeze::<3>()).matmul(map.clone().unsqueeze::<3>());
        base.clone().unsqueeze::<3>() + moved * (lambda * scale)
    };
    let recorded = logits(true_gates.clone().unsqueeze::<3>()).reshape([SAMPLES, CLASSES]);
    let variants = logits(gates.clone());
    let expected = flips(&recorded, &variants);

    let mut sweep = Sweep::new(&gpu, &desc(), &device).expect("a sweep");
    let parts = Factored {
        base: base.clone(),
        hidden: hidden.clone(),
        map: map.clone(),
        true_gates,
        gates,
        lambda,
        scale,
    };
    sweep.factored(parts, 0, &samples(&device));
    let factored = sweep.read().expect("sums");
    assert_flips(&factored, &expected);
    let mut sweep = Sweep::new(&gpu, &desc(), &device).expect("a sweep");
    sweep.external(recorded, variants, 0, &samples(&device));
    let external = sweep.read().expect("sums");
    for k in 0..COUNT as u32 {
        let [one, other] = [&factored, &external].map(|table| table.overall(k).expect("a perturbation"));
        let [kl, other_kl] = [one, other].map(|tally| tally.kl().value().expect("a mean"));
        assert!((kl - other_kl).abs() < 1e-5, "KL {kl} and {other_kl}");
    }
}

//! The losses.

use crate::support::{assert_close, random, training, values};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// `mean w max(0, J − τ)` in Burn's own ops; the certainty w is constant in the gradient.
fn composed(p: Tensor<2>, q: Tensor<2>, threshold: f32) -> Tensor<1> {
    let classes = p.dims()[1] as f32;
    let [log_p, log_q] = [p, q].map(|logits| log_softmax(logits, 1));
    let [p, q] = [&log_p, &log_q].map(|log| log.clone().exp());
    let divergence = ((p - q.clone()) * (log_p - log_q.clone())).sum_dim(1) * 0.5;
    let certainty = ((q * log_q).sum_dim(1) / classes.ln() + 1.0).clamp(0.0, 1.0).detach();
    (certainty * (divergence - threshold).clamp_min(0.0)).mean()
}

#[test]
fn the_regularizer_and_its_gradients_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for [samples, classes] in [[1, 2], [5, 7], [70, 16], [300, 100]] {
        let p = (random::<2>(1, [samples, classes], &device) * 4.0).detach().require_grad();
        let q = (random::<2>(2, [samples, classes], &device) * 4.0).detach().require_grad();
        let ours = gtca_burn::loss::evidence(&gpu, p.clone(), q.clone(), 0.05);
        let theirs = composed(p.clone(), q.clone(), 0.05);
        assert_close("loss", samples + classes + 32, ours.clone(), theirs.clone());
        // Something comes from above.
        let [ours, theirs] = [ours, theirs].map(|loss| (loss * 3.0).backward());
        for (name, of) in [("dp", &p), ("dq", &q)] {
            let [ours, theirs] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
            assert_close(&format!("{name} of [{samples}, {classes}]"), classes + 64, ours, theirs);
        }
    }
}

#[test]
fn a_detached_q_has_no_gradient_and_the_value_is_the_same() {
    let (device, gpu) = training();
    let p = (random::<2>(1, [9, 5], &device) * 4.0).detach().require_grad();
    let q = (random::<2>(2, [9, 5], &device) * 4.0).detach().require_grad();
    let with = gtca_burn::loss::evidence(&gpu, p.clone(), q.clone(), 0.05);
    let without = gtca_burn::loss::evidence(&gpu, p.clone(), q.clone().detach(), 0.05);
    let alone = gtca_burn::loss::evidence(&gpu, p.clone().inner(), q.clone().inner(), 0.05);
    assert_eq!(values(with.clone()), values(without.clone()));
    assert_eq!(values(with), values(alone));
    let grads = without.backward();
    assert!(p.grad(&grads).is_some());
    assert!(q.grad(&grads).is_none());
}

/// `[samples]` of ids below `count`; every seventh is `odd`.
fn ids(samples: usize, count: i32, odd: i32, device: &Device) -> Tensor<1, Int> {
    let id = |i: usize| if i % 7 == 3 { odd } else { (i * i + i / 3) as i32 % count };
    Tensor::from_data(TensorData::new((0..samples).map(id).collect::<Vec<i32>>(), [samples]), device)
}

/// `[samples, classes]`: 1 where the label is the class.
fn hot(labels: &Tensor<1, Int>, classes: usize) -> Tensor<2> {
    let samples = labels.dims()[0];
    let each = Tensor::<1, Int>::arange(0..classes as i64, &labels.device());
    let [labels, each] = [labels.clone().reshape([samples, 1]), each.reshape([1, classes])];
    labels.repeat_dim(1, classes).equal(each.repeat_dim(0, samples)).float()
}

#[test]
fn the_cross_entropy_and_its_gradient_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for [samples, classes] in [[1, 2], [5, 7], [70, 16], [300, 100]] {
        for odd in [-1, classes as i32, 0] {
            for weights in [None, Some(random::<1>(3, [classes], &device) + 1.5)] {
                let z = (random::<2>(1, [samples, classes], &device) * 4.0).detach().require_grad();
                let labels = ids(samples, classes as i32, odd, &device);
                let ours = gtca_burn::loss::cross_entropy(&gpu, z.clone(), labels.clone(), weights.clone());
                // Labels that are no class have no hot column.
                let hot = hot(&labels, classes);
                let weighted = match weights {
                    Some(weights) => hot * weights.unsqueeze(),
                    None => hot,
                };
                let theirs = -(log_softmax(z.clone(), 1) * weighted.clone()).sum() / weighted.sum();
                assert_close("loss", samples + classes + 32, ours.clone(), theirs.clone());
                let [ours, theirs] = [ours, theirs].map(|loss| (loss * 3.0).backward());
                let [ours, theirs] = [&ours, &theirs].map(|grads| z.grad(grads).expect("a gradient"));
                assert_close(&format!("dlogits of [{samples}, {classes}]"), classes + 64, ours, theirs);
            }
        }
    }
}

#[test]
fn labels_may_be_u32_and_values_need_no_autodiff() {
    let (device, gpu) = training();
    let z = random::<2>(1, [70, 5], &device).require_grad();
    let labels = ids(70, 5, -1, &device);
    let unsigned = values(labels.clone().float()).iter().map(|id| *id as i32 as u32).collect::<Vec<_>>();
    let data = TensorData::new(unsigned, [70]);
    let unsigned = Tensor::<1, Int>::from_data(data, (&device, burn::tensor::DType::U32));
    let loss = |z, labels| values(gtca_burn::loss::cross_entropy(&gpu, z, labels, None));
    let with = loss(z.clone(), labels.clone());
    assert_eq!(with, loss(z.clone(), unsigned));
    assert_eq!(with, loss(z.inner(), labels));
}

/// The anti-shortcut loss in Burn's own ops, the whole matrix stored.
fn contrast(
    z: Tensor<2>,
    classes: &Tensor<1, Int>,
    regions: &Tensor<1, Int>,
    (temperature, weight): (f32, f32),
) -> Tensor<1> {
    let samples = z.dims()[0];
    let same = |ids: &Tensor<1, Int>| {
        let rows = ids.clone().reshape([samples, 1]).repeat_dim(1, samples);
        rows.clone().equal(rows.transpose()).float()
    };
    let knows = |ids: &Tensor<1, Int>| ids.clone().greater_equal_scalar(0).float();
    let known = (knows(classes) * knows(regions)).reshape([samples, 1]);
    let known = known.clone().matmul(known.transpose());
    let (class, region) = (same(classes), same(regions));
    let positives = class.clone() * (-region.clone() + 1.0) * known.clone();
    let negatives = (-class + 1.0) * (region * (weight - 1.0) + 1.0) * known;
    let exponents = z.clone().matmul(z.transpose()) / temperature;
    let log_sums =
        (exponents.clone().exp() * (positives.clone() + negatives)).sum_dim(1).add_scalar(1e-30).log();
    let counts = positives.clone().sum_dim(1);
    let is_anchor = counts.clone().greater_scalar(0.5).float();
    let drawn = (exponents * positives).sum_dim(1) / counts.clamp_min(1.0);
    ((log_sums - drawn) * is_anchor.clone()).sum() / is_anchor.sum()
}

#[test]
fn the_anti_shortcut_loss_and_its_gradient_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for ([samples, width], numbers) in [([9, 3], (0.5, 2.0)), ([70, 16], (0.2, 3.0)), ([300, 65], (1.0, 1.0))]
    {
        let features = random::<2>(1, [samples, width], &device).require_grad();
        // The gradient goes on through Burn's normalisation.
        let z = || features.clone() / features.clone().powi_scalar(2).sum_dim(1).sqrt();
        let (classes, regions) = (ids(samples, 4, -1, &device), ids(samples, 3, -1, &device).flip([0]));
        let (temperature, weight) = numbers;
        let [a, b] = [classes.clone(), regions.clone()];
        let ours = gtca_burn::loss::anti_shortcut(&gpu, z(), a, b, temperature, weight);
        let theirs = contrast(z(), &classes, &regions, numbers);
        assert_close("loss", samples + 64, ours.clone(), theirs.clone());
        let [ours, theirs] = [ours, theirs].map(|loss| (loss * 3.0).backward());
        let [ours, theirs] = [&ours, &theirs].map(|grads| features.grad(grads).expect("a gradient"));
        assert_close(&format!("gradient of [{samples}, {width}]"), 4 * samples + width, ours, theirs);
    }
}

#[test]
fn the_anti_shortcut_loss_needs_no_autodiff() {
    let (device, gpu) = training();
    let z = random::<2>(1, [40, 8], &device).require_grad();
    let (classes, regions) = (ids(40, 4, -1, &device), ids(40, 3, 2, &device));
    let loss = |z, [classes, regions]: [Tensor<1, Int>; 2]| {
        values(gtca_burn::loss::anti_shortcut(&gpu, z, classes, regions, 0.5, 2.0))
    };
    let given = [classes, regions];
    assert_eq!(loss(z.clone(), given.clone()), loss(z.inner(), given));
}

#[test]
#[should_panic(expected = "the weight is 0.5")]
fn a_light_neighbour_is_refused_where_the_op_is_called() {
    let (device, gpu) = training();
    let ids = ids(4, 2, 1, &device);
    gtca_burn::loss::anti_shortcut(&gpu, random(1, [4, 2], &device), ids.clone(), ids, 0.1, 0.5);
}

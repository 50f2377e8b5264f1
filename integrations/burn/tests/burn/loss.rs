//! The evidence regularizer.

use crate::support::{assert_close, random, training, values};
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

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

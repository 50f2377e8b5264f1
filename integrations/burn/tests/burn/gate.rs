//! The effective gate.

use crate::support::{assert_close, random, training, values};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use gtca::gate::{MetadataGate, MetadataGateDesc};
use gtca_burn::gate::Mu;

#[test]
fn gates_and_their_gradients_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for ([samples, width], mu) in [([1, 1], 0.5), ([5, 3], 0.25), ([64, 16], 0.5), ([300, 70], 1.0)] {
        let gate = MetadataGate::new(&MetadataGateDesc { width: width as u32 }).expect("a gate");
        let logits = random::<2>(1, [samples, width], &device).require_grad();
        let null = random::<1>(2, [width], &device).require_grad();
        // Every other sample's metadata is dropped.
        let validity: Vec<f32> = (0..samples).map(|i| ((i + 1) % 2) as f32).collect();
        let validity = Tensor::<1>::from_floats(validity.as_slice(), &device).reshape([samples, 1]);
        let weights = random::<2>(3, [samples, width], &device);

        let ours = gtca_burn::gate::mix(&gpu, gate, logits.clone(), null.clone(), validity.clone(), mu);
        let nothing = sigmoid(null.clone().unsqueeze::<2>()) * 2.0;
        let open = validity * mu;
        let theirs = nothing.clone() + (sigmoid(logits.clone()) * 2.0 - nothing) * open;
        assert_close("gates", 32, ours.clone(), theirs.clone());

        let [ours, theirs] = [ours, theirs].map(|gates| (gates * weights.clone()).sum().backward());
        let of = |grads, name, tensor: &Tensor<2>| tensor.grad(grads).unwrap_or_else(|| panic!("no {name}"));
        assert_close("dlogits", 32, of(&ours, "dlogits", &logits), of(&theirs, "dlogits", &logits));
        let [ours, theirs] = [&ours, &theirs].map(|grads| null.grad(grads).expect("a gradient"));
        assert_close("dnull", samples + 32, ours, theirs);
    }
}

#[test]
fn a_learned_mu_has_the_gradient_of_burns_own_ops() {
    let (device, gpu) = training();
    for [samples, width] in [[1, 1], [5, 3], [300, 70]] {
        let gate = MetadataGate::new(&MetadataGateDesc { width: width as u32 }).expect("a gate");
        let logits = random::<2>(1, [samples, width], &device).require_grad();
        let null = random::<1>(2, [width], &device).require_grad();
        let validity: Vec<f32> = (0..samples).map(|i| ((i + 1) % 2) as f32).collect();
        let validity = Tensor::<1>::from_floats(validity.as_slice(), &device).reshape([samples, 1]);
        let weights = random::<2>(3, [samples, width], &device);
        let composed = |mu: Tensor<2>| {
            let nothing = sigmoid(null.clone().unsqueeze::<2>()) * 2.0;
            nothing.clone() + (sigmoid(logits.clone()) * 2.0 - nothing) * (validity.clone() * mu)
        };
        let one = Tensor::<1>::from_floats([0.7], &device).require_grad();
        let each = sigmoid(random::<2>(4, [samples, 1], &device)).detach().require_grad();
        let ours =
            |mu: Mu| gtca_burn::gate::mix(&gpu, gate, logits.clone(), null.clone(), validity.clone(), mu);
        let pairs = [
            (ours(one.clone().into()), composed(one.clone().unsqueeze())),
            (ours(each.clone().into()), composed(each.clone())),
        ];
        for (i, (ours, theirs)) in pairs.into_iter().enumerate() {
            assert_close("gates", 32, ours.clone(), theirs.clone());
            let [ours, theirs] = [ours, theirs].map(|gates| (gates * weights.clone()).sum().backward());
            let [a, b] = [&ours, &theirs].map(|grads| logits.grad(grads).expect("a gradient"));
            assert_close("dlogits", 32, a, b);
            if i == 0 {
                let [a, b] = [&ours, &theirs].map(|grads| one.grad(grads).expect("a gradient"));
                assert_close("dmu", samples * width, a, b);
            } else {
                let [a, b] = [&ours, &theirs].map(|grads| each.grad(grads).expect("a gradient"));
                assert_close("dmu of samples", width + 32, a, b);
            }
        }
        // A number is the same μ, without a gradient.
        let [number, tensor] = [ours(0.7.into()), ours(one.into())].map(values);
        assert_eq!(number, tensor);
    }
}

//! The effective gate.

use crate::support::{assert_close, random, training};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use gtca::gate::{MetadataGate, MetadataGateDesc};

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

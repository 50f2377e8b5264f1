//! The injection and its gradients.

use crate::support::{assert_close, host, random, training, values};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use gtca::gpu::Gpu;
use gtca::lora::{Dropout, LoraDesc, Scaling};
use gtca_burn::lora::{Apply, GatedLora};

/// Samples, tokens, inputs, outputs, rank.
const SHAPES: [[usize; 5]; 9] = [
    [1, 1, 1, 1, 1],
    [2, 3, 5, 7, 3],
    [3, 17, 64, 96, 4],
    [1, 65, 33, 129, 8],
    [5, 64, 96, 31, 16],
    [2, 9, 100, 60, 40],
    [1, 257, 65, 63, 64],
    [2, 10, 300, 20, 256],
    [4, 197, 192, 192, 16],
];
const LAMBDA: f32 = 0.75;

fn adapter(gpu: &Gpu, [_, _, inputs, outputs, rank]: [usize; 5], device: &Device) -> GatedLora {
    let [inputs_32, outputs_32, rank_32] = [inputs, outputs, rank].map(|n| n as u32);
    let scaling = Scaling::RankStabilized;
    let desc =
        LoraDesc { inputs: inputs_32, outputs: outputs_32, rank: rank_32, alpha: 6.0, scaling, family: None };
    let mut adapter = GatedLora::new(gpu, &desc, device).expect("an adapter");
    // The same numbers in every run: A is drawn by Burn, from no seed. A zero B has no gradient to give A.
    adapter.a = burn::module::Param::from_tensor(random(1, [rank, inputs], device));
    adapter.b_t = burn::module::Param::from_tensor(random(2, [rank, outputs], device));
    adapter
}

/// The same in Burn's own ops.
fn composed(
    x: Tensor<3>,
    y: Tensor<3>,
    a: Tensor<2>,
    b_t: Tensor<2>,
    gates: Tensor<3>,
    factor: f32,
) -> Tensor<3> {
    let h = x.matmul(a.transpose().unsqueeze()) * gates;
    y + h.matmul(b_t.unsqueeze()) * factor
}

/// Gates of samples and tokens, one a rank and one for all.
fn gate_shapes([samples, tokens, _, _, rank]: [usize; 5]) -> [[usize; 3]; 4] {
    [[samples, 1, rank], [samples, 1, 1], [samples, tokens, rank], [samples, tokens, 1]]
}

#[test]
fn the_injection_and_every_gradient_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for shape in SHAPES {
        let [samples, tokens, inputs, outputs, rank] = shape;
        let adapter = adapter(&gpu, shape, &device);
        for gate_shape in gate_shapes(shape) {
            let x = random(3, [samples, tokens, inputs], &device).require_grad();
            let y = random(4, [samples, tokens, outputs], &device).require_grad();
            let gates = (random(5, gate_shape, &device) + 1.5).detach().require_grad();
            let weights = random(6, [samples, tokens, outputs], &device);

            let apply = Apply { gates: Some(gates.clone()), lambda: LAMBDA, dropout: None };
            let ours = adapter.forward(x.clone(), y.clone(), apply);
            let (a, b_t) = (adapter.a.val(), adapter.b_t.val());
            let factor = LAMBDA * adapter.scale();
            let theirs = composed(x.clone(), y.clone(), a.clone(), b_t.clone(), gates.clone(), factor);
            assert_close("y", inputs + rank, ours.clone(), theirs.clone());

            let [ours, theirs] = [ours, theirs].map(|out| (out * weights.clone()).sum().backward());
            let rows = samples * tokens;
            let say = |name: &str| format!("{name} of {shape:?} with gates {gate_shape:?}");
            let parts =
                [("dx", &x, outputs + rank), ("dy", &y, 1), ("dgates", &gates, tokens * rank + outputs)];
            for (name, of, terms) in parts {
                let [ours, theirs] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
                assert_close(&say(name), terms, ours, theirs);
            }
            for (name, of, terms) in [("da", &a, rows + outputs), ("db_t", &b_t, rows + inputs)] {
                let [ours, theirs] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
                assert_close(&say(name), terms, ours, theirs);
            }
        }
    }
}

/// λ is half of what is learned, so that both count.
#[test]
fn a_bias_and_a_learned_lambda_have_the_gradients_of_burns_own_ops() {
    let (device, gpu) = training();
    for shape in SHAPES {
        let [samples, tokens, inputs, outputs, rank] = shape;
        for (with_bias, with_lambda) in [(true, false), (false, true), (true, true)] {
            let mut adapter = adapter(&gpu, shape, &device);
            if with_bias {
                adapter = adapter.with_bias();
                adapter.bias = Some(burn::module::Param::from_tensor(random(7, [outputs], &device)));
            }
            if with_lambda {
                adapter = adapter.with_lambda();
                adapter.lambda = Some(burn::module::Param::from_tensor(random(8, [1], &device) + 1.5));
            }
            let x = random(3, [samples, tokens, inputs], &device).require_grad();
            let y = random(4, [samples, tokens, outputs], &device);
            let gates = (random(5, [samples, 1, rank], &device) + 1.5).detach();
            let weights = random(6, [samples, tokens, outputs], &device);
            let apply = Apply { gates: Some(gates.clone()), lambda: 0.5, dropout: None };
            let ours = adapter.forward(x.clone(), y.clone(), apply);

            let [a, b_t] = [&adapter.a, &adapter.b_t].map(|parameter| parameter.val());
            let [bias, lambda] =
                [&adapter.bias, &adapter.lambda].map(|given| given.as_ref().map(|parameter| parameter.val()));
            let h = x.clone().matmul(a.clone().transpose().unsqueeze()) * gates;
            let mut addition = h.matmul(b_t.unsqueeze());
            if let Some(bias) = &bias {
                addition = addition + bias.clone().unsqueeze();
            }
            if let Some(lambda) = &lambda {
                addition = addition * lambda.clone().unsqueeze();
            }
            let theirs = y + addition * (0.5 * adapter.scale());
            assert_close("y", inputs + rank, ours.clone(), theirs.clone());

            let [ours, theirs] = [ours, theirs].map(|out| (out * weights.clone()).sum().backward());
            let [da, theirs_da] = [&ours, &theirs].map(|grads| a.grad(grads).expect("a gradient"));
            assert_close("da", samples * tokens + outputs, da, theirs_da);
            let [dx, theirs_dx] = [&ours, &theirs].map(|grads| x.grad(grads).expect("a gradient"));
            assert_close("dx", outputs + rank, dx, theirs_dx);
            for (name, of, terms) in
                [("dbias", bias, samples * tokens), ("dlambda", lambda, samples * tokens * outputs)]
            {
                if let Some(of) = of {
                    let [ours, theirs] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
                    assert_close(&format!("{name} of {shape:?}"), terms, ours, theirs);
                }
            }
        }
    }
}

#[test]
fn a_learned_lambda_of_one_gives_the_bits_of_none() {
    let (device, gpu) = training();
    let [samples, tokens, inputs, outputs, _] = SHAPES[4];
    let plain = adapter(&gpu, SHAPES[4], &device);
    let x = random::<3>(3, [samples, tokens, inputs], &device);
    let y = random::<3>(4, [samples, tokens, outputs], &device);
    let forward = |adapter: &GatedLora| values(adapter.forward(x.clone(), y.clone(), Apply::default()));
    assert_eq!(forward(&plain), forward(&plain.clone().with_lambda().with_bias()));
}

#[test]
fn gradients_that_nobody_needs_are_left_out_and_the_others_stay() {
    let (device, gpu) = training();
    let shape = SHAPES[4];
    let [samples, tokens, inputs, outputs, _] = shape;
    let adapter = adapter(&gpu, shape, &device);
    let [x, y] =
        [random::<3>(3, [samples, tokens, inputs], &device), random(4, [samples, tokens, outputs], &device)];
    let all = {
        let x = x.clone().require_grad();
        let grads = adapter.forward(x, y.clone(), Apply::default()).sum().backward();
        values(adapter.a.val().grad(&grads).expect("a gradient"))
    };
    let grads = adapter.forward(x.clone(), y.clone(), Apply::default()).sum().backward();
    assert!(x.grad(&grads).is_none() && y.grad(&grads).is_none());
    assert_eq!(values(adapter.a.val().grad(&grads).expect("a gradient")), all);
}

#[test]
fn without_autodiff_the_values_are_the_same_bits() {
    let (device, gpu) = training();
    for shape in SHAPES {
        let [samples, tokens, inputs, outputs, _] = shape;
        let adapter = adapter(&gpu, shape, &device);
        let x = random::<3>(3, [samples, tokens, inputs], &device);
        let y = random::<3>(4, [samples, tokens, outputs], &device);
        let with = adapter.forward(x.clone(), y.clone(), Apply::default());
        let without = adapter.valid().forward(x.inner(), y.inner(), Apply::default());
        assert_eq!(values(with), values(without));
    }
}

#[test]
fn y_is_left_alone_where_somebody_else_holds_it_and_the_injection_has_the_same_bits() {
    let (device, gpu) = host();
    for shape in SHAPES {
        let [samples, tokens, inputs, outputs, _] = shape;
        let adapter = adapter(&gpu, shape, &device);
        let x = random::<3>(3, [samples, tokens, inputs], &device);
        let y = random::<3>(4, [samples, tokens, outputs], &device);
        let before = values(y.clone());
        let elsewhere = values(adapter.forward(x.clone(), y.clone(), Apply::default()));
        assert_eq!(values(y.clone()), before);
        assert_ne!(elsewhere, before);
        // A part of another tensor.
        let part = Tensor::cat(vec![y.clone(), y.clone()], 2).slice([0..samples, 0..tokens, 0..outputs]);
        assert_eq!(values(adapter.forward(x.clone(), part, Apply::default())), elsewhere);
        let apply = Apply { lambda: 0.0, ..Default::default() };
        assert_eq!(values(adapter.forward(x.clone(), y.clone(), apply)), before);
        // Nobody else's any more.
        assert_eq!(values(adapter.forward(x, y, Apply::default())), elsewhere);
    }
}

#[test]
fn dropout_draws_the_same_forward_and_backward_and_other_numbers_at_another_step() {
    let (device, gpu) = training();
    let shape = SHAPES[4];
    let [samples, tokens, inputs, outputs, rank] = shape;
    let adapter = adapter(&gpu, shape, &device);
    let x = random::<3>(3, [samples, tokens, inputs], &device);
    let y = random::<3>(4, [samples, tokens, outputs], &device);
    let dropout = Dropout { probability: 0.25, seed: 9, step: 3, first_row: 0 };
    let kept = gtca::lora::twin::dropped(Some(dropout), &vec![1.0; samples * tokens * inputs], inputs);
    let kept = Tensor::<3>::from_data(TensorData::new(kept, [samples, tokens, inputs]), &device);
    let apply = |dropout| Apply { dropout: Some(dropout), ..Default::default() };

    let ours = adapter.forward(x.clone(), y.clone(), apply(dropout));
    let (a, b_t) = (adapter.a.val(), adapter.b_t.val());
    let gates = Tensor::ones([samples, 1, 1], &device);
    let theirs = composed(x.clone() * kept, y.clone(), a.clone(), b_t, gates, adapter.scale());
    assert_close("y", inputs + rank, ours.clone(), theirs.clone());
    let [ours, theirs] = [ours, theirs].map(|out| a.grad(&out.sum().backward()).expect("a gradient"));
    assert_close("da", samples * tokens + outputs, ours, theirs);

    let other = adapter.forward(x.clone(), y.clone(), apply(Dropout { step: 4, ..dropout }));
    let first = adapter.forward(x, y, apply(dropout));
    assert_ne!(values(other), values(first));
}

#[test]
#[should_panic(expected = "gates are [2, 1 or 3, 1 or 3]")]
fn gates_of_another_width_are_refused_where_the_op_is_called() {
    let (device, gpu) = host();
    let adapter = adapter(&gpu, SHAPES[1], &device);
    let [x, y] = [random::<3>(3, [2, 3, 5], &device), random(4, [2, 3, 7], &device)];
    let gates = Some(random(5, [2, 1, 2], &device));
    adapter.forward(x, y, Apply { gates, ..Default::default() });
}

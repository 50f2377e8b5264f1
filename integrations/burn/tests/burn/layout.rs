//! Tensors that do not lie in order, and halves.

use crate::support::{assert_close, host, random, training, values};
use burn::tensor::{DType, Tensor};
use gtca::lora::LoraDesc;
use gtca_burn::lora::{Apply, GatedLora};

const SAMPLES: usize = 3;
const TOKENS: usize = 20;
const INPUTS: usize = 24;
const OUTPUTS: usize = 40;
const RANK: usize = 8;

fn desc() -> LoraDesc {
    LoraDesc {
        inputs: INPUTS as u32,
        outputs: OUTPUTS as u32,
        rank: RANK as u32,
        alpha: 8.0,
        ..Default::default()
    }
}

/// The same numbers, lying in five ways.
fn layouts(of: &Tensor<3>) -> Vec<(&'static str, Tensor<3>)> {
    let [samples, tokens, width] = of.dims();
    let device = of.device();
    let around = |before: usize, after: usize, axis: usize| {
        let beside = |count: usize| {
            let mut shape = [samples, tokens, width];
            shape[axis] = count;
            random::<3>(90, shape, &device)
        };
        Tensor::cat(vec![beside(before), of.clone(), beside(after)], axis).narrow(
            axis,
            before,
            of.dims()[axis],
        )
    };
    let turned = |one, other| of.clone().swap_dims(one, other).mul_scalar(1.0).swap_dims(one, other);
    vec![
        ("columns of wider rows", around(5, 2, 2)),
        ("tokens behind a class token", around(1, 0, 1)),
        ("samples of a larger batch", around(1, 1, 0)),
        ("columns first", turned(1, 2)),
        ("tokens before samples", turned(0, 1)),
    ]
}

#[test]
fn tensors_that_lie_otherwise_give_the_same_bits_forward_and_backward() {
    let (device, gpu) = training();
    let mut adapter = GatedLora::new(&gpu, &desc(), &device).expect("an adapter");
    adapter.b_t = burn::module::Param::from_tensor(random(2, [RANK, OUTPUTS], &device));
    let x = random::<3>(3, [SAMPLES, TOKENS, INPUTS], &device);
    let y = random::<3>(4, [SAMPLES, TOKENS, OUTPUTS], &device);
    let weights = random::<3>(5, [SAMPLES, TOKENS, OUTPUTS], &device);
    let run = |x: Tensor<3>, y: Tensor<3>, weights: Tensor<3>| {
        let out = adapter.forward(x, y, Apply::default());
        let grads = (out.clone() * weights).sum().backward();
        let of = |tensor: Tensor<2>| values(tensor.grad(&grads).expect("a gradient"));
        [values(out), of(adapter.a.val()), of(adapter.b_t.val())]
    };
    let expected = run(x.clone(), y.clone(), weights.clone());
    for (how, x) in layouts(&x) {
        assert!(run(x, y.clone(), weights.clone()) == expected, "x as {how}");
    }
    for (how, y) in layouts(&y) {
        assert!(run(x.clone(), y, weights.clone()) == expected, "y as {how}");
    }
    // What reaches dy is the weights' own layout.
    for (how, weights) in layouts(&weights) {
        assert!(run(x.clone(), y.clone(), weights) == expected, "dy as {how}");
    }
}

#[test]
fn gates_may_be_columns_of_all_layers_gates() {
    let (device, gpu) = host();
    let mut adapter = GatedLora::new(&gpu, &desc(), &device).expect("an adapter");
    adapter.b_t = burn::module::Param::from_tensor(random(2, [RANK, OUTPUTS], &device));
    let x = random::<3>(3, [SAMPLES, TOKENS, INPUTS], &device);
    let y = random::<3>(4, [SAMPLES, TOKENS, OUTPUTS], &device);
    let gates = random::<3>(5, [SAMPLES, 1, 3 * RANK], &device);
    let columns = gates.clone().narrow(2, RANK, RANK);
    let run = |gates| {
        values(adapter.forward(x.clone(), y.clone(), Apply { gates: Some(gates), ..Default::default() }))
    };
    let copied = Tensor::from_data(columns.clone().into_data(), &device);
    assert_eq!(run(columns), run(copied));
}

#[test]
fn halves_are_taken_where_the_device_has_them() {
    let (device, gpu) = host();
    if !gpu.device().features().contains(gtca::wgpu::Features::SHADER_F16) {
        return;
    }
    let mut adapter = GatedLora::new(&gpu, &desc(), &device).expect("an adapter");
    adapter.b_t = burn::module::Param::from_tensor(random(2, [RANK, OUTPUTS], &device));
    let x = random::<3>(3, [SAMPLES, TOKENS, INPUTS], &device).cast(DType::F16);
    let y = random::<3>(4, [SAMPLES, TOKENS, OUTPUTS], &device).cast(DType::F16);
    let half = adapter.forward(x.clone(), y.clone(), Apply::default());
    let [x, y] = [x, y].map(|tensor| tensor.cast(DType::F32));
    // The same sums, rounded once.
    let rounded = adapter.forward(x, y, Apply::default()).cast(DType::F16);
    assert_eq!(half.dtype(), DType::F16);
    assert_close("halves", 8192, half.cast(DType::F32), rounded.cast(DType::F32));
}

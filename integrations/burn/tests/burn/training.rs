//! Training runs: the same curve as in Burn's own ops, and no growth of memory.

use crate::support::{random, training, values};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use gtca::gpu::Gpu;
use gtca::lora::LoraDesc;
use gtca_burn::lora::{Apply, GatedLora};

const SAMPLES: usize = 4;
const TOKENS: usize = 16;
const WIDTH: usize = 32;
const RANK: usize = 4;

fn adapter(gpu: &Gpu, device: &Device) -> GatedLora {
    let [inputs, outputs, rank] = [WIDTH, WIDTH, RANK].map(|n| n as u32);
    let desc = LoraDesc { inputs, outputs, rank, alpha: 4.0, ..Default::default() };
    let mut adapter = GatedLora::new(gpu, &desc, device).expect("an adapter");
    adapter.a = burn::module::Param::from_tensor(random(8, [RANK, WIDTH], device) * 0.2);
    adapter
}

type Forward = fn(&GatedLora, Tensor<3>, Tensor<3>) -> Tensor<3>;

fn ours(adapter: &GatedLora, x: Tensor<3>, y: Tensor<3>) -> Tensor<3> {
    adapter.forward(x, y, Apply::default())
}

fn theirs(adapter: &GatedLora, x: Tensor<3>, y: Tensor<3>) -> Tensor<3> {
    let h = x.matmul(adapter.a.val().transpose().unsqueeze());
    y + h.matmul(adapter.b_t.val().unsqueeze()) * adapter.scale()
}

/// A frozen layer is to be changed into another one of rank 2; the losses of all steps.
fn losses(forward: Forward, steps: usize) -> Vec<f32> {
    let (device, gpu) = training();
    let mut adapter = adapter(&gpu, &device);
    let mut optimiser = AdamWConfig::new().init();
    let change = random::<2>(6, [WIDTH, 2], &device).matmul(random(7, [2, WIDTH], &device)) * 0.3;
    let frozen = random::<2>(5, [WIDTH, WIDTH], &device) * 0.2;
    let step = |step: usize| {
        let x = random::<3>(100 + step as u32 % 8, [SAMPLES, TOKENS, WIDTH], &device);
        let y = x.clone().matmul(frozen.clone().unsqueeze());
        let target = y.clone() + x.clone().matmul(change.clone().unsqueeze());
        let loss = (forward(&adapter, x, y) - target).powi_scalar(2).mean();
        let grads = GradientsParams::from_grads(loss.backward(), &adapter);
        adapter = optimiser.step(0.01, adapter.clone(), grads);
        values(loss)[0]
    };
    (0..steps).map(step).collect()
}

#[test]
fn a_training_run_has_the_losses_of_burns_own_ops() {
    let [ours, theirs] = [ours as Forward, theirs].map(|forward| losses(forward, 120));
    for (step, (one, other)) in ours.iter().zip(&theirs).enumerate() {
        assert!((one - other).abs() <= 1e-3 * other + 1e-6, "step {step}: {one} and {other}");
    }
    assert!(ours[119] < 0.05 * ours[0], "nothing is learned: {} to {}", ours[0], ours[119]);
}

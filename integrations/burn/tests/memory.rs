//! A long run, alone in its process: memory that is counted is this run's own.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use gtca::gpu::Gpu;
use gtca::lora::LoraDesc;
use gtca_burn::lora::{Apply, GatedLora};

const SAMPLES: usize = 4;
const TOKENS: usize = 16;
const WIDTH: usize = 32;
const RANK: usize = 4;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}

/// Resident memory of this process in bytes, as Linux counts it.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

#[test]
fn a_thousand_steps_do_not_grow_memory() {
    let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
    let (device, gpu) = (device.autodiff(), Gpu::adopt(setup.device, setup.queue));
    let [inputs, outputs, rank] = [WIDTH, WIDTH, RANK].map(|n| n as u32);
    let desc = LoraDesc { inputs, outputs, rank, ..Default::default() };
    let mut adapter = GatedLora::new(&gpu, &desc, &device).expect("an adapter");
    adapter.b_t = Param::from_tensor(Tensor::ones([RANK, WIDTH], &device) * 0.1);
    let x = Tensor::<3>::ones([SAMPLES, TOKENS, WIDTH], &device) * 0.5;
    let y = Tensor::<3>::ones([SAMPLES, TOKENS, WIDTH], &device);
    let step = || {
        let gates = Some(Tensor::ones([SAMPLES, 1, RANK], &device).require_grad());
        let out = adapter.forward(x.clone(), y.clone() * 2.0, Apply { gates, ..Default::default() });
        let grads = out.powi_scalar(2).mean().backward();
        values(adapter.a.val().grad(&grads).expect("a gradient"))
    };
    let first = step();
    for _ in 0..199 {
        step();
    }
    let used = || device.memory_pool_usage().expect("Burn counts");
    let (before, resident_before) = (used(), resident());
    for _ in 0..1000 {
        step();
    }
    let (after, resident_after) = (used(), resident());
    assert_eq!(step(), first, "a later step has other bits");
    // A leak of one tensor a step would be 1,000 times 8 KB.
    let grown = after.bytes_in_use.saturating_sub(before.bytes_in_use);
    assert!(grown < 1 << 20, "Burn's memory in use grew by {grown} bytes");
    if let (Some(before), Some(after)) = (resident_before, resident_after) {
        let grown = after.saturating_sub(before);
        assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
    }
}

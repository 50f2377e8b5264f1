//! The device, reproducible numbers, and how close two tensors are.

use burn::tensor::{Device, Tensor, TensorData};
use gtca::common::rng;
use gtca::gpu::Gpu;
use std::sync::OnceLock;

/// Burn's device, opened by Burn, and ours on it.
pub(crate) fn host() -> (Device, Gpu) {
    static HOST: OnceLock<(Device, Gpu)> = OnceLock::new();
    let open = || {
        let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
        (device, Gpu::adopt(setup.device, setup.queue))
    };
    HOST.get_or_init(open).clone()
}

/// As [`host`], with gradients.
pub(crate) fn training() -> (Device, Gpu) {
    let (device, gpu) = host();
    (device.autodiff(), gpu)
}

/// Uniform numbers in [−1, 1), different for every stream.
pub(crate) fn numbers(stream: u32, count: usize) -> Vec<f32> {
    let draws = (0..count.div_ceil(4)).flat_map(|i| rng::draw4(7, 0, i as u64, stream, 0));
    draws.map(|bits| rng::uniform01(bits).mul_add(2.0, -1.0)).take(count).collect()
}

/// A tensor of [`numbers`].
pub(crate) fn random<const D: usize>(stream: u32, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(stream, shape.iter().product()), shape), device)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("f32")
}

/// Two sums of `terms` terms, each in its own order: as far apart as rounding each term once may bring them, for terms whose
/// signs are mixed.
pub(crate) fn assert_close<const D: usize>(what: &str, terms: usize, ours: Tensor<D>, theirs: Tensor<D>) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let (ours, theirs) = (values(ours), values(theirs));
    let largest = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let tolerance = largest * terms.max(16) as f32 * f32::EPSILON / 2.0;
    for (at, (mine, other)) in ours.iter().zip(&theirs).enumerate() {
        let apart = (mine - other).abs();
        assert!(
            apart <= tolerance,
            "{what}: element {at} is {mine}, Burn has {other}, tolerance {tolerance}"
        );
    }
    assert!(largest > 0.0, "{what}: nothing to compare");
}

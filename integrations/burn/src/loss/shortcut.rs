//! The anti-shortcut loss of embeddings: a contrast of classes across regions.

use super::{Scaled, column};
use crate::guest::{Lent, empty_like, readable, submit};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Int, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use gtca::gpu::{Dtype, Gpu};
use gtca::loss::shortcut;

/// The anti-shortcut loss in nats, `[1]`: the mean of samples that have a positive, 0 where none has.
///
/// `z` are embeddings of length 1, `[samples, width]`, up to 32,768 wide; normalise them in Burn, which takes the gradient through.
/// `classes` and `regions` are `[samples]`, i32 or u32; a sample with −1 in either takes no part. `temperature` divides similarities
/// (0.1, say), `weight` is that of negatives in the same region, at least 1. Gradients reach z.
///
/// ```no_run
/// use burn::tensor::{Int, Tensor};
/// # fn f(gpu: &gtca::gpu::Gpu, features: Tensor<2>, classes: Tensor<1, Int>, regions: Tensor<1, Int>) {
/// let z = features.clone() / features.powi_scalar(2).sum_dim(1).sqrt();
/// let loss = gtca_burn::loss::anti_shortcut(gpu, z, classes, regions, 0.1, 2.0);
/// # }
/// ```
///
/// # Panics
/// Wrong shapes or types; a temperature not above 0, a weight below 1, or one that is not finite; a device that is not `gpu`'s.
pub fn anti_shortcut(
    gpu: &Gpu,
    z: Tensor<2>,
    classes: Tensor<1, Int>,
    regions: Tensor<1, Int>,
    temperature: f32,
    weight: f32,
) -> Tensor<1> {
    let [samples, width] = z.dims();
    assert!((1..=32_768).contains(&width), "z is {width} wide, widths run from 1 to 32,768");
    assert_eq!(z.dtype(), DType::F32, "z is f32");
    let is_number = temperature >= f32::MIN_POSITIVE && temperature.is_finite();
    assert!(is_number, "the temperature is {temperature}, it lies above 0");
    assert!(weight >= 1.0 && weight.is_finite(), "the weight is {weight}, it is at least 1");
    let on = On { gpu: gpu.clone(), temperature, weight };
    let classes = column("classes", classes, samples).into_dispatch();
    let regions = column("regions", regions, samples).into_dispatch();
    Tensor::from_dispatch(<Dispatch as AntiShortcut>::anti_shortcut(z.into_dispatch(), classes, regions, on))
}

/// The numbers of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct On {
    gpu: Gpu,
    temperature: f32,
    weight: f32,
}

/// What runs on the device: the loss; the loss and its gradient.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = |_z, _classes, _regions, _on| TensorSpec::new([1].into(), DType::F32))]
    fn anti_shortcut_value(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |z, _classes, _regions, _on| (TensorSpec::new([1].into(), DType::F32), z.clone()))]
    fn anti_shortcut_with_gradient(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for CubeBackend {
    fn anti_shortcut_value(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self> {
        run([z, classes, regions], &on, None)
    }

    fn anti_shortcut_with_gradient(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = empty_like(&z, z.shape(), DType::F32);
        (run([z, classes, regions], &on, Some(&gradient)), gradient)
    }
}

/// The loss of embeddings, classes and regions.
fn run(inputs: [CubeTensor; 3], on: &On, gradient: Option<&CubeTensor>) -> CubeTensor {
    let [z, classes, regions] = inputs.map(readable);
    let loss = empty_like(&z, [1], DType::F32);
    let lent = [&z, &classes, &regions, &loss].map(Lent::of);
    let [z_view, classes, regions, loss_view] = lent.each_ref().map(Lent::view);
    let [classes, regions] = [classes, regions].map(|ids| ids.of(Dtype::U32));
    let written = gradient.map(Lent::of);
    let numbers = (on.temperature, on.weight);
    let args = shortcut::AntiShortcut {
        dz: written.as_ref().map(Lent::view),
        ..shortcut::AntiShortcut::new(z_view, classes, regions, numbers, loss_view)
    };
    submit(&on.gpu, &z, |recorder| shortcut::anti_shortcut(recorder, &args));
    loss
}

/// The op with its gradient.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait AntiShortcut: Backend {
    fn anti_shortcut(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self>;
}

impl AntiShortcut for Cube {
    fn anti_shortcut(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self> {
        Self::anti_shortcut_value(z, classes, regions, on)
    }
}

impl<B: Kernels, C: CheckpointStrategy> AntiShortcut for Autodiff<B, C> {
    fn anti_shortcut(
        z: FloatTensor<Self>,
        classes: IntTensor<Self>,
        regions: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self> {
        let (z, of_z) = z.into_parts();
        match Backward::<B, 1>::prepare::<C>(Scaled, [of_z]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, gradient) = B::anti_shortcut_with_gradient(z, classes, regions, on);
                prep.finish([gradient], loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::anti_shortcut_value(z, classes, regions, on)),
        }
    }
}

//! Cross-entropy of class logits: `Σ w_y (lse(z) − z_y) / Σ w_y`.

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
use gtca::loss;

/// Cross-entropy in nats, `[1]`: the mean of samples that count, by their class's weight; 0 where none does.
///
/// `logits` are `[samples, classes]`, 2 to 29,999 classes; `labels` `[samples]`, i32 or u32: one that is no class, −1 say, does
/// not count. `weights` are `[classes]`, at least 0; they have no gradient. Gradients reach the logits.
///
/// ```no_run
/// use burn::tensor::{Int, Tensor};
/// # fn f(gpu: &gtca::gpu::Gpu, logits: Tensor<2>, labels: Tensor<1, Int>) {
/// let loss = gtca_burn::loss::cross_entropy(gpu, logits, labels, None);
/// # }
/// ```
///
/// # Panics
/// Wrong shapes or types; a device that is not `gpu`'s.
pub fn cross_entropy(
    gpu: &Gpu,
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    weights: Option<Tensor<1>>,
) -> Tensor<1> {
    let [samples, classes] = logits.dims();
    assert!((2..=29_999).contains(&classes), "{classes} classes, they run from 2 to 29,999");
    let weights = weights.unwrap_or_else(|| Tensor::ones([classes], &logits.device()));
    assert_eq!(weights.dims(), [classes], "weights are [classes]");
    assert_eq!([logits.dtype(), weights.dtype()], [DType::F32; 2], "logits and weights are f32");
    let labels = column("labels", labels, samples).into_dispatch();
    let (logits, weights, gpu) = (logits.into_dispatch(), weights.into_dispatch(), gpu.clone());
    Tensor::from_dispatch(<Dispatch as CrossEntropy>::cross_entropy(logits, labels, weights, gpu))
}

/// What runs on the device: the loss; the loss and its gradient.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = |_logits, _labels, _weights, _gpu| TensorSpec::new([1].into(), DType::F32))]
    fn cross_entropy_value(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |logits, _labels, _weights, _gpu| (TensorSpec::new([1].into(), DType::F32), logits.clone()))]
    fn cross_entropy_with_gradient(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for CubeBackend {
    fn cross_entropy_value(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> FloatTensor<Self> {
        run([logits, labels, weights], &gpu, None)
    }

    fn cross_entropy_with_gradient(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = empty_like(&logits, logits.shape(), DType::F32);
        (run([logits, labels, weights], &gpu, Some(&gradient)), gradient)
    }
}

/// The loss of logits, labels and weights.
fn run(inputs: [CubeTensor; 3], gpu: &Gpu, gradient: Option<&CubeTensor>) -> CubeTensor {
    let [logits, labels, weights] = inputs.map(readable);
    let loss = empty_like(&logits, [1], DType::F32);
    let lent = [&logits, &labels, &weights, &loss].map(Lent::of);
    let [z, y, class_weights, loss_view] = lent.each_ref().map(Lent::view);
    let written = gradient.map(Lent::of);
    let args = loss::CrossEntropy {
        class_weights: Some(class_weights),
        dlogits: written.as_ref().map(Lent::view),
        ..loss::CrossEntropy::new(z, y.of(Dtype::U32), loss_view)
    };
    submit(gpu, &logits, |recorder| loss::cross_entropy(recorder, &args));
    loss
}

/// The op with its gradient.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait CrossEntropy: Backend {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> FloatTensor<Self>;
}

impl CrossEntropy for Cube {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> FloatTensor<Self> {
        Self::cross_entropy_value(logits, labels, weights, gpu)
    }
}

impl<B: Kernels, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(
        logits: FloatTensor<Self>,
        labels: IntTensor<Self>,
        weights: FloatTensor<Self>,
        gpu: Gpu,
    ) -> FloatTensor<Self> {
        let ((logits, of_logits), weights) = (logits.into_parts(), weights.into_primitive());
        match Backward::<B, 1>::prepare::<C>(Scaled, [of_logits]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, gradient) = B::cross_entropy_with_gradient(logits, labels, weights, gpu);
                prep.finish([gradient], loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::cross_entropy_value(logits, labels, weights, gpu)),
        }
    }
}

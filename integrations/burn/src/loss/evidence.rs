//! The evidence regularizer: `mean w max(0, J(p, q) − τ)`.

use super::Scaled;
use crate::guest::{Lent, empty_like, readable, submit};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use gtca::gpu::{Gpu, Mode};
use gtca::loss;

/// The evidence regularizer, `[1]`: what the image alone settles must not be overturned by metadata.
///
/// `p` are logits `[samples, classes]` with (randomly dropped or perturbed) metadata, `q` those of the same adapter with all
/// metadata dropped, 2 to 14,999 classes. `threshold` is the divergence τ in nats that costs nothing; 0.05 in the design. Gradients
/// reach p and q; detach q to keep it out.
///
/// ```no_run
/// use burn::tensor::Tensor;
/// # fn f(gpu: &gtca::gpu::Gpu, p: Tensor<2>, q: Tensor<2>) {
/// let loss = gtca_burn::loss::evidence(gpu, p, q.detach(), 0.05);
/// # }
/// ```
///
/// # Panics
/// Wrong shapes or types; a threshold that is negative or not finite; a device that is not `gpu`'s.
pub fn evidence(gpu: &Gpu, p: Tensor<2>, q: Tensor<2>, threshold: f32) -> Tensor<1> {
    assert_eq!(p.dims(), q.dims(), "p and q are [samples, classes]");
    assert!((2..=14_999).contains(&p.dims()[1]), "{} classes, they run from 2 to 14,999", p.dims()[1]);
    assert_eq!([p.dtype(), q.dtype()], [DType::F32; 2], "p and q are f32");
    assert!(threshold >= 0.0 && threshold.is_finite(), "the threshold is {threshold}, a divergence in nats");
    let on = On { gpu: gpu.clone(), threshold };
    Tensor::from_dispatch(<Dispatch as Evidence>::evidence(p.into_dispatch(), q.into_dispatch(), on))
}

/// The number of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct On {
    gpu: Gpu,
    threshold: f32,
}

/// What runs on the device: the loss; the loss and its gradients, which need little more.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = |_p, _q, _on| TensorSpec::new([1].into(), DType::F32))]
    fn evidence_value(p: FloatTensor<Self>, q: FloatTensor<Self>, on: On) -> FloatTensor<Self>;

    #[fusion(meta = |p, q, _on| (TensorSpec::new([1].into(), DType::F32), p.clone(), q.clone()))]
    fn evidence_with_gradients(
        p: FloatTensor<Self>,
        q: FloatTensor<Self>,
        on: On,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for CubeBackend {
    fn evidence_value(p: FloatTensor<Self>, q: FloatTensor<Self>, on: On) -> FloatTensor<Self> {
        let [p, q] = [p, q].map(readable);
        let loss = empty_like(&p, [1], DType::F32);
        let lent = [&p, &q, &loss].map(Lent::of);
        let [p_view, q, loss_view] = lent.each_ref().map(Lent::view);
        let (threshold, scale, mode) = (on.threshold, 1.0, Mode::Overwrite);
        let args =
            loss::Evidence { p: p_view, q, threshold, loss: loss_view, dp: None, dq: None, scale, mode };
        submit(&on.gpu, &p, |recorder| loss::evidence(recorder, &args));
        loss
    }

    fn evidence_with_gradients(
        p: FloatTensor<Self>,
        q: FloatTensor<Self>,
        on: On,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [p, q] = [p, q].map(readable);
        let loss = empty_like(&p, [1], DType::F32);
        let [dp, dq] = [&p, &q].map(|of| empty_like(of, of.shape(), DType::F32));
        let lent = [&p, &q, &loss, &dp, &dq].map(Lent::of);
        let [p_view, q, loss_view, dp_view, dq_view] = lent.each_ref().map(Lent::view);
        let args = loss::Evidence {
            p: p_view,
            q,
            threshold: on.threshold,
            loss: loss_view,
            dp: Some(dp_view),
            dq: Some(dq_view),
            scale: 1.0,
            mode: Mode::Overwrite,
        };
        submit(&on.gpu, &p, |recorder| loss::evidence(recorder, &args));
        (loss, dp, dq)
    }
}

/// The op with its gradients.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait Evidence: Backend {
    fn evidence(p: FloatTensor<Self>, q: FloatTensor<Self>, on: On) -> FloatTensor<Self>;
}

impl Evidence for Cube {
    fn evidence(p: FloatTensor<Self>, q: FloatTensor<Self>, on: On) -> FloatTensor<Self> {
        Self::evidence_value(p, q, on)
    }
}

impl<B: Kernels, C: CheckpointStrategy> Evidence for Autodiff<B, C> {
    fn evidence(p: FloatTensor<Self>, q: FloatTensor<Self>, on: On) -> FloatTensor<Self> {
        let [(p, of_p), (q, of_q)] = [p, q].map(|tensor| tensor.into_parts());
        match Backward::<B, 2>::prepare::<C>(Scaled, [of_p, of_q]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (loss, dp, dq) = B::evidence_with_gradients(p, q, on);
                prep.finish([dp, dq], loss)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::evidence_value(p, q, on)),
        }
    }
}

//! The effective gate as a Burn op with gradients: `g = g∅ + μ v (g(m) − g∅)`.
//!
//! Formulas and kernels: [`gtca::gate`].

use crate::guest::{Lent, empty_like, readable, submit};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use gtca::gate::{self, MetadataGate, Mu};
use gtca::gpu::{Gpu, Knob, Mode};

/// `g = g∅ + μ v (g(m) − g∅)` with `g(m) = 2σ(logits)` and `g∅ = 2σ(null_logits)`, `[samples, width]`.
///
/// `logits` are `[samples, width]`, `null_logits` `[width]`, `validity` `[samples, 1]` (1, or 0 where a sample's metadata is
/// dropped; it has no gradient), `mu` lies in [0, 1]. Gradients reach both logits.
///
/// ```no_run
/// use burn::tensor::Tensor;
/// use gtca::gate::{MetadataGate, MetadataGateDesc};
/// # fn f(gpu: &gtca::gpu::Gpu, a: Tensor<2>, null: Tensor<1>, v: Tensor<2>) -> Result<(), gtca::Error> {
/// let gate = MetadataGate::new(&MetadataGateDesc { width: 16 })?;
/// let gates = gtca_burn::gate::mix(gpu, gate, a, null, v, 1.0);
/// # Ok(()) }
/// ```
///
/// # Panics
/// Wrong shapes or types; a μ outside [0, 1]; a device that is not `gpu`'s.
pub fn mix(
    gpu: &Gpu,
    gate: MetadataGate,
    logits: Tensor<2>,
    null_logits: Tensor<1>,
    validity: Tensor<2>,
    mu: f32,
) -> Tensor<2> {
    let [samples, width] = logits.dims();
    assert_eq!(null_logits.dims(), [width], "null logits are [width]");
    assert_eq!(validity.dims(), [samples, 1], "validity is [samples, 1]");
    assert!((0.0..=1.0).contains(&mu), "mu is {mu}, it runs from 0 to 1");
    let dtypes = [logits.dtype(), null_logits.dtype(), validity.dtype()];
    assert_eq!(dtypes, [DType::F32; 3], "logits, null logits and validity are f32");
    let mixing = Mixing { gpu: gpu.clone(), gate, mu };
    let (logits, null_logits) = (logits.into_dispatch(), null_logits.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Mix>::mix(logits, null_logits, validity.into_dispatch(), mixing))
}

/// The numbers of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Mixing {
    gpu: Gpu,
    gate: MetadataGate,
    mu: f32,
}

impl Mixing {
    fn weight(&self) -> Mu<'static> {
        Mu::Knob(Knob::Host(self.mu))
    }
}

/// What runs on the device, forward and backward.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(dtype = logits, shape = logits)]
    fn gate_forward(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self>;

    #[fusion(meta = |_dgates, logits, null_logits, _validity, _mixing| (logits.clone(), null_logits.clone()))]
    fn gate_backward(
        dgates: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for CubeBackend {
    fn gate_forward(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        let [logits, null_logits, validity] = [logits, null_logits, validity].map(readable);
        let gates = empty_like(&logits, logits.shape(), DType::F32);
        let lent = [&logits, &null_logits, &validity, &gates].map(Lent::of);
        let [a, null, v, g] = lent.each_ref().map(Lent::view);
        let args = gate::Forward { logits: a, null_logits: null, validity: v, mu: mixing.weight(), gates: g };
        submit(&mixing.gpu, &logits, |recorder| mixing.gate.forward(recorder, &args));
        gates
    }

    fn gate_backward(
        dgates: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [dgates, logits, null_logits, validity] = [dgates, logits, null_logits, validity].map(readable);
        let dlogits = empty_like(&logits, logits.shape(), DType::F32);
        let dnull = empty_like(&null_logits, null_logits.shape(), DType::F32);
        let lent = [&dgates, &logits, &null_logits, &validity, &dlogits, &dnull].map(Lent::of);
        let [dg, a, null, v, da, db] = lent.each_ref().map(Lent::view);
        let args = gate::Backward {
            logits: a,
            null_logits: null,
            validity: v,
            mu: mixing.weight(),
            dgates: dg,
            dlogits: Some(da),
            dnull_logits: Some(db),
            dmu: None,
            dlogits_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
        };
        submit(&mixing.gpu, &logits, |recorder| mixing.gate.backward(recorder, &args));
        (dlogits, dnull)
    }
}

/// The op with its gradients.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait Mix: Backend {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self>;
}

impl Mix for Cube {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        Self::gate_forward(logits, null_logits, validity, mixing)
    }
}

impl<B: Kernels, C: CheckpointStrategy> Mix for Autodiff<B, C> {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        let [(logits, of_logits), (null, of_null)] = [logits, null_logits].map(|tensor| tensor.into_parts());
        let validity = validity.into_primitive();
        match MixBackward.prepare::<C>([of_logits, of_null]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let gates = B::gate_forward(logits.clone(), null.clone(), validity.clone(), mixing.clone());
                prep.finish((logits, null, validity, mixing), gates)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::gate_forward(logits, null, validity, mixing)),
        }
    }
}

#[derive(Debug)]
struct MixBackward;

impl<B: Kernels> Backward<B, 2> for MixBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Mixing);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dgates = grads.consume::<B>(&ops.node);
        let (logits, null, validity, mixing) = ops.state;
        let (dlogits, dnull) = B::gate_backward(dgates, logits, null, validity, mixing);
        for (parent, gradient) in ops.parents.into_iter().zip([dlogits, dnull]) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

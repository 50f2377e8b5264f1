//! The effective gate as a Burn op with gradients: `g = g∅ + μ v (g(m) − g∅)`.
//!
//! Formulas and kernels: [`gtca::gate`].

use crate::guest::{Lent, Wish, WishMetadata, empty_like, readable, submit};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, ExtensionType, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_cubecl::CubeBackend;
use gtca::gate::{self, MetadataGate};
use gtca::gpu::{Gpu, Knob, Mode, View};

/// `g = g∅ + μ v (g(m) − g∅)` with `g(m) = 2σ(logits)` and `g∅ = 2σ(null_logits)`, `[samples, width]`.
///
/// `logits` are `[samples, width]`, `null_logits` `[width]`, `validity` `[samples, 1]` (1, or 0 where a sample's metadata is
/// dropped; it has no gradient), `mu` lies in [0, 1]. Gradients reach both logits, and μ where it is a tensor.
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
/// A learned μ, kept in its range by a sigmoid:
///
/// ```no_run
/// use burn::tensor::{Tensor, activation::sigmoid};
/// # fn f(gpu: &gtca::gpu::Gpu, gate: gtca::gate::MetadataGate, a: Tensor<2>, null: Tensor<1>, v: Tensor<2>, m: Tensor<1>) {
/// let gates = gtca_burn::gate::mix(gpu, gate, a, null, v, sigmoid(m));
/// # }
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
    mu: impl Into<Mu>,
) -> Tensor<2> {
    let mu = mu.into();
    let [samples, width] = logits.dims();
    assert_eq!(null_logits.dims(), [width], "null logits are [width]");
    assert_eq!(validity.dims(), [samples, 1], "validity is [samples, 1]");
    let dtypes = [logits.dtype(), null_logits.dtype(), validity.dtype()];
    assert_eq!(dtypes, [DType::F32; 3], "logits, null logits and validity are f32");
    let (mu, kind) = match mu {
        Mu::Fixed(mu) => {
            assert!((0.0..=1.0).contains(&mu), "mu is {mu}, it runs from 0 to 1");
            // An op has a fixed number of tensors: a stand-in, which is not read.
            (null_logits.clone().detach().into_dispatch(), Kind::Fixed(mu))
        }
        Mu::Learned(mu) => {
            assert_eq!((mu.dims(), mu.dtype()), ([1], DType::F32), "mu is f32 [1]");
            (mu.into_dispatch(), Kind::One)
        }
        Mu::PerSample(mu) => {
            assert_eq!((mu.dims(), mu.dtype()), ([samples, 1], DType::F32), "mu is f32 [samples, 1]");
            (mu.into_dispatch(), Kind::PerSample)
        }
    };
    let mixing = Mixing { gpu: gpu.clone(), gate, mu: kind };
    let (logits, null_logits) = (logits.into_dispatch(), null_logits.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Mix>::mix(logits, null_logits, validity.into_dispatch(), mu, mixing))
}

/// μ, the metadata weight, in [0, 1]; tensors are used as they are.
#[derive(Clone, Debug)]
pub enum Mu {
    /// A number.
    Fixed(f32),
    /// One number on the device, `[1]`, with a gradient.
    Learned(Tensor<1>),
    /// One of each sample, `[samples, 1]`, with gradients.
    PerSample(Tensor<2>),
}

impl From<f32> for Mu {
    fn from(mu: f32) -> Self {
        Self::Fixed(mu)
    }
}

impl From<Tensor<1>> for Mu {
    fn from(mu: Tensor<1>) -> Self {
        Self::Learned(mu)
    }
}

impl From<Tensor<2>> for Mu {
    fn from(mu: Tensor<2>) -> Self {
        Self::PerSample(mu)
    }
}

/// Where μ comes from.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Fixed(f32),
    One,
    PerSample,
}

/// The numbers of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Mixing {
    gpu: Gpu,
    gate: MetadataGate,
    mu: Kind,
}

impl Mixing {
    fn weight<'a>(&self, mu: View<'a>) -> gate::Mu<'a> {
        match self.mu {
            Kind::Fixed(mu) => gate::Mu::Knob(Knob::Host(mu)),
            Kind::One => gate::Mu::Knob(Knob::Buffer(mu.buffer, mu.offset)),
            Kind::PerSample => gate::Mu::PerSample(mu),
        }
    }
}

/// What a backward takes, and whether μ's gradient is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    mixing: Mixing,
    mu: bool,
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Gradients<B: Backend> {
    logits: FloatTensor<B>,
    null_logits: FloatTensor<B>,
    #[extension_type]
    mu: Wish<B>,
}

fn backward_outputs(
    _dgates: &TensorSpec,
    logits: &TensorSpec,
    null_logits: &TensorSpec,
    _validity: &TensorSpec,
    mu: &TensorSpec,
    wanted: &Wanted,
) -> GradientsMetadata {
    let mu = WishMetadata::like(wanted.mu, mu);
    GradientsMetadata { logits: logits.clone(), null_logits: null_logits.clone(), mu }
}

/// What runs on the device, forward and backward.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(dtype = logits, shape = logits)]
    fn gate_forward(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self>;

    #[fusion(meta = backward_outputs)]
    fn gate_backward(
        dgates: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        wanted: Wanted,
    ) -> Gradients<Self>;
}

impl Kernels for CubeBackend {
    fn gate_forward(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        let [logits, null_logits, validity, mu] = [logits, null_logits, validity, mu].map(readable);
        let gates = empty_like(&logits, logits.shape(), DType::F32);
        let lent = [&logits, &null_logits, &validity, &mu, &gates].map(Lent::of);
        let [a, null, v, mu, g] = lent.each_ref().map(Lent::view);
        let mu = mixing.weight(mu);
        let args = gate::Forward { logits: a, null_logits: null, validity: v, mu, gates: g };
        submit(&mixing.gpu, &logits, |recorder| mixing.gate.forward(recorder, &args));
        gates
    }

    fn gate_backward(
        dgates: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        wanted: Wanted,
    ) -> Gradients<Self> {
        let [dgates, logits, null_logits, validity, mu] =
            [dgates, logits, null_logits, validity, mu].map(readable);
        let dlogits = empty_like(&logits, logits.shape(), DType::F32);
        let dnull = empty_like(&null_logits, null_logits.shape(), DType::F32);
        let dmu = wanted.mu.then(|| empty_like(&mu, mu.shape(), DType::F32));
        let lent = [&dgates, &logits, &null_logits, &validity, &mu, &dlogits, &dnull].map(Lent::of);
        let [dg, a, null, v, mu, da, db] = lent.each_ref().map(Lent::view);
        let lent_dmu = dmu.as_ref().map(Lent::of);
        let mixing = &wanted.mixing;
        let args = gate::Backward {
            logits: a,
            null_logits: null,
            validity: v,
            mu: mixing.weight(mu),
            dgates: dg,
            dlogits: Some(da),
            dnull_logits: Some(db),
            dmu: lent_dmu.as_ref().map(Lent::view),
            dlogits_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
        };
        submit(&mixing.gpu, &logits, |recorder| mixing.gate.backward(recorder, &args));
        drop(lent_dmu);
        Gradients { logits: dlogits, null_logits: dnull, mu: dmu.map_or(Wish::Absent, Wish::Present) }
    }
}

/// The op with its gradients.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait Mix: Backend {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self>;
}

impl Mix for Cube {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        Self::gate_forward(logits, null_logits, validity, mu, mixing)
    }
}

impl<B: Kernels, C: CheckpointStrategy> Mix for Autodiff<B, C> {
    fn mix(
        logits: FloatTensor<Self>,
        null_logits: FloatTensor<Self>,
        validity: FloatTensor<Self>,
        mu: FloatTensor<Self>,
        mixing: Mixing,
    ) -> FloatTensor<Self> {
        let [(logits, of_logits), (null, of_null), (mu, of_mu)] =
            [logits, null_logits, mu].map(|tensor| tensor.into_parts());
        let validity = validity.into_primitive();
        match MixBackward.prepare::<C>([of_logits, of_null, of_mu]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let saved = (logits.clone(), null.clone(), validity.clone(), mu.clone(), mixing.clone());
                prep.finish(saved, B::gate_forward(logits, null, validity, mu, mixing))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::gate_forward(logits, null, validity, mu, mixing)),
        }
    }
}

#[derive(Debug)]
struct MixBackward;

impl<B: Kernels> Backward<B, 3> for MixBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Mixing);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut grads::Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dgates = grads.consume::<B>(&ops.node);
        let (logits, null, validity, mu, mixing) = ops.state;
        // A stand-in has no gradient, tracked or not.
        let has_tensor = !matches!(mixing.mu, Kind::Fixed(_));
        let wanted = Wanted { mixing, mu: has_tensor && ops.parents[2].is_some() };
        let found = B::gate_backward(dgates, logits, null, validity, mu, wanted);
        let found = [Wish::Present(found.logits), Wish::Present(found.null_logits), found.mu];
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(node), Wish::Present(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

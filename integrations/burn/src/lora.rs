//! The injection as a Burn op with gradients, and as a module: `y + λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ + bias)`.
//!
//! Formulas and kernels: [`gtca::lora`].

#![expect(clippy::too_many_arguments, reason = "a backend extension takes its tensors one by one")]

use crate::guest::{Lent, Wish, WishMetadata, empty_like, is_free, readable, submit};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, ExtensionType, TensorMetadata, backend_extension};
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Device, Tensor};
use burn_cubecl::CubeBackend;
use gtca::gpu::{Gpu, Knob, Mode, View};
use gtca::lora::{self, Dropout, Gate, Lora, LoraDesc};

/// A low-rank addition to a frozen layer's output, gated per sample or token.
///
/// ```no_run
/// use burn::tensor::{Device, Tensor};
/// use gtca::gpu::Gpu;
/// use gtca::lora::LoraDesc;
/// use gtca_burn::lora::{Apply, GatedLora};
/// # fn f(x: Tensor<3>, frozen: Tensor<3>, gates: Tensor<3>) -> Result<(), Box<dyn std::error::Error>> {
/// let (device, setup) = Device::wgpu_options().init_with_setup()?;
/// let gpu = Gpu::adopt(setup.device, setup.queue);
/// let desc = LoraDesc { inputs: 768, outputs: 768, rank: 16, ..Default::default() };
/// let adapter = GatedLora::new(&gpu, &desc, &device.autodiff())?;
/// let y = adapter.forward(x, frozen, Apply { gates: Some(gates), ..Default::default() });
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub struct GatedLora {
    /// A, `[rank, inputs]`.
    pub a: Param<Tensor<2>>,
    /// B transposed, `[rank, outputs]`.
    pub b_t: Param<Tensor<2>>,
    /// The bias beside B, `[outputs]` (PEFT's `lora_bias`); none from the start: [`Self::with_bias`].
    pub bias: Option<Param<Tensor<1>>>,
    /// A factor of λ, `[1]`; none from the start: [`Self::with_lambda`].
    pub lambda: Option<Param<Tensor<1>>>,
    #[module(skip)]
    on: On,
}

/// The op and the device it runs on.
#[derive(Clone, Debug)]
struct On {
    gpu: Gpu,
    lora: Lora,
}

/// What a forward of [`GatedLora`] takes beside x and the frozen layer's output.
#[derive(Clone, Debug)]
pub struct Apply {
    /// g, `[samples, 1, rank]` or, one for all ranks, `[samples, 1, 1]`; `[samples, tokens, …]` where each token has its own.
    /// Without them g = 1: plain LoRA.
    pub gates: Option<Tensor<3>>,
    /// λ, the adapter weight; times the learned one, where there is one.
    pub lambda: f32,
    /// Of x, in training.
    pub dropout: Option<Dropout>,
}

impl Default for Apply {
    fn default() -> Self {
        Self { gates: None, lambda: 1.0, dropout: None }
    }
}

impl GatedLora {
    /// A Kaiming-uniform (bound 1/√inputs, as PEFT draws it), B zero: the layer starts unchanged.
    ///
    /// `gpu` is the wgpu device that `device` runs on.
    ///
    /// # Errors
    /// As [`Lora::new`].
    pub fn new(gpu: &Gpu, desc: &LoraDesc, device: &Device) -> Result<Self, gtca::Error> {
        let lora = Lora::new(desc)?;
        let [inputs, outputs, rank] = [desc.inputs, desc.outputs, desc.rank].map(|n| n as usize);
        let kaiming = Initializer::KaimingUniform { gain: 3.0f64.sqrt().recip(), fan_out_only: false };
        let a = kaiming.init_with([rank, inputs], Some(inputs), Some(rank), device);
        let b_t = Initializer::Zeros.init([rank, outputs], device);
        Ok(Self { a, b_t, bias: None, lambda: None, on: On { gpu: gpu.clone(), lora } })
    }

    /// With a learned bias, zero from the start.
    #[must_use]
    pub fn with_bias(mut self) -> Self {
        let outputs = self.b_t.val().dims()[1];
        self.bias = Some(Initializer::Zeros.init([outputs], &self.b_t.val().device()));
        self
    }

    /// With a learned λ, 1 from the start. It is used as it is, whatever an optimiser makes of it; a parameter that stays at 0
    /// has a gradient too.
    #[must_use]
    pub fn with_lambda(mut self) -> Self {
        self.lambda = Some(Initializer::Ones.init([1], &self.b_t.val().device()));
        self
    }

    /// s: α/r, or α/√r.
    pub fn scale(&self) -> f32 {
        self.on.lora.scale()
    }

    /// `y + λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ + bias)` of x `[samples, tokens, inputs]` and y `[samples, tokens, outputs]`, both f32 or both f16;
    /// the rest is f32. Where nobody else holds y's memory, it is written in place.
    ///
    /// # Panics
    /// Wrong shapes or types; a λ that is not finite; a dropout outside [0, 1); a device that is not `gpu`'s.
    pub fn forward(&self, x: Tensor<3>, y: Tensor<3>, apply: Apply) -> Tensor<3> {
        let (a, b_t) = (self.a.val(), self.b_t.val());
        let [[rank, inputs], [_, outputs]] = [a.dims(), b_t.dims()];
        let [samples, tokens, _] = x.dims();
        let gates = apply.gates.unwrap_or_else(|| Tensor::ones([samples, 1, 1], &x.device()));
        assert_eq!(x.dims(), [samples, tokens, inputs], "x is [samples, tokens, inputs]");
        assert_eq!(y.dims(), [samples, tokens, outputs], "y is [samples, tokens, outputs]");
        let [count, of_each, width] = gates.dims();
        let fits = count == samples && [1, tokens].contains(&of_each) && [1, rank].contains(&width);
        assert!(fits, "gates are [{samples}, 1 or {tokens}, 1 or {rank}], not {:?}", gates.dims());
        assert_eq!(x.dtype(), y.dtype(), "x and y share a type");
        let bias = self.bias.as_ref().map(Param::val);
        let lambda = self.lambda.as_ref().map(|learned| learned.val() * apply.lambda);
        if let Some(bias) = &bias {
            assert_eq!(bias.dims(), [outputs], "the bias is [outputs]");
        }
        if let Some(lambda) = &lambda {
            assert_eq!(lambda.dims(), [1], "lambda is [1]");
        }
        let vector = |tensor: &Option<Tensor<1>>| tensor.as_ref().map_or(DType::F32, Tensor::dtype);
        let dtypes = [a.dtype(), b_t.dtype(), gates.dtype(), vector(&bias), vector(&lambda)];
        assert_eq!(dtypes, [DType::F32; 5], "a, b_t, gates, bias and lambda are f32");
        assert!(apply.lambda.is_finite(), "lambda is {}, it must be finite", apply.lambda);
        let On { gpu, lora } = self.on.clone();
        let injection = Injection {
            gpu,
            lora,
            lambda: lambda.is_none().then_some(apply.lambda),
            bias: bias.is_some(),
            dropout: apply.dropout,
        };
        // An op has a fixed number of tensors: A stands in for what is absent, and is not read there.
        let stand_in = || a.clone().detach().into_dispatch();
        let [bias, lambda] = [bias, lambda].map(|given| given.map_or_else(stand_in, Tensor::into_dispatch));
        let [y, x, gates] = [y, x, gates].map(Tensor::into_dispatch);
        let [a, b_t] = [a, b_t].map(Tensor::into_dispatch);
        Tensor::from_dispatch(<Dispatch as Inject>::inject(y, x, a, b_t, gates, bias, lambda, injection))
    }
}

/// The numbers of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    gpu: Gpu,
    lora: Lora,
    /// λ where it is no tensor.
    lambda: Option<f32>,
    /// Whether the tensor for a bias is one.
    bias: bool,
    dropout: Option<Dropout>,
}

impl Injection {
    fn lambda<'a>(&self, tensor: &'a Lent) -> Knob<'a> {
        let View { buffer, offset, .. } = tensor.view();
        self.lambda.map_or(Knob::Buffer(buffer, offset), Knob::Host)
    }
}

/// A forward's numbers, and which gradients of it are needed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    injection: Injection,
    x: bool,
    a: bool,
    b_t: bool,
    gates: bool,
    bias: bool,
    lambda: bool,
}

impl Wanted {
    /// Of x, A, B, gates, bias and λ; a stand-in has none, tracked or not.
    fn new(injection: Injection, [x, a, b_t, gates, bias, lambda]: [bool; 6]) -> Self {
        let (bias, lambda) = (bias && injection.bias, lambda && injection.lambda.is_none());
        Self { injection, x, a, b_t, gates, bias, lambda }
    }
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Injected<B: Backend> {
    y: FloatTensor<B>,
    /// `x̃ Aᵀ`, for the backward.
    h: FloatTensor<B>,
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct InjectedGradients<B: Backend> {
    #[extension_type]
    x: Wish<B>,
    #[extension_type]
    a: Wish<B>,
    #[extension_type]
    b_t: Wish<B>,
    #[extension_type]
    gates: Wish<B>,
    #[extension_type]
    bias: Wish<B>,
    #[extension_type]
    lambda: Wish<B>,
}

/// What runs on the device, forward and backward.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = forward_outputs)]
    fn lora_forward(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        injection: Injection,
    ) -> Injected<Self>;

    #[fusion(meta = backward_outputs)]
    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        h: FloatTensor<Self>,
        wanted: Wanted,
    ) -> InjectedGradients<Self>;
}

fn forward_outputs(
    y: &TensorSpec,
    _x: &TensorSpec,
    a: &TensorSpec,
    _b_t: &TensorSpec,
    _gates: &TensorSpec,
    _bias: &TensorSpec,
    _lambda: &TensorSpec,
    _injection: &Injection,
) -> InjectedMetadata {
    let h = [y.shape[0], y.shape[1], a.shape[0]];
    InjectedMetadata { y: y.clone(), h: TensorSpec::new(h.into(), DType::F32) }
}

fn backward_outputs(
    _dy: &TensorSpec,
    x: &TensorSpec,
    a: &TensorSpec,
    b_t: &TensorSpec,
    gates: &TensorSpec,
    bias: &TensorSpec,
    lambda: &TensorSpec,
    _h: &TensorSpec,
    wanted: &Wanted,
) -> InjectedGradientsMetadata {
    InjectedGradientsMetadata {
        x: WishMetadata::like(wanted.x, x),
        a: WishMetadata::like(wanted.a, a),
        b_t: WishMetadata::like(wanted.b_t, b_t),
        gates: WishMetadata::like(wanted.gates, gates),
        bias: WishMetadata::like(wanted.bias, bias),
        lambda: WishMetadata::like(wanted.lambda, lambda),
    }
}

impl Kernels for CubeBackend {
    fn lora_forward(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        injection: Injection,
    ) -> Injected<Self> {
        let [y, x, a, b_t, gates, bias, lambda] = [y, x, a, b_t, gates, bias, lambda].map(readable);
        let rank = a.shape()[0];
        let out = (!is_free(&y)).then(|| empty_like(&y, y.shape(), y.dtype));
        let h = empty_like(&y, [y.shape()[0], y.shape()[1], rank], DType::F32);
        let lent = [&y, &h, &x, &a, &b_t, &gates, &bias].map(Lent::of);
        let [y_view, h_view, x_view, a_view, b_view, gate_view, bias_view] = lent.each_ref().map(Lent::view);
        let (lambda, lent_out) = (Lent::of(&lambda), out.as_ref().map(Lent::of));
        let args = lora::Forward {
            x: x_view,
            a: a_view,
            b_t: b_view,
            bias: injection.bias.then_some(bias_view),
            gate: gate(gate_view, rank),
            lambda: injection.lambda(&lambda),
            dropout: injection.dropout,
            y: y_view,
            out: lent_out.as_ref().map(Lent::view),
            h: Some(h_view),
        };
        submit(&injection.gpu, &y, |recorder| injection.lora.forward(recorder, &args));
        Injected { y: out.unwrap_or(y), h }
    }

    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        h: FloatTensor<Self>,
        wanted: Wanted,
    ) -> InjectedGradients<Self> {
        let [dy, x, a, b_t, gates, h] = [dy, x, a, b_t, gates, h].map(readable);
        let [bias, lambda] = [bias, lambda].map(readable);
        let lent = [&dy, &x, &a, &b_t, &gates, &h, &bias].map(Lent::of);
        let [dy_view, x_view, a_view, b_view, gate_view, h_view, bias_view] = lent.each_ref().map(Lent::view);
        let lent_lambda = Lent::of(&lambda);
        let injection = &wanted.injection;
        let inputs = [
            (wanted.x, &x),
            (wanted.a, &a),
            (wanted.b_t, &b_t),
            (wanted.gates, &gates),
            (wanted.bias, &bias),
            (wanted.lambda, &lambda),
        ];
        let outputs = inputs.map(|(wanted, of)| wanted.then(|| empty_like(&dy, of.shape(), of.dtype)));
        let written = outputs.each_ref().map(|output| output.as_ref().map(Lent::of));
        let [dx, da, db_t, dgate, dbias, dlambda] =
            written.each_ref().map(|output| output.as_ref().map(Lent::view));
        let args = lora::Backward {
            x: x_view,
            dy: dy_view,
            a: a_view,
            b_t: b_view,
            bias: injection.bias.then_some(bias_view),
            gate: gate(gate_view, a_view.shape[0] as usize),
            lambda: injection.lambda(&lent_lambda),
            dropout: injection.dropout,
            h: Some(h_view),
            u: None,
            dx,
            da,
            db_t,
            dbias,
            dgate,
            dlambda,
            dx_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        submit(&injection.gpu, &dy, |recorder| injection.lora.backward(recorder, &args));
        drop(written);
        let [x, a, b_t, gates, bias, lambda] =
            outputs.map(|output| output.map_or(Wish::Absent, Wish::Present));
        InjectedGradients { x, a, b_t, gates, bias, lambda }
    }
}

/// As wide as the rank: one a rank; else one for all.
fn gate(view: View<'_>, rank: usize) -> Gate<'_> {
    if view.width() as usize == rank { Gate::Rank(view) } else { Gate::Scalar(view) }
}

/// The op with its gradients.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait Inject: Backend {
    fn inject(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        injection: Injection,
    ) -> FloatTensor<Self>;
}

impl Inject for Cube {
    fn inject(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        injection: Injection,
    ) -> FloatTensor<Self> {
        Self::lora_forward(y, x, a, b_t, gates, bias, lambda, injection).y
    }
}

impl<B: Kernels, C: CheckpointStrategy> Inject for Autodiff<B, C> {
    fn inject(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        lambda: FloatTensor<Self>,
        injection: Injection,
    ) -> FloatTensor<Self> {
        let [(y, ny), (x, nx), (a, na), (b_t, nb), (gates, ng), (bias, nbias), (lambda, nlambda)] =
            [y, x, a, b_t, gates, bias, lambda].map(|tensor| tensor.into_parts());
        match InjectBackward.prepare::<C>([ny, nx, na, nb, ng, nbias, nlambda]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let [inputs @ .., bias_of, lambda_of] =
                    [&x, &a, &b_t, &gates, &bias, &lambda].map(Clone::clone);
                let [x_of, a_of, b_of, gates_of] = inputs;
                let numbers = injection.clone();
                let Injected { y, h } =
                    B::lora_forward(y, x_of, a_of, b_of, gates_of, bias_of, lambda_of, numbers);
                prep.finish(Saved { x, a, b_t, gates, bias, lambda, h, injection }, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::lora_forward(y, x, a, b_t, gates, bias, lambda, injection).y)
            }
        }
    }
}

#[derive(Debug)]
struct InjectBackward;

#[derive(Clone, Debug)]
struct Saved<B: Backend> {
    x: FloatTensor<B>,
    a: FloatTensor<B>,
    b_t: FloatTensor<B>,
    gates: FloatTensor<B>,
    bias: FloatTensor<B>,
    lambda: FloatTensor<B>,
    h: FloatTensor<B>,
    injection: Injection,
}

impl<B: Kernels> Backward<B, 7> for InjectBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 7>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [y, parents @ ..] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let wants = parents.each_ref().map(Option::is_some);
        if parents.iter().any(Option::is_some) {
            let Saved { x, a, b_t, gates, bias, lambda, h, injection } = ops.state;
            let wanted = Wanted::new(injection, wants);
            let found = B::lora_backward(dy.clone(), x, a, b_t, gates, bias, lambda, h, wanted);
            let InjectedGradients { x, a, b_t, gates, bias, lambda } = found;
            let found = [x, a, b_t, gates, bias, lambda];
            for (parent, gradient) in parents.into_iter().zip(found) {
                if let (Some(node), Wish::Present(gradient)) = (parent, gradient) {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
        if let Some(node) = y {
            grads.register::<B>(node.id, dy);
        }
    }
}

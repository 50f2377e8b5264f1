//! The injection as a Burn op with gradients, and as a module: `y + λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ)`.
//!
//! Formulas and kernels: [`gtca::lora`].

use crate::guest::{Lent, empty_like, readable, submit, writable};
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
    /// λ, the adapter weight.
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
        Ok(Self { a, b_t, on: On { gpu: gpu.clone(), lora } })
    }

    /// s: α/r, or α/√r.
    pub fn scale(&self) -> f32 {
        self.on.lora.scale()
    }

    /// `y + λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ)` of x `[samples, tokens, inputs]` and y `[samples, tokens, outputs]`, both f32 or both f16;
    /// the rest is f32. y's memory is written in place where nobody else holds it.
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
        for (name, found) in [("a", a.dtype()), ("b_t", b_t.dtype()), ("gates", gates.dtype())] {
            assert_eq!(found, DType::F32, "{name} is f32");
        }
        assert!(apply.lambda.is_finite(), "lambda is {}, it must be finite", apply.lambda);
        let On { gpu, lora } = self.on.clone();
        let injection = Injection { gpu, lora, lambda: apply.lambda, dropout: apply.dropout };
        let [y, x, gates] = [y, x, gates].map(Tensor::into_dispatch);
        let [a, b_t] = [a, b_t].map(Tensor::into_dispatch);
        Tensor::from_dispatch(<Dispatch as Inject>::inject(y, x, a, b_t, gates, injection))
    }
}

/// The numbers of one call, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    gpu: Gpu,
    lora: Lora,
    lambda: f32,
    dropout: Option<Dropout>,
}

/// A forward's numbers, and which gradients of it are needed.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    injection: Injection,
    x: bool,
    a: bool,
    b_t: bool,
    gates: bool,
}

/// A gradient, where it is wanted.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) enum Wish<B: Backend> {
    Absent,
    Present(FloatTensor<B>),
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
        injection: Injection,
    ) -> Injected<Self>;

    #[fusion(meta = backward_outputs)]
    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
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
    _h: &TensorSpec,
    wanted: &Wanted,
) -> InjectedGradientsMetadata {
    let of = |wanted: bool, spec: &TensorSpec| match wanted {
        true => WishMetadata::Present(spec.clone()),
        false => WishMetadata::Absent,
    };
    InjectedGradientsMetadata {
        x: of(wanted.x, x),
        a: of(wanted.a, a),
        b_t: of(wanted.b_t, b_t),
        gates: of(wanted.gates, gates),
    }
}

impl Kernels for CubeBackend {
    fn lora_forward(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        injection: Injection,
    ) -> Injected<Self> {
        let [x, a, b_t, gates] = [x, a, b_t, gates].map(readable);
        let (y, rank) = (writable(y), a.shape()[0]);
        let h = empty_like(&y, [y.shape()[0], y.shape()[1], rank], DType::F32);
        let lent = [&y, &h, &x, &a, &b_t, &gates].map(Lent::of);
        let [y_view, h_view, x_view, a_view, b_view, gate_view] = lent.each_ref().map(Lent::view);
        let args = lora::Forward {
            x: x_view,
            a: a_view,
            b_t: b_view,
            bias: None,
            gate: gate(gate_view, rank),
            lambda: Knob::Host(injection.lambda),
            dropout: injection.dropout,
            y: y_view,
            h: Some(h_view),
        };
        submit(&injection.gpu, &y, |recorder| injection.lora.forward(recorder, &args));
        Injected { y, h }
    }

    fn lora_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        h: FloatTensor<Self>,
        wanted: Wanted,
    ) -> InjectedGradients<Self> {
        let [dy, x, a, b_t, gates, h] = [dy, x, a, b_t, gates, h].map(readable);
        let lent = [&dy, &x, &a, &b_t, &gates, &h].map(Lent::of);
        let [dy_view, x_view, a_view, b_view, gate_view, h_view] = lent.each_ref().map(Lent::view);
        let injection = &wanted.injection;
        let outputs = [(wanted.x, &x), (wanted.a, &a), (wanted.b_t, &b_t), (wanted.gates, &gates)]
            .map(|(wanted, of)| wanted.then(|| empty_like(&dy, of.shape(), of.dtype)));
        let written = outputs.each_ref().map(|output| output.as_ref().map(Lent::of));
        let [dx, da, db_t, dgate] = written.each_ref().map(|output| output.as_ref().map(Lent::view));
        let args = lora::Backward {
            x: x_view,
            dy: dy_view,
            a: a_view,
            b_t: b_view,
            bias: None,
            gate: gate(gate_view, a_view.shape[0] as usize),
            lambda: Knob::Host(injection.lambda),
            dropout: injection.dropout,
            h: Some(h_view),
            u: None,
            dx,
            da,
            db_t,
            dbias: None,
            dgate,
            dlambda: None,
            dx_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        submit(&injection.gpu, &dy, |recorder| injection.lora.backward(recorder, &args));
        drop(written);
        let [x, a, b_t, gates] = outputs.map(|output| output.map_or(Wish::Absent, Wish::Present));
        InjectedGradients { x, a, b_t, gates }
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
        injection: Injection,
    ) -> FloatTensor<Self> {
        Self::lora_forward(y, x, a, b_t, gates, injection).y
    }
}

impl<B: Kernels, C: CheckpointStrategy> Inject for Autodiff<B, C> {
    fn inject(
        y: FloatTensor<Self>,
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b_t: FloatTensor<Self>,
        gates: FloatTensor<Self>,
        injection: Injection,
    ) -> FloatTensor<Self> {
        let [(y, ny), (x, nx), (a, na), (b_t, nb), (gates, ng)] =
            [y, x, a, b_t, gates].map(|tensor| tensor.into_parts());
        match InjectBackward.prepare::<C>([ny, nx, na, nb, ng]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let Injected { y, h } =
                    B::lora_forward(y, x.clone(), a.clone(), b_t.clone(), gates.clone(), injection.clone());
                prep.finish(Saved { x, a, b_t, gates, h, injection }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::lora_forward(y, x, a, b_t, gates, injection).y),
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
    h: FloatTensor<B>,
    injection: Injection,
}

impl<B: Kernels> Backward<B, 5> for InjectBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 5>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let [y, parents @ ..] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let [of_x, of_a, of_b_t, of_gates] = parents.each_ref().map(Option::is_some);
        if parents.iter().any(Option::is_some) {
            let Saved { x, a, b_t, gates, h, injection } = ops.state;
            let wanted = Wanted { injection, x: of_x, a: of_a, b_t: of_b_t, gates: of_gates };
            let found = B::lora_backward(dy.clone(), x, a, b_t, gates, h, wanted);
            let found = [found.x, found.a, found.b_t, found.gates];
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

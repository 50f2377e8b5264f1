//! The Geo-Time Conditional Adapter as one Burn module: its parameters are Burn's, so are its records and optimisers.
//!
//! ```text
//! records ─ encode ─ e ─ linear+SiLU ─ z ─ linear ─ a ─ gate(v, μ) ─ g
//!                                                             │ one column range a layer
//!                        y_l + λ·s_l·((x_l A_lᵀ) ⊙ g_l) B_lᵀ ─┘
//! ```
//!
//! The two small linear layers are Burn's own; everything else runs in gtca's kernels. See [`gtca::adapter`].

use crate::encode::MetadataEncoder;
use crate::gate::{Mu, mix};
use crate::lora::{Apply, GatedLora};
use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Int, Tensor};
use gtca::adapter::{AdapterDesc, GateKind, LayerDesc};
use gtca::encode::Plan;
use gtca::gate::{MetadataGate, MetadataGateDesc};
use gtca::gpu::Gpu;

/// Encoder, gates and injections of one adapter.
///
/// ```no_run
/// use burn::tensor::{Device, Int, Tensor};
/// use gtca::adapter::{AdapterDesc, LayerDesc};
/// use gtca::encode::{IdTables, Plan};
/// use gtca_burn::adapter::GtcaAdapter;
/// # fn f(
/// #     gpu: &gtca::gpu::Gpu, device: &Device, records: Tensor<2, Int>, validity: Tensor<2>,
/// #     x: Tensor<3>, frozen: impl Fn(Tensor<3>) -> Tensor<3>,
/// # ) -> Result<(), gtca::Error> {
/// let layers = vec![LayerDesc { inputs: 768, outputs: 768, rank: 16, alpha: None }];
/// let plan = Plan::gtca(&IdTables::default())?;
/// let adapter = GtcaAdapter::new(gpu, plan, &AdapterDesc { layers, ..Default::default() }, device)?;
/// let gates = adapter.condition(records, validity, 1.0);
/// let y = adapter.inject(0, x.clone(), frozen(x), gates, 1.0);
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub struct GtcaAdapter {
    /// Records to features.
    pub encoder: MetadataEncoder,
    /// Features to the gate's hidden layer.
    pub hidden: Linear,
    /// Hidden layer to the gates' logits, all layers side by side.
    pub logits: Linear,
    /// Null logits b∅: the gates where nothing is known.
    pub null_logits: Param<Tensor<1>>,
    /// The adapted layers, in the order of the description.
    pub layers: Vec<GatedLora>,
    #[module(skip)]
    on: On,
}

/// The gate, the device it runs on and where each layer's gates lie.
#[derive(Clone, Debug)]
struct On {
    gpu: Gpu,
    gate: MetadataGate,
    /// First gate of each layer, and one past the last layer's.
    starts: Vec<usize>,
}

impl GtcaAdapter {
    /// A and W₁ Kaiming-uniform, all others 0: the adapter starts as plain LoRA with g = 1 and an addition of 0.
    ///
    /// `gpu` is the wgpu device that `device` runs on.
    ///
    /// # Errors
    /// No layers; a rank or width out of range; a plan that needs more than records.
    pub fn new(gpu: &Gpu, plan: Plan, desc: &AdapterDesc, device: &Device) -> Result<Self, gtca::Error> {
        let gates = desc.layers.iter().map(|layer| match desc.gate {
            GateKind::Scalar => 1,
            _ => layer.rank,
        });
        let starts: Vec<u32> = std::iter::once(0)
            .chain(gates.scan(0, |end, of_layer| {
                *end += of_layer;
                Some(*end)
            }))
            .collect();
        let width = starts[desc.layers.len()];
        let gate = MetadataGate::new(&MetadataGateDesc { width })?;
        let lora = |layer: &LayerDesc| GatedLora::new(gpu, &desc.lora(layer), device);
        let layers = desc.layers.iter().map(lora).collect::<Result<_, _>>()?;
        let encoder = MetadataEncoder::new(gpu, plan, device)?;
        let [hidden, width] = [desc.hidden as usize, width as usize];
        let on =
            On { gpu: gpu.clone(), gate, starts: starts.into_iter().map(|start| start as usize).collect() };
        Ok(Self {
            hidden: Linear {
                bias: Some(Initializer::Zeros.init([hidden], device)),
                ..LinearConfig::new(encoder.width(), hidden).with_bias(false).init(device)
            },
            logits: LinearConfig::new(hidden, width).with_initializer(Initializer::Zeros).init(device),
            null_logits: Initializer::Zeros.init([width], device),
            encoder,
            layers,
            on,
        })
    }

    /// The gates of all layers, `[samples, Σ gates]`, of records as [`crate::encode::upload`] makes them.
    ///
    /// `validity` is `[samples, 1]`: 1, or 0 where a sample's metadata is dropped or wholly missing. `mu`, the metadata weight,
    /// lies in [0, 1]: a number, or a tensor that is learned ([`Mu`]).
    ///
    /// # Panics
    /// Wrong shapes or types; a number μ outside [0, 1].
    pub fn condition(&self, records: Tensor<2, Int>, validity: Tensor<2>, mu: impl Into<Mu>) -> Tensor<2> {
        let hidden = silu(self.hidden.forward(self.encoder.forward(records)));
        let logits = self.logits.forward(hidden);
        mix(&self.on.gpu, self.on.gate, logits, self.null_logits.val(), validity, mu)
    }

    /// The gates of `samples` samples whose metadata is all dropped: g∅, without encoding anything.
    pub fn condition_on_nothing(&self, samples: usize) -> Tensor<2> {
        let width = self.on.starts[self.layers.len()];
        let null = self.null_logits.val();
        let nothing = [[samples, width], [samples, 1]].map(|shape| Tensor::zeros(shape, &null.device()));
        let [logits, validity] = nothing;
        mix(&self.on.gpu, self.on.gate, logits, null, validity, 0.0)
    }

    /// A layer's frozen output y with the injection of its input x, `[samples, tokens, …]`, under the gates of
    /// [`Self::condition`] and the adapter weight λ.
    ///
    /// # Panics
    /// A layer that the adapter has not; as [`GatedLora::forward`].
    pub fn inject(
        &self,
        layer: usize,
        x: Tensor<3>,
        y: Tensor<3>,
        gates: Tensor<2>,
        lambda: f32,
    ) -> Tensor<3> {
        let count = self.layers.len();
        assert!(layer < count, "layer {layer} of {count}; they count from 0");
        let (start, end) = (self.on.starts[layer], self.on.starts[layer + 1]);
        let samples = gates.dims()[0];
        let gates = Some(gates.slice([0..samples, start..end]).reshape([samples, 1, end - start]));
        self.layers[layer].forward(x, y, Apply { gates, lambda, dropout: None })
    }
}

//! The Geo-Time Conditional Adapter: the rooms composed into one module with parameters, forward, backward, files.
//!
//! ```text
//! records ─ encode ─ e ─ linear+SiLU ─ z ─ linear ─ a ─ gate(v, μ) ─ g
//!                                                             │ one column range a layer
//!                        y_l += λ·s_l·((x_l A_lᵀ) ⊙ g_l) B_lᵀ ┘
//! ```
//!
//! The order of a training step: [`GtcaAdapter::condition`], then [`GtcaAdapter::inject`] at each adapted layer,
//! the embedder's loss, then [`GtcaAdapter::backward_layer`] at each layer and
//! [`GtcaAdapter::backward_condition`]. What the backward needs is kept in a [`Tape`]; one adapter may have many.
//!
//! Files: [`GtcaAdapter::save`], or PEFT's with feature `peft` (`adapter::peft`).
//! Beside it [`LastLayer`], whoever trained it: an adapter in the last layer, its activation, pooling and head, measured under many wrong
//! metadata in one sweep.
//!
//! Formulas live in the rooms [`encode`], [`linear`], [`gate`] and
//! [`lora`]. Tests: `tests/gpu/adapter.rs`.

#[cfg(feature = "safetensors")]
mod file;
mod last_layer;
mod numerics;
mod parameters;
#[cfg(feature = "peft")]
pub mod peft;
mod tape;

pub use last_layer::{LastLayer, LastLayerDesc, Sweep, SweepPath};
pub use numerics::Numerics;
pub use parameters::Parameter;
pub use tape::Tape;

use crate::Error;
use crate::encode::{self, Encoder, Plan};
use crate::gate::{self, MetadataGate, MetadataGateDesc, Mu};
use crate::gpu::{Access, Dtype, Gpu, Knob, Mode, Recorder, View, check_overlap};
use crate::linear::{self, Activation, Linear, LinearDesc};
use crate::lora::{self, Family, Gate, Lora, LoraDesc, Scaling};
use parameters::Parameters;

const OP: &str = "adapter";
/// Version of the file's layout.
pub const FORMAT_VERSION: u32 = 1;
/// Version of everything that changes trained numbers: orders of sums, encodings, random streams.
pub const NUMERICS_VERSION: u32 = crate::NUMERICS_VERSION;

/// How fine the gates are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GateKind {
    /// One gate a rank and layer.
    #[default]
    Rank,
    /// One gate a layer.
    Scalar,
}

/// One adapted layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerDesc {
    /// Width of the frozen layer's input.
    pub inputs: u32,
    /// Width of the frozen layer's output.
    pub outputs: u32,
    /// Rank; 1 to 256.
    pub rank: u32,
    /// α of this layer; without it the adapter's.
    pub alpha: Option<f32>,
}

/// An adapter's description.
#[derive(Clone, Debug)]
pub struct AdapterDesc {
    /// Adapted layers, in the order of their indices.
    pub layers: Vec<LayerDesc>,
    /// Width H of the gate's hidden layer.
    pub hidden: u32,
    /// α of every layer that has none of its own.
    pub alpha: f32,
    /// How α becomes a layer's scale.
    pub scaling: Scaling,
    /// How fine the gates are.
    pub gate: GateKind,
    /// The structure of the layers' kernels, for example [`Tuned`](lora::Tuned)'s choice; without it the device's own.
    pub family: Option<Family>,
}

impl Default for AdapterDesc {
    fn default() -> Self {
        let (gate, scaling) = (GateKind::Rank, Scaling::Standard);
        Self { layers: Vec::new(), hidden: 64, alpha: 16.0, scaling, gate, family: None }
    }
}

impl AdapterDesc {
    /// A layer's injection.
    pub fn lora(&self, layer: &LayerDesc) -> LoraDesc {
        let LayerDesc { inputs, outputs, rank, alpha } = *layer;
        let alpha = alpha.unwrap_or(self.alpha);
        LoraDesc { inputs, outputs, rank, alpha, scaling: self.scaling, family: self.family }
    }

    /// Gates of a layer: its rank, or 1.
    fn gates(&self, layer: &LayerDesc) -> u32 {
        match self.gate {
            GateKind::Rank => layer.rank,
            GateKind::Scalar => 1,
        }
    }

    /// Gates of all layers together.
    fn gate_width(&self) -> u32 {
        self.layers.iter().map(|layer| self.gates(layer)).sum()
    }
}

/// A batch's metadata, as [`GtcaAdapter::condition`] takes it.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// u32 `[RECORD_WORDS, S]`, as [`Records::words`](crate::records::Records::words) lays them out.
    pub records: View<'a>,
    /// v, f32 `[S, 1]`: 1, or 0 where a sample's metadata is dropped or wholly missing;
    /// [`Perturb`](crate::perturb::Perturb) writes it.
    pub validity: View<'a>,
    /// μ, the metadata weight.
    pub mu: Mu<'a>,
}

/// Arguments of [`GtcaAdapter::backward_layer`].
#[derive(Clone, Copy, Debug)]
pub struct BackwardLayer<'a> {
    /// The frozen layer's input, `[S, T, inputs]`, as in [`GtcaAdapter::inject`].
    pub x: View<'a>,
    /// Gradient of the layer's output, `[S, T, outputs]`.
    pub dy: View<'a>,
    /// Gradient of the layer's input, added to; the embedder has put the frozen layer's own part there.
    pub dx: Option<View<'a>>,
    /// λ, as in the forward.
    pub lambda: Knob<'a>,
    /// Whether the parameters' gradients are replaced or added to.
    pub mode: Mode,
}

/// Parameters, gradients and ops of one adapter.
///
/// ```no_run
/// use gtca::adapter::{AdapterDesc, GtcaAdapter, LayerDesc};
/// use gtca::encode::{IdTables, Plan};
/// # fn f(gpu: &gtca::gpu::Gpu) -> Result<(), gtca::Error> {
/// let layers = vec![LayerDesc { inputs: 768, outputs: 768, rank: 16, alpha: None }];
/// let plan = Plan::gtca(&IdTables::default())?;
/// let adapter = GtcaAdapter::new(gpu, plan, &AdapterDesc { layers, ..Default::default() }, 42)?;
/// let tape = adapter.tape(32, 256);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct GtcaAdapter {
    gpu: Gpu,
    desc: AdapterDesc,
    encoder: Encoder,
    hidden: Linear,
    logits: Linear,
    gate: MetadataGate,
    layers: Vec<Lora>,
    parameters: Parameters,
    values: wgpu::Buffer,
    gradients: wgpu::Buffer,
}

impl GtcaAdapter {
    /// Checks the description, allocates parameters and gradients and uploads the initial values that `seed` gives:
    /// A and W₁ Kaiming-uniform, all others 0. The adapter starts as plain LoRA with g = 1 and a delta of 0.
    ///
    /// # Errors
    /// No layers; a rank outside 1..=256; a width outside 1..=59,999.
    pub fn new(gpu: &Gpu, plan: Plan, desc: &AdapterDesc, seed: u64) -> Result<Self, Error> {
        if desc.layers.is_empty() {
            return Err(Error::argument(OP, "layers", "empty", "there must be a layer to adapt", "name one"));
        }
        let (metadata, arena) = (plan.width(), plan.arena_len());
        let width = desc.gate_width();
        let hidden = LinearDesc { inputs: metadata, outputs: desc.hidden, activation: Activation::Silu };
        let logits = LinearDesc { inputs: desc.hidden, outputs: width, activation: Activation::None };
        let layers =
            desc.layers.iter().map(|layer| Lora::new(&desc.lora(layer))).collect::<Result<_, _>>()?;
        let (hidden, logits) = (Linear::new(&hidden)?, Linear::new(&logits)?);
        let gate = MetadataGate::new(&MetadataGateDesc { width })?;
        let parameters = Parameters::new(desc, arena, metadata);
        let mut initial = parameters.initial(seed);
        let start = parameters.encoder.start as usize;
        initial[start..start + arena as usize].copy_from_slice(&plan.initial_arena());
        let values = gpu.upload("gtca parameters", &initial);
        let gradients = gpu.zeros("gtca gradients", u64::from(parameters.len) * 4);
        let (gpu, desc, encoder) = (gpu.clone(), desc.clone(), Encoder::new(gpu, plan));
        Ok(Self { gpu, desc, encoder, hidden, logits, gate, layers, parameters, values, gradients })
    }

    /// The description.
    pub fn desc(&self) -> &AdapterDesc {
        &self.desc
    }

    /// The encoder's plan.
    pub fn plan(&self) -> &Plan {
        self.encoder.plan()
    }

    /// Every parameter tensor, in the order of the flat buffer.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.all()
    }

    /// All parameters as one vector, for an optimiser. Gaps between tensors are zero and stay so.
    pub fn values(&self) -> View<'_> {
        View::vector(&self.values, self.parameters.len)
    }

    /// All gradients as one vector of the same layout.
    pub fn gradients(&self) -> View<'_> {
        View::vector(&self.gradients, self.parameters.len)
    }

    /// One parameter tensor, `[rows, width]`.
    pub fn value(&self, parameter: &Parameter) -> View<'_> {
        parameter.view(&self.values)
    }

    /// One parameter's gradient, `[rows, width]`.
    pub fn gradient(&self, parameter: &Parameter) -> View<'_> {
        parameter.view(&self.gradients)
    }

    /// The buffers of a forward over `samples` samples of `tokens` tokens.
    pub fn tape(&self, samples: u32, tokens: u32) -> Tape {
        Tape::new(&self.gpu, self, samples, tokens)
    }

    fn widths(&self) -> tape::Widths {
        let (metadata, gates) = (self.encoder.plan().width(), self.desc.gate_width());
        tape::Widths { metadata, hidden: self.desc.hidden, gates }
    }

    /// Records metadata to gates: encoding, hidden layer, gate logits, effective gates; zeroes the gates' gradient.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges.
    pub fn condition(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        args: &Condition<'_>,
    ) -> Result<(), Error> {
        self.check_condition(tape, args)?;
        let p = &self.parameters;
        let (e, pre, z, a) =
            (tape.encoding(), tape.hidden_view(&tape.pre), tape.hidden_view(&tape.z), tape.logits());
        let arena = p.encoder.view(&self.values);
        self.encoder.forward(
            recorder,
            &encode::Forward { records: args.records, arena, given: None, e, status: None },
        )?;
        let (weight, bias) = (p.w1.view(&self.values), Some(p.b1.view(&self.values)));
        self.hidden.forward(recorder, &linear::Forward { x: e, weight, bias, pre: Some(pre), y: z })?;
        let (weight, bias) = (p.w2.view(&self.values), Some(p.b2.view(&self.values)));
        self.logits.forward(recorder, &linear::Forward { x: z, weight, bias, pre: None, y: a })?;
        self.mix(recorder, tape, args.validity, args.mu)
    }

    /// Records the gates of a batch whose metadata is all dropped: g = g∅, as μ = 0 gives it, without encoding
    /// anything. `validity` only has to be `[S, 1]` f32.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges.
    pub fn condition_on_nothing(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        validity: View<'_>,
    ) -> Result<(), Error> {
        self.mix(recorder, tape, validity, Mu::Knob(Knob::Host(0.0)))
    }

    fn mix(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        validity: View<'_>,
        mu: Mu<'_>,
    ) -> Result<(), Error> {
        let (logits, gates) = (tape.logits(), tape.gates());
        let null_logits = self.parameters.null.view(&self.values);
        self.gate.forward(recorder, &gate::Forward { logits, null_logits, validity, mu, gates })?;
        recorder.clear(&tape.dg, 0, tape.dg.size());
        Ok(())
    }

    /// Records `y += λ·s·((x Aᵀ) ⊙ g) Bᵀ` at a layer, with the tape's gates.
    ///
    /// # Errors
    /// No such layer; wrong shapes, types or ranges.
    pub fn inject(
        &self,
        recorder: &mut Recorder<'_>,
        layer: usize,
        tape: &Tape,
        x: View<'_>,
        y: View<'_>,
        lambda: Knob<'_>,
    ) -> Result<(), Error> {
        let (lora, [a, b_t]) = self.layer(layer)?;
        let gate = self.gate_of(layer, tape.gates());
        let h = Some(tape.h_view(layer, self.desc.layers[layer].rank));
        let (bias, dropout) = (None, None);
        lora.forward(recorder, &lora::Forward { x, a, b_t, bias, gate, lambda, dropout, y, out: None, h })
    }

    /// Records a layer's gradients: A, B, this layer's gates and, added, x.
    ///
    /// # Errors
    /// As [`GtcaAdapter::inject`].
    pub fn backward_layer(
        &self,
        recorder: &mut Recorder<'_>,
        layer: usize,
        tape: &Tape,
        args: &BackwardLayer<'_>,
    ) -> Result<(), Error> {
        let (lora, [a, b_t]) = self.layer(layer)?;
        let [da, db_t] = &self.parameters.layers[layer];
        let BackwardLayer { x, dy, dx, lambda, mode } = *args;
        let dgate = match self.gate_of(layer, View::matrix(&tape.dg, tape.samples, tape.widths.gates)) {
            Gate::Rank(view) | Gate::Scalar(view) => Some(view),
            _ => None,
        };
        let backward = lora::Backward {
            x,
            dy,
            a,
            b_t,
            bias: None,
            gate: self.gate_of(layer, tape.gates()),
            lambda,
            dropout: None,
            h: Some(tape.h_view(layer, self.desc.layers[layer].rank)),
            u: None,
            dx,
            da: Some(da.view(&self.gradients)),
            db_t: Some(db_t.view(&self.gradients)),
            dbias: None,
            dgate,
            dlambda: None,
            dx_mode: Mode::Accumulate,
            parameter_mode: mode,
            condition_mode: Mode::Overwrite,
        };
        lora.backward(recorder, &backward)
    }

    /// Records the gradients of gate and encoder from those of the gates that [`GtcaAdapter::backward_layer`] left.
    ///
    /// # Errors
    /// As [`GtcaAdapter::condition`].
    pub fn backward_condition(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        args: &Condition<'_>,
        mode: Mode,
    ) -> Result<(), Error> {
        self.check_condition(tape, args)?;
        let p = &self.parameters;
        let (e, z) = (tape.encoding(), tape.hidden_view(&tape.z));
        let (da, dz) = (tape.gates_view(&tape.da), tape.hidden_view(&tape.dz));
        self.backward_gate(recorder, tape, args.validity, args.mu, Some(da), mode)?;
        let gradients = |weight: &Parameter, bias: &Parameter| {
            (Some(weight.view(&self.gradients)), Some(bias.view(&self.gradients)))
        };
        let (dx_mode, parameter_mode) = (Mode::Overwrite, mode);
        let (dweight, dbias) = gradients(&p.w2, &p.b2);
        let weight = p.w2.view(&self.values);
        let args_2 = linear::Backward {
            x: z,
            weight,
            pre: None,
            dy: da,
            dx: Some(dz),
            dweight,
            dbias,
            dx_mode,
            parameter_mode,
        };
        self.logits.backward(recorder, &args_2)?;
        let (dweight, dbias) = gradients(&p.w1, &p.b1);
        let de = (!p.encoder.is_empty()).then(|| View::matrix(&tape.de, tape.samples, tape.widths.metadata));
        let (weight, pre) = (p.w1.view(&self.values), Some(tape.hidden_view(&tape.pre)));
        let args_1 =
            linear::Backward { x: e, weight, pre, dy: dz, dx: de, dweight, dbias, dx_mode, parameter_mode };
        self.hidden.backward(recorder, &args_1)?;
        match de {
            Some(de) => {
                let [arena, darena] = [&self.values, &self.gradients].map(|flat| p.encoder.view(flat));
                let records = args.records;
                let args = encode::Backward { records, arena, given: None, de, darena, mode };
                self.encoder.backward(recorder, &args)
            }
            None => Ok(()),
        }
    }

    /// Records the null gate's gradient after a forward [on nothing](GtcaAdapter::condition_on_nothing); no other
    /// parameter of gate and encoder has one then.
    ///
    /// # Errors
    /// As [`GtcaAdapter::condition_on_nothing`].
    pub fn backward_condition_on_nothing(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        validity: View<'_>,
        mode: Mode,
    ) -> Result<(), Error> {
        self.backward_gate(recorder, tape, validity, Mu::Knob(Knob::Host(0.0)), None, mode)
    }

    fn backward_gate(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        validity: View<'_>,
        mu: Mu<'_>,
        dlogits: Option<View<'_>>,
        mode: Mode,
    ) -> Result<(), Error> {
        let null = &self.parameters.null;
        let backward = gate::Backward {
            logits: tape.logits(),
            null_logits: null.view(&self.values),
            validity,
            mu,
            dgates: View::matrix(&tape.dg, tape.samples, tape.widths.gates),
            dlogits,
            dnull_logits: Some(null.view(&self.gradients)),
            dmu: None,
            dlogits_mode: Mode::Overwrite,
            parameter_mode: mode,
        };
        self.gate.backward(recorder, &backward)
    }

    /// The first dispatch must not be recorded if a later one would be refused.
    fn check_condition(&self, tape: &Tape, args: &Condition<'_>) -> Result<(), Error> {
        let samples = u64::from(tape.samples);
        let words = crate::records::RECORD_WORDS;
        args.records.check_rows(OP, "records", Dtype::U32, words.into(), tape.samples)?;
        args.validity.check_rows(OP, "validity", Dtype::F32, samples, 1)?;
        let mut used = vec![
            ("records", args.records, Access::Read),
            ("validity", args.validity, Access::Read),
            ("tape", tape.gates(), Access::Write),
        ];
        match args.mu {
            Mu::PerSample(mu) => {
                mu.check_rows(OP, "mu", Dtype::F32, samples, 1)?;
                used.push(("mu", mu, Access::Read));
            }
            Mu::Knob(knob) => knob.check(OP, "mu")?,
        }
        check_overlap(OP, &used)
    }

    /// A layer's op and its A and b_t.
    fn layer(&self, layer: usize) -> Result<(&Lora, [View<'_>; 2]), Error> {
        match (self.layers.get(layer), self.parameters.layers.get(layer)) {
            (Some(lora), Some(tensors)) => {
                Ok((lora, tensors.each_ref().map(|tensor| tensor.view(&self.values))))
            }
            _ => {
                let rule = format!("the adapter has {} layers", self.layers.len());
                Err(Error::argument(OP, "layer", layer, rule, "count from 0"))
            }
        }
    }

    /// A layer's range of columns of all gates.
    fn gate_of<'a>(&self, layer: usize, gates: View<'a>) -> Gate<'a> {
        let before = self.desc.layers[..layer].iter().map(|layer| self.desc.gates(layer)).sum();
        let columns = gates.columns(before, self.desc.gates(&self.desc.layers[layer]));
        match self.desc.gate {
            GateKind::Rank => Gate::Rank(columns),
            GateKind::Scalar => Gate::Scalar(columns),
        }
    }

    /// Version and variants whose bits this adapter gives on its device.
    ///
    /// # Errors
    /// A family that the device cannot run.
    pub fn numerics(&self) -> Result<Numerics, Error> {
        let variants = self.layers.iter().map(|layer| layer.variant(&self.gpu)).collect::<Result<_, _>>()?;
        Ok(Numerics { version: NUMERICS_VERSION, variants })
    }

    /// Submits a read-back of the parameters and resolves to a safetensors file: tensors by name (B as PEFT lays it
    /// out, `[outputs, r]`), a format version and its [`Numerics`].
    ///
    /// # Errors
    /// A lost device.
    #[cfg(feature = "safetensors")]
    pub async fn save(&self) -> Result<Vec<u8>, Error> {
        file::save(&self.parameters, &self.numerics()?, &self.gpu.read_f32(&self.values()).await?)
    }

    /// Replaces the parameters by those of a file; they arrive with the next submit. Nothing is replaced if the file
    /// does not fit. A file of other [`Numerics`] fits; whether this adapter gives its bits, a comparison tells.
    ///
    /// # Errors
    /// [`Error::File`] names the tensor or the version that does not fit.
    #[cfg(feature = "safetensors")]
    pub fn load(&self, file: &[u8]) -> Result<(), Error> {
        self.set_values(&file::load(&self.parameters, file)?)
    }

    /// Replaces all parameters, in the layout of [`GtcaAdapter::values`]; they arrive with the next submit.
    ///
    /// # Errors
    /// Another number of values than there are.
    pub fn set_values(&self, values: &[f32]) -> Result<(), Error> {
        if values.len() != self.parameters.len as usize {
            let rule = format!("the flat buffer has {}", self.parameters.len);
            return Err(Error::argument(OP, "values", values.len(), rule, "read them with `values`"));
        }
        self.gpu.queue().write_buffer(&self.values, 0, bytemuck::cast_slice(values));
        Ok(())
    }
}

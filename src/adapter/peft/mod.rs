//! Adapters in the files of PEFT (Hugging Face): `adapter_config.json` and `adapter_model.safetensors`.
//!
//! | in the file | shape | here |
//! |---|---|---|
//! | `base_model.model.<module>.lora_A.weight` | `[r, inputs]` | [`PeftLayer::a`] |
//! | `base_model.model.<module>.lora_B.weight` | `[outputs, r]` | [`PeftLayer::b_t`], transposed |
//! | `gtca.gate.…`, `gtca.encoder.arena` | `[rows, width]`, F32 | [`PeftAdapter::gate`] |
//!
//! Rank, α and rsLoRA of each module follow the config's `r`, `lora_alpha`, `use_rslora`, `rank_pattern` and `alpha_pattern`,
//! and what is adapted its `target_modules`, `exclude_modules`, `layers_to_transform` and `layers_pattern`, by PEFT's rules
//! for names and regular expressions. All other fields are kept and written back. Tensors are F32, F16 or BF16, and are
//! written in the type that they had. What is more than plain LoRA on linear layers (DoRA, biases, whole modules,
//! embeddings, base weights changed by PiSSA and its like …) is refused by name, never skipped.
//!
//! **The gate.** PEFT loads a file with our gate and leaves the tensors under `gtca.` alone; it then computes the ungated
//! adapter, g = 1. What a trained adapter does *without metadata* is g = g∅: [`PeftAdapter::without_metadata`] writes that
//! as plain LoRA.
//!
//! ```no_run
//! use gtca::adapter::{AdapterDesc, GtcaAdapter, peft::PeftAdapter};
//! # async fn f(gpu: &gtca::gpu::Gpu, plan: gtca::encode::Plan) -> Result<(), gtca::Error> {
//! let mut peft = PeftAdapter::load("adapter".as_ref())?; // trained in Python, without a gate
//! let adapter = GtcaAdapter::new(gpu, plan, &AdapterDesc::of_peft(&peft), 42)?;
//! adapter.load_peft(&peft)?; // every gate is 1: the same function
//! // … train the gate, or all of it …
//! adapter.save_peft(&mut peft).await?;
//! peft.save("adapter-with-gate".as_ref())?;
//! # Ok(()) }
//! ```
//!
//! Tests: `tests/peft.rs` and `tests/gpu/peft.rs`, on files that PEFT itself wrote (`tests/golden/peft`).

mod config;
mod merge;
mod weights;

use super::{AdapterDesc, GateKind, GtcaAdapter, LayerDesc};
use crate::Error;
use crate::gpu::Dtype;
use crate::lora::{Lora, LoraDesc, Scaling};
use config::{Alpha, Config, Patterns};
use std::io::Write as _;
use std::path::Path;

const OP: &str = "peft";
const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// What is wrong with a file of PEFT's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file is not there, or cannot be read or written.
    #[error("cannot be used: {0}")]
    Io(String),
    /// Not JSON or safetensors, a field of another type, a gate of a version that is not known.
    #[error("is broken: {0}")]
    Syntax(String),
    /// A field of the config asks for more than plain LoRA on linear layers.
    #[error("`{field}` is {value}, which is not supported: {because}")]
    NotSupported {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// Why it cannot be left aside.
        because: &'static str,
    },
    /// A regular expression of the config cannot be used.
    #[error("`{field}` has the expression `{expression}`, which cannot be used: {message}")]
    Expression {
        /// The field.
        field: &'static str,
        /// The expression.
        expression: String,
        /// Why.
        message: String,
    },
    /// A tensor is not there.
    #[error("tensor {name} is not there; save the adapter again")]
    MissingTensor {
        /// Its full name.
        name: String,
    },
    /// A tensor is neither an A nor a B of a linear layer, nor the gate's.
    #[error("tensor {name} is not of a plain LoRA on a linear layer, and is not supported")]
    UnknownTensor {
        /// Its full name.
        name: String,
    },
    /// A module has tensors, but the config does not adapt it.
    #[error("module {module} has tensors, but the config does not target it; PEFT would leave it out")]
    UnknownTarget {
        /// The module's name in the base model.
        module: String,
    },
    /// A tensor of the wrong shape or type.
    #[error("tensor {name} is {found}, but {rule}")]
    Shape {
        /// Its full name.
        name: String,
        /// What it is.
        found: String,
        /// What it should be.
        rule: String,
    },
    /// A value that is NaN or infinite, or that is so in the file's type.
    #[error("tensor {name} holds {value} at element {element}; values must be finite in the file's type")]
    NotFinite {
        /// The tensor's full name.
        name: String,
        /// The position, from 0.
        element: usize,
        /// The value.
        value: String,
    },
}

impl Problem {
    fn of(self, file: impl Into<String>) -> Error {
        Error::Peft { file: file.into(), problem: self }
    }
}

/// One adapted module.
#[derive(Clone, Debug)]
pub struct PeftLayer {
    /// Its name in the base model, such as `blocks.0.attn.q`.
    pub module: String,
    /// Widths, rank, α and scaling.
    pub desc: LoraDesc,
    /// How the file stores A and B: F32, F16 or Bf16.
    pub dtype: Dtype,
    /// A, `[r, inputs]`.
    pub a: Vec<f32>,
    /// B transposed, `[r, outputs]`, as the kernels take it.
    pub b_t: Vec<f32>,
}

impl PeftLayer {
    /// A layer of zeros, stored as F32.
    ///
    /// # Errors
    /// As [`Lora::new`].
    pub fn zeros(module: &str, desc: LoraDesc) -> Result<Self, Error> {
        Lora::new(&desc)?;
        let zeros = |width: u32| vec![0.0; desc.rank as usize * width as usize];
        let (module, dtype) = (module.to_owned(), Dtype::F32);
        Ok(Self { module, desc, dtype, a: zeros(desc.inputs), b_t: zeros(desc.outputs) })
    }
}

/// A tensor of the gate or its encoder, named as [`Parameter::name`](super::Parameter::name) without a prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct GateTensor {
    /// Name: `gate.w1`, `encoder.arena` …
    pub name: String,
    /// Rows.
    pub rows: u32,
    /// Row width.
    pub width: u32,
    /// Values, row by row.
    pub values: Vec<f32>,
}

/// An adapter as PEFT's two files hold it.
#[derive(Clone, Debug)]
pub struct PeftAdapter {
    config: Config,
    layers: Vec<PeftLayer>,
    gate: Vec<GateTensor>,
}

impl PeftAdapter {
    /// An adapter of these layers, with a config that names every module in full.
    ///
    /// ```
    /// use gtca::adapter::peft::{PeftAdapter, PeftLayer};
    /// use gtca::lora::LoraDesc;
    /// let desc = LoraDesc { inputs: 3, outputs: 2, rank: 1, alpha: 4.0, ..Default::default() };
    /// let adapter = PeftAdapter::new(vec![PeftLayer::zeros("blocks.0.attn.q", desc)?])?;
    /// let again = PeftAdapter::parse(&adapter.config_text()?, &adapter.weights()?)?;
    /// assert_eq!(again.layers()[0].desc.alpha, 4.0);
    /// # Ok::<(), gtca::Error>(())
    /// ```
    ///
    /// # Errors
    /// No layers; a module twice or without a name; layers of different scalings; a wrong number of values.
    pub fn new(layers: Vec<PeftLayer>) -> Result<Self, Error> {
        let Some(first) = layers.first().map(|layer| layer.desc) else {
            return Err(Error::argument(OP, "layers", "empty", "there must be one", "name a layer"));
        };
        let mut config = Config::plain(layers.iter().map(|layer| layer.module.clone()).collect());
        config.use_rslora = first.scaling == Scaling::RankStabilized;
        config.r = first.rank;
        config.lora_alpha = Alpha(first.alpha);
        let mut ranks = Vec::new();
        let mut alphas = Vec::new();
        for PeftLayer { module, desc, .. } in &layers {
            if desc.rank != first.rank {
                ranks.push((config::exactly(module), desc.rank));
            }
            if desc.alpha != first.alpha {
                alphas.push((config::exactly(module), Alpha(desc.alpha)));
            }
        }
        (config.rank_pattern, config.alpha_pattern) = (Some(Patterns(ranks)), Some(Patterns(alphas)));
        let adapter = Self { config, layers, gate: Vec::new() };
        adapter.check()?;
        Ok(adapter)
    }

    /// Reads both files of a folder.
    ///
    /// # Errors
    /// [`Error::Peft`] names the file and its [`Problem`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|e| Problem::Io(e.to_string()).of(path.to_string_lossy()))
        };
        let config = read(CONFIG_FILE)?;
        Self::parse(&String::from_utf8_lossy(&config), &read(WEIGHTS_FILE)?)
    }

    /// Reads the content of both files.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(config: &str, weights: &[u8]) -> Result<Self, Error> {
        let config = Config::parse(config).map_err(|problem| problem.of(CONFIG_FILE))?;
        let adapter = weights::read(config, weights).map_err(|problem| match problem {
            Problem::Expression { .. } => problem.of(CONFIG_FILE),
            _ => problem.of(WEIGHTS_FILE),
        })?;
        adapter.check()?;
        Ok(adapter)
    }

    /// Writes both files into a folder, which is made where it is absent. Each is replaced whole or not at all.
    ///
    /// # Errors
    /// What [`Self::config_text`] and [`Self::weights`] refuse, before anything is written; [`Problem::Io`].
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let (config, weights) = (self.config_text()?, self.weights()?);
        let io = |error: std::io::Error| Problem::Io(error.to_string()).of(folder.to_string_lossy());
        std::fs::create_dir_all(folder).map_err(io)?;
        replace(folder, [(WEIGHTS_FILE, &weights), (CONFIG_FILE, config.as_bytes())]).map_err(io)
    }

    /// The text of `adapter_config.json`.
    ///
    /// # Errors
    /// Layers that are no longer as the config says.
    pub fn config_text(&self) -> Result<String, Error> {
        self.check()?;
        self.config.text().map_err(|problem| problem.of(CONFIG_FILE))
    }

    /// The bytes of `adapter_model.safetensors`.
    ///
    /// # Errors
    /// Layers that are no longer as the config says; a value that is not finite in its layer's type.
    pub fn weights(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        weights::write(self).map_err(|problem| problem.of(WEIGHTS_FILE))
    }

    /// The layers, in the natural order of their modules' names where they come from a file.
    pub fn layers(&self) -> &[PeftLayer] {
        &self.layers
    }

    /// The layers, to change their values; what the config says of them must stay.
    pub fn layers_mut(&mut self) -> &mut [PeftLayer] {
        &mut self.layers
    }

    /// The tensors of gate and encoder; none where PEFT wrote the file.
    pub fn gate(&self) -> &[GateTensor] {
        &self.gate
    }

    /// The adapter at μ = 0 as plain LoRA: `B·diag(g∅)` in place of B and no gate, g∅ = 2σ(b∅).
    ///
    /// # Errors
    /// No gate, or one that is not of these layers.
    pub fn without_metadata(&self) -> Result<Self, Error> {
        let desc = AdapterDesc::of_peft(self);
        let null = self.gate.iter().find(|tensor| tensor.name == "gate.null").map(|tensor| &tensor.values);
        let null = null.filter(|null| null.len() == desc.gate_width() as usize).ok_or_else(|| {
            let name = format!("{}gate.null, with {} values,", weights::GATE, desc.gate_width());
            Problem::MissingTensor { name }.of(WEIGHTS_FILE)
        })?;
        let mut plain = Self { gate: Vec::new(), ..self.clone() };
        let mut from = 0;
        for (layer, of) in plain.layers.iter_mut().zip(&desc.layers) {
            let gates = &null[from..][..desc.gates(of) as usize];
            from += gates.len();
            for (rank, row) in layer.b_t.chunks_exact_mut(of.outputs as usize).enumerate() {
                let logit = f64::from(gates[rank.min(gates.len() - 1)]);
                let gate = 2.0 / (1.0 + (-logit).exp());
                row.iter_mut().for_each(|b| *b = (f64::from(*b) * gate) as f32);
            }
        }
        Ok(plain)
    }

    /// Layers and config must say the same.
    fn check(&self) -> Result<(), Error> {
        let of_config = |problem: Problem| problem.of(CONFIG_FILE);
        let rules = self.config.rules().map_err(of_config)?;
        for (at, layer) in self.layers.iter().enumerate() {
            let PeftLayer { module, desc, dtype, a, b_t } = layer;
            Lora::new(desc)?;
            if module.is_empty() || self.layers[..at].iter().any(|other| other.module == *module) {
                let rule = "each layer has a module of its own";
                return Err(Error::argument(OP, "module", format!("{module:?}"), rule, "name it"));
            }
            let [inputs, outputs] =
                [desc.inputs, desc.outputs].map(|width| desc.rank as usize * width as usize);
            if [a.len(), b_t.len()] != [inputs, outputs] {
                let value = format!("{} and {} values", a.len(), b_t.len());
                let rule = format!("A and B of `{module}` have {inputs} and {outputs}");
                return Err(Error::argument(OP, "layer", value, rule, "give all of them"));
            }
            if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16) {
                let rule = "F32, F16 or Bf16 is required";
                return Err(Error::argument(OP, "dtype", format!("{dtype:?}"), rule, "choose one of them"));
            }
            let (rank, alpha) = (rules.rank(module), rules.alpha(module));
            let (rank, alpha) = (rank.map_err(of_config)?, alpha.map_err(of_config)?);
            let stabilized = desc.scaling == Scaling::RankStabilized;
            if (rank, alpha, self.config.use_rslora) != (desc.rank, desc.alpha, stabilized) {
                let value = format!("rank {}, α {}, {:?}", desc.rank, desc.alpha, desc.scaling);
                let rule =
                    format!("the config gives `{module}` rank {rank} and α {alpha}, and one scaling to all");
                return Err(Error::argument(OP, "layer", value, rule, "make a new adapter of the layers"));
            }
            if !rules.targets(module).map_err(of_config)? {
                return Err(of_config(Problem::UnknownTarget { module: module.clone() }));
            }
        }
        Ok(())
    }
}

/// Writes files beside their places, then moves them there; removes what it wrote if it cannot.
fn replace(folder: &Path, files: [(&str, &[u8]); 2]) -> std::io::Result<()> {
    let places = files.map(|(name, _)| (folder.join(format!(".{name}.partial")), folder.join(name)));
    let written = files.iter().zip(&places).try_for_each(|((_, bytes), (partial, _))| {
        let mut file = std::fs::File::create(partial)?;
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved =
        written.and_then(|()| places.iter().try_for_each(|(partial, place)| std::fs::rename(partial, place)));
    if moved.is_err() {
        for (partial, _) in &places {
            // What was moved, or never made, is not there: that is no error.
            let _ = std::fs::remove_file(partial);
        }
    }
    moved
}

impl AdapterDesc {
    /// The description of an adapter with these layers. Where the file holds a gate, its hidden width and kind are the
    /// file's; else they are the default's.
    pub fn of_peft(peft: &PeftAdapter) -> Self {
        let layers: Vec<LayerDesc> = (peft.layers.iter())
            .map(|layer| {
                let LoraDesc { inputs, outputs, rank, alpha, .. } = layer.desc;
                LayerDesc { inputs, outputs, rank, alpha: Some(alpha) }
            })
            .collect();
        let rows = |name: &str| peft.gate.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.rows);
        let ranks: u32 = layers.iter().map(|layer| layer.rank).sum();
        let default = Self::default();
        let gate = match rows("gate.w2") {
            Some(gates) if gates != ranks => GateKind::Scalar,
            _ => default.gate,
        };
        let scaling = peft.layers.first().map_or(default.scaling, |layer| layer.desc.scaling);
        Self { layers, hidden: rows("gate.w1").unwrap_or(default.hidden), scaling, gate, ..default }
    }

    /// An adapter of zeros with this description's layers, one module's name each, for [`GtcaAdapter::save_peft`].
    ///
    /// # Errors
    /// Another number of modules than of layers; what [`PeftAdapter::new`] refuses.
    pub fn peft(&self, modules: &[&str]) -> Result<PeftAdapter, Error> {
        if modules.len() != self.layers.len() {
            let rule = format!("the adapter has {} layers", self.layers.len());
            return Err(Error::argument(OP, "modules", modules.len(), rule, "name each layer's module"));
        }
        let layers = modules.iter().zip(&self.layers);
        let layers = layers.map(|(module, layer)| PeftLayer::zeros(module, self.lora(layer)));
        PeftAdapter::new(layers.collect::<Result<_, _>>()?)
    }
}

impl GtcaAdapter {
    /// Takes A and B from a PEFT adapter, and the gate's and encoder's tensors where it has them; they arrive with the next
    /// submit. Nothing is replaced if it does not fit.
    ///
    /// # Errors
    /// Layers that differ in number, order, width, rank or scale; a gate that lacks a tensor or has one of another shape.
    pub fn load_peft(&self, peft: &PeftAdapter) -> Result<(), Error> {
        self.check_peft(peft)?;
        let mut writes: Vec<(&super::Parameter, &[f32])> = Vec::new();
        for ([a, b_t], layer) in self.parameters.layers.iter().zip(&peft.layers) {
            writes.extend([(a, &layer.a[..]), (b_t, &layer.b_t[..])]);
        }
        for parameter in self.parameters.gate().filter(|_| !peft.gate.is_empty()) {
            let name = format!("{}{}", weights::GATE, parameter.name);
            let Some(tensor) = peft.gate.iter().find(|tensor| tensor.name == parameter.name) else {
                return Err(Problem::MissingTensor { name }.of(WEIGHTS_FILE));
            };
            let (found, wanted) = ([tensor.rows, tensor.width], [parameter.rows, parameter.width]);
            if found != wanted || tensor.values.len() != parameter.len() {
                let rule = format!("the adapter's gate and plan need {wanted:?}");
                return Err(Problem::Shape { name, found: format!("{found:?}"), rule }.of(WEIGHTS_FILE));
            }
            writes.push((parameter, &tensor.values));
        }
        for (parameter, values) in writes {
            let at = u64::from(parameter.start) * 4;
            self.gpu.queue().write_buffer(&self.values, at, bytemuck::cast_slice(values));
        }
        Ok(())
    }

    /// Submits a read-back of the parameters and puts them in the place of a PEFT adapter's values. Its modules, types and
    /// config stay; [`AdapterDesc::peft`] makes one.
    ///
    /// # Errors
    /// Layers that differ in number, order, width, rank or scale; a lost device.
    pub async fn save_peft(&self, peft: &mut PeftAdapter) -> Result<(), Error> {
        self.check_peft(peft)?;
        let flat = self.gpu.read_f32(&self.values()).await?;
        let values =
            |parameter: &super::Parameter| flat[parameter.start as usize..][..parameter.len()].to_vec();
        for ([a, b_t], layer) in self.parameters.layers.iter().zip(&mut peft.layers) {
            (layer.a, layer.b_t) = (values(a), values(b_t));
        }
        let tensor = |parameter: &super::Parameter| {
            let super::Parameter { name, rows, width, .. } = parameter.clone();
            GateTensor { name, rows, width, values: values(parameter) }
        };
        peft.gate = self.parameters.gate().map(tensor).collect();
        Ok(())
    }

    fn check_peft(&self, peft: &PeftAdapter) -> Result<(), Error> {
        peft.check()?;
        let ours = self.desc.layers.iter().map(|layer| self.desc.lora(layer));
        let shape = |of: LoraDesc| (of.inputs, of.outputs, of.rank, of.alpha, of.scaling);
        if ours.clone().map(shape).eq(peft.layers.iter().map(|layer| shape(layer.desc))) {
            return Ok(());
        }
        let list = |descs: Vec<LoraDesc>| format!("{:?}", descs.into_iter().map(shape).collect::<Vec<_>>());
        let value = list(peft.layers.iter().map(|layer| layer.desc).collect());
        let rule = format!(
            "(inputs, outputs, rank, α, scaling) of the adapter's layers are {}",
            list(ours.collect())
        );
        Err(Error::argument(OP, "layers", value, rule, "describe the adapter with `AdapterDesc::of_peft`"))
    }
}

//! `adapter_model.safetensors`: PEFT's names and shapes, and the gate's tensors beside them.

use super::config::{Config, Rules};
use super::{GateTensor, PeftAdapter, PeftLayer, Problem};
use crate::adapter::file::{self, transpose};
use crate::common::pack;
use crate::gpu::Dtype;
use crate::lora::{LoraDesc, Scaling};
use safetensors::tensor::{Dtype as Stored, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};

/// What PEFT puts before the name of a module of the base model.
const MODULE: &str = "base_model.model.";
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";
/// What stands before the names of the gate's and its encoder's tensors; PEFT leaves such tensors alone.
pub(super) const GATE: &str = "gtca.";

pub(super) fn read(config: Config, bytes: &[u8]) -> Result<PeftAdapter, Problem> {
    let syntax = |error: safetensors::SafeTensorError| Problem::Syntax(error.to_string());
    let tensors = SafeTensors::deserialize(bytes).map_err(syntax)?;
    let mut modules = BTreeMap::new();
    let mut gate = Vec::new();
    for (name, tensor) in tensors.iter() {
        if let Some(name) = name.strip_prefix(GATE) {
            gate.push(read_gate(name, &tensor)?);
        } else {
            let module = name.strip_prefix(MODULE).and_then(|n| n.strip_suffix(DOWN).or(n.strip_suffix(UP)));
            let module = module.ok_or_else(|| Problem::UnknownTensor { name: name.to_owned() })?;
            modules.insert(in_natural_order(module), module);
        }
    }
    if modules.is_empty() {
        return Err(Problem::MissingTensor { name: format!("{MODULE}…{DOWN}") });
    }
    if !gate.is_empty() {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(syntax)?;
        file::check_versions(header.metadata().as_ref()).map_err(Problem::Syntax)?;
    }
    gate.sort_by(|one, other| one.name.cmp(&other.name));
    let rules = config.rules()?;
    let layers = modules.values().map(|module| read_layer(config.use_rslora, &rules, &tensors, module));
    let layers = layers.collect::<Result<_, _>>()?;
    Ok(PeftAdapter { config, layers, gate })
}

/// Numbers in names count as numbers: `blocks.2` comes before `blocks.10`.
fn in_natural_order(module: &str) -> Vec<(u64, String)> {
    module.split('.').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned())).collect()
}

fn read_layer(
    stabilized: bool,
    rules: &Rules<'_>,
    tensors: &SafeTensors<'_>,
    module: &str,
) -> Result<PeftLayer, Problem> {
    let names = [DOWN, UP].map(|part| format!("{MODULE}{module}{part}"));
    let find =
        |name: &String| tensors.tensor(name).map_err(|_| Problem::MissingTensor { name: name.clone() });
    let [down, up] = [find(&names[0])?, find(&names[1])?];
    if !rules.targets(module)? {
        return Err(Problem::UnknownTarget { module: module.to_owned() });
    }
    let rank = rules.rank(module)?;
    let [_, inputs] = matrix(&names[0], &down, [Some(rank), None])?;
    let [outputs, _] = matrix(&names[1], &up, [None, Some(rank)])?;
    let dtype = dtype(&names[0], &down)?;
    if up.dtype() != down.dtype() {
        let rule = format!("lora_A is {dtype:?}, and both are of one type");
        return Err(Problem::Shape { name: names[1].clone(), found: format!("{:?}", up.dtype()), rule });
    }
    let alpha = rules.alpha(module)?;
    let scaling = if stabilized { Scaling::RankStabilized } else { Scaling::Standard };
    let [a, b] = [(&names[0], &down), (&names[1], &up)].map(|(name, tensor)| values(name, tensor, dtype));
    Ok(PeftLayer {
        module: module.to_owned(),
        desc: LoraDesc { inputs, outputs, rank, alpha, scaling, family: None },
        dtype,
        a: a?,
        b_t: transpose(&b?, outputs as usize, rank as usize),
    })
}

fn read_gate(name: &str, tensor: &TensorView<'_>) -> Result<GateTensor, Problem> {
    let full = format!("{GATE}{name}");
    let [rows, width] = matrix(&full, tensor, [None, None])?;
    if tensor.dtype() != Stored::F32 {
        let (found, rule) = (format!("{:?}", tensor.dtype()), "the gate's are F32".to_owned());
        return Err(Problem::Shape { name: full, found, rule });
    }
    Ok(GateTensor { name: name.to_owned(), rows, width, values: values(&full, tensor, Dtype::F32)? })
}

/// The shape of a matrix of which some sides are known.
fn matrix(name: &str, tensor: &TensorView<'_>, sides: [Option<u32>; 2]) -> Result<[u32; 2], Problem> {
    let side = |length: usize, wanted: Option<u32>| {
        u32::try_from(length).ok().filter(|&n| n > 0 && wanted.is_none_or(|wanted| wanted == n))
    };
    if let [rows, width] = *tensor.shape() {
        if let (Some(rows), Some(width)) = (side(rows, sides[0]), side(width, sides[1])) {
            return Ok([rows, width]);
        }
    }
    let [rows, width] = sides.map(|side| side.map_or("any".to_owned(), |length| length.to_string()));
    let rule = format!("[{rows}, {width}] is required; rank and rank_pattern of the config say the rank");
    Err(Problem::Shape { name: name.to_owned(), found: format!("{:?}", tensor.shape()), rule })
}

fn dtype(name: &str, tensor: &TensorView<'_>) -> Result<Dtype, Problem> {
    match tensor.dtype() {
        Stored::F32 => Ok(Dtype::F32),
        Stored::F16 => Ok(Dtype::F16),
        Stored::BF16 => Ok(Dtype::Bf16),
        other => {
            let rule = "F32, F16 or BF16 is required".to_owned();
            Err(Problem::Shape { name: name.to_owned(), found: format!("{other:?}"), rule })
        }
    }
}

/// A tensor's values, exactly; all are finite.
fn values(name: &str, tensor: &TensorView<'_>, dtype: Dtype) -> Result<Vec<f32>, Problem> {
    let half = |to_f32: fn(u16) -> f32| {
        bytemuck::pod_collect_to_vec::<u8, u16>(tensor.data()).into_iter().map(to_f32).collect()
    };
    let values = match dtype {
        Dtype::F16 => half(pack::f32_from_f16),
        Dtype::Bf16 => half(pack::f32_from_bf16),
        _ => bytemuck::pod_collect_to_vec(tensor.data()),
    };
    finite(name, values)
}

fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>, Problem> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(element) => {
            Err(Problem::NotFinite { name: name.to_owned(), element, value: values[element].to_string() })
        }
        None => Ok(values),
    }
}

/// The file's bytes. Rounded to halves, values must still be finite.
pub(super) fn write(adapter: &PeftAdapter) -> Result<Vec<u8>, Problem> {
    let mut tensors: Vec<(String, Stored, [usize; 2], Vec<u8>)> = Vec::new();
    for layer in &adapter.layers {
        let LoraDesc { inputs, outputs, rank, .. } = layer.desc;
        let [inputs, outputs, rank] = [inputs, outputs, rank].map(|n| n as usize);
        let b = transpose(&layer.b_t, rank, outputs);
        for (part, shape, values) in [(DOWN, [rank, inputs], &layer.a), (UP, [outputs, rank], &b)] {
            let name = format!("{MODULE}{}{part}", layer.module);
            let rounded = values.iter().map(|&value| layer.dtype.round(value)).collect();
            let rounded = finite(&name, rounded)?;
            let halves = |bits: fn(f32) -> u16| {
                bytemuck::cast_slice(&rounded.iter().map(|&value| bits(value)).collect::<Vec<_>>()).to_vec()
            };
            let (stored, bytes) = match layer.dtype {
                Dtype::F16 => (Stored::F16, halves(pack::f16_bits)),
                Dtype::Bf16 => (Stored::BF16, halves(pack::bf16_bits)),
                _ => (Stored::F32, bytemuck::cast_slice(&rounded).to_vec()),
            };
            tensors.push((name, stored, shape, bytes));
        }
    }
    for GateTensor { name, rows, width, values } in &adapter.gate {
        let values = finite(&format!("{GATE}{name}"), values.clone())?;
        let shape = [*rows as usize, *width as usize];
        tensors.push((format!("{GATE}{name}"), Stored::F32, shape, bytemuck::cast_slice(&values).to_vec()));
    }
    // `format` is what PEFT's own files say.
    let mut header = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    if !adapter.gate.is_empty() {
        header.extend(file::versions());
    }
    let syntax = |error: safetensors::SafeTensorError| Problem::Syntax(error.to_string());
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, stored, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*stored, shape.to_vec(), bytes)?))
        })
        .collect::<Result<_, _>>()
        .map_err(syntax)?;
    safetensors::serialize(views, Some(header)).map_err(syntax)
}

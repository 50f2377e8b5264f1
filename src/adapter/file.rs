//! Adapters as safetensors: named tensors, a format version and a numerics version.

use super::parameters::Parameters;
use super::{FORMAT_VERSION, NUMERICS_VERSION, Numerics};
use crate::Error;
use crate::lora::Family;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

const VERSION_KEY: &str = "gtca.format";
const NUMERICS_KEY: &str = "gtca.numerics";
/// Names of the layers' variants, separated by spaces.
const VARIANTS_KEY: &str = "gtca.variants";
/// On the device the up-projection is `[r, outputs]`; files hold PEFT's B, `[outputs, r]`.
const DEVICE_UP: &str = ".b_t";
const FILE_UP: &str = ".b";

/// One adapter's tensors as a safetensors file.
pub(super) fn save(parameters: &Parameters, numerics: &Numerics, flat: &[f32]) -> Result<Vec<u8>, Error> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for parameter in parameters.all() {
        let values = &flat[parameter.start as usize..][..parameter.len()];
        let (rows, width) = (parameter.rows as usize, parameter.width as usize);
        let bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
        match parameter.name.strip_suffix(DEVICE_UP) {
            Some(stem) => {
                let data = bytes(&transpose(values, rows, width));
                tensors.push((format!("{stem}{FILE_UP}"), vec![width, rows], data));
            }
            None => tensors.push((parameter.name.clone(), vec![rows, width], bytes(values))),
        }
    }
    let refuse = |error: safetensors::SafeTensorError| broken(error.to_string());
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<_, _>>()
        .map_err(refuse)?;
    let names: Vec<&str> = numerics.variants.iter().map(|family| family.name()).collect();
    let mut header: HashMap<String, String> = versions().into();
    header.insert(VARIANTS_KEY.to_owned(), names.join(" "));
    safetensors::serialize(views, Some(header)).map_err(refuse)
}

const VERSIONS: [(&str, u32); 2] = [(VERSION_KEY, FORMAT_VERSION), (NUMERICS_KEY, NUMERICS_VERSION)];

/// The header's versions.
pub(super) fn versions() -> [(String, String); 2] {
    VERSIONS.map(|(key, version)| (key.to_owned(), version.to_string()))
}

/// Refuses a header without versions, or of later ones.
pub(super) fn check_versions(header: Option<&HashMap<String, String>>) -> Result<(), String> {
    for (key, known) in VERSIONS {
        match header.and_then(|header| header.get(key)).map(|text| text.parse::<u32>()) {
            Some(Ok(version)) if version <= known => {}
            Some(Ok(version)) => return Err(format!("{key} is {version}, this build knows up to {known}")),
            _ => return Err(format!("the header has no {key}")),
        }
    }
    Ok(())
}

/// Reads a file of [`save`] into a flat buffer's content; shapes and versions must be this adapter's.
pub(super) fn load(parameters: &Parameters, file: &[u8]) -> Result<Vec<f32>, Error> {
    let refuse = |error: safetensors::SafeTensorError| broken(error.to_string());
    check_versions(Some(&metadata(file)?)).map_err(broken)?;
    let tensors = SafeTensors::deserialize(file).map_err(refuse)?;
    let mut flat = vec![0.0; parameters.len as usize];
    for parameter in parameters.all() {
        let (rows, width) = (parameter.rows as usize, parameter.width as usize);
        let up = parameter.name.strip_suffix(DEVICE_UP).map(|stem| format!("{stem}{FILE_UP}"));
        let (name, shape) = match &up {
            Some(name) => (name, [width, rows]),
            None => (&parameter.name, [rows, width]),
        };
        let tensor = tensors.tensor(name).map_err(|_| broken(format!("tensor {name} is not there")))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(broken(format!("tensor {name} is {found}, the adapter needs F32 {shape:?}")));
        }
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(broken(format!("tensor {name} holds {} at element {at}", values[at])));
        }
        let values = if up.is_some() { transpose(&values, width, rows) } else { values };
        flat[parameter.start as usize..][..parameter.len()].copy_from_slice(&values);
    }
    Ok(flat)
}

fn metadata(file: &[u8]) -> Result<HashMap<String, String>, Error> {
    let (_, header) = SafeTensors::read_metadata(file).map_err(|error| broken(error.to_string()))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// What a file says of the numerics that it was trained with.
pub(super) fn numerics(file: &[u8]) -> Result<Numerics, Error> {
    let metadata = metadata(file)?;
    let entry = |key: &str| metadata.get(key).ok_or_else(|| broken(format!("the header has no {key}")));
    let version = entry(NUMERICS_KEY)?;
    let version = version.parse().map_err(|_| broken(format!("{NUMERICS_KEY} is {version:?}")))?;
    let family = |name: &str| {
        let known = Family::ALL.into_iter().find(|family| family.name() == name);
        known.ok_or_else(|| broken(format!("{VARIANTS_KEY} names {name:?}, which this build does not know")))
    };
    let variants = entry(VARIANTS_KEY)?.split_whitespace().map(family).collect::<Result<_, _>>()?;
    Ok(Numerics { version, variants })
}

fn broken(problem: String) -> Error {
    Error::File {
        file: "adapter".to_owned(),
        problem,
        remedy: "use a file saved from an adapter of the same description",
    }
}

/// `[rows, width]` to `[width, rows]`.
pub(super) fn transpose(values: &[f32], rows: usize, width: usize) -> Vec<f32> {
    (0..width).flat_map(|column| (0..rows).map(move |row| values[row * width + column])).collect()
}

//! How far upstream's own f32 is from its f64, by the golden tensors of the test suite.

use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// The largest difference over all groups of a file whose names start so; none without the file or such tensors.
pub fn error((file, group): (&str, &str)) -> Option<f64> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let folder = std::env::var_os("GTCA_GOLDEN").map_or_else(|| default.into(), PathBuf::from);
    let bytes = std::fs::read(folder.join(format!("{file}.safetensors"))).ok()?;
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let stems = tensors.names().into_iter().filter(|name| name.starts_with(group));
    let stems = stems.filter_map(|name| name.strip_suffix(".out_f32"));
    let one = |stem: &str| {
        let [f32, f64] = ["out_f32", "out_f64"].map(|leaf| numbers(&tensors, &format!("{stem}.{leaf}")));
        Some(f32?.iter().zip(f64?).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
    };
    stems.filter_map(one).reduce(f64::max)
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f64>> {
    let tensor = tensors.tensor(name).ok()?;
    match tensor.dtype() {
        Dtype::F32 => {
            let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into();
            Some(tensor.data().chunks_exact(4).map(value).collect())
        }
        Dtype::F64 => {
            let value = |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            Some(tensor.data().chunks_exact(8).map(value).collect())
        }
        _ => None,
    }
}

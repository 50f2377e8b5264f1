//! Which bits an adapter gives.

use crate::lora::Family;

/// What decides an adapter's bits beside its parameters and the device: two adapters of equal numerics give the same on one
/// device. Files of [`GtcaAdapter::save`](super::GtcaAdapter::save) hold it.
///
/// ```
/// # use gtca::{adapter::Numerics, lora::Family};
/// let numerics = Numerics { version: 1, variants: vec![Family::Lanes, Family::Shared] };
/// assert_eq!(numerics.to_string(), "numerics 1, layers lanes, shared");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numerics {
    /// [`NUMERICS_VERSION`](super::NUMERICS_VERSION) of the build.
    pub version: u32,
    /// The layers' variants, by device or as [`Tuned`](crate::lora::Tuned) chose.
    pub variants: Vec<Family>,
}

impl Numerics {
    /// What a file of [`GtcaAdapter::save`](super::GtcaAdapter::save) says.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File): no such file, or variants that this build does not know.
    #[cfg(feature = "safetensors")]
    pub fn of_file(file: &[u8]) -> Result<Self, crate::Error> {
        super::file::numerics(file)
    }
}

impl std::fmt::Display for Numerics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.variants.iter().map(|family| family.name()).collect();
        write!(f, "numerics {}, layers {}", self.version, names.join(", "))
    }
}

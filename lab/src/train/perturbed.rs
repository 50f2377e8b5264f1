//! What wrong metadata needs on the device: room for the records, and the grid that moved places follow.

use gtca::gpu::{Dtype, Gpu, View};
use gtca::perturb::Lookup;
use gtca::records::RECORD_WORDS;
use gtca::wgpu;

/// Records under wrong metadata, with their validity.
#[derive(Debug)]
pub struct Perturbed {
    records: wgpu::Buffer,
    validity: wgpu::Buffer,
    len: u32,
}

impl Perturbed {
    /// Room for so many perturbed records.
    pub fn new(gpu: &Gpu, len: u32) -> Self {
        let records = gpu.zeros("perturbed records", u64::from(RECORD_WORDS) * u64::from(len) * 4);
        Self { records, validity: gpu.zeros("validity", u64::from(len) * 4), len }
    }

    /// `[RECORD_WORDS, rows]`.
    pub fn records(&self) -> View<'_> {
        View::matrix(&self.records, RECORD_WORDS, self.len).of(Dtype::U32)
    }

    /// `[rows, 1]`.
    pub fn validity(&self) -> View<'_> {
        View::matrix(&self.validity, self.len, 1)
    }
}

/// Climate zones by place, uploaded once.
#[derive(Debug)]
pub struct DeviceGrid {
    lookup: Lookup,
    words: wgpu::Buffer,
}

impl DeviceGrid {
    /// Uploads it.
    pub fn new(gpu: &Gpu, lookup: &Lookup) -> Self {
        Self { lookup: lookup.clone(), words: gpu.upload("climate grid", &lookup.words()) }
    }

    /// As `gtca::perturb::Args::lookup` takes it.
    pub fn lookup(&self) -> (&Lookup, View<'_>) {
        (&self.lookup, View::vector(&self.words, (self.words.size() / 4) as u32).of(Dtype::U32))
    }
}

//! A part of a split on the device: what the adapters read.

use super::metadata::ConcatScale;
use crate::draw::{Draws, Purpose};
use gtca::gpu::{Dtype, Gpu, View};
use gtca::records::{RECORD_WORDS, Record, Records};
use gtca::wgpu;

/// How many shuffled passes over the training part are laid out one after another; then they repeat.
const PASSES: usize = 8;

/// Everything that is known of the task's rows when the backbone is frozen; positions count within the task.
#[derive(Clone, Debug)]
pub struct Features {
    /// Width D.
    pub width: u32,
    /// Input of the adapted layer, `[rows, D]`.
    pub x: Vec<f32>,
    /// Output of the frozen layer, `[rows, D]`.
    pub y: Vec<f32>,
    /// Labels.
    pub labels: Vec<u32>,
    /// Metadata.
    pub records: Vec<Record>,
    /// How the naive concatenation turns metadata into numbers.
    pub concat: ConcatScale,
}

/// Rows of a part, one after another.
#[derive(Debug)]
pub struct Part {
    /// How many rows.
    pub len: u32,
    pub(super) width: u32,
    pub(super) x: wgpu::Buffer,
    pub(super) x_concat: wgpu::Buffer,
    pub(super) y: wgpu::Buffer,
    pub(super) labels: wgpu::Buffer,
    pub(super) records: wgpu::Buffer,
    pub(super) validity: wgpu::Buffer,
    /// The same records on the host.
    pub host_records: Records,
}

/// A run of rows of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    part: &'a Part,
    pub from: u32,
    pub len: u32,
}

impl Part {
    /// Uploads these rows in this order.
    ///
    /// # Errors
    /// Metadata that breaks a rule.
    pub fn new(gpu: &Gpu, features: &Features, rows: &[usize]) -> Result<Self, gtca::Error> {
        let width = features.width as usize;
        let gather = |values: &[f32]| -> Vec<f32> {
            rows.iter().flat_map(|&row| values[row * width..][..width].iter().copied()).collect()
        };
        let records: Vec<Record> = rows.iter().map(|&row| features.records[row]).collect();
        let numbers: Vec<_> = records.iter().map(|record| features.concat.numbers(record)).collect();
        let concat: Vec<f32> = (rows.iter().zip(&numbers))
            .flat_map(|(&row, numbers)| features.x[row * width..][..width].iter().chain(numbers).copied())
            .collect();
        let labels: Vec<u32> = rows.iter().map(|&row| features.labels[row]).collect();
        let host_records = Records::from_records(&records)?;
        Ok(Self {
            len: rows.len() as u32,
            width: features.width,
            x: gpu.upload("x", &gather(&features.x)),
            x_concat: gpu.upload("x and metadata", &concat),
            y: gpu.upload("y", &gather(&features.y)),
            labels: gpu.upload("labels", &labels),
            records: gpu.upload("records", host_records.words()),
            validity: gpu.upload("validity", &vec![1.0_f32; rows.len()]),
            host_records,
        })
    }

    /// The training part: shuffled passes one after another, so that a batch is a run of rows.
    ///
    /// # Errors
    /// Metadata that breaks a rule.
    pub fn shuffled(gpu: &Gpu, features: &Features, rows: &[usize], seed: u64) -> Result<Self, gtca::Error> {
        Self::new(gpu, features, &shuffled_passes(rows, seed))
    }

    /// The whole part.
    pub(super) fn all(&self) -> Batch<'_> {
        Batch { part: self, from: 0, len: self.len }
    }

    /// The batch of step `step` (from 1), around and around.
    pub(super) fn batch(&self, size: u32, step: u32) -> Batch<'_> {
        let (from, len) = batch_rows(self.len, size, step);
        Batch { part: self, from, len }
    }
}

/// Shuffled passes over rows, one after another.
pub(super) fn shuffled_passes(rows: &[usize], seed: u64) -> Vec<usize> {
    let mut draw = Draws::new(seed, Purpose::Training, 0);
    let mut order = rows.to_vec();
    (0..PASSES)
        .flat_map(|_| {
            draw.shuffle(&mut order);
            order.clone()
        })
        .collect()
}

/// First row and number of rows of the batch of a step.
pub(super) fn batch_rows(rows: u32, size: u32, step: u32) -> (u32, u32) {
    let size = size.min(rows);
    ((step - 1) % (rows / size) * size, size)
}

impl<'a> Batch<'a> {
    pub(super) fn x(&self) -> View<'a> {
        self.rows(&self.part.x, self.part.width)
    }

    /// x with the numbers of the concatenation behind it.
    pub(super) fn x_concat(&self) -> View<'a> {
        self.rows(&self.part.x_concat, self.part.width + ConcatScale::WIDTH)
    }

    /// Records the frozen layer's output into `y`, to be adapted in place.
    pub(super) fn copy_y(&self, encoder: &mut wgpu::CommandEncoder, y: &wgpu::Buffer) {
        let row = u64::from(self.part.width) * 4;
        let (from, len) = (u64::from(self.from) * row, u64::from(self.len) * row);
        encoder.copy_buffer_to_buffer(&self.part.y, from, y, 0, Some(len));
    }

    pub(super) fn labels(&self) -> View<'a> {
        self.rows(&self.part.labels, 1).of(Dtype::U32)
    }

    pub(super) fn validity(&self) -> View<'a> {
        self.rows(&self.part.validity, 1)
    }

    /// `[RECORD_WORDS, rows]`.
    pub(super) fn records(&self) -> View<'a> {
        let all = View::matrix(&self.part.records, RECORD_WORDS, self.part.len).of(Dtype::U32);
        all.columns(self.from, self.len)
    }

    fn rows(&self, buffer: &'a wgpu::Buffer, width: u32) -> View<'a> {
        View::matrix(buffer, self.len, width).at(u64::from(self.from) * u64::from(width) * 4)
    }
}

//! Buffers as bytes on the host, and views of them that need not be lawful.

use gtca::common::pack;
use gtca::gpu::{Dtype, View};

/// A view's numbers, without its buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    pub buffer: usize,
    pub offset: u64,
    pub shape: [u32; 3],
    pub sample_stride: u32,
    pub row_stride: u32,
    pub dtype: Dtype,
}

impl Spot {
    pub fn view<'a>(&self, buffers: &'a [wgpu::Buffer]) -> View<'a> {
        View {
            buffer: &buffers[self.buffer],
            offset: self.offset,
            shape: self.shape,
            sample_stride: self.sample_stride,
            row_stride: self.row_stride,
            dtype: self.dtype,
        }
    }

    pub fn count(&self) -> usize {
        self.shape.iter().map(|&n| n as usize).product()
    }

    /// The first byte of every element, in order.
    fn places(&self) -> impl Iterator<Item = usize> {
        let [samples, tokens, width] = self.shape;
        let Self { offset, sample_stride, row_stride, dtype, .. } = *self;
        let of_row = move |sample: u32, token: u32| {
            u64::from(sample) * u64::from(sample_stride) + u64::from(token) * u64::from(row_stride)
        };
        let rows = (0..samples).flat_map(move |sample| (0..tokens).map(move |token| of_row(sample, token)));
        let element =
            move |row: u64, column: u32| (offset + (row + u64::from(column)) * dtype.bytes()) as usize;
        rows.flat_map(move |row| (0..width).map(move |column| element(row, column)))
    }

    /// Bytes from the first element to the end of the last, in whole words; computed wide, so that nothing overflows.
    pub fn range(&self) -> std::ops::Range<u128> {
        let [samples, tokens, width] = self.shape.map(u128::from);
        let start = u128::from(self.offset);
        if self.count_is_zero() {
            return start..start;
        }
        let last =
            (samples - 1) * u128::from(self.sample_stride) + (tokens - 1) * u128::from(self.row_stride);
        start..start + ((last + width) * u128::from(self.dtype.bytes())).next_multiple_of(4)
    }

    fn count_is_zero(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Two of its rows share elements.
    pub fn overlaps_itself(&self) -> bool {
        let [samples, tokens, width] = self.shape.map(u128::from);
        let rows = tokens > 1 && u128::from(self.row_stride) < width;
        let of_sample = tokens.saturating_sub(1) * u128::from(self.row_stride) + width;
        !self.count_is_zero() && (rows || samples > 1 && u128::from(self.sample_stride) < of_sample)
    }

    pub fn shares_bytes(&self, other: &Self) -> bool {
        let (a, b) = (self.range(), other.range());
        let both = !self.count_is_zero() && !other.count_is_zero();
        both && self.buffer == other.buffer && a.start < b.end && b.start < a.end
    }
}

/// What every buffer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory(pub Vec<Vec<u8>>);

impl Memory {
    pub fn get(&self, spot: &Spot) -> Vec<f32> {
        spot.places().map(|at| self.number(spot, at)).collect()
    }

    pub fn put(&mut self, spot: &Spot, values: &[f32]) {
        let bytes = &mut self.0[spot.buffer];
        for (at, value) in spot.places().zip(values) {
            match spot.dtype {
                Dtype::F16 => bytes[at..at + 2].copy_from_slice(&pack::f16_bits(*value).to_le_bytes()),
                Dtype::Bf16 => bytes[at..at + 2].copy_from_slice(&pack::bf16_bits(*value).to_le_bytes()),
                _ => bytes[at..at + 4].copy_from_slice(&value.to_le_bytes()),
            }
        }
    }

    /// Puts what `other` holds there, bit for bit.
    pub fn copy(&mut self, spot: &Spot, other: &Self) {
        let size = spot.dtype.bytes() as usize;
        for at in spot.places() {
            self.0[spot.buffer][at..at + size].copy_from_slice(&other.0[spot.buffer][at..at + size]);
        }
    }

    /// The bits of every element.
    pub fn bits(&self, spot: &Spot) -> Vec<u32> {
        let size = spot.dtype.bytes() as usize;
        let mut word = [0; 4];
        let bits = spot.places().map(|at| {
            word[..size].copy_from_slice(&self.0[spot.buffer][at..at + size]);
            u32::from_le_bytes(word)
        });
        bits.collect()
    }

    fn number(&self, spot: &Spot, at: usize) -> f32 {
        let bytes = &self.0[spot.buffer][at..];
        match spot.dtype {
            Dtype::F16 => pack::f32_from_f16(u16::from_le_bytes([bytes[0], bytes[1]])),
            Dtype::Bf16 => pack::f32_from_bf16(u16::from_le_bytes([bytes[0], bytes[1]])),
            _ => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        }
    }
}

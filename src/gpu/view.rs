//! A borrowed sub-range of somebody's buffer, seen as `[samples, tokens, width]`.

use crate::Error;
use crate::common::pack;
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// Element type of a [`View`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// IEEE half, stored two to a word.
    F16,
    /// bfloat16, stored two to a word.
    Bf16,
    /// 32-bit unsigned integer.
    U32,
    /// 32-bit signed integer.
    I32,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 | Self::U32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// A number as this type holds it, as f32: itself, or the nearest half, half to even, NaN kept a NaN.
    ///
    /// ```
    /// use gtca::gpu::Dtype;
    /// assert_eq!(Dtype::Bf16.round(1.00390625), 1.0);
    /// assert_eq!(Dtype::F16.round(1.00390625), 1.00390625);
    /// ```
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F16 => pack::f32_from_f16(pack::f16_bits(value)),
            Self::Bf16 => pack::f32_from_bf16(pack::bf16_bits(value)),
            Self::F32 | Self::U32 | Self::I32 => value,
        }
    }

    /// The flag of kernels that read or write halves.
    pub(crate) fn flag(self) -> Option<&'static str> {
        match self {
            Self::F16 => Some("HALF=f16"),
            Self::Bf16 => Some("HALF=bf16"),
            _ => None,
        }
    }
}

/// Kernels divide rows by the tokens of a sample, exactly up to this.
const MAX_TOKENS: u32 = 1 << 30;

/// A borrowed sub-range of a buffer, seen as `[samples, tokens, width]` with a contiguous last axis.
///
/// Element `(s, t, d)` lies at `offset + (s·sample_stride + t·row_stride + d) · dtype.bytes()`.
/// Halves lie two to a word: their offset is a multiple of 4 bytes and their strides are even, the width need not be.
/// Views cost nothing, copy freely and never own: any sub-allocator's ranges fit.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The embedder's buffer; needs `STORAGE` usage.
    pub buffer: &'a wgpu::Buffer,
    /// Start in bytes, a multiple of the element's size.
    pub offset: u64,
    /// `[samples, tokens, width]`.
    pub shape: [u32; 3],
    /// Elements from one sample to the next.
    pub sample_stride: u32,
    /// Elements from one token (row) to the next.
    pub row_stride: u32,
    /// Element type.
    pub dtype: Dtype,
}

impl<'a> View<'a> {
    /// A contiguous view of f32 `[samples, tokens, width]` from the buffer's start.
    pub fn tokens(buffer: &'a wgpu::Buffer, shape: [u32; 3]) -> Self {
        let [_, tokens, width] = shape;
        let sample_stride = tokens.saturating_mul(width);
        Self { buffer, offset: 0, shape, sample_stride, row_stride: width, dtype: Dtype::F32 }
    }

    /// A contiguous view of f32 `[rows, width]`, one token a sample.
    pub fn matrix(buffer: &'a wgpu::Buffer, rows: u32, width: u32) -> Self {
        Self::tokens(buffer, [rows, 1, width])
    }

    /// A contiguous view of `len` f32.
    pub fn vector(buffer: &'a wgpu::Buffer, len: u32) -> Self {
        Self::tokens(buffer, [1, 1, len])
    }

    /// The same view, starting `bytes` into the buffer.
    #[must_use]
    pub fn at(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// The same view with other strides, in elements.
    #[must_use]
    pub fn strided(mut self, sample_stride: u32, row_stride: u32) -> Self {
        self.sample_stride = sample_stride;
        self.row_stride = row_stride;
        self
    }

    /// The same view with another element type.
    #[must_use]
    pub fn of(mut self, dtype: Dtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// Columns `from .. from + width` of every row, the strides unchanged.
    #[must_use]
    pub fn columns(mut self, from: u32, width: u32) -> Self {
        self.offset += u64::from(from) * self.dtype.bytes();
        self.shape[2] = width;
        self
    }

    /// Samples times tokens.
    pub fn rows(&self) -> u64 {
        u64::from(self.shape[0]) * u64::from(self.shape[1])
    }

    /// Width of a row.
    pub fn width(&self) -> u32 {
        self.shape[2]
    }

    /// True where there is no element.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Elements from the first to one past the last, gaps included.
    pub(crate) fn span(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let [samples, tokens, width] = self.shape.map(u64::from);
        // Saturating: an absurd shape must reach the check, not overflow on its way there.
        let of_samples = (samples - 1) * u64::from(self.sample_stride);
        of_samples.saturating_add((tokens - 1) * u64::from(self.row_stride)).saturating_add(width)
    }

    /// First byte and one past the last byte, in whole words.
    pub(crate) fn byte_range(&self) -> Range<u64> {
        // Saturating: an absurd offset must reach the check, not overflow on its way there.
        let bytes = (self.span() * self.dtype.bytes()).next_multiple_of(4);
        self.offset..self.offset.saturating_add(bytes)
    }

    /// Rows lie at one even distance, so that any run of them is a view too.
    fn is_uniform(&self) -> bool {
        let [samples, tokens, _] = self.shape;
        samples == 1
            || tokens == 1
            || u64::from(self.sample_stride) == u64::from(tokens) * u64::from(self.row_stride)
    }

    /// Every row starts at a multiple of four elements and has so many: kernels may take whole vectors.
    pub(crate) fn is_vec4(&self) -> bool {
        let [samples, tokens, width] = self.shape;
        let steps = (samples <= 1 || self.sample_stride.is_multiple_of(4))
            && (tokens <= 1 || self.row_stride.is_multiple_of(4));
        self.offset.is_multiple_of(4 * self.dtype.bytes()) && width.is_multiple_of(4) && steps
    }

    /// Elements from one row to the next, where rows lie at one even distance.
    pub(crate) fn row_step(&self) -> u32 {
        if self.shape[1] == 1 { self.sample_stride } else { self.row_stride }
    }

    /// The smallest run of rows at which this view may be cut.
    pub(crate) fn row_grain(&self) -> u32 {
        if self.is_uniform() { 1 } else { self.shape[1] }
    }

    /// Rows `from .. to`, both multiples of [`Self::row_grain`].
    pub(crate) fn slice_rows(&self, from: u32, to: u32) -> Self {
        let [_, tokens, width] = self.shape;
        let mut cut = *self;
        if self.is_uniform() {
            let stride = self.row_step();
            cut.shape = [1, to - from, width];
            cut.offset += u64::from(from) * u64::from(stride) * self.dtype.bytes();
            (cut.row_stride, cut.sample_stride) = (stride, 0);
        } else {
            cut.shape[0] = (to - from) / tokens;
            cut.offset += u64::from(from / tokens) * u64::from(self.sample_stride) * self.dtype.bytes();
        }
        cut
    }

    /// Some samples and some of their tokens.
    pub(crate) fn block(&self, samples: &Range<u32>, tokens: &Range<u32>) -> Self {
        let mut cut = *self;
        let skipped = u64::from(samples.start) * u64::from(self.sample_stride)
            + u64::from(tokens.start) * u64::from(self.row_stride);
        cut.offset += skipped * self.dtype.bytes();
        cut.shape = [samples.end - samples.start, tokens.end - tokens.start, self.width()];
        cut
    }

    /// What is wrong with halves whose rows do not all start at whole words.
    fn splits_words(&self) -> Option<(String, &'static str)> {
        let [samples, tokens, _] = self.shape;
        let odd = |count, stride: u32| count > 1 && !stride.is_multiple_of(2);
        if self.dtype.bytes() == 4 {
            None
        } else if !self.offset.is_multiple_of(4) {
            let rule = "halves are stored two to a word: the offset in bytes must be a multiple of 4";
            Some((format!("at byte {}", self.offset), rule))
        } else if odd(samples, self.sample_stride) || odd(tokens, self.row_stride) {
            let value = format!("with strides {}, {}", self.sample_stride, self.row_stride);
            Some((value, "halves are stored two to a word: strides must be even"))
        } else {
            None
        }
    }

    /// The type, which must be a float's.
    pub(crate) fn float(&self, op: &'static str, argument: &'static str) -> Result<Dtype, Error> {
        match self.dtype {
            dtype @ (Dtype::F32 | Dtype::F16 | Dtype::Bf16) => Ok(dtype),
            other => {
                let value = format!("{other:?}");
                Err(Error::argument(op, argument, value, "F32, F16 or Bf16 is required", "convert it"))
            }
        }
    }

    /// Refuses a view that leaves its buffer, overlaps itself, is misaligned or has the wrong type.
    pub(crate) fn check(&self, op: &'static str, argument: &'static str, dtype: Dtype) -> Result<(), Error> {
        let bad = |value: String, rule: &str, remedy| Err(Error::argument(op, argument, value, rule, remedy));
        if self.dtype != dtype {
            return bad(format!("{:?}", self.dtype), &format!("{dtype:?} is required"), "convert it");
        }
        if !self.offset.is_multiple_of(self.dtype.bytes()) {
            let rule = format!("the offset in bytes must be a multiple of {}", self.dtype.bytes());
            return bad(format!("at byte {}", self.offset), &rule, "move the sub-allocation");
        }
        if let Some((value, rule)) = self.splits_words() {
            return bad(value, rule, "pad the rows");
        }
        if !self.buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return bad(
                format!("in a buffer of usage {:?}", self.buffer.usage()),
                "STORAGE is needed",
                "add the usage",
            );
        }
        if self.buffer.size() < 4 {
            let value = format!("in a buffer of {} bytes", self.buffer.size());
            return bad(value, "a binding has four bytes at least", "allocate a word, even for nothing");
        }
        let [samples, tokens, width] = self.shape;
        let overlapping_rows = tokens > 1 && self.row_stride < width;
        let row_extent = u64::from(tokens.saturating_sub(1)) * u64::from(self.row_stride) + u64::from(width);
        let overlapping_samples = samples > 1 && u64::from(self.sample_stride) < row_extent;
        if !self.is_empty() && (overlapping_rows || overlapping_samples) {
            let value = format!("{:?} with strides {}, {}", self.shape, self.sample_stride, self.row_stride);
            return bad(value, "rows must not overlap each other", "enlarge the strides");
        }
        if !self.is_uniform() && tokens > MAX_TOKENS {
            let rule = format!("unevenly spaced samples hold at most {MAX_TOKENS}");
            return bad(format!("{tokens} tokens a sample"), &rule, "split the samples");
        }
        if self.span() > u64::from(u32::MAX) - 64 {
            return bad(
                format!("{} elements long", self.span()),
                "elements are addressed in 32 bits",
                "split the batch",
            );
        }
        if self.byte_range().end > self.buffer.size() {
            let value = format!("bytes {:?} of a buffer of {}", self.byte_range(), self.buffer.size());
            return bad(value, "a view must lie inside its buffer", "check shape, strides and offset");
        }
        Ok(())
    }

    /// A vector of words for integer sums: in one binding, and clearable where it is to be overwritten.
    pub(crate) fn check_cells(
        &self,
        op: &'static str,
        argument: &'static str,
        words: u64,
        gpu: &super::Gpu,
        mode: super::Mode,
    ) -> Result<(), Error> {
        let limit = gpu.largest_view();
        if words * 4 > limit {
            let rule = format!("this device binds at most {limit} bytes");
            return Err(Error::argument(
                op,
                argument,
                format!("{words} words"),
                rule,
                "measure fewer groups at a time",
            ));
        }
        self.check_shape(op, argument, Dtype::U32, [1, 1, words as u32])?;
        if mode == super::Mode::Overwrite && !self.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
            let value = format!("in a buffer of usage {:?}", self.buffer.usage());
            return Err(Error::argument(
                op,
                argument,
                value,
                "COPY_DST is needed",
                "add the usage or accumulate",
            ));
        }
        Ok(())
    }

    /// As [`Self::check`], and the shape must be this one.
    pub(crate) fn check_shape(
        &self,
        op: &'static str,
        argument: &'static str,
        dtype: Dtype,
        shape: [u32; 3],
    ) -> Result<(), Error> {
        if self.shape != shape {
            return Err(self.misshapen(op, argument, format!("{shape:?} is required")));
        }
        self.check(op, argument, dtype)
    }

    /// As [`Self::check`], and it must have so many rows (however they are split) and this width.
    pub(crate) fn check_rows(
        &self,
        op: &'static str,
        argument: &'static str,
        dtype: Dtype,
        rows: u64,
        width: u32,
    ) -> Result<(), Error> {
        if self.rows() != rows || self.width() != width {
            return Err(self.misshapen(op, argument, format!("{rows} rows of {width} are required")));
        }
        self.check(op, argument, dtype)
    }

    fn misshapen(&self, op: &'static str, argument: &'static str, rule: String) -> Error {
        Error::argument(op, argument, format!("of shape {:?}", self.shape), rule, "check the shapes")
    }
}

impl View<'_> {
    /// As [`Self::check_rows`], and rows lie at one even distance.
    pub(crate) fn check_matrix(
        &self,
        op: &'static str,
        argument: &'static str,
        dtype: Dtype,
        rows: u64,
        width: u32,
    ) -> Result<(), Error> {
        self.check_rows(op, argument, dtype, rows, width)?;
        if self.is_uniform() {
            return Ok(());
        }
        let value = format!("{:?} with strides {}, {}", self.shape, self.sample_stride, self.row_stride);
        Err(Error::argument(op, argument, value, "its rows lie at one distance", "copy it into a matrix"))
    }
}

/// How a kernel finds a row of a view: the Rust side of `Rows` in `shaders/common/view.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub(crate) struct Rows {
    /// Elements from the aligned-down binding's start to the view's.
    pub start: u32,
    /// Rows per sample; at least 1.
    pub tokens: u32,
    /// Elements between samples.
    pub sample_stride: u32,
    /// Elements between rows.
    pub row_stride: u32,
}

/// A view made ready for a bind group: aligned down, with the rest in elements for the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub size: u64,
    pub rows: Rows,
}

impl<'a> Bound<'a> {
    /// A buffer of our own.
    pub(crate) fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, size: buffer.size(), rows: Rows::default() }
    }
}

impl<'a> View<'a> {
    /// Aligns the binding down to the device's storage alignment.
    pub(crate) fn bind(&self, alignment: u32) -> Bound<'a> {
        let mut range = self.byte_range();
        // A view of nothing may start where its buffer ends, but a binding has a word.
        if range.is_empty() {
            range.start = range.start.min(self.buffer.size().saturating_sub(4));
            range.end = range.start;
        }
        let offset = range.start - range.start % u64::from(alignment);
        // Evenly spaced rows count as one a sample: kernels then divide by 1.
        let (tokens, sample_stride) =
            if self.is_uniform() { (1, self.row_step()) } else { (self.shape[1].max(1), self.sample_stride) };
        Bound {
            buffer: self.buffer,
            offset,
            size: (range.end - offset).max(4),
            rows: Rows {
                start: ((range.start - offset) / self.dtype.bytes()) as u32,
                tokens,
                sample_stride,
                row_stride: self.row_stride,
            },
        }
    }

    /// [`Self::bind`] of a run of rows, as [`super::Gpu::row_chunks`] cuts them.
    pub(crate) fn bind_rows(&self, rows: &Range<u32>, alignment: u32) -> Bound<'a> {
        self.slice_rows(rows.start, rows.end).bind(alignment)
    }
}

/// Whether an argument is read or written, for the overlap check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Refuses arguments that share bytes where one of them is written.
pub(crate) fn check_overlap(
    op: &'static str,
    arguments: &[(&'static str, View<'_>, Access)],
) -> Result<(), Error> {
    for (i, (first, a, first_access)) in arguments.iter().enumerate() {
        for (second, b, second_access) in &arguments[i + 1..] {
            let writes = *first_access == Access::Write || *second_access == Access::Write;
            let (ra, rb) = (a.byte_range(), b.byte_range());
            let shared = a.buffer == b.buffer && ra.start < rb.end && rb.start < ra.end;
            if writes && shared && !a.is_empty() && !b.is_empty() {
                return Err(Error::Overlap { op, first, second });
            }
        }
    }
    Ok(())
}

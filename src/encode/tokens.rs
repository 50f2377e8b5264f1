//! Token-wise fusion: the encoding of a record and of a token's place, added to the tokens.

use super::{Encoder, OP, gpu, halves};
use crate::Error;
use crate::gpu::{Access, Dtype, Recorder, View, check_overlap};
use bytemuck::{Pod, Zeroable};

/// One axis of a token grid.
///
/// ```
/// use gtca::encode::{Axis, TokenGrid};
/// // Three channel groups of a 14 × 14 image, one after the other.
/// let grid = TokenGrid { channel: Axis { count: 3, stride: 14 * 14 }, ..TokenGrid::image(14, 14) };
/// assert_eq!(grid.row, Axis { count: 14, stride: 14 });
/// assert_eq!(grid.frame.count, Axis::default().count);
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Axis {
    /// Steps along it.
    pub count: u32,
    /// Tokens from one step to the next.
    pub stride: u32,
}

impl Default for Axis {
    fn default() -> Self {
        Self { count: 1, stride: 1 }
    }
}

/// How the tokens of a sample lie: token `skipped + p` is step `(p / stride) mod count` of each axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenGrid {
    /// Tokens at the start of each sample that are left alone (class tokens).
    pub skipped: u32,
    /// Times.
    pub frame: Axis,
    /// Rows of the image.
    pub row: Axis,
    /// Columns of the image.
    pub column: Axis,
    /// Channel groups.
    pub channel: Axis,
    /// 0: one record a sample. Else one record for so many successive frames, in the order of samples, then frames.
    pub frames_a_record: u32,
}

impl TokenGrid {
    /// Rows and columns of one image, row-major.
    pub fn image(rows: u32, columns: u32) -> Self {
        Self::series(1, rows, columns)
    }

    /// Images one after the other.
    ///
    /// ```
    /// use gtca::encode::{Axis, TokenGrid};
    /// let grid = TokenGrid::series(3, 14, 14);
    /// assert_eq!(grid.frame, Axis { count: 3, stride: 14 * 14 });
    /// assert_eq!(TokenGrid::image(14, 14).row, grid.row);
    /// ```
    pub fn series(frames: u32, rows: u32, columns: u32) -> Self {
        let axis = |count, stride| Axis { count, stride };
        Self {
            frame: axis(frames, rows.saturating_mul(columns)),
            row: axis(rows, columns),
            column: axis(columns, 1),
            ..Default::default()
        }
    }

    /// Records of one sample.
    pub(super) fn records_a_sample(&self) -> u32 {
        self.frame.count.checked_div(self.frames_a_record).unwrap_or(1)
    }

    pub(super) fn axes(&self) -> [Axis; 4] {
        [self.frame, self.row, self.column, self.channel]
    }

    fn check(&self) -> Result<(), Error> {
        let limit = 1 << 19;
        // Counts of an axis are strides of those before it: the innermost tells what is wrong.
        for (axis, name) in self.axes().into_iter().zip(["frame", "row", "column", "channel"]).rev() {
            if !(1..=limit).contains(&axis.count) || !(1..=1 << 30).contains(&axis.stride) {
                let value = format!("{} steps of {} tokens", axis.count, axis.stride);
                let rule = "an axis has 1 to 2^19 steps of at least one token";
                return Err(Error::argument(OP, name, value, rule, "leave an unused axis at its default"));
            }
        }
        if self.frames_a_record > 0 && !self.frame.count.is_multiple_of(self.frames_a_record) {
            let rule = format!("it must divide {} frames", self.frame.count);
            return Err(Error::argument(
                OP,
                "frames_a_record",
                self.frames_a_record,
                rule,
                "change the grid",
            ));
        }
        Ok(())
    }
}

/// Arguments of [`Encoder::add_to_tokens`].
///
/// ```no_run
/// use gtca::encode::{AddToTokens, Encoder, TokenGrid};
/// use gtca::gpu::{Recorder, View};
/// # fn f(
/// #     encoder: &Encoder,
/// #     recorder: &mut Recorder<'_>,
/// #     [records, arena, tokens]: [View<'_>; 3],
/// # ) -> Result<(), gtca::Error> {
/// // A class token, then 14 rows of 14 patches.
/// let grid = TokenGrid { skipped: 1, ..TokenGrid::image(14, 14) };
/// encoder.add_to_tokens(recorder, &AddToTokens { records, arena, given: None, tokens, grid, status: None })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AddToTokens<'a> {
    /// u32 `[RECORD_WORDS, records]`: one record a sample, or as the grid says.
    pub records: View<'a>,
    /// Learned parameters, `[arena_len]`.
    pub arena: View<'a>,
    /// Further numbers of each token, `[S, T, ≤ 8]`.
    pub given: Option<View<'a>>,
    /// Added to: `[S, T, M]`, M the plan's width; f32, f16 or bf16 as [`Forward::e`](super::Forward::e). Halves are rounded
    /// once, after the sum.
    pub tokens: View<'a>,
    /// How the T tokens of a sample lie.
    pub grid: TokenGrid,
    /// u32 `[blocks]`, counted up: tokens whose record holds an impossible value in a field that the block reads.
    pub status: Option<View<'a>>,
}

impl Encoder {
    /// Records `tokens[s, t] += E(record of s, place of t)`. Class tokens keep their bits. Spherical harmonics are made once
    /// a record, in scratch.
    ///
    /// # Errors
    /// As [`Encoder::forward`]; an axis without steps.
    pub fn add_to_tokens(&self, recorder: &mut Recorder<'_>, args: &AddToTokens<'_>) -> Result<(), Error> {
        let is_half = halves::is_half("tokens", &args.tokens)?;
        let dtype = if is_half { args.tokens.dtype } else { Dtype::F32 };
        self.check_tokens(recorder, &args.records, ("tokens", args.tokens), dtype, &args.grid)?;
        self.check_arena(recorder, &args.arena)?;
        let mut used = vec![
            ("records", args.records, Access::Read),
            ("arena", args.arena, Access::Read),
            ("tokens", args.tokens, Access::Write),
        ];
        used.extend(self.check_given(args.given, args.tokens.rows())?);
        if let Some(status) = args.status {
            status.check_rows(OP, "status", Dtype::U32, 1, self.plan.layouts().len() as u32)?;
            used.push(("status", status, Access::Write));
        }
        check_overlap(OP, &used)?;
        if is_half {
            halves::add_to_tokens(self, recorder, args)
        } else {
            gpu::add_to_tokens(self, recorder, args)
        }
    }

    /// What [`Encoder::add_to_tokens`] and its backward ask of a grid, its records and its tokens.
    pub(super) fn check_tokens(
        &self,
        recorder: &Recorder<'_>,
        records: &View<'_>,
        (name, view): (&'static str, View<'_>),
        dtype: Dtype,
        grid: &TokenGrid,
    ) -> Result<(), Error> {
        grid.check()?;
        let [samples, tokens, _] = view.shape;
        self.check_records(recorder, records, u64::from(samples) * u64::from(grid.records_a_sample()))?;
        view.check_shape(OP, name, dtype, [samples, tokens, self.plan.width()])?;
        if view.rows() > u32::MAX.into() || tokens > 1 << 19 {
            let (value, rule) =
                (format!("{:?}", view.shape), "a sample has at most 2^19 tokens, a batch 2^32 − 1");
            return Err(Error::argument(OP, name, value, rule, "split the batch"));
        }
        Ok(())
    }
}

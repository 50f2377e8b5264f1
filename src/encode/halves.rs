//! Outputs of f16 and bf16: rows are encoded as f32 in scratch, a bounded run at a time, and rounded once into the view.

use super::gpu::sample_range;
use super::{AddToTokens, Encoder, Forward, OP, gpu};
use crate::Error;
use crate::gpu::{Binding, Bound, Dispatch, Dtype, Kernel, Recorder, Room, Rows, Scratch, View};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

pub(super) static PACK: Kernel = Kernel {
    name: "encode/pack",
    source: include_str!("../../shaders/encode/pack.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<HalvesParams>(),
    flags: &[&[], &["BF16"]],
    loop_bound: "0",
    when: "outputs of f16 and bf16: f32 rows rounded into them",
};

pub(super) static UNPACK: Kernel = Kernel {
    name: "encode/unpack",
    source: include_str!("../../shaders/encode/unpack.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<HalvesParams>(),
    flags: &[&[], &["BF16"]],
    loop_bound: "0",
    when: "tokens of f16 and bf16 as f32, before encodings are added",
};

/// Scratch for rows of f32: so much stays in most caches.
const MAX_VALUE_BYTES: u64 = 16 << 20;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HalvesParams {
    halves: Rows,
    rows: u32,
    width: u32,
    values_start: u32,
    values_stride: u32,
    tokens: u32,
    skipped: u32,
    pad: [u32; 2],
}

/// Whether a view holds halves; refuses one whose rows do not start at whole words.
pub(super) fn is_half(argument: &'static str, view: &View<'_>) -> Result<bool, Error> {
    if !matches!(view.dtype, Dtype::F16 | Dtype::Bf16) {
        return Ok(false);
    }
    if !view.offset.is_multiple_of(4) {
        let rule = "packed halves start at a multiple of four bytes";
        return Err(Error::argument(
            OP,
            argument,
            format!("at byte {}", view.offset),
            rule,
            "move the sub-allocation",
        ));
    }
    let [samples, tokens, _] = view.shape;
    let is_odd = |count: u32, stride: u32| count > 1 && !stride.is_multiple_of(2);
    if is_odd(samples, view.sample_stride) || is_odd(tokens, view.row_stride) {
        let value = format!("strides {}, {}", view.sample_stride, view.row_stride);
        return Err(Error::argument(
            OP,
            argument,
            value,
            "strides of packed halves are even",
            "pad the rows",
        ));
    }
    Ok(true)
}

/// Runs of rows whose f32 values fit the scratch, and that scratch; rows there start at whole vectors.
fn runs(
    recorder: &mut Recorder<'_>,
    views: &[View<'_>],
    multiple: u32,
    width: u32,
) -> Result<(Vec<Range<u32>>, Scratch), Error> {
    let row_bytes = 4 * u64::from(width.next_multiple_of(4));
    let room = Room { row_bytes, limit: MAX_VALUE_BYTES };
    let ranges = recorder.gpu().row_chunks_within(OP, views, multiple, room)?;
    let longest = ranges.iter().map(|range| range.end - range.start).max().unwrap_or(0);
    Ok((ranges, recorder.scratch(OP, u64::from(longest) * row_bytes)?))
}

/// Samples of f32 rows in scratch.
fn values_of(scratch: &Scratch, [samples, tokens, width]: [u32; 3]) -> View<'_> {
    let stride = width.next_multiple_of(4);
    let mut values = scratch.matrix(samples * tokens, width);
    values.shape = [samples, tokens, width];
    values.strided(tokens * stride, stride)
}

/// Records one of the kernels over all rows but the first `skipped` tokens of every sample of `tokens`.
fn convert(
    recorder: &mut Recorder<'_>,
    kernel: &'static Kernel,
    (values, halves): (View<'_>, View<'_>),
    [tokens, skipped]: [u32; 2],
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    // Whole vectors to the end of the last row.
    let mut whole = values;
    whole.shape[2] = halves.width().next_multiple_of(4);
    let (values_bound, halves_bound) = (whole.bind(alignment), halves.bind(alignment));
    let Rows { start, tokens: split, sample_stride, row_stride } = halves_bound.rows;
    let rows = halves.rows() as u32;
    let params = HalvesParams {
        halves: Rows {
            start: start / 2,
            tokens: split,
            sample_stride: sample_stride / 2,
            row_stride: row_stride / 2,
        },
        rows,
        width: halves.width(),
        values_start: values_bound.rows.start / 4,
        values_stride: halves.width().div_ceil(4),
        tokens,
        skipped,
        pad: [0; 2],
    };
    let storage: [Bound<'_>; 2] =
        if std::ptr::eq(kernel, &PACK) { [values_bound, halves_bound] } else { [halves_bound, values_bound] };
    recorder.dispatch(&Dispatch {
        kernel,
        flags: if halves.dtype == Dtype::Bf16 { &["BF16"] } else { &[] },
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &storage,
        groups: (u64::from(rows) * u64::from(halves.width().div_ceil(8))).div_ceil(64),
        iterations: 0,
    })
}

pub(super) fn forward(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    args: &Forward<'_>,
) -> Result<(), Error> {
    let width = args.e.width();
    let views: Vec<_> = [args.e].into_iter().chain(args.given).collect();
    let (ranges, scratch) = runs(recorder, &views, 1, width)?;
    for range in ranges {
        let samples = range.end - range.start;
        let values = values_of(&scratch, [samples, 1, width]);
        let part = Forward {
            records: args.records.columns(range.start, samples),
            given: args.given.map(|given| given.slice_rows(range.start, range.end)),
            e: values,
            ..*args
        };
        gpu::forward(encoder, recorder, &part)?;
        convert(recorder, &PACK, (values, args.e.slice_rows(range.start, range.end)), [1, 0])?;
    }
    Ok(())
}

pub(super) fn add_to_tokens(
    encoder: &Encoder,
    recorder: &mut Recorder<'_>,
    args: &AddToTokens<'_>,
) -> Result<(), Error> {
    let [_, tokens, width] = args.tokens.shape;
    let a_sample = args.grid.records_a_sample();
    let views: Vec<_> = [args.tokens].into_iter().chain(args.given).collect();
    let (ranges, scratch) = runs(recorder, &views, tokens, width)?;
    for range in ranges {
        let [first, last] = [range.start, range.end].map(|row| row / tokens);
        let samples = last - first;
        let values = values_of(&scratch, [samples, tokens, width]);
        let halves = sample_range(args.tokens, first, last);
        let part = AddToTokens {
            records: args.records.columns(first * a_sample, samples * a_sample),
            given: args.given.map(|given| sample_range(given, first, last)),
            tokens: values,
            ..*args
        };
        let counted = [tokens, args.grid.skipped];
        convert(recorder, &UNPACK, (values, halves), counted)?;
        gpu::add_to_tokens(encoder, recorder, &part)?;
        convert(recorder, &PACK, (values, halves), counted)?;
    }
    Ok(())
}

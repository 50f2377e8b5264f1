//! The injection into y, and dx.

use super::{dropped, take_vectors, with_tables};
use crate::Error;
use crate::gpu::{Dispatch, Mode, Recorder, View};
use crate::lora::kernels::UpParams;
use crate::lora::maps::Side;
use crate::lora::step::Step;
use std::mem::offset_of;

/// Rows that [`up`] writes.
#[derive(Clone, Copy)]
pub(in crate::lora) struct Target<'a> {
    pub y: View<'a>,
    pub onto: Onto<'a>,
}

/// What the sums are added to.
#[derive(Clone, Copy)]
pub(in crate::lora) enum Onto<'a> {
    Nothing,
    /// What y holds.
    Itself,
    /// Other rows of y's type and shape, which are left alone.
    Base(View<'a>),
}

impl<'a> Target<'a> {
    /// Replaced or added to.
    pub(in crate::lora) fn new(y: View<'a>, mode: Mode) -> Self {
        Self { y, onto: if mode == Mode::Accumulate { Onto::Itself } else { Onto::Nothing } }
    }

    /// `out = y + …`, or y in place.
    pub(in crate::lora) fn injection(y: View<'a>, out: Option<View<'a>>) -> Self {
        out.map_or(Self::new(y, Mode::Accumulate), |out| Self { y: out, onto: Onto::Base(y) })
    }
}

/// `y += λ·s·(h B_t + bias)`, or `=`, or with A in place of b_t, without bias, and x's dropout on the sum; h gated already.
pub(in crate::lora) fn up(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    h: &View<'_>,
    target: &Target<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let Target { y, onto } = target;
    let (family, width, dropout) = (step.family, y.width(), step.dropout_of(side));
    let fresh = !matches!(onto, Onto::Itself);
    let (base, is_apart) = if let Onto::Base(base) = onto { (base, true) } else { (y, false) };
    let bias = step.bias.filter(|_| side == Side::B);
    let vectors = take_vectors(&[h, y, base]) && bias.is_none_or(|bias| bias.is_vec4());
    let plan = |rank, of_matrix: bool| family.up(rank, vectors && of_matrix && dropout.is_none(), fresh);
    let tile_rows = |rank, of_matrix| plan(rank, of_matrix).rows;
    for part in step.maps.parts(recorder.gpu(), side, &[*h, *y, *base], h.width(), tile_rows)? {
        let plan = plan(part.rank, part.vectors);
        let vectors = vectors && part.vectors;
        let flags = plan.flags(
            recorder.gpu(),
            vectors,
            &[
                y.dtype.flag(),
                dropout.map(|_| "DROPOUT"),
                (!matches!(onto, Onto::Nothing)).then_some("ACCUMULATE"),
                is_apart.then_some("APART"),
                bias.map(|_| "BIAS"),
                part.tables.map(|_| "ROUTED"),
            ],
        );
        let [h, y, base] = [h, y, base].map(|view| view.bind_rows(&part.rows, alignment));
        // The kernel has places for a bias and, of one adapter, for a base; without one the matrix lies there.
        let bound_bias = bias.map_or(part.matrix, |bias| bias.bind(alignment));
        let mut storage = with_tables(&[h, part.matrix, y], part.tables);
        storage.push(bound_bias);
        if part.tables.is_none() {
            storage.push(if is_apart { base } else { part.matrix });
        }
        let params = UpParams {
            h: h.rows,
            y: y.rows,
            base: base.rows,
            rows: part.rows.end - part.rows.start,
            width,
            rank: part.rank,
            start: part.start,
            stride: part.stride,
            chunk_rows: plan.rows,
            lambda: step.lambda.host_value(),
            scale: part.scale,
            route: part.route,
            dropout: dropped(dropout, &part.rows),
            bias_start: bound_bias.rows.start,
            bias_stride: bias.map_or(0, |bias| bias.row_step()),
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel(part.tables.is_some()),
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[(offset_of!(UpParams, lambda), step.lambda)],
            storage: &storage,
            groups: plan.groups(part.tiles, 1, width),
            iterations: u64::from(part.rank) + u64::from(width / 32) + u64::from(plan.rows) + 60,
        })?;
    }
    Ok(())
}

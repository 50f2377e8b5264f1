//! The injection into y, and dx.

use super::{dropped, take_vectors, with_tables};
use crate::Error;
use crate::gpu::{Dispatch, Mode, Recorder, View};
use crate::lora::family::UpParams;
use crate::lora::maps::Side;
use crate::lora::step::Step;
use std::mem::offset_of;

/// `y += λ·s·(h B_t + bias)`, or `=`, or with A in place of b_t, without bias, and x's dropout on the sum; h gated already.
pub(in crate::lora) fn up(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    h: &View<'_>,
    y: &View<'_>,
    mode: Mode,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (family, width, dropout) = (step.family, y.width(), step.dropout_of(side));
    let bias = step.bias.filter(|_| side == Side::B);
    let vectors = take_vectors(&[h, y]) && bias.is_none_or(|bias| bias.is_vec4());
    let plan = |rank, of_matrix: bool| family.up(rank, vectors && of_matrix && dropout.is_none());
    let tile_rows = |rank, of_matrix| plan(rank, of_matrix).rows;
    for part in step.maps.parts(recorder.gpu(), side, &[*h, *y], h.width(), tile_rows)? {
        let plan = plan(part.rank, part.vectors);
        let vectors = vectors && part.vectors;
        let flags = plan.flags(
            recorder.gpu(),
            vectors,
            &[
                y.dtype.flag(),
                dropout.map(|_| "DROPOUT"),
                (mode == Mode::Accumulate).then_some("ACCUMULATE"),
                bias.map(|_| "BIAS"),
                part.tables.map(|_| "ROUTED"),
            ],
        );
        let [h, y] = [h, y].map(|view| view.bind_rows(&part.rows, alignment));
        // The kernel has a place for a bias; without one the matrix lies there.
        let bound_bias = bias.map_or(part.matrix, |bias| bias.bind(alignment));
        let mut storage = with_tables(&[h, part.matrix, y], part.tables);
        storage.push(bound_bias);
        let params = UpParams {
            h: h.rows,
            y: y.rows,
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

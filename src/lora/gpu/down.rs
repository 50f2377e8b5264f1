//! `h = x Aᵀ` and `u = dy B`.

use super::{dropped, take_vectors, with_tables};
use crate::Error;
use crate::gpu::{Dispatch, Recorder, View};
use crate::lora::kernels::DownParams;
use crate::lora::maps::Side;
use crate::lora::step::Step;

/// `h = x Aᵀ`, x with its dropout, or with b_t in place of A.
pub(in crate::lora) fn down(
    recorder: &mut Recorder<'_>,
    step: &Step<'_>,
    side: Side,
    x: &View<'_>,
    h: &View<'_>,
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (family, inputs, dropout) = (step.family, x.width(), step.dropout_of(side));
    let tile_rows = |rank, _| family.down(rank).rows;
    for part in step.maps.parts(recorder.gpu(), side, &[*x, *h], h.width(), tile_rows)? {
        let plan = family.down(part.rank);
        let vectors = part.vectors && take_vectors(&[x, h]) && inputs.is_multiple_of(plan.columns);
        let flags = plan.flags(
            recorder.gpu(),
            vectors,
            &[x.dtype.flag(), dropout.map(|_| "DROPOUT"), part.tables.map(|_| "ROUTED")],
        );
        let [x, h] = [x, h].map(|view| view.bind_rows(&part.rows, alignment));
        let params = DownParams {
            x: x.rows,
            h: h.rows,
            rows: part.rows.end - part.rows.start,
            rank: part.rank,
            inputs,
            start: part.start,
            stride: part.stride,
            scale: part.scale,
            pad: [0; 2],
            route: part.route,
            dropout: dropped(dropout, &part.rows),
        };
        recorder.dispatch(&Dispatch {
            kernel: plan.kernel(part.tables.is_some()),
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &with_tables(&[x, part.matrix, h], part.tables),
            groups: plan.groups(part.tiles, part.rank, 1),
            iterations: family.down_iterations(part.rank, inputs),
        })?;
    }
    Ok(())
}

//! Recording of the counting kernel.

use super::{Args, Meter, OP, SLOT_CELLS};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Kernel, MAX_ITERATIONS, Recorder, Rows};
use bytemuck::{Pod, Zeroable};

static COUNT: Kernel = Kernel {
    name: "metrics/count",
    source: include_str!("../../shaders/metrics/count.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<CountParams>(),
    flags: &[&[]],
    loop_bound: "rows per lane (1 to 4) · (2 classes + 1) + 12",
    when: "every batch of labelled predictions",
};

pub(crate) const KERNELS: &[&Kernel] = &[&COUNT];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CountParams {
    logits: Rows,
    labels: Rows,
    groups: Rows,
    rows: u32,
    classes: u32,
    group_count: u32,
    has_groups: u32,
    sums_start: u32,
    confusion_start: u32,
    local_words: u32,
    per_lane: u32,
}

/// Rows of one invocation: several where there is work for many workgroups and the loop bound allows it.
fn rows_per_lane(rows: u32, classes: u32) -> u32 {
    let spare = if rows >= 256 * 256 { 4 } else { 1 };
    spare.min((MAX_ITERATIONS as u32 - 13) / (2 * classes + 1)).max(1)
}

pub(super) fn count(meter: &Meter, recorder: &mut Recorder<'_>, args: &Args<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let sums = args.sums.bind(alignment);
    let (classes, slots) = (meter.desc.classes, meter.desc.groups + 1);
    let slot_words = slots * SLOT_CELLS as u32 * 2;
    let ids = args.groups.unwrap_or(args.labels);
    for range in recorder.gpu().row_chunks(OP, &[args.logits, args.labels, ids], 1)? {
        let [logits, labels, groups] =
            [args.logits, args.labels, ids].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let per_lane = rows_per_lane(rows, classes);
        let params = CountParams {
            logits: logits.rows,
            labels: labels.rows,
            groups: groups.rows,
            rows,
            classes,
            group_count: meter.desc.groups,
            has_groups: args.groups.is_some().into(),
            sums_start: sums.rows.start,
            confusion_start: sums.rows.start + slot_words,
            local_words: if slot_words <= 2048 { slot_words } else { 0 },
            per_lane,
        };
        recorder.dispatch(&Dispatch {
            kernel: &COUNT,
            flags: &[],
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[logits, labels, groups, sums],
            groups: u64::from(rows).div_ceil(256 * u64::from(per_lane)),
            iterations: u64::from(per_lane) * (2 * u64::from(classes) + 1) + 12,
        })?;
    }
    Ok(())
}

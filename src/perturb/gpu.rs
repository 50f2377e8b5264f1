//! Recording of the perturbation kernel.

use super::{Args, OP, Plan, STATUS_WORDS};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Dtype, Kernel, Recorder, Rows};
use bytemuck::{Pod, Zeroable};

static PERTURB: Kernel = Kernel {
    name: "perturb/perturb",
    source: include_str!("../../shaders/perturb/perturb.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
    params_bytes: size_of::<Params>(),
    flags: &[&[]],
    loop_bound: "400",
    when: "every perturbation of records",
};

pub(crate) const KERNELS: &[&Kernel] = &[&PERTURB];

/// Iterations of one invocation: five rotations of 31 steps at each sine and cosine, the record's words, status bits,
/// rounds of random draws.
const ITERATIONS: u64 = 400;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    records: Rows,
    out: Rows,
    v: Rows,
    donors: Rows,
    no_data: [u32; 8],
    samples: u32,
    kind: u32,
    fields: u32,
    months: i32,
    seed: [u32; 2],
    purpose: u32,
    step: u32,
    bearing: u32,
    bearing_is_random: u32,
    angle: u32,
    angle_span: u32,
    drop_all: u32,
    drop_group: u32,
    displace: u32,
    status_start: u32,
    grid_start: u32,
    grid_rows: u32,
    grid_columns: u32,
    pad: u32,
}

/// In place of a span of random angles: the angle is fixed.
const FIXED_ANGLE: u32 = u32::MAX;

pub(super) fn perturb(recorder: &mut Recorder<'_>, plan: &Plan, args: &Args<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let samples = args.records.width();
    let ignored;
    let status = match args.status {
        Some(status) => status,
        None => {
            ignored = recorder.scratch(OP, u64::from(STATUS_WORDS) * 4)?;
            ignored.vector(STATUS_WORDS).of(Dtype::U32)
        }
    };
    // What is not used is bound to the records, which are there in any case.
    let (grid, grid_view) = args.grid.map_or((None, args.records), |(grid, view)| (Some(grid), view));
    let [records, out, v, status, donors, grid_bound] =
        [args.records, args.out, args.v, status, args.donors.unwrap_or(args.records), grid_view]
            .map(|view| view.bind(alignment));
    let params = Params {
        records: records.rows,
        out: out.rows,
        v: v.rows,
        donors: donors.rows,
        no_data: grid.map_or([0; 8], super::ClimateGrid::no_data),
        samples,
        kind: plan.kind,
        fields: plan.fields.bits(),
        months: plan.months,
        seed: [plan.seed as u32, (plan.seed >> 32) as u32],
        purpose: plan.purpose,
        step: args.step,
        bearing: plan.bearing,
        bearing_is_random: plan.bearing_is_random.into(),
        angle: plan.angle,
        angle_span: plan.angle_span.unwrap_or(FIXED_ANGLE),
        drop_all: plan.drop_all,
        drop_group: plan.drop_group,
        displace: plan.displace,
        status_start: status.rows.start,
        grid_start: grid_bound.rows.start,
        grid_rows: grid.map_or(0, super::ClimateGrid::rows),
        grid_columns: grid.map_or(0, super::ClimateGrid::columns),
        pad: 0,
    };
    recorder.dispatch(&Dispatch {
        kernel: &PERTURB,
        flags: &[],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[records, donors, grid_bound, out, v, status],
        groups: u64::from(samples).div_ceil(64),
        iterations: ITERATIONS,
    })
}

//! Recording of the perturbation kernel.

use super::plan::Part;
use super::{Args, MAX_PARTS, OP, Perturb, STATUS_WORDS};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Dtype, Kernel, Recorder, Rows};
use bytemuck::{Pod, Zeroable};

static PERTURB: Kernel = Kernel {
    name: "perturb/perturb",
    source: include_str!("../../shaders/perturb/perturb.wgsl"),
    storage: &[
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
        Binding::Write,
        Binding::Write,
    ],
    params_bytes: size_of::<Params>(),
    flags: &[&[]],
    loop_bound: "300·(parts + 1)",
    when: "every perturbation of records",
};

pub(crate) const KERNELS: &[&Kernel] = &[&PERTURB];

/// Iterations of one part: five rotations of 31 steps at each sine and cosine, the record's words, status bits, grids.
const ITERATIONS: u64 = 300;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    records: Rows,
    out: Rows,
    v: Rows,
    pool: Rows,
    seed: [u32; 2],
    samples: u32,
    pool_size: u32,
    step: u32,
    parts_used: u32,
    donors_start: u32,
    status_start: u32,
    grids: [[u32; 4]; 3],
    parts: [Part; MAX_PARTS],
}

pub(super) fn perturb(recorder: &mut Recorder<'_>, op: &Perturb, args: &Args<'_>) -> Result<(), Error> {
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
    let (lookup, grids) = args.lookup.map_or((None, args.records), |(lookup, view)| (Some(lookup), view));
    let (indices, pool, pool_size) = match args.donors {
        Some(donors) => (donors.indices, donors.pool, donors.pool.width()),
        None => (args.records, args.records, 0),
    };
    let [records, out, v, status, indices, pool, grids] =
        [args.records, args.out, args.v, status, indices, pool, grids].map(|view| view.bind(alignment));
    let mut parts = [Part::zeroed(); MAX_PARTS];
    parts[..op.parts.len()].copy_from_slice(&op.parts);
    let params = Params {
        records: records.rows,
        out: out.rows,
        v: v.rows,
        pool: pool.rows,
        seed: [op.seed as u32, (op.seed >> 32) as u32],
        samples,
        pool_size,
        step: args.step,
        parts_used: op.parts.len() as u32,
        donors_start: indices.rows.start,
        status_start: status.rows.start,
        grids: lookup.map_or([[0; 4]; 3], |lookup| lookup.layout(grids.rows.start)),
        parts,
    };
    recorder.dispatch(&Dispatch {
        kernel: &PERTURB,
        flags: &[],
        params: bytemuck::bytes_of(&params),
        knobs: &[],
        storage: &[records, indices, pool, grids, out, v, status],
        groups: u64::from(samples).div_ceil(64),
        iterations: ITERATIONS * (op.parts.len() as u64 + 1),
    })
}

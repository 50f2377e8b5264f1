//! y at another place.

use super::{on, take_vectors};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Kernel, Recorder, Rows, View};
use crate::lora::OP;
use bytemuck::{Pod, Zeroable};

pub(super) const KERNELS: [&Kernel; 1] = [&COPY];

static COPY: Kernel = Kernel {
    name: "lora/copy",
    source: include_str!("../../../shaders/lora/copy.wgsl"),
    storage: &[Binding::Read, Binding::Write],
    params_bytes: size_of::<CopyParams>(),
    flags: &[&["|VEC4"]],
    loop_bound: "0",
    when: "y, before an injection that leaves it alone",
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct CopyParams {
    y: Rows,
    out: Rows,
    rows: u32,
    words: u32,
    halves: u32,
    is_odd: u32,
}

/// `out = y`, bit by bit; both have one type and one shape.
pub(in crate::lora) fn copy(recorder: &mut Recorder<'_>, y: &View<'_>, out: &View<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, is_half) = (y.width(), y.dtype.bytes() == 2);
    let vectors = !is_half && take_vectors(&[y, out]);
    for range in recorder.gpu().row_chunks(OP, &[*y, *out], 1)? {
        let [y, out] = [y, out].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let words = if is_half { width.div_ceil(2) } else { width };
        let is_odd = is_half && !width.is_multiple_of(2);
        let params = CopyParams {
            y: y.rows,
            out: out.rows,
            rows,
            words,
            halves: is_half.into(),
            is_odd: is_odd.into(),
        };
        recorder.dispatch(&Dispatch {
            kernel: &COPY,
            flags: &on(&[("VEC4", vectors)]),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[y, out],
            groups: (u64::from(rows) * u64::from(words.div_ceil(4))).div_ceil(64),
            iterations: 0,
        })?;
    }
    Ok(())
}

//! The table of the families' kernels and their parameters.

use super::gpu::{ROUTED, routed};
use super::routing::Route;
use crate::gpu::{Binding, Kernel, Rows};
use bytemuck::{Pod, Zeroable};

/// How the wide rows are stored.
const STORED: &str = "|HALF=f16|HALF=bf16";

/// Tiles of ranks.
const SOME_RANKS: &str = "RANKS=4|RANKS=8|RANKS=16";
const FEW_RANKS: &str = "RANKS=4|RANKS=8";

/// Variants of `down` and `outer`, and of `down` with many adapters.
macro_rules! reading {
    (routed $($tile:expr),+) => { &[&[$($tile,)+ "|VEC4", STORED, "|DROPOUT", "ROUTED"]] };
    ($($tile:expr),+) => { &[&[$($tile,)+ "|VEC4", STORED, "|DROPOUT"]] };
}

/// The same of Lanes, by tile of ranks and columns: vectors are also moved as 64-bit words.
macro_rules! lanes_reading {
    (routed $([$($tile:expr),+]),+) => {
        &[$(
            &[$($tile,)+ "|VEC4", STORED, "|DROPOUT", "ROUTED"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "|DROPOUT", "ROUTED"]
        ),+]
    };
    ($([$($tile:expr),+]),+) => {
        &[$(&[$($tile,)+ "|VEC4", STORED, "|DROPOUT"], &[$($tile,)+ "VEC4", "LONG", STORED, "|DROPOUT"]),+]
    };
}

/// `up` over all ranks at once. Many adapters write in place alone.
const WRITING: &[&[&str]] = &[
    &["|VEC4", STORED, "|DROPOUT", "|ACCUMULATE"],
    &["|VEC4", STORED, "ACCUMULATE", "BIAS"],
    &["|VEC4", STORED, "ACCUMULATE", "APART", "|BIAS"],
];
const ROUTED_WRITING: &[&[&str]] = &[
    &["|VEC4", STORED, "|DROPOUT", "|ACCUMULATE", "ROUTED"],
    &["|VEC4", STORED, "ACCUMULATE", "BIAS", "ROUTED"],
];

/// `up` that holds h, by tile and access: in place, and into rows that it does not load.
macro_rules! holding {
    (routed $([$($tile:expr),+]),+; fresh $([$($fresh:expr),+]),+) => {
        &[
            $(&[$($tile,)+ STORED, "ACCUMULATE", "|BIAS", "ROUTED"],)+
            $(&[$($fresh,)+ STORED, "ROUTED"]),+
        ]
    };
    ($([$($tile:expr),+]),+; fresh $([$($fresh:expr),+]),+) => {
        &[
            $(&[$($tile,)+ STORED, "ACCUMULATE", "|BIAS"],)+
            $(&[$($fresh,)+ STORED], &[$($fresh,)+ STORED, "ACCUMULATE", "APART", "|BIAS"]),+
        ]
    };
}

/// `up` of Lanes.
macro_rules! lanes_writing {
    (routed $([$($tile:expr),+]),+) => {
        &[$(
            &[$($tile,)+ "|VEC4", STORED, "|DROPOUT", "|ACCUMULATE", "ROUTED"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "|DROPOUT", "|ACCUMULATE", "ROUTED"],
            &[$($tile,)+ "|VEC4", STORED, "ACCUMULATE", "BIAS", "ROUTED"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "ACCUMULATE", "BIAS", "ROUTED"]
        ),+]
    };
    ($([$($tile:expr),+]),+) => {
        &[$(
            &[$($tile,)+ "|VEC4", STORED, "|DROPOUT", "|ACCUMULATE"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "|DROPOUT", "|ACCUMULATE"],
            &[$($tile,)+ "|VEC4", STORED, "ACCUMULATE", "BIAS"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "ACCUMULATE", "BIAS"],
            &[$($tile,)+ "|VEC4", STORED, "ACCUMULATE", "APART", "|BIAS"],
            &[$($tile,)+ "VEC4", "LONG", STORED, "ACCUMULATE", "APART", "|BIAS"]
        ),+]
    };
}

/// What a kernel's dispatch draws: the Rust side of `Dropped` in `shaders/lora/dropout.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(super) struct Dropped {
    pub(super) seed_low: u32,
    pub(super) seed_high: u32,
    pub(super) step: u32,
    pub(super) threshold: u32,
    pub(super) row_low: u32,
    pub(super) row_high: u32,
    pub(super) scale: f32,
    pub(super) pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct DownParams {
    pub(super) x: Rows,
    pub(super) h: Rows,
    pub(super) rows: u32,
    pub(super) rank: u32,
    pub(super) inputs: u32,
    pub(super) start: u32,
    pub(super) stride: u32,
    pub(super) scale: f32,
    pub(super) pad: [u32; 2],
    pub(super) route: Route,
    pub(super) dropout: Dropped,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct UpParams {
    pub(super) h: Rows,
    pub(super) y: Rows,
    pub(super) base: Rows,
    pub(super) rows: u32,
    pub(super) width: u32,
    pub(super) rank: u32,
    pub(super) start: u32,
    pub(super) stride: u32,
    pub(super) chunk_rows: u32,
    pub(super) lambda: f32,
    pub(super) scale: f32,
    pub(super) route: Route,
    pub(super) dropout: Dropped,
    pub(super) bias_start: u32,
    pub(super) bias_stride: u32,
    pub(super) pad: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct OuterParams {
    pub(super) w: Rows,
    pub(super) v: Rows,
    pub(super) rows: u32,
    pub(super) rank: u32,
    pub(super) width: u32,
    pub(super) partial_start: u32,
    pub(super) chunk_rows: u32,
    pub(super) scale: f32,
    pub(super) start: u32,
    pub(super) pad: u32,
    pub(super) route: Route,
    pub(super) dropout: Dropped,
}

const STORAGE: &[Binding] = &[Binding::Read, Binding::Read, Binding::Write];
/// h, B_t, y, the bias, and what APART adds to.
const UP_STORAGE: &[Binding] = &[Binding::Read, Binding::Read, Binding::Write, Binding::Read, Binding::Read];
/// As [`ROUTED`], and the bias.
const ROUTED_UP: &[Binding] =
    &[Binding::Read, Binding::Read, Binding::Write, Binding::Read, Binding::Read, Binding::Read];

pub(super) static LANES_DOWN: Kernel = Kernel {
    name: "lora/lanes/down",
    source: include_str!("../../shaders/lora/lanes/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: lanes_reading!([SOME_RANKS]),
    loop_bound: "inputs / 16 (h), outputs / 16 (u)",
    when: "h = x Aᵀ and u = dy B, subgroups of 8, at most 16 ranks",
};

pub(super) static LANES_DOWN_TALL: Kernel = Kernel {
    name: "lora/lanes/down_tall",
    source: include_str!("../../shaders/lora/lanes/down_tall.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: lanes_reading!(["RANKS=32"]),
    loop_bound: "inputs / 4 (h), outputs / 4 (u)",
    when: "h = x Aᵀ and u = dy B, subgroups of 8, more than 16 ranks",
};

pub(super) static SHARED_DOWN: Kernel = Kernel {
    name: "lora/shared/down",
    source: include_str!("../../shaders/lora/shared/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "inputs / 64 (h) or outputs / 64 (u), times at most 7, + 16",
    when: "h = x Aᵀ and u = dy B, GPUs",
};

pub(super) static THREADS_DOWN: Kernel = Kernel {
    name: "lora/threads/down",
    source: include_str!("../../shaders/lora/threads/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "inputs / 4 (h), outputs / 4 (u)",
    when: "h = x Aᵀ and u = dy B, elsewhere",
};

pub(super) static LANES_UP: Kernel = Kernel {
    name: "lora/lanes/up",
    source: include_str!("../../shaders/lora/lanes/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: lanes_writing!(["RANKS=4|RANKS=8", "FOURS=1"], ["RANKS=16", "FOURS=2"]),
    loop_bound: "32",
    when: "the injection into y and dx, subgroups of 8, at most 16 ranks",
};

pub(super) static LANES_UP_ROWS: Kernel = Kernel {
    name: "lora/lanes/up_rows",
    source: include_str!("../../shaders/lora/lanes/up_rows.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: lanes_writing!(["RANKS=32|RANKS=64"]),
    loop_bound: "256",
    when: "the injection into y and dx, subgroups of 8, 17 to 64 ranks",
};

pub(super) static LANES_UP_HELD: Kernel = Kernel {
    name: "lora/lanes/up_held",
    source: include_str!("../../shaders/lora/lanes/up_held.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: holding!(
        ["RANKS=4", "EIGHTS=2", "VEC4", "|LONG"],
        ["RANKS=8", "EIGHTS=4", "VEC4", "|LONG"],
        ["RANKS=16", "EIGHTS=8", "VEC4", "|LONG"];
        fresh ["RANKS=4", "EIGHTS=2", "VEC4", "|LONG"], ["RANKS=8|RANKS=16", "EIGHTS=4", "VEC4", "|LONG"]
    ),
    loop_bound: "outputs / 32 (y), inputs / 32 (dx)",
    when: "the injection into y and dx, subgroups of 8, at most 16 ranks in whole vectors, no dropout",
};

pub(super) static THREADS_UP_HELD: Kernel = Kernel {
    name: "lora/threads/up_held",
    source: include_str!("../../shaders/lora/threads/up_held.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: holding!([SOME_RANKS, "VEC4"]; fresh [SOME_RANKS, "VEC4"]),
    loop_bound: "32",
    when: "the injection into y and dx, elsewhere, at most 16 ranks in whole vectors, no dropout",
};

pub(super) static SHARED_UP: Kernel = Kernel {
    name: "lora/shared/up",
    source: include_str!("../../shaders/lora/shared/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: WRITING,
    loop_bound: "(rank / 64 + 1) · 21",
    when: "the injection into y and dx, GPUs",
};

pub(super) static THREADS_UP: Kernel = Kernel {
    name: "lora/threads/up",
    source: include_str!("../../shaders/lora/threads/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: WRITING,
    loop_bound: "rank / 4",
    when: "the injection into y and dx, elsewhere",
};

pub(super) static LANES_OUTER: Kernel = Kernel {
    name: "lora/lanes/outer",
    source: include_str!("../../shaders/lora/lanes/outer.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<OuterParams>(),
    flags: lanes_reading!(
        ["RANKS=4", "FOURS=1", "ROWS=8"],
        ["RANKS=8", "FOURS=2", "ROWS=8"],
        ["RANKS=16", "FOURS=4", "ROWS=8"],
        ["RANKS=32", "FOURS=8", "ROWS=8"],
        ["RANKS=64", "FOURS=8", "ROWS=4"]
    ),
    loop_bound: "chunk rows / 4; a chunk has 512, doubled until the partials fit 64 MiB",
    when: "first stage of dA and dB_t, subgroups of 8",
};

pub(super) static SHARED_OUTER: Kernel = Kernel {
    name: "lora/shared/outer",
    source: include_str!("../../shaders/lora/shared/outer.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<OuterParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "chunk rows · 17 / 16; a chunk has 256, doubled until the partials fit 64 MiB",
    when: "first stage of dA and dB_t, GPUs",
};

pub(super) static THREADS_OUTER: Kernel = Kernel {
    name: "lora/threads/outer",
    source: include_str!("../../shaders/lora/threads/outer.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<OuterParams>(),
    flags: reading!(FEW_RANKS),
    loop_bound: "chunk rows: 256, doubled until the partials fit 64 MiB",
    when: "first stage of dA and dB_t, elsewhere",
};

pub(super) static ROUTED_LANES_DOWN: Kernel = routed(
    &LANES_DOWN,
    ROUTED,
    lanes_reading!(routed[SOME_RANKS]),
    "h = x Aᵀ and u = dy B, subgroups of 8, at most 16 ranks, many adapters",
);
pub(super) static ROUTED_LANES_DOWN_TALL: Kernel = routed(
    &LANES_DOWN_TALL,
    ROUTED,
    lanes_reading!(routed["RANKS=32"]),
    "h = x Aᵀ and u = dy B, subgroups of 8, more than 16 ranks, many adapters",
);
pub(super) static ROUTED_SHARED_DOWN: Kernel =
    routed(&SHARED_DOWN, ROUTED, reading!(routed SOME_RANKS), "h = x Aᵀ and u = dy B, GPUs, many adapters");
pub(super) static ROUTED_THREADS_DOWN: Kernel = routed(
    &THREADS_DOWN,
    ROUTED,
    reading!(routed SOME_RANKS),
    "h = x Aᵀ and u = dy B, elsewhere, many adapters",
);
pub(super) static ROUTED_LANES_UP: Kernel = routed(
    &LANES_UP,
    ROUTED_UP,
    lanes_writing!(routed ["RANKS=4|RANKS=8", "FOURS=1"], ["RANKS=16", "FOURS=2"]),
    "the injection into y and dx, subgroups of 8, at most 16 ranks, many adapters",
);
pub(super) static ROUTED_LANES_UP_ROWS: Kernel = routed(
    &LANES_UP_ROWS,
    ROUTED_UP,
    lanes_writing!(routed["RANKS=32|RANKS=64"]),
    "the injection into y and dx, subgroups of 8, 17 to 64 ranks, many adapters",
);
pub(super) static ROUTED_LANES_UP_HELD: Kernel = routed(
    &LANES_UP_HELD,
    ROUTED_UP,
    holding!(routed
        ["RANKS=4", "EIGHTS=2", "VEC4", "|LONG"],
        ["RANKS=8", "EIGHTS=4", "VEC4", "|LONG"],
        ["RANKS=16", "EIGHTS=8", "VEC4", "|LONG"];
        fresh ["RANKS=4", "EIGHTS=2", "VEC4", "|LONG"], ["RANKS=8|RANKS=16", "EIGHTS=4", "VEC4", "|LONG"]
    ),
    "the injection into y and dx, subgroups of 8, at most 16 ranks in whole vectors, many adapters",
);
pub(super) static ROUTED_THREADS_UP_HELD: Kernel = routed(
    &THREADS_UP_HELD,
    ROUTED_UP,
    holding!(routed [SOME_RANKS, "VEC4"]; fresh [SOME_RANKS, "VEC4"]),
    "the injection into y and dx, elsewhere, at most 16 ranks in whole vectors, many adapters",
);
pub(super) static ROUTED_SHARED_UP: Kernel =
    routed(&SHARED_UP, ROUTED_UP, ROUTED_WRITING, "the injection into y and dx, GPUs, many adapters");
pub(super) static ROUTED_THREADS_UP: Kernel =
    routed(&THREADS_UP, ROUTED_UP, ROUTED_WRITING, "the injection into y and dx, elsewhere, many adapters");
pub(super) static ROUTED_LANES_OUTER: Kernel = routed(
    &LANES_OUTER,
    ROUTED,
    lanes_reading!(routed
        ["RANKS=4", "FOURS=1", "ROWS=8"],
        ["RANKS=8", "FOURS=2", "ROWS=8"],
        ["RANKS=16", "FOURS=4", "ROWS=8"],
        ["RANKS=32", "FOURS=8", "ROWS=8"],
        ["RANKS=64", "FOURS=8", "ROWS=4"]
    ),
    "first stage of dA and dB_t, subgroups of 8, many adapters",
);
pub(super) static ROUTED_SHARED_OUTER: Kernel = routed(
    &SHARED_OUTER,
    ROUTED,
    reading!(routed SOME_RANKS),
    "first stage of dA and dB_t, GPUs, many adapters",
);
pub(super) static ROUTED_THREADS_OUTER: Kernel = routed(
    &THREADS_OUTER,
    ROUTED,
    reading!(routed FEW_RANKS),
    "first stage of dA and dB_t, elsewhere, many adapters",
);

pub(super) const KERNELS: [&Kernel; 26] = [
    &LANES_DOWN,
    &LANES_DOWN_TALL,
    &SHARED_DOWN,
    &THREADS_DOWN,
    &LANES_UP,
    &LANES_UP_ROWS,
    &LANES_UP_HELD,
    &SHARED_UP,
    &THREADS_UP,
    &THREADS_UP_HELD,
    &LANES_OUTER,
    &SHARED_OUTER,
    &THREADS_OUTER,
    &ROUTED_LANES_DOWN,
    &ROUTED_LANES_DOWN_TALL,
    &ROUTED_SHARED_DOWN,
    &ROUTED_THREADS_DOWN,
    &ROUTED_LANES_UP,
    &ROUTED_LANES_UP_ROWS,
    &ROUTED_LANES_UP_HELD,
    &ROUTED_SHARED_UP,
    &ROUTED_THREADS_UP,
    &ROUTED_THREADS_UP_HELD,
    &ROUTED_LANES_OUTER,
    &ROUTED_SHARED_OUTER,
    &ROUTED_THREADS_OUTER,
];

//! Three structures of the same maps, one of which fits the device.

use super::OP;
use super::gpu::{ROUTED, routed};
use super::routing::Route;
use crate::Error;
use crate::gpu::{Binding, Gpu, Kernel, Rows};
use bytemuck::{Pod, Zeroable};

/// The structure of the kernels of `down`, `up` and `outer`. All give the same sums up to the order of additions
/// that each documents.
///
/// Chosen by what the device says of itself, never by the batch, so that a row alone has the bits that it has in any
/// batch. [`super::LoraDesc::family`] overrides the choice, for example by what [`super::Tuned`] measured;
/// [`super::Lora::variant`] tells which one runs.
///
/// ```no_run
/// # use gtca::lora::{Family, Lora, LoraDesc};
/// # fn f(gpu: &gtca::gpu::Gpu) -> Result<(), gtca::Error> {
/// let desc = LoraDesc { inputs: 768, outputs: 768, family: Some(Family::Threads), ..Default::default() };
/// assert_eq!(Lora::new(&desc)?.variant(gpu)?.to_string(), "threads");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Subgroups of exactly eight lanes that share their loads by broadcasts from constant lanes. For software adapters
    /// such as lavapipe, where loads are dear and broadcasts nearly free. Needs [`wgpu::Features::SUBGROUP`]; is faster with
    /// [`wgpu::Features::SHADER_INT64`], with the same bits.
    Lanes,
    /// Tiles in workgroup memory, whole lines to and from memory, no subgroups: for GPUs. Needs 13,056 bytes of workgroup
    /// memory and 128 invocations; WebGPU's default limits give more.
    Shared,
    /// Register tiles alone, neither subgroups nor barriers: runs everywhere, and serves software adapters with other
    /// subgroups, such as SwiftShader.
    Threads,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 3] = [Self::Lanes, Self::Shared, Self::Threads];

    /// The default on a device: on a software adapter (device type CPU) [`Family::Lanes`], elsewhere
    /// [`Family::Shared`]; where that does not run, [`Family::Threads`].
    pub fn of(gpu: &Gpu) -> Self {
        let software = gpu.info().device_type == wgpu::DeviceType::Cpu;
        let best = if software { Self::Lanes } else { Self::Shared };
        if best.runs_on(gpu) { best } else { Self::Threads }
    }

    /// Its short name, which files keep.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lanes => "lanes",
            Self::Shared => "shared",
            Self::Threads => "threads",
        }
    }

    /// Whether the device can run it.
    pub fn runs_on(self, gpu: &Gpu) -> bool {
        let limits = gpu.limits();
        match self {
            Self::Lanes => gpu.has_subgroups_of(LANES),
            Self::Shared => {
                limits.max_compute_workgroup_storage_size >= SHARED_BYTES
                    && limits.max_compute_invocations_per_workgroup >= 128
                    && limits.max_compute_workgroup_size_x >= 128
            }
            Self::Threads => true,
        }
    }

    /// Refuses a device that cannot run it.
    pub(super) fn check(self, gpu: &Gpu) -> Result<Self, Error> {
        if self.runs_on(gpu) {
            return Ok(self);
        }
        let rule = match self {
            Self::Lanes => {
                "it needs a device with wgpu::Features::SUBGROUP and subgroups of exactly 8 lanes".to_owned()
            }
            _ => format!("it needs {SHARED_BYTES} bytes of workgroup memory and 128 invocations"),
        };
        Err(Error::argument(OP, "family", format!("{self:?}"), rule, "leave it out to have one chosen"))
    }

    /// How a kernel of this family is cut.
    pub(super) fn down(self, rank: u32) -> Plan {
        match self {
            Self::Lanes if rank > 16 => Plan {
                kernels: [&LANES_DOWN_TALL, &ROUTED_LANES_DOWN_TALL],
                ranks: 32,
                rows: 64,
                columns: 4,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: true,
            },
            Self::Lanes => Plan {
                kernels: [&LANES_DOWN, &ROUTED_LANES_DOWN],
                ranks: class(rank, 16),
                rows: 32,
                columns: 16,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: true,
            },
            Self::Shared => Plan {
                kernels: [&SHARED_DOWN, &ROUTED_SHARED_DOWN],
                ranks: class(rank, 16),
                rows: 32,
                columns: 4,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: false,
            },
            Self::Threads => Plan {
                kernels: [&THREADS_DOWN, &ROUTED_THREADS_DOWN],
                ranks: class(rank, 16),
                rows: 8,
                columns: 4,
                fours: 0,
                step: 0,
                lanes: 64,
                is_long: false,
            },
        }
    }

    /// As [`Self::down`]; `fresh`: rows are written that are not loaded. Where rows are whole vectors and nothing is drawn, few
    /// ranks of h are held in registers. Above 64 ranks B no longer fits them: there `Lanes` takes the tiles of `Threads`. All sum
    /// in the same order.
    pub(super) fn up(self, rank: u32, may_hold: bool, fresh: bool) -> Plan {
        let ranks = class(rank, 64);
        let holds = may_hold && ranks <= 16;
        match self {
            Self::Lanes if holds => Plan {
                kernels: [&LANES_UP_HELD, &ROUTED_LANES_UP_HELD],
                ranks,
                rows: 8 * eights(ranks, fresh),
                columns: 0,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: true,
            },
            Self::Lanes if ranks <= 16 => {
                // Times four columns of a lane, and rows for which it keeps B of them in registers: few rows keep their pages
                // near, many spread the loads of B; measured.
                let (fours, rows) = match ranks {
                    4 => (1, 64),
                    8 => (1, 128),
                    _ => (2, 64),
                };
                Plan {
                    kernels: [&LANES_UP, &ROUTED_LANES_UP],
                    ranks,
                    rows,
                    columns: 32 * fours,
                    fours,
                    step: 0,
                    lanes: 1,
                    is_long: true,
                }
            }
            Self::Lanes if rank <= 64 => Plan {
                kernels: [&LANES_UP_ROWS, &ROUTED_LANES_UP_ROWS],
                ranks,
                rows: 256,
                columns: 128,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: true,
            },
            Self::Shared => Plan {
                kernels: [&SHARED_UP, &ROUTED_SHARED_UP],
                ranks: 0,
                rows: 16,
                columns: 256,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: false,
            },
            Self::Threads if holds => Plan {
                kernels: [&THREADS_UP_HELD, &ROUTED_THREADS_UP_HELD],
                ranks,
                rows: 8,
                columns: 128,
                fours: 0,
                step: 0,
                lanes: 64,
                is_long: false,
            },
            _ => Plan {
                kernels: [&THREADS_UP, &ROUTED_THREADS_UP],
                ranks: 0,
                rows: 8,
                columns: 8,
                fours: 0,
                step: 0,
                lanes: 64,
                is_long: false,
            },
        }
    }

    /// As [`Self::down`]; `rows` are the fewest of a chunk.
    pub(super) fn outer(self, rank: u32) -> Plan {
        match self {
            Self::Lanes => {
                let ranks = class(rank, 64);
                // The eight lanes load the w of so many rows.
                let step = if ranks == 64 { 4 } else { 8 };
                Plan {
                    kernels: [&LANES_OUTER, &ROUTED_LANES_OUTER],
                    ranks,
                    rows: 512,
                    columns: 32,
                    fours: ranks * step / 32,
                    step,
                    lanes: 1,
                    is_long: true,
                }
            }
            Self::Shared => Plan {
                kernels: [&SHARED_OUTER, &ROUTED_SHARED_OUTER],
                ranks: class(rank, 16),
                rows: 256,
                columns: 256,
                fours: 0,
                step: 0,
                lanes: 1,
                is_long: false,
            },
            Self::Threads => Plan {
                kernels: [&THREADS_OUTER, &ROUTED_THREADS_OUTER],
                ranks: class(rank, 8),
                rows: 256,
                columns: 8,
                fours: 0,
                step: 0,
                lanes: 64,
                is_long: false,
            },
        }
    }

    /// Parts of `down`'s sum over columns: part p has the fours of columns c with c mod parts = p.
    pub(super) fn parts(self, rank: u32) -> u32 {
        match self {
            Self::Shared => 64 / class(rank, 16),
            _ => 1,
        }
    }

    /// Loop iterations of one invocation of `down`.
    pub(super) fn down_iterations(self, rank: u32, inputs: u32) -> u64 {
        u64::from(match self {
            Self::Lanes if rank > 16 => inputs.div_ceil(4),
            Self::Lanes => inputs.div_ceil(16),
            Self::Shared => inputs.div_ceil(64) * (2 + 16 / self.parts(rank)) + self.parts(rank),
            Self::Threads => inputs.div_ceil(4),
        })
    }
}

/// [`Family::name`].
impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Width of the subgroups of [`Family::Lanes`].
const LANES: u32 = 8;
/// Workgroup memory of [`Family::Shared`].
const SHARED_BYTES: u32 = 13_056;

/// A kernel and the tile of one workgroup, or of one invocation where `lanes` of them make a workgroup.
pub(super) struct Plan {
    /// Of one adapter, and of many.
    kernels: [&'static Kernel; 2],
    /// Ranks of a tile, also the shader's flag; 0: all.
    pub ranks: u32,
    pub rows: u32,
    /// Columns of a tile, 0: all; of `down`, which goes through all of them, those of a step.
    pub columns: u32,
    /// Times four numbers of a lane, columns of `up` and ranks of `outer`, a flag too; 0: fixed.
    fours: u32,
    /// Rows of a loop's step, a flag too; 0: fixed.
    step: u32,
    pub lanes: u64,
    /// Moves vectors as 64-bit words where the device has them.
    is_long: bool,
}

impl Plan {
    pub(super) fn kernel(&self, many: bool) -> &'static Kernel {
        self.kernels[usize::from(many)]
    }

    /// Flags of the kernel: its ranks, how it loads and stores, and what else is on, in the table's order.
    pub(super) fn flags(
        &self,
        gpu: &Gpu,
        vectors: bool,
        others: &[Option<&'static str>],
    ) -> Vec<&'static str> {
        let ranks = match self.ranks {
            0 => None,
            4 => Some("RANKS=4"),
            8 => Some("RANKS=8"),
            16 => Some("RANKS=16"),
            32 => Some("RANKS=32"),
            _ => Some("RANKS=64"),
        };
        let fours = match self.fours {
            0 => None,
            1 => Some("FOURS=1"),
            2 => Some("FOURS=2"),
            4 => Some("FOURS=4"),
            _ => Some("FOURS=8"),
        };
        let step = match self.step {
            0 => None,
            4 => Some("ROWS=4"),
            _ => Some("ROWS=8"),
        };
        let is_long = vectors && self.is_long && gpu.has_long_words();
        let access = [vectors.then_some("VEC4"), is_long.then_some("LONG")];
        let eights = match self.rows / 8 {
            _ if self.columns > 0 => None,
            2 => Some("EIGHTS=2"),
            4 => Some("EIGHTS=4"),
            _ => Some("EIGHTS=8"),
        };
        let own = [ranks, fours, step, eights].into_iter().chain(access);
        own.chain(others.iter().copied()).flatten().collect()
    }

    /// Workgroups for so many tiles down and a matrix of `ranks` × `columns` across.
    pub(super) fn groups(&self, down: u32, rank: u32, columns: u32) -> u64 {
        let ranks = if self.ranks == 0 { 1 } else { rank.div_ceil(self.ranks) };
        let columns = if self.columns == 0 { 1 } else { columns.div_ceil(self.columns) };
        (u64::from(down) * u64::from(ranks) * u64::from(columns)).div_ceil(self.lanes)
    }
}

/// The smallest tile of ranks that holds `rank`, at most `largest`.
pub(super) fn class(rank: u32, largest: u32) -> u32 {
    rank.next_power_of_two().clamp(4, largest)
}

/// Times eight rows of `Lanes` where it holds h, a flag too: many spread the loads of B, few keep pages near, which matters more
/// where it stores into rows that no load has fetched (`fresh`); measured.
fn eights(ranks: u32, fresh: bool) -> u32 {
    match ranks {
        4 => 2,
        8 => 4,
        _ if fresh => 4,
        _ => 8,
    }
}

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

static LANES_DOWN: Kernel = Kernel {
    name: "lora/lanes/down",
    source: include_str!("../../shaders/lora/lanes/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: lanes_reading!([SOME_RANKS]),
    loop_bound: "inputs / 16 (h), outputs / 16 (u)",
    when: "h = x Aᵀ and u = dy B, subgroups of 8, at most 16 ranks",
};

static LANES_DOWN_TALL: Kernel = Kernel {
    name: "lora/lanes/down_tall",
    source: include_str!("../../shaders/lora/lanes/down_tall.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: lanes_reading!(["RANKS=32"]),
    loop_bound: "inputs / 4 (h), outputs / 4 (u)",
    when: "h = x Aᵀ and u = dy B, subgroups of 8, more than 16 ranks",
};

static SHARED_DOWN: Kernel = Kernel {
    name: "lora/shared/down",
    source: include_str!("../../shaders/lora/shared/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "inputs / 64 (h) or outputs / 64 (u), times at most 7, + 16",
    when: "h = x Aᵀ and u = dy B, GPUs",
};

static THREADS_DOWN: Kernel = Kernel {
    name: "lora/threads/down",
    source: include_str!("../../shaders/lora/threads/down.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<DownParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "inputs / 4 (h), outputs / 4 (u)",
    when: "h = x Aᵀ and u = dy B, elsewhere",
};

static LANES_UP: Kernel = Kernel {
    name: "lora/lanes/up",
    source: include_str!("../../shaders/lora/lanes/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: lanes_writing!(["RANKS=4|RANKS=8", "FOURS=1"], ["RANKS=16", "FOURS=2"]),
    loop_bound: "32",
    when: "the injection into y and dx, subgroups of 8, at most 16 ranks",
};

static LANES_UP_ROWS: Kernel = Kernel {
    name: "lora/lanes/up_rows",
    source: include_str!("../../shaders/lora/lanes/up_rows.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: lanes_writing!(["RANKS=32|RANKS=64"]),
    loop_bound: "256",
    when: "the injection into y and dx, subgroups of 8, 17 to 64 ranks",
};

static LANES_UP_HELD: Kernel = Kernel {
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

static THREADS_UP_HELD: Kernel = Kernel {
    name: "lora/threads/up_held",
    source: include_str!("../../shaders/lora/threads/up_held.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: holding!([SOME_RANKS, "VEC4"]; fresh [SOME_RANKS, "VEC4"]),
    loop_bound: "32",
    when: "the injection into y and dx, elsewhere, at most 16 ranks in whole vectors, no dropout",
};

static SHARED_UP: Kernel = Kernel {
    name: "lora/shared/up",
    source: include_str!("../../shaders/lora/shared/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: WRITING,
    loop_bound: "(rank / 64 + 1) · 21",
    when: "the injection into y and dx, GPUs",
};

static THREADS_UP: Kernel = Kernel {
    name: "lora/threads/up",
    source: include_str!("../../shaders/lora/threads/up.wgsl"),
    storage: UP_STORAGE,
    params_bytes: size_of::<UpParams>(),
    flags: WRITING,
    loop_bound: "rank / 4",
    when: "the injection into y and dx, elsewhere",
};

static LANES_OUTER: Kernel = Kernel {
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

static SHARED_OUTER: Kernel = Kernel {
    name: "lora/shared/outer",
    source: include_str!("../../shaders/lora/shared/outer.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<OuterParams>(),
    flags: reading!(SOME_RANKS),
    loop_bound: "chunk rows · 17 / 16; a chunk has 256, doubled until the partials fit 64 MiB",
    when: "first stage of dA and dB_t, GPUs",
};

static THREADS_OUTER: Kernel = Kernel {
    name: "lora/threads/outer",
    source: include_str!("../../shaders/lora/threads/outer.wgsl"),
    storage: STORAGE,
    params_bytes: size_of::<OuterParams>(),
    flags: reading!(FEW_RANKS),
    loop_bound: "chunk rows: 256, doubled until the partials fit 64 MiB",
    when: "first stage of dA and dB_t, elsewhere",
};

static ROUTED_LANES_DOWN: Kernel = routed(
    &LANES_DOWN,
    ROUTED,
    lanes_reading!(routed[SOME_RANKS]),
    "h = x Aᵀ and u = dy B, subgroups of 8, at most 16 ranks, many adapters",
);
static ROUTED_LANES_DOWN_TALL: Kernel = routed(
    &LANES_DOWN_TALL,
    ROUTED,
    lanes_reading!(routed["RANKS=32"]),
    "h = x Aᵀ and u = dy B, subgroups of 8, more than 16 ranks, many adapters",
);
static ROUTED_SHARED_DOWN: Kernel =
    routed(&SHARED_DOWN, ROUTED, reading!(routed SOME_RANKS), "h = x Aᵀ and u = dy B, GPUs, many adapters");
static ROUTED_THREADS_DOWN: Kernel = routed(
    &THREADS_DOWN,
    ROUTED,
    reading!(routed SOME_RANKS),
    "h = x Aᵀ and u = dy B, elsewhere, many adapters",
);
static ROUTED_LANES_UP: Kernel = routed(
    &LANES_UP,
    ROUTED_UP,
    lanes_writing!(routed ["RANKS=4|RANKS=8", "FOURS=1"], ["RANKS=16", "FOURS=2"]),
    "the injection into y and dx, subgroups of 8, at most 16 ranks, many adapters",
);
static ROUTED_LANES_UP_ROWS: Kernel = routed(
    &LANES_UP_ROWS,
    ROUTED_UP,
    lanes_writing!(routed["RANKS=32|RANKS=64"]),
    "the injection into y and dx, subgroups of 8, 17 to 64 ranks, many adapters",
);
static ROUTED_LANES_UP_HELD: Kernel = routed(
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
static ROUTED_THREADS_UP_HELD: Kernel = routed(
    &THREADS_UP_HELD,
    ROUTED_UP,
    holding!(routed [SOME_RANKS, "VEC4"]; fresh [SOME_RANKS, "VEC4"]),
    "the injection into y and dx, elsewhere, at most 16 ranks in whole vectors, many adapters",
);
static ROUTED_SHARED_UP: Kernel =
    routed(&SHARED_UP, ROUTED_UP, ROUTED_WRITING, "the injection into y and dx, GPUs, many adapters");
static ROUTED_THREADS_UP: Kernel =
    routed(&THREADS_UP, ROUTED_UP, ROUTED_WRITING, "the injection into y and dx, elsewhere, many adapters");
static ROUTED_LANES_OUTER: Kernel = routed(
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
static ROUTED_SHARED_OUTER: Kernel = routed(
    &SHARED_OUTER,
    ROUTED,
    reading!(routed SOME_RANKS),
    "first stage of dA and dB_t, GPUs, many adapters",
);
static ROUTED_THREADS_OUTER: Kernel = routed(
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

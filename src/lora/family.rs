//! Three structures of the same maps, one of which fits the device.

use super::OP;
use super::kernels::{
    LANES_DOWN, LANES_DOWN_TALL, LANES_OUTER, LANES_UP, LANES_UP_HELD, LANES_UP_ROWS, ROUTED_LANES_DOWN,
    ROUTED_LANES_DOWN_TALL, ROUTED_LANES_OUTER, ROUTED_LANES_UP, ROUTED_LANES_UP_HELD, ROUTED_LANES_UP_ROWS,
    ROUTED_SHARED_DOWN, ROUTED_SHARED_OUTER, ROUTED_SHARED_UP, ROUTED_THREADS_DOWN, ROUTED_THREADS_OUTER,
    ROUTED_THREADS_UP, ROUTED_THREADS_UP_HELD, SHARED_DOWN, SHARED_OUTER, SHARED_UP, THREADS_DOWN,
    THREADS_OUTER, THREADS_UP, THREADS_UP_HELD,
};
use crate::Error;
use crate::gpu::{Gpu, Kernel};

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

//! Which row belongs to which adapter, as tables that the kernels read.

use super::OP;
use crate::Error;
use crate::gpu::Gpu;
use crate::gpu::view::Bound;
use bytemuck::{Pod, Zeroable};

/// The smallest tile of rows in any family.
const SMALLEST: u32 = 8;
/// The largest chunk of rows that a sum is cut into.
const LARGEST: u32 = 1 << 15;

/// How the batch's rows fall to its samples, in order.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RowSample<'a> {
    /// So many rows a sample.
    Uniform(u32),
    /// S + 1 starts: sample s has rows `starts[s] .. starts[s + 1]`. They begin with 0 and never decrease; a sample may
    /// have no row.
    Starts(&'a [u32]),
}

/// Rows by adapter: made once on the host, used by any number of steps and layers.
///
/// Made by [`super::Bank::route`]. Rows are listed by adapter (adapters of like rank beside each other), samples in order
/// within one. Kernels take them in tiles that never straddle two adapters; rows without an adapter are in none.
#[derive(Debug)]
pub struct Routing {
    buffer: wgpu::Buffer,
    pub(super) rows: u32,
    pub(super) samples: u32,
    pub(super) adapters: u32,
    /// Whether some rows have no adapter.
    pub(super) leaves_rows: bool,
    pub(super) segments: Vec<Segment>,
    parts: Parts,
    /// Tiles of 8, 16, … rows of an adapter, up to the first that holds every adapter's rows.
    tables: Vec<Table>,
    /// Chunks of [`super::gpu::GATE_TOKENS`] rows of a sample.
    of_samples: Table,
}

/// The rows of one adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub adapter: u32,
    pub rows: u32,
}

/// Where parts of the buffer start, in words.
#[derive(Clone, Copy, Debug)]
struct Parts {
    rows: u32,
    adapters: u32,
    starts: u32,
    sample_of_row: u32,
    adapter_of_sample: u32,
    sample_starts: u32,
}

/// Runs of rows cut into tiles of one size.
#[derive(Debug)]
struct Table {
    /// Each run's first tile, and the end.
    firsts: Vec<u32>,
    /// Where `firsts` and every tile's run lie in the buffer, in words.
    firsts_at: u32,
    tiles_at: u32,
}

/// The Rust side of `Route` in `shaders/lora/route.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub(super) struct Route {
    pub rows: u32,
    pub adapters: u32,
    pub starts: u32,
    pub firsts: u32,
    pub tiles: u32,
    pub first_tile: u32,
    pub count: u32,
    pub matrix: u32,
    pub shift: u32,
    pub first_segment: u32,
    pub elements: u32,
    pub pad: u32,
}

impl Routing {
    /// Checks ids and rows and uploads the tables; `ranks` are the bank's.
    pub(super) fn new(gpu: &Gpu, ids: &[i32], rows: RowSample<'_>, ranks: &[u32]) -> Result<Self, Error> {
        let starts = starts(ids.len(), rows)?;
        check_ids(ids, ranks.len())?;
        // By class of ranks and adapter; samples keep their order.
        let mut order: Vec<u32> = (0..ids.len() as u32).filter(|&s| ids[s as usize] >= 0).collect();
        let adapter = |sample: &u32| ids[*sample as usize] as u32;
        order.sort_by_key(|sample| (super::class(ranks[adapter(sample) as usize]), adapter(sample)));
        let rows_of = |sample: u32| starts[sample as usize]..starts[sample as usize + 1];
        order.retain(|sample| !rows_of(*sample).is_empty());
        let runs = order.chunk_by(|a, b| adapter(a) == adapter(b));
        let segments: Vec<Segment> = runs
            .map(|run| Segment {
                adapter: adapter(&run[0]),
                rows: run.iter().map(|s| rows_of(*s).len() as u32).sum(),
            })
            .collect();

        let mut words = Vec::new();
        let parts = Parts {
            rows: append(&mut words, order.iter().flat_map(|sample| rows_of(*sample))),
            adapters: append(&mut words, segments.iter().map(|segment| segment.adapter)),
            starts: append(&mut words, cumulated(segments.iter().map(|segment| segment.rows))),
            sample_of_row: append(
                &mut words,
                (0..ids.len() as u32).flat_map(|sample| rows_of(sample).map(move |_| sample)),
            ),
            // Entry `ranks.len()` of a bank is no adapter's: rank 0.
            adapter_of_sample: append(
                &mut words,
                ids.iter().map(|&id| u32::try_from(id).unwrap_or(ranks.len() as u32)),
            ),
            sample_starts: append(&mut words, starts.iter().copied()),
        };
        let longest = segments.iter().map(|segment| segment.rows).max().unwrap_or(0);
        let mut tables = Vec::new();
        let mut size = SMALLEST;
        loop {
            tables.push(Table::new(&mut words, segments.iter().map(|segment| segment.rows), size));
            if size >= longest || size == LARGEST {
                break;
            }
            size *= 2;
        }
        let all = (0..ids.len() as u32).map(|sample| rows_of(sample).len() as u32);
        let of_samples = Table::new(&mut words, all, super::gpu::GATE_TOKENS);
        let limit = gpu.largest_view();
        if words.len() as u64 * 4 > limit {
            let rule = format!("its tables must fit one binding of {limit} bytes");
            return Err(Error::argument(OP, "rows", starts[ids.len()], rule, "split the batch"));
        }
        Ok(Self {
            buffer: gpu.upload("lora routing", &words),
            rows: starts[ids.len()],
            samples: ids.len() as u32,
            adapters: ranks.len() as u32,
            leaves_rows: segments.iter().map(|segment| segment.rows).sum::<u32>() < starts[ids.len()],
            segments,
            parts,
            tables,
            of_samples,
        })
    }

    /// The batch's rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The batch's samples.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Ids of the adapters that have rows, by class of ranks, then in order.
    pub fn present(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments.iter().map(|segment| segment.adapter)
    }

    /// Tiles of `size` rows, a power of two, of some segments.
    pub(super) fn tiles(&self, size: u32, segments: &std::ops::Range<usize>) -> Route {
        let level = (size / SMALLEST).ilog2() as usize;
        let table = &self.tables[level.min(self.tables.len() - 1)];
        let [first, end] = [segments.start, segments.end].map(|segment| table.firsts[segment]);
        Route {
            rows: self.parts.rows,
            adapters: self.parts.adapters,
            starts: self.parts.starts,
            firsts: table.firsts_at,
            tiles: table.tiles_at,
            first_tile: first,
            count: end - first,
            first_segment: segments.start as u32,
            ..Default::default()
        }
    }

    /// Chunks of every sample's rows, as tiles whose runs are samples.
    pub(super) fn chunks_of_samples(&self) -> Route {
        Route {
            adapters: self.parts.adapter_of_sample,
            starts: self.parts.sample_starts,
            firsts: self.of_samples.firsts_at,
            tiles: self.of_samples.tiles_at,
            count: self.of_samples.firsts[self.samples as usize],
            ..Default::default()
        }
    }

    /// The end of the first of these segments that have at most so many tiles of `size` rows together; at least one.
    pub(super) fn full(&self, size: u32, segments: &std::ops::Range<usize>, tiles: u64) -> usize {
        let fits = |end: &usize| u64::from(self.tiles(size, &(segments.start..*end)).count) <= tiles;
        (segments.start + 2..=segments.end).take_while(fits).last().unwrap_or(segments.start + 1)
    }

    pub(super) fn bound(&self) -> Bound<'_> {
        Bound::whole(&self.buffer)
    }

    /// Where the buffer has the sample of every row and the adapter of every sample, in words.
    pub(super) fn of_rows(&self) -> [u32; 2] {
        [self.parts.sample_of_row, self.parts.adapter_of_sample]
    }
}

impl Table {
    fn new(words: &mut Vec<u32>, runs: impl Iterator<Item = u32>, size: u32) -> Self {
        let firsts: Vec<u32> = cumulated(runs.map(|rows| rows.div_ceil(size))).collect();
        let firsts_at = append(words, firsts.iter().copied());
        let tiles = firsts.windows(2).enumerate();
        let tiles_at =
            append(words, tiles.flat_map(|(run, ends)| (ends[0]..ends[1]).map(move |_| run as u32)));
        Self { firsts, firsts_at, tiles_at }
    }
}

/// Appends a part and says where it starts.
fn append(words: &mut Vec<u32>, part: impl Iterator<Item = u32>) -> u32 {
    let at = words.len() as u32;
    words.extend(part);
    at
}

/// 0, then the sums of the first 1, 2, … counts.
fn cumulated(counts: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    std::iter::once(0).chain(counts.scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    }))
}

/// Checked starts of the samples' rows, and the end.
fn starts(samples: usize, rows: RowSample<'_>) -> Result<Vec<u32>, Error> {
    let refuse = |value: String, rule: &str, remedy| Err(Error::argument(OP, "rows", value, rule, remedy));
    match rows {
        RowSample::Uniform(tokens) => {
            if samples as u64 * u64::from(tokens) > u64::from(u32::MAX / 8) {
                let rule = "a batch has at most 536,870,911 rows";
                return refuse(format!("{samples} samples of {tokens}"), rule, "split the batch");
            }
            Ok((0..=samples as u32).map(|sample| sample * tokens).collect())
        }
        RowSample::Starts(starts) => {
            if starts.len() != samples + 1 {
                let value = format!("{} starts for {samples} samples", starts.len());
                return refuse(value, "each sample needs a start, and the end follows", "give S + 1 starts");
            }
            if starts[0] != 0 {
                return refuse(format!("from row {}", starts[0]), "they begin with row 0", "count from 0");
            }
            if let Some(at) = starts.windows(2).position(|ends| ends[1] < ends[0]) {
                let value = format!("{} after {} at sample {at}", starts[at + 1], starts[at]);
                return refuse(value, "starts never decrease", "sort the samples' rows");
            }
            if starts[samples] > u32::MAX / 8 {
                let rule = "a batch has at most 536,870,911 rows";
                return refuse(format!("{} rows", starts[samples]), rule, "split the batch");
            }
            Ok(starts.to_vec())
        }
    }
}

fn check_ids(ids: &[i32], adapters: usize) -> Result<(), Error> {
    let known = |id: i32| id == -1 || usize::try_from(id).is_ok_and(|id| id < adapters);
    match ids.iter().position(|id| !known(*id)) {
        None => Ok(()),
        Some(at) => {
            let value = format!("{} at sample {at}", ids[at]);
            let rule = format!("ids run from 0 to {}, or are −1 for none", adapters - 1);
            Err(Error::argument(OP, "adapters", value, rule, "check the samples' adapters"))
        }
    }
}

//! The matrices of the two maps: one adapter's, or those that a routing takes from a bank.

use super::bank::Run;
use super::routing::Route;
use super::{Bank, OP, Routing};
use crate::Error;
use crate::gpu::view::Bound;
use crate::gpu::{Dtype, Gpu, View};
use std::ops::Range;

/// Where A and b_t come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Maps<'a> {
    One {
        a: View<'a>,
        b_t: View<'a>,
        scale: f32,
    },
    Many {
        bank: &'a Bank,
        routing: &'a Routing,
        arenas: &'a [View<'a>],
        /// Of arenas of halves: A and b_t of the adapters that have rows, as [`super::gpu::widen_many`] writes them out.
        widened: Option<[View<'a>; 2]>,
    },
}

/// One of the two matrices; the number is its start's place in a bank's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    A = 2,
    B = 3,
}

/// What one dispatch of a map's kernel takes.
pub(super) struct Part<'a> {
    /// Rows of the batch that are bound.
    pub rows: Range<u32>,
    pub tiles: u32,
    /// The largest rank.
    pub rank: u32,
    pub matrix: Bound<'a>,
    pub start: u32,
    pub stride: u32,
    /// One adapter's s.
    pub scale: f32,
    pub route: Route,
    /// Bindings of the tables that a routed kernel reads.
    pub tables: Option<[Bound<'a>; 2]>,
    /// The matrix may be loaded four elements at a time.
    pub vectors: bool,
}

impl<'a> Maps<'a> {
    pub(super) fn matrix(&self, side: Side) -> Option<View<'a>> {
        match (self, side) {
            (Self::One { a, .. }, Side::A) => Some(*a),
            (Self::One { b_t, .. }, Side::B) => Some(*b_t),
            (Self::Many { .. }, _) => None,
        }
    }

    pub(super) fn routing(&self) -> Option<&'a Routing> {
        match self {
            Self::One { .. } => None,
            Self::Many { routing, .. } => Some(routing),
        }
    }

    /// s of the one adapter; each of many has its own, and what they share is 1.
    pub(super) fn scale(&self) -> f32 {
        match self {
            Self::One { scale, .. } => *scale,
            Self::Many { .. } => 1.0,
        }
    }

    /// Bindings of the tables that a routed kernel reads.
    pub(super) fn tables(&self) -> Option<[Bound<'a>; 2]> {
        match self {
            Self::One { .. } => None,
            Self::Many { bank, routing, .. } => Some([routing.bound(), bank.bound()]),
        }
    }

    /// Every dispatch of a map over rows of these views, in tiles of as many rows as a rank takes, and a matrix that may be
    /// loaded four elements at a time.
    pub(super) fn parts(
        &self,
        gpu: &Gpu,
        side: Side,
        views: &[View<'_>],
        rank: u32,
        tile_rows: impl Fn(u32, bool) -> u32,
    ) -> Result<Vec<Part<'a>>, Error> {
        let Self::Many { bank, routing, arenas, widened } = self else {
            let matrix = self.matrix(side).expect("one adapter has both matrices");
            let (bound, vectors) = (matrix.bind(gpu.alignment()), matrix.is_vec4());
            let chunks = gpu.row_chunks(OP, views, 1)?;
            return Ok(chunks
                .into_iter()
                .map(|rows| Part {
                    tiles: (rows.end - rows.start).div_ceil(tile_rows(rank, vectors)),
                    rows,
                    rank,
                    matrix: bound,
                    start: bound.rows.start,
                    stride: matrix.sample_stride,
                    scale: self.scale(),
                    route: Route::default(),
                    tables: None,
                    vectors,
                })
                .collect());
        };
        let widened = widened.map(|both| both[usize::from(side == Side::B)]);
        let dtype = arenas.first().map_or(Dtype::F32, |arena| arena.dtype);
        let runs = bank.runs(routing, side, dtype, gpu.largest_view());
        let mut first = 0;
        let of_run = |run: Run| {
            let (window, elements) = match widened {
                None => (run.window(&arenas[run.arena]), 0),
                Some(all) => {
                    let step = bank.elements(&run, side);
                    let numbers = run.segments.len() as u32 * step;
                    let window = View::vector(all.buffer, numbers).at(all.offset + first * 4);
                    first += u64::from(numbers);
                    (window, step)
                }
            };
            let matrix = window.bind(gpu.alignment());
            let shift = if elements == 0 { run.shift(&matrix) } else { matrix.rows.start };
            // Scratch starts at whole vectors.
            let vectors = bank.vectors && (elements != 0 || arenas[run.arena].offset.is_multiple_of(16));
            let route = routing.tiles(tile_rows(run.rank, vectors), &run.segments);
            Part {
                rows: 0..routing.rows,
                tiles: route.count,
                rank: run.rank,
                matrix,
                start: 0,
                stride: bank.width(side),
                scale: 1.0,
                route: Route { matrix: side as u32, shift, elements, ..route },
                tables: self.tables(),
                vectors,
            }
        };
        Ok(runs.into_iter().map(of_run).collect())
    }
}

//! Recording of the injection's kernels, each beside its shader's name.

mod dbias;
mod dgate;
mod dlambda;
mod down;
mod gated;
mod outer;
mod sum_parts;
mod up;
mod widen;

pub(super) use dbias::{as_arena, dbias, dbias_of_many, output_sums};
pub(super) use dgate::{GATE_TOKENS, dgate};
pub(super) use dlambda::{dlambda, lambda_rows};
pub(super) use down::down;
pub(super) use gated::{Gated, gated};
pub(super) use outer::{outer, outer_chunks};
pub(super) use up::{Onto, Target, up};
pub(super) use widen::{widen, widen_many};

use super::Dropout;
use super::kernels::{self, Dropped};
use crate::gpu::view::Bound;
use crate::gpu::{Binding, Kernel, Knob, View};
use std::ops::Range;

/// A kernel's form for many adapters.
pub(super) const fn routed(
    plain: &'static Kernel,
    storage: &'static [Binding],
    flags: &'static [&'static [&'static str]],
    when: &'static str,
) -> Kernel {
    let Kernel { name, source, params_bytes, loop_bound, .. } = *plain;
    Kernel { name, source, storage, params_bytes, flags, loop_bound, when }
}

/// Bindings of a routed kernel: the three of the plain one, then routing and bank.
pub(super) const ROUTED: &[Binding] =
    &[Binding::Read, Binding::Read, Binding::Write, Binding::Read, Binding::Read];

pub(crate) fn kernels() -> Vec<&'static Kernel> {
    let sums = [&sum_parts::KERNELS[..], &dgate::KERNELS, &dlambda::KERNELS];
    let others = [&gated::KERNELS[..], &widen::KERNELS, &kernels::KERNELS];
    [sums.concat(), others.concat()].concat()
}

/// What a dispatch over a run of rows draws.
fn dropped(dropout: Option<Dropout>, range: &Range<u32>) -> Dropped {
    let Some(dropout) = dropout else { return Dropped::default() };
    let row = dropout.first_row.wrapping_add(range.start.into());
    Dropped {
        seed_low: dropout.seed as u32,
        seed_high: (dropout.seed >> 32) as u32,
        step: dropout.step,
        threshold: dropout.threshold(),
        row_low: row as u32,
        row_high: (row >> 32) as u32,
        scale: dropout.scale(),
        pad: 0,
    }
}

/// Rows can be loaded and stored four elements at a time. The sums are the same either way.
fn take_vectors(views: &[&View<'_>]) -> bool {
    views.iter().all(|view| view.is_vec4())
}

/// The flags that are on.
fn on(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    flags.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag).collect()
}

/// A kernel's bindings, then routing and bank where it reads them.
fn with_tables<'a>(own: &[Bound<'a>], tables: Option<[Bound<'a>; 2]>) -> Vec<Bound<'a>> {
    own.iter().copied().chain(tables.into_iter().flatten()).collect()
}

/// λ as the second stage's factor.
fn second_factor(lambda: Knob<'_>) -> (f32, Option<Knob<'_>>) {
    match lambda {
        Knob::Host(value) => (value, None),
        buffer => (1.0, Some(buffer)),
    }
}

//! Records under wrong metadata, on the device: for training with perturbed metadata, and to measure how far a
//! model's predictions move.
//!
//! | perturbation | effect |
//! |---|---|
//! | [`Perturbation::Drop`] | fields become missing |
//! | [`Perturbation::Displace`] | the place moves along a great circle |
//! | [`Perturbation::ShiftMonths`], `ShiftDays`, `ShiftYears`, `ShiftHours` | the date moves by the calendar |
//! | [`Perturbation::Swap`] | the place, or any fields, of a donor ([`choose_donors`]) |
//! | [`Perturbation::Set`] | given values |
//! | [`Perturbation::Scale`] | a multiple of the ground sample distance |
//! | [`Perturbation::Training`] | the random mix of training |
//!
//! A list of perturbations is one dispatch from one batch of records to another, each applied to what the one before
//! it left. K lists are K dispatches of one pass, into K outputs or a block of them ([`Perturb::record_all`]).
//!
//! Where a place moves, by whatever perturbation, its climate zone, ecoregion and tile follow the grids of a
//! [`Lookup`]: a record takes the grid's code only where the grid says another one than at the place before, else a
//! coarse grid's own error would be measured. Ids that a record lacks, or that a swap or `Set` gives, do not follow.
//!
//! Everything is decided by integers: `shaders/perturb/perturb.wgsl` and [`twin::perturb`] agree bit for bit on every
//! device. Random draws depend on seed, purpose, the record's `sample_id`, the step and the number of the draw alone.
//! Tests: `tests/gpu/perturb.rs`.

mod donors;
mod gpu;
mod grid;
mod perturbation;
mod plan;
mod shift;
pub mod twin;

pub use donors::{DonorDesc, DonorKind, DonorPool, NO_DONOR, choose_donors, donor_groups, donor_indices};
pub use grid::{Lookup, LookupGrid};
pub use perturbation::{Bearing, Distance, Perturbation, TrainingMix};
pub use shift::{shift_time_days, shift_time_hours, shift_time_months, shift_time_years};

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Recorder, View, check_overlap};
use crate::records::{Field, RECORD_WORDS, Records};
use plan::{KIND_SWAP, Part};

const OP: &str = "perturb";
/// Counts in a status buffer: one per validity bit ([`Field`] as a number); the last two are [`STATUS_NO_DONOR`] and
/// [`STATUS_NO_ID`].
pub const STATUS_WORDS: u32 = 32;
/// Index of the count of swaps left out because the record has no donor.
pub const STATUS_NO_DONOR: u32 = 30;
/// Index of the count of random perturbations left out because the record has no `sample_id`.
pub const STATUS_NO_ID: u32 = 31;
/// Most perturbations of one list.
pub const MAX_PARTS: usize = 8;
/// Purpose of the draws of [`Perturbation::Training`], in the random numbers' key.
pub const PURPOSE_TRAINING: u32 = 1;
/// Purpose of the draws of [`Perturbation::Displace`].
pub const PURPOSE_DISPLACE: u32 = 2;
/// Purpose of the draws of [`choose_donors`].
pub const PURPOSE_DONOR: u32 = 3;

/// A list of perturbations with its random seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerturbDesc<'a> {
    /// What is done, in this order; at most [`MAX_PARTS`], none copies the records.
    ///
    /// The draws of the n-th random part of a kind depend on n alone: other kinds around it, or parts behind it, do not
    /// change them.
    pub parts: &'a [Perturbation],
    /// Seed of the random draws.
    pub seed: u64,
}

/// A checked list of perturbations.
///
/// ```
/// use gtca::perturb::{Bearing, Distance, Perturb, PerturbDesc, Perturbation};
/// let distance = Distance::Km(100.0);
/// let displace = Perturbation::Displace { distance, bearing: Bearing::Random };
/// let parts = &[displace, Perturbation::ShiftMonths { months: 6 }];
/// assert!(Perturb::new(&PerturbDesc { parts, seed: 7 })?.is_random());
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Perturb {
    parts: Vec<Part>,
    seed: u64,
}

/// The donors of a batch, on the device.
#[derive(Clone, Copy, Debug)]
pub struct Donors<'a> {
    /// `[S]` u32 (one row): which record of the pool each sample gets; [`NO_DONOR`], as any index past the pool's end,
    /// means none.
    pub indices: View<'a>,
    /// `[RECORD_WORDS, 1, P]` u32, as [`Records::words`] lays them out; may be the batch itself. Impossible values count
    /// as missing.
    pub pool: View<'a>,
}

/// Arguments of [`Perturb::record`].
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// `[RECORD_WORDS, 1, S]` u32, as [`Records::words`] lays them out.
    pub records: View<'a>,
    /// Written: the perturbed records, likewise; another range than `records`.
    pub out: View<'a>,
    /// Written: `[S, 1]` f32 (`S` rows of one), 0 where no metadata is left, else 1: the gate's v.
    pub v: View<'a>,
    /// For [`Perturbation::Swap`] only.
    pub donors: Option<Donors<'a>>,
    /// The grids that the ids of moved places follow, and their [`words`](Lookup::words) as a vector of u32.
    pub lookup: Option<(&'a Lookup, View<'a>)>,
    /// Added to: [`STATUS_WORDS`] u32 counts of impossible values by field, and of parts left out for want of a donor
    /// or an id. Zero them before.
    pub status: Option<View<'a>>,
    /// The training step, or the index k of the perturbation: part of the random draws' counter.
    pub step: u32,
}

impl Perturb {
    /// Checks the numbers.
    ///
    /// # Errors
    /// More than [`MAX_PARTS`]; a distance that is not above 0 and at most 20,015 km, or a range that is not
    /// increasing; a bearing that is not finite; a probability outside 0..=1; a shift beyond 1,000 years; a factor
    /// outside 1e-6..=1e6; values to set that no record may hold, or a `sample_id` among them.
    pub fn new(desc: &PerturbDesc<'_>) -> Result<Self, Error> {
        if desc.parts.len() > MAX_PARTS {
            let rule = format!("a list has at most {MAX_PARTS}");
            return Err(Error::argument(OP, "parts", desc.parts.len(), rule, "perturb twice"));
        }
        Ok(Self { parts: plan::parts(desc.parts)?, seed: desc.seed })
    }

    /// Whether it draws random numbers, and so needs every record's `sample_id`.
    pub fn is_random(&self) -> bool {
        self.parts.iter().any(|part| part.purpose != 0)
    }

    /// Whether it swaps, and so needs donors.
    pub fn needs_donors(&self) -> bool {
        self.parts.iter().any(|part| part.kind == KIND_SWAP)
    }

    /// Refuses host-built records that lack what this perturbation needs.
    ///
    /// # Errors
    /// A random perturbation of a record without `sample_id`.
    pub fn check_records(&self, records: &Records) -> Result<(), Error> {
        if self.is_random() { check_ids(records) } else { Ok(()) }
    }

    /// Records the perturbation of a batch: one dispatch.
    ///
    /// Impossible values count as missing. A random part leaves records without `sample_id` as they are and counts
    /// them in the status; refuse them before with [`check_records`](Self::check_records).
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; donors that are missing or not used; grids of another
    /// size.
    pub fn record(&self, recorder: &mut Recorder<'_>, args: &Args<'_>) -> Result<(), Error> {
        self.check(args)?;
        gpu::perturb(recorder, self, args)
    }

    /// Records K perturbations of one batch of S records into one batch of K·S: sample s under perturbation k is number
    /// k·S + s, ready for one encoding of all. K dispatches.
    ///
    /// `args` is that of [`record`](Self::record), but `out` is `[RECORD_WORDS, 1, K·S]`, `v` is `[K·S, 1]`, and so are
    /// the donors' indices, if any: `[K·S]`, where perturbations that swap read their own S. Perturbation k draws with
    /// `args.step + k`.
    ///
    /// ```no_run
    /// # use gtca::{gpu::{Dtype, Gpu, View}, perturb::{Args, Bearing, Distance, Perturb, PerturbDesc, Perturbation}};
    /// # use gtca::records::{RECORD_WORDS, Records};
    /// # fn f(gpu: &Gpu, records: &Records) -> Result<(), gtca::Error> {
    /// let displaced = |km| {
    ///     let parts = [Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random }];
    ///     Perturb::new(&PerturbDesc { parts: &parts, seed: 7 })
    /// };
    /// let wrong = [displaced(1.0)?, displaced(10.0)?, displaced(100.0)?, displaced(1000.0)?];
    /// let (words, samples) = (gpu.upload("records", records.words()), records.len() as u32);
    /// let moved = gpu.zeros("moved", u64::from(4 * samples * RECORD_WORDS) * 4);
    /// let v = gpu.zeros("v", u64::from(4 * samples) * 4);
    /// let args = Args {
    ///     records: View::matrix(&words, RECORD_WORDS, samples).of(Dtype::U32),
    ///     out: View::matrix(&moved, RECORD_WORDS, 4 * samples).of(Dtype::U32),
    ///     v: View::matrix(&v, 4 * samples, 1),
    ///     donors: None, lookup: None, status: None, step: 0,
    /// };
    /// gpu.run(|recorder| Perturb::record_all(&wrong, recorder, &args))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`record`](Self::record), before anything is recorded.
    pub fn record_all(all: &[Self], recorder: &mut Recorder<'_>, args: &Args<'_>) -> Result<(), Error> {
        let samples = args.records.width();
        let wide = u64::from(samples) * all.len() as u64;
        let Ok(wide) = u32::try_from(wide) else {
            return Err(Error::argument(
                OP,
                "out",
                wide,
                "K·S must stay below 2³²",
                "perturb fewer at a time",
            ));
        };
        args.out.check_rows(OP, "out", Dtype::U32, RECORD_WORDS.into(), wide)?;
        args.v.check_rows(OP, "v", Dtype::F32, wide.into(), 1)?;
        if let Some(donors) = args.donors {
            donors.indices.check_rows(OP, "donors", Dtype::U32, 1, wide)?;
        }
        let ops: Vec<_> = (0..).zip(all).map(|(k, op)| (op, op.one_of(k, args))).collect();
        ops.iter().try_for_each(|(op, args)| op.check(args))?;
        ops.iter().try_for_each(|(op, args)| gpu::perturb(recorder, op, args))
    }

    /// The arguments of perturbation k of many.
    fn one_of<'a>(&self, k: u32, args: &Args<'a>) -> Args<'a> {
        let samples = args.records.width();
        let first = k * samples;
        let donors = args.donors.filter(|_| self.needs_donors());
        Args {
            out: args.out.columns(first, samples),
            v: args.v.slice_rows(first, first + samples),
            donors: donors.map(|d| Donors { indices: d.indices.columns(first, samples), ..d }),
            step: args.step.wrapping_add(k),
            ..*args
        }
    }

    fn check(&self, args: &Args<'_>) -> Result<(), Error> {
        let samples = args.records.width();
        args.records.check_rows(OP, "records", Dtype::U32, RECORD_WORDS.into(), samples)?;
        args.out.check_rows(OP, "out", Dtype::U32, RECORD_WORDS.into(), samples)?;
        args.v.check_rows(OP, "v", Dtype::F32, samples.into(), 1)?;
        let mut used = vec![
            ("records", args.records, Access::Read),
            ("out", args.out, Access::Write),
            ("v", args.v, Access::Write),
        ];
        match (&args.donors, self.needs_donors()) {
            (Some(donors), true) => {
                donors.indices.check_rows(OP, "donors", Dtype::U32, 1, samples)?;
                donors.pool.check_rows(OP, "pool", Dtype::U32, RECORD_WORDS.into(), donors.pool.width())?;
                used.push(("donors", donors.indices, Access::Read));
                used.push(("pool", donors.pool, Access::Read));
            }
            (None, false) => {}
            (Some(_), false) => {
                return Err(Error::argument(OP, "donors", "given", "only Swap reads them", "leave them out"));
            }
            (None, true) => {
                return Err(Error::argument(
                    OP,
                    "donors",
                    "absent",
                    "Swap needs them",
                    "choose_donors finds some",
                ));
            }
        }
        if let Some((lookup, view)) = &args.lookup {
            lookup.check(view)?;
            used.push(("lookup", *view, Access::Read));
        }
        if let Some(status) = args.status {
            status.check_rows(OP, "status", Dtype::U32, 1, STATUS_WORDS)?;
            used.push(("status", status, Access::Write));
        }
        check_overlap(OP, &used)
    }
}

/// Refuses records without the id that keys random draws.
fn check_ids(records: &Records) -> Result<(), Error> {
    match (0..records.len()).find(|&sample| !records.fields(sample).contains(Field::SampleId)) {
        Some(sample) => Err(Error::record(
            sample,
            Field::SampleId.info().name,
            "missing",
            "random draws are keyed by it",
            "set it, for example to the row number",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

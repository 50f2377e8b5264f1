//! Records under wrong metadata, on the device: for training with perturbed metadata, and to measure how far a
//! model's predictions move.
//!
//! | perturbation | effect |
//! |---|---|
//! | [`Perturbation::Drop`] | fields become missing |
//! | [`Perturbation::Displace`] | the place moves along a great circle; the climate zone follows where a grid is given |
//! | [`Perturbation::ShiftMonths`] | the date moves by months, the day clamped to the month's end |
//! | [`Perturbation::Set`] | the place (and zone) of a donor |
//! | [`Perturbation::Training`] | the random mix of training |
//!
//! One perturbation is one dispatch from one batch of records to another; K perturbations are K dispatches of one
//! pass, into K outputs. Everything is decided by integers: `shaders/perturb/perturb.wgsl` and [`twin::perturb`] agree
//! bit for bit on every device. Random draws depend on seed, purpose, the record's `sample_id` and the step alone.
//! Tests: `tests/gpu/perturb.rs`.

mod donor;
mod gpu;
mod grid;
pub mod twin;

pub use donor::{Donor, donor_groups, donor_words};
pub use grid::ClimateGrid;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::common::geodesy::{EARTH_RADIUS_KM, turns_from_km};
use crate::gpu::{Access, Dtype, Recorder, View, check_overlap};
use crate::records::{Field, Fields, RECORD_WORDS, Records};

const OP: &str = "perturb";
/// Counts in a status buffer: one per validity bit ([`Field`] as a number); the last two are [`STATUS_NO_DONOR`] and
/// [`STATUS_NO_ID`].
pub const STATUS_WORDS: u32 = 32;
/// Index of the count of records that `Set` left as they are because they have no donor.
pub const STATUS_NO_DONOR: u32 = 30;
/// Index of the count of random perturbations left out because the record has no `sample_id`.
pub const STATUS_NO_ID: u32 = 31;
/// Words of a donor; a batch of them is `[DONOR_WORDS, S]`.
pub const DONOR_WORDS: u32 = 5;
/// Purpose of the draws of [`Perturbation::Training`], in the random numbers' key.
pub const PURPOSE_TRAINING: u32 = 1;
/// Purpose of the draws of [`Perturbation::Displace`].
pub const PURPOSE_DISPLACE: u32 = 2;
/// Longest shift, 1,000 years.
const MAX_MONTHS: i32 = 12_000;

/// How far a place moves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Distance {
    /// So many kilometres, above 0 and at most half the earth's circumference.
    Km(f64),
    /// Drawn per sample, its logarithm uniform between two distances.
    LogUniformKm {
        /// The shortest.
        from: f64,
        /// The longest.
        to: f64,
    },
}

/// Where a place moves to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bearing {
    /// The initial course in degrees, clockwise from north.
    Degrees(f64),
    /// Drawn per sample, uniform.
    Random,
}

/// The random mix of training: per sample and step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingMix {
    /// Probability that all metadata is dropped.
    pub drop_all: f64,
    /// Otherwise, the probability for each group (place, date, sensor, ids) to be dropped.
    pub drop_group: f64,
    /// Otherwise, the probability that the place, if still there, is displaced in a random direction.
    pub displace: f64,
    /// Shortest and longest displacement in kilometres; the logarithm is uniform.
    pub displace_km: [f64; 2],
}

impl Default for TrainingMix {
    fn default() -> Self {
        Self { drop_all: 0.2, drop_group: 0.1, displace: 0.3, displace_km: [1.0, 1000.0] }
    }
}

/// What is done to a record.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Perturbation {
    /// Fields become missing; `Fields::METADATA` leaves none, and v = 0.
    Drop {
        /// The fields.
        fields: Fields,
    },
    /// The place moves. Records without latitude and longitude stay as they are.
    Displace {
        /// How far.
        distance: Distance,
        /// In which direction.
        bearing: Bearing,
    },
    /// The date moves by months (negative: back). A missing year wraps; a year alone moves by whole years.
    ShiftMonths {
        /// Months, within ±12,000.
        months: i32,
    },
    /// The place, and where given the climate zone, of each sample's donor ([`Args::donors`]). Records without a donor
    /// stay as they are: leave them out of what is measured, see [`donor_groups`].
    Set,
    /// The random mix of training.
    Training(TrainingMix),
}

/// A perturbation with its random seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerturbDesc {
    /// What is done.
    pub perturbation: Perturbation,
    /// Seed of the random draws.
    pub seed: u64,
}

impl Default for PerturbDesc {
    fn default() -> Self {
        Self { perturbation: Perturbation::Drop { fields: Fields::NONE }, seed: 0 }
    }
}

/// A checked perturbation.
///
/// ```
/// use gtca::perturb::{Bearing, Distance, Perturb, PerturbDesc, Perturbation};
/// let distance = Distance::Km(100.0);
/// let perturbation = Perturbation::Displace { distance, bearing: Bearing::Random };
/// assert!(Perturb::new(&PerturbDesc { perturbation, seed: 7 }).is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Perturb {
    plan: Plan,
}

/// The perturbation in the kernel's integers.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    kind: u32,
    fields: Fields,
    months: i32,
    seed: u64,
    purpose: u32,
    bearing: u32,
    bearing_is_random: bool,
    /// Turns, or where it is drawn log₂ of the least turns with 26 binary digits and the span of the logarithm.
    angle: u32,
    angle_span: Option<u32>,
    drop_all: u32,
    drop_group: u32,
    displace: u32,
}

const KIND_DROP: u32 = 0;
const KIND_DISPLACE: u32 = 1;
const KIND_SHIFT_MONTHS: u32 = 2;
const KIND_SET: u32 = 3;
const KIND_TRAINING: u32 = 4;

/// Arguments of [`Perturb::record`].
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// `[RECORD_WORDS, 1, S]` u32, as [`Records::words`] lays them out.
    pub records: View<'a>,
    /// Written: the perturbed records, likewise; another range than `records`.
    pub out: View<'a>,
    /// Written: `[S, 1]` f32 (`S` rows of one), 0 where no metadata is left, else 1: the gate's v.
    pub v: View<'a>,
    /// `[DONOR_WORDS, 1, S]` u32 from [`donor_words`]; for [`Perturbation::Set`] only.
    pub donors: Option<View<'a>>,
    /// The grid, and its [`words`](ClimateGrid::words) as a vector of u32; for perturbations that move the place.
    pub grid: Option<(&'a ClimateGrid, View<'a>)>,
    /// Added to: [`STATUS_WORDS`] u32 counts of impossible values by field, and of records left as they are for want
    /// of a donor or an id. Zero them before.
    pub status: Option<View<'a>>,
    /// The training step, or the index k of the perturbation: part of the random draws' counter.
    pub step: u32,
}

impl Perturb {
    /// Checks the numbers.
    ///
    /// # Errors
    /// A distance that is not above 0 and at most 20,015 km, or a range that is not increasing; a bearing that is not
    /// finite; a probability outside 0..=1; a shift beyond ±12,000 months.
    pub fn new(desc: &PerturbDesc) -> Result<Self, Error> {
        let mut plan = Plan { seed: desc.seed, ..Plan::default() };
        match desc.perturbation {
            Perturbation::Drop { fields } => (plan.kind, plan.fields) = (KIND_DROP, fields),
            Perturbation::Displace { distance, bearing } => {
                (plan.kind, plan.purpose) = (KIND_DISPLACE, PURPOSE_DISPLACE);
                plan.set_distance(distance)?;
                plan.set_bearing(bearing)?;
            }
            Perturbation::ShiftMonths { months } => {
                (plan.kind, plan.months) = (KIND_SHIFT_MONTHS, months);
                if months.unsigned_abs() > MAX_MONTHS.unsigned_abs() {
                    let rule = format!("shifts reach ±{MAX_MONTHS} months");
                    return Err(Error::argument(OP, "months", months, rule, "shift less"));
                }
            }
            Perturbation::Set => plan.kind = KIND_SET,
            Perturbation::Training(mix) => {
                (plan.kind, plan.purpose) = (KIND_TRAINING, PURPOSE_TRAINING);
                plan.drop_all = probability("drop_all", mix.drop_all)?;
                plan.drop_group = probability("drop_group", mix.drop_group)?;
                plan.displace = probability("displace", mix.displace)?;
                let [from, to] = mix.displace_km;
                plan.set_distance(Distance::LogUniformKm { from, to })?;
                plan.set_bearing(Bearing::Random)?;
            }
        }
        Ok(Self { plan })
    }

    /// Whether it draws random numbers, and so needs every record's `sample_id`.
    pub fn is_random(&self) -> bool {
        let plan = &self.plan;
        let moves_at_random = plan.bearing_is_random || plan.angle_span.is_some();
        plan.kind == KIND_TRAINING || (plan.kind == KIND_DISPLACE && moves_at_random)
    }

    /// Refuses host-built records that lack what this perturbation needs.
    ///
    /// # Errors
    /// A random perturbation of a record without `sample_id`.
    pub fn check_records(&self, records: &Records) -> Result<(), Error> {
        let without = (0..records.len()).find(|&sample| !records.fields(sample).contains(Field::SampleId));
        match without {
            Some(sample) if self.is_random() => Err(Error::record(
                sample,
                Field::SampleId.info().name,
                "missing",
                "random draws are keyed by it",
                "set it, for example to the row number",
            )),
            _ => Ok(()),
        }
    }

    /// Records the perturbation of a batch.
    ///
    /// Impossible values count as missing. A random perturbation leaves records without `sample_id` as they are and
    /// counts them in the status; refuse them before with [`check_records`](Self::check_records).
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; donors that are missing or not used; a grid of another
    /// size.
    pub fn record(&self, recorder: &mut Recorder<'_>, args: &Args<'_>) -> Result<(), Error> {
        self.check(args)?;
        gpu::perturb(recorder, &self.plan, args)
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
        match (&args.donors, self.plan.kind == KIND_SET) {
            (Some(donors), true) => {
                donors.check_rows(OP, "donors", Dtype::U32, DONOR_WORDS.into(), samples)?;
                used.push(("donors", *donors, Access::Read));
            }
            (None, false) => {}
            (Some(_), false) => {
                return Err(Error::argument(OP, "donors", "given", "only Set reads them", "leave them out"));
            }
            (None, true) => {
                return Err(Error::argument(OP, "donors", "absent", "Set needs them", "upload donor_words"));
            }
        }
        if let Some((grid, view)) = &args.grid {
            let words = (u64::from(grid.rows()) * u64::from(grid.columns())).div_ceil(4) as u32;
            view.check_rows(OP, "grid", Dtype::U32, 1, words)?;
            used.push(("grid", *view, Access::Read));
        }
        if let Some(status) = args.status {
            status.check_rows(OP, "status", Dtype::U32, 1, STATUS_WORDS)?;
            used.push(("status", status, Access::Write));
        }
        check_overlap(OP, &used)
    }
}

impl Plan {
    fn set_distance(&mut self, distance: Distance) -> Result<(), Error> {
        let log = |turns: u32| (f64::from(turns).log2() * f64::from(1u32 << 26)).round() as u32;
        match distance {
            Distance::Km(km) => self.angle = central_angle(km)?,
            Distance::LogUniformKm { from, to } => {
                let (least, most) = (log(central_angle(from)?), log(central_angle(to)?));
                if least > most {
                    let value = format!("{from} to {to}");
                    return Err(Error::argument(OP, "km", value, "from must not exceed to", "swap them"));
                }
                // Half a turn is 2³¹, just outside what the kernel's power of two reaches.
                self.angle = least;
                self.angle_span = Some(most.min((31 << 26) - 1).saturating_sub(least));
            }
        }
        Ok(())
    }

    fn set_bearing(&mut self, bearing: Bearing) -> Result<(), Error> {
        match bearing {
            Bearing::Random => self.bearing_is_random = true,
            Bearing::Degrees(degrees) if degrees.is_finite() => {
                // 2³² itself is due north again.
                self.bearing = (degrees.rem_euclid(360.0) / 360.0 * 4_294_967_296.0).round() as u64 as u32;
            }
            Bearing::Degrees(degrees) => {
                let rule = "it must be finite";
                return Err(Error::argument(OP, "bearing", degrees, rule, "give degrees from north"));
            }
        }
        Ok(())
    }
}

fn central_angle(km: f64) -> Result<u32, Error> {
    let half = EARTH_RADIUS_KM * std::f64::consts::PI;
    let turns = turns_from_km(km);
    if !(0.0..=half).contains(&km) || turns == 0 {
        let rule = format!("distances lie above 0 (from 5 mm) and at most {half:.1} km");
        return Err(Error::argument(OP, "km", km, rule, "give kilometres"));
    }
    Ok(turns)
}

/// A probability in units of 2⁻³¹.
fn probability(argument: &'static str, p: f64) -> Result<u32, Error> {
    if (0.0..=1.0).contains(&p) {
        return Ok((p * 2_147_483_648.0).round() as u32);
    }
    Err(Error::argument(OP, argument, p, "a probability lies in 0..=1", "give a fraction, not percent"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Record;

    fn refusal(perturbation: Perturbation) -> String {
        Perturb::new(&PerturbDesc { perturbation, seed: 0 }).unwrap_err().to_string()
    }

    #[test]
    fn bad_numbers_are_refused_by_name() {
        let displace = |distance, bearing| Perturbation::Displace { distance, bearing };
        let north = Bearing::Degrees(0.0);
        for km in [0.0, -5.0, 20_016.0, f64::NAN, f64::INFINITY] {
            assert!(refusal(displace(Distance::Km(km), north)).starts_with("perturb: `km` is"), "{km}");
        }
        assert!(refusal(displace(Distance::LogUniformKm { from: 10.0, to: 1.0 }, north)).contains("`km`"));
        assert!(refusal(displace(Distance::Km(1.0), Bearing::Degrees(f64::NAN))).contains("`bearing`"));
        assert!(refusal(Perturbation::ShiftMonths { months: 12_001 }).contains("`months`"));
        let mix = TrainingMix { displace: 1.5, ..Default::default() };
        assert!(refusal(Perturbation::Training(mix)).contains("`displace`"));
    }

    #[test]
    fn random_perturbations_need_sample_ids() {
        let records = Records::from_records(&[Record::new().sample_id(0), Record::new()]).unwrap();
        let new = |perturbation| Perturb::new(&PerturbDesc { perturbation, seed: 0 }).unwrap();
        let mix = new(Perturbation::Training(TrainingMix::default()));
        assert!(mix.check_records(&records).unwrap_err().to_string().contains("record 1: `sample_id`"));
        assert!(new(Perturbation::Set).check_records(&records).is_ok());
    }
}

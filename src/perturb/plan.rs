//! Perturbations in the kernel's integers.

use super::shift::days_and_seconds;
use super::{Bearing, Distance, OP, PURPOSE_DISPLACE, PURPOSE_TRAINING, Perturbation, TrainingMix};
use crate::Error;
use crate::common::geodesy::{EARTH_RADIUS_KM, turns_from_km};
use crate::records::{Field, Fields, RECORD_WORDS, Record, Records};
use bytemuck::{Pod, Zeroable};

/// Longest shifts, 1,000 years each.
const MAX_YEARS: i32 = 1000;
const MAX_MONTHS: i32 = 12_000;
const MAX_DAYS: i32 = 365_250;
const MAX_HOURS: i32 = 8_766_000;
/// Binary digits of a factor of the ground sample distance.
pub(super) const FACTOR_DIGITS: u32 = 44;

pub(super) const KIND_SET: u32 = 0;
pub(super) const KIND_SWAP: u32 = 1;
pub(super) const KIND_DISPLACE: u32 = 2;
pub(super) const KIND_SHIFT_MONTHS: u32 = 3;
pub(super) const KIND_SHIFT_DAYS: u32 = 4;
pub(super) const KIND_SCALE: u32 = 5;
pub(super) const KIND_TRAINING: u32 = 6;

/// In place of a span of random angles: the angle is fixed.
pub(super) const FIXED_ANGLE: u32 = u32::MAX;

/// Draws that a random part may make.
const DRAWS: u32 = 2;

/// One perturbation; `shaders/perturb/perturb.wgsl` has the same words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct Part {
    pub kind: u32,
    /// Of its random draws; 0: it has none.
    pub purpose: u32,
    /// Number of its first draw.
    pub draw: u32,
    /// Fields that become missing, as validity bits.
    pub dropped: u32,
    /// Fields that come from `values` or the donor.
    pub taken: u32,
    pub months: i32,
    /// What `months` are as whole years, else 0.
    pub years: i32,
    pub days: i32,
    /// Beside the days, 0..86,400.
    pub seconds: i32,
    pub bearing: u32,
    pub bearing_is_random: u32,
    /// Turns, or where it is drawn log₂ of the least turns with 26 binary digits.
    pub angle: u32,
    /// The span of the logarithm, or [`FIXED_ANGLE`].
    pub angle_span: u32,
    /// Probabilities in units of 2⁻³¹.
    pub drop_all: u32,
    pub drop_group: u32,
    pub displace: u32,
    /// Of the ground sample distance, unit 2⁻⁴⁴, low word first.
    pub factor: [u32; 2],
    pad: [u32; 2],
    /// A record.
    pub values: [u32; 28],
}

/// The parts of a list, checked.
///
/// The draws of a random part are numbered by how many parts of its kind precede it: other kinds around it, or parts
/// behind it, change nothing.
pub(super) fn parts(perturbations: &[Perturbation]) -> Result<Vec<Part>, Error> {
    let mut parts: Vec<Part> = Vec::with_capacity(perturbations.len());
    for perturbation in perturbations {
        let mut part = Part::new(perturbation)?;
        let before = parts.iter().filter(|other| other.purpose == part.purpose);
        part.draw = before.count() as u32 * DRAWS;
        parts.push(part);
    }
    Ok(parts)
}

impl Part {
    fn new(perturbation: &Perturbation) -> Result<Self, Error> {
        let mut part = Self { angle_span: FIXED_ANGLE, ..Self::zeroed() };
        match *perturbation {
            Perturbation::Drop { fields } => part.dropped = (fields & Fields::METADATA).bits(),
            Perturbation::Displace { distance, bearing } => {
                part.kind = KIND_DISPLACE;
                part.set_distance(distance)?;
                part.set_bearing(bearing)?;
                let is_random = part.bearing_is_random == 1 || part.angle_span != FIXED_ANGLE;
                part.purpose = if is_random { PURPOSE_DISPLACE } else { 0 };
            }
            Perturbation::ShiftMonths { months } => {
                (part.kind, part.months) = (KIND_SHIFT_MONTHS, within("months", months, MAX_MONTHS)?);
            }
            Perturbation::ShiftYears { years } => {
                (part.kind, part.years) = (KIND_SHIFT_MONTHS, within("years", years, MAX_YEARS)?);
                part.months = 12 * years;
            }
            Perturbation::ShiftDays { days } => {
                (part.kind, part.days) = (KIND_SHIFT_DAYS, within("days", days, MAX_DAYS)?);
            }
            Perturbation::ShiftHours { hours } => {
                part.kind = KIND_SHIFT_DAYS;
                [part.days, part.seconds] = days_and_seconds(within("hours", hours, MAX_HOURS)?);
            }
            Perturbation::Swap { fields } => {
                part.kind = KIND_SWAP;
                part.set_taken(fields & Fields::METADATA);
            }
            Perturbation::Set { values } => part.set_values(values)?,
            Perturbation::Scale { gsd } => {
                part.kind = KIND_SCALE;
                let factor = fixed_factor(gsd)?;
                part.factor = [factor as u32, (factor >> 32) as u32];
            }
            Perturbation::Training(mix) => part.set_mix(&mix)?,
        }
        Ok(part)
    }

    pub(super) fn factor(&self) -> u64 {
        u64::from(self.factor[0]) | (u64::from(self.factor[1]) << 32)
    }

    fn set_mix(&mut self, mix: &TrainingMix) -> Result<(), Error> {
        (self.kind, self.purpose) = (KIND_TRAINING, PURPOSE_TRAINING);
        self.drop_all = probability("drop_all", mix.drop_all)?;
        self.drop_group = probability("drop_group", mix.drop_group)?;
        self.displace = probability("displace", mix.displace)?;
        let [from, to] = mix.displace_km;
        self.set_distance(Distance::LogUniformKm { from, to })?;
        self.set_bearing(Bearing::Random)
    }

    fn set_values(&mut self, values: Record) -> Result<(), Error> {
        self.kind = KIND_SET;
        let records = Records::from_records(&[values]).map_err(as_argument)?;
        let fields = records.fields(0);
        if fields.contains(Field::SampleId) {
            let rule = "samples keep their ids: random draws are keyed by them";
            return Err(Error::argument(OP, "values", "with a sample_id", rule, "leave it out"));
        }
        self.set_taken(fields);
        self.values[..RECORD_WORDS as usize].copy_from_slice(&records.record_words(0));
        Ok(())
    }

    /// Derived fields that are taken without what they derive from would follow the record's own: that becomes missing.
    fn set_taken(&mut self, fields: Fields) {
        let derived = [
            (Field::DayOfYear, Fields::of(&[Field::Month, Field::Day])),
            (Field::IsoWeek, Fields::of(&[Field::Month, Field::Day, Field::DayOfYear])),
            (Field::Hour, Field::SecondOfDay.into()),
        ];
        let sources = derived.into_iter().filter(|(field, _)| fields.contains(*field));
        let dropped = sources.fold(Fields::NONE, |all, (_, sources)| all | sources);
        (self.taken, self.dropped) = (fields.bits(), (dropped & !fields).bits());
    }

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
                self.angle_span = most.min((31 << 26) - 1).saturating_sub(least);
            }
        }
        Ok(())
    }

    fn set_bearing(&mut self, bearing: Bearing) -> Result<(), Error> {
        match bearing {
            Bearing::Random => self.bearing_is_random = 1,
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

/// A value that no record may hold, as an argument of the op.
fn as_argument(error: Error) -> Error {
    match error {
        Error::Record { field, value, rule, remedy, .. } => Error::argument(OP, field, value, rule, remedy),
        other => other,
    }
}

fn within(argument: &'static str, shift: i32, most: i32) -> Result<i32, Error> {
    if (-most..=most).contains(&shift) {
        return Ok(shift);
    }
    let rule = format!("shifts reach ±{most} {argument}");
    Err(Error::argument(OP, argument, shift, rule, "shift less"))
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

/// A factor of the ground sample distance in units of 2⁻⁴⁴.
fn fixed_factor(factor: f64) -> Result<u64, Error> {
    if (1e-6..=1e6).contains(&factor) {
        return Ok((factor * (1u64 << FACTOR_DIGITS) as f64).round() as u64);
    }
    Err(Error::argument(
        OP,
        "gsd",
        factor,
        "a factor lies in 1e-6..=1e6",
        "give a ratio of distances, above 0",
    ))
}

/// A probability in units of 2⁻³¹.
fn probability(argument: &'static str, p: f64) -> Result<u32, Error> {
    if (0.0..=1.0).contains(&p) {
        return Ok((p * 2_147_483_648.0).round() as u32);
    }
    Err(Error::argument(OP, argument, p, "a probability lies in 0..=1", "give a fraction, not percent"))
}

//! What can be done to a record.

use crate::records::{Fields, Record};

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
///
/// Shifts of time work with whatever a record knows and leave missing what is missing; the rules stand at
/// [`shift_time_months`](super::shift_time_months), [`shift_time_days`](super::shift_time_days) and their neighbours.
/// A year that leaves ±1,000,000 becomes missing. Times are UTC: `utc_offset_s` stays, so local time moves alike.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Perturbation {
    /// Fields become missing; `Fields::METADATA` leaves none, and v = 0.
    Drop {
        /// The fields.
        fields: Fields,
    },
    /// The place moves along a great circle. Records without latitude and longitude stay as they are.
    Displace {
        /// How far.
        distance: Distance,
        /// In which direction.
        bearing: Bearing,
    },
    /// The date moves by months (negative: back), a day past the month's end becoming its last.
    ShiftMonths {
        /// Months, within ±12,000.
        months: i32,
    },
    /// The date moves by days.
    ShiftDays {
        /// Days, within ±365,250.
        days: i32,
    },
    /// The date moves by years; 29 February becomes 28 in a common year. Records without a year stay as they are.
    ShiftYears {
        /// Years, within ±1,000.
        years: i32,
    },
    /// The time moves by hours, and with it the date.
    ShiftHours {
        /// Hours, within ±8,766,000.
        hours: i32,
    },
    /// Fields of each sample's donor ([`Args::donors`](super::Args::donors)), missing ones included:
    /// `Fields::PLACE | Fields::IDS` gives another sample's place, `Fields::METADATA` all that it says. Dates agree as
    /// for `Set`. Records without a donor stay as they are: leave them out of what is measured, see
    /// [`donor_groups`](super::donor_groups).
    Swap {
        /// The fields.
        fields: Fields,
    },
    /// The fields that `values` holds, the same for every sample.
    ///
    /// Values that no record may hold (31 February) are refused. What is possible by itself, but not beside what a
    /// sample keeps, gives way: a day past the month's end becomes its last, as for `ShiftMonths`; day of the year, week
    /// and hour follow a date and time that is known, and given without it make it missing; a day of the year outside
    /// a month that has no day becomes missing.
    Set {
        /// The values.
        values: Record,
    },
    /// The ground sample distance is multiplied: to the nearest 2⁻³² m, halves up, and clamped to 2⁻³²..=2³¹ m.
    Scale {
        /// The factor, within 1e-6..=1e6; rounded to a multiple of 2⁻⁴⁴.
        gsd: f64,
    },
    /// The random mix of training.
    Training(TrainingMix),
}

//! The numbers that waves run on; `shaders/encode/source.wgsl`, bit-equal.

use super::scheme::Sample;
use crate::common::calendar::{date_of_year_day, shift_days};
use crate::common::fixed64::i64_from_f32;
use crate::common::log2::log2_fixed;
use crate::common::phase::turns_from_degrees;
use crate::common::projection::{equal_earth, unit_vector};
use crate::common::s2::{MAX_DEVICE_LEVEL, cell_number};
use crate::common::season::{
    day_phase, derived_day_of_year, derived_hour, derived_iso_week, derived_month, season_phase, year_phase,
};
use crate::records::{Field, Fields};

/// A number of a record or of a token's position, in the natural unit that its name says.
///
/// In the kernel it is a 64-bit integer, 2^43 to the unit (2^55 to a degree, 2^64 to a turn), so that frequencies of any size keep its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Latitude in degrees.
    LatDeg,
    /// Longitude in degrees.
    LonDeg,
    /// The year.
    Year,
    /// Day of the year, from 1, UTC.
    DayOfYear,
    /// Month from January = 0, UTC, moved by the token's frame: `(month − 1 + frame) mod 12`.
    MonthIndex,
    /// ISO week, from 1.
    IsoWeek,
    /// Hour of the day, 0..=23, UTC.
    Hour,
    /// Fraction of the actual year that has passed, in turns.
    SeasonTurns,
    /// Fraction of the local day that has passed, in turns.
    DayTurns,
    /// Years since 2015 with the fraction of the year.
    YearsSince2015,
    /// `log2(gsd / 10 m)`.
    Octaves,
    /// GT-Loc's month position `365·(month − 1) + 12·(day − 1)`, in 1/4380 of a year, local time.
    LocalMonthPart,
    /// Second of the day, local time.
    LocalSecond,
    /// Ground sample distance in metres, below 2¹⁹.
    GsdM,
    /// Central wavelength in micrometres, below 2¹⁹.
    WavelengthUm,
    /// The token's column.
    Column,
    /// The token's row.
    Row,
    /// The token's frame.
    Frame,
    /// The token's channel group.
    Channel,
    /// The token's index.
    Position,
    /// Ground sample distance × column, metres, below 2¹⁹.
    GsdColumn,
    /// Ground sample distance × row, metres, below 2¹⁹.
    GsdRow,
    /// Latitude in turns, rounded down to 2⁻³²: whole multiples of it are exact.
    LatTurns,
    /// Longitude in turns, as [`Source::LatTurns`]: no seam at ±180°.
    LonTurns,
    /// Latitude in quarters of a degree, rounded half to even, counted from −90° = 0.
    LatToken,
    /// Longitude in quarters of a degree, rounded half to even, counted from −180° = 0.
    LonToken,
    /// As [`Source::LatToken`], but 721 where a negative angle rounds to 0.
    LatTokenStrict,
    /// As [`Source::LonToken`], but 1441 where a negative angle rounds to 0.
    LonTokenStrict,
    /// x of the Equal Earth map, scaled to ±1 as GeoCLIP does.
    EqualEarthX,
    /// y of the Equal Earth map, in x's scale.
    EqualEarthY,
    /// cos lat cos lon.
    UnitX,
    /// cos lat sin lon.
    UnitY,
    /// sin lat.
    UnitZ,
    /// Number of the S2 cell (s2geometry.io) of this level, 0..=8, in which the place lies: 0..6·4ˡᵉᵛᵉˡ along S2's curve,
    /// exact. Cells follow a place that [`perturb`](crate::perturb) moved on the device. Level 4 has 1,536 cells of some
    /// 580 km, level 8 393,216 of some 36 km; [`S2Cell::number`](crate::records::S2Cell::number) gives the same on the host.
    S2Cell(u32),
    /// Column j (0..=7) of the view `given`, |value| < 2¹⁹.
    Given(u32),
}

use Source as S;

/// Where a token lies in its sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    pub position: u32,
    pub frame: u32,
    pub row: u32,
    pub column: u32,
    pub channel: u32,
}

/// Sources that one variant of a kernel makes from what they share, and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Place,
    Unit,
    Map,
    Cell,
    Date,
    Phase,
    Local,
    Length,
    Other,
}

impl Class {
    pub(super) const ALL: [(Self, &'static [&'static str]); 9] = [
        (Self::Place, &["PLACE"]),
        (Self::Unit, &["POINT"]),
        (Self::Map, &["POINT", "MAP"]),
        (Self::Cell, &["POINT", "CELL"]),
        (Self::Date, &["DATE"]),
        (Self::Phase, &["DATE", "PHASE"]),
        (Self::Local, &["DATE", "LOCAL"]),
        (Self::Length, &["LENGTH"]),
        (Self::Other, &["OTHER"]),
    ];
}

/// [`Source::Given`] starts at this code.
const GIVEN: u32 = 64;
/// [`Source::S2Cell`] starts at this code.
const S2_CELL: u32 = 128;
/// Bits of a unit for everything that is neither an angle nor a fraction of 1.
const NUMBER_BITS: u32 = 43;

impl Source {
    const ALL: [Self; 33] = [
        S::LatDeg,
        S::LonDeg,
        S::Year,
        S::DayOfYear,
        S::MonthIndex,
        S::IsoWeek,
        S::Hour,
        S::SeasonTurns,
        S::DayTurns,
        S::YearsSince2015,
        S::Octaves,
        S::LocalMonthPart,
        S::LocalSecond,
        S::GsdM,
        S::WavelengthUm,
        S::Column,
        S::Row,
        S::Frame,
        S::Channel,
        S::Position,
        S::GsdColumn,
        S::GsdRow,
        S::LatTurns,
        S::LonTurns,
        S::LatToken,
        S::LonToken,
        S::LatTokenStrict,
        S::LonTokenStrict,
        S::EqualEarthX,
        S::EqualEarthY,
        S::UnitX,
        S::UnitY,
        S::UnitZ,
    ];

    /// Its number in the shader, `SOURCE_…`.
    pub(super) fn code(self) -> u32 {
        match self {
            S::Given(column) => GIVEN + column,
            S::S2Cell(level) => S2_CELL + level,
            named => Self::ALL.iter().position(|source| *source == named).unwrap_or(0) as u32,
        }
    }

    /// Binary digits after the point of its integer.
    pub(super) fn bits(self) -> u32 {
        match self {
            S::SeasonTurns | S::DayTurns | S::LatTurns | S::LonTurns => 64,
            S::LatDeg | S::LonDeg => 55,
            S::EqualEarthX | S::EqualEarthY | S::UnitX | S::UnitY | S::UnitZ => 56,
            _ => NUMBER_BITS,
        }
    }

    /// The fields that it reads, required or not.
    pub fn fields(self) -> Fields {
        let date = Fields::of(&[Field::Year, Field::Month, Field::Day, Field::DayOfYear]);
        match self {
            S::LatDeg | S::LatTurns | S::LatToken | S::LatTokenStrict => Field::Lat.into(),
            S::LonDeg | S::LonTurns | S::LonToken | S::LonTokenStrict => Field::Lon.into(),
            S::EqualEarthX | S::EqualEarthY | S::UnitX | S::UnitY | S::UnitZ | S::S2Cell(_) => Fields::PLACE,
            S::Year => Field::Year.into(),
            S::DayOfYear | S::MonthIndex => date,
            S::IsoWeek => date | Field::IsoWeek,
            S::Hour => Fields::of(&[Field::SecondOfDay, Field::Hour]),
            S::SeasonTurns | S::YearsSince2015 | S::LocalMonthPart => {
                date | Field::SecondOfDay | Field::UtcOffset
            }
            S::DayTurns | S::LocalSecond => Fields::of(&[Field::SecondOfDay, Field::UtcOffset]),
            S::Octaves | S::GsdM | S::GsdColumn | S::GsdRow => Field::Gsd.into(),
            S::WavelengthUm => Field::Wavelength.into(),
            S::Column | S::Row | S::Frame | S::Channel | S::Position | S::Given(_) => Fields::NONE,
        }
    }

    /// Which variant of `encode/numbers` makes it.
    pub(super) fn class(self) -> Class {
        match self {
            S::LatDeg | S::LonDeg | S::LatTurns | S::LonTurns => Class::Place,
            S::LatToken | S::LonToken | S::LatTokenStrict | S::LonTokenStrict => Class::Place,
            S::UnitX | S::UnitY | S::UnitZ => Class::Unit,
            S::EqualEarthX | S::EqualEarthY => Class::Map,
            S::S2Cell(_) => Class::Cell,
            S::Octaves | S::GsdM | S::WavelengthUm | S::GsdColumn | S::GsdRow => Class::Length,
            S::Column | S::Row | S::Frame | S::Channel | S::Position | S::Given(_) => Class::Other,
            S::SeasonTurns | S::DayTurns | S::YearsSince2015 => Class::Phase,
            S::LocalMonthPart | S::LocalSecond => Class::Local,
            S::Year | S::DayOfYear | S::MonthIndex | S::IsoWeek | S::Hour => Class::Date,
        }
    }

    /// Whether it counts something; of [`Source::Given`], what lies below the point is cut off.
    pub(super) fn is_whole(self) -> bool {
        let token = matches!(self, S::Column | S::Row | S::Frame | S::Channel | S::Position | S::Given(_));
        let date = matches!(self, S::Year | S::DayOfYear | S::MonthIndex | S::IsoWeek | S::Hour);
        let place =
            matches!(self, S::LatToken | S::LonToken | S::LatTokenStrict | S::LonTokenStrict | S::S2Cell(_));
        token || date || place
    }

    /// The rule that its own parameter breaks.
    pub(super) fn problem(self) -> Option<&'static str> {
        match self {
            S::Given(8..) => Some("the second view has at most eight columns"),
            S::S2Cell(level) if level > MAX_DEVICE_LEVEL => Some("cells are counted up to level 8"),
            _ => None,
        }
    }

    /// The whole number that a value stands for.
    pub(super) fn whole(self, value: i64) -> i64 {
        value >> self.bits()
    }

    /// Whether it depends on where a token lies.
    pub fn is_of_token(self) -> bool {
        matches!(self, S::Column | S::Row | S::Frame | S::Channel | S::Position | S::GsdColumn | S::GsdRow)
    }

    /// Its integer, or none where the record does not tell it. The kernel keeps flags in the two lowest bits.
    pub(super) fn value(self, sample: &Sample, token: &Token, given: &[f32]) -> Option<i64> {
        self.full_value(sample, token, given).map(|value| value & !3)
    }

    fn full_value(self, sample: &Sample, token: &Token, given: &[f32]) -> Option<i64> {
        let number = |value: i32| i64::from(value) << NUMBER_BITS;
        let count = |value: u32| number(value as i32);
        let time = &sample.time;
        let degrees = |field| sample.has(field).then(|| (sample.wide(field) as i64) << 15);
        let turns = |field| {
            let angle = turns_from_degrees(sample.wide(field) as i64);
            sample.has(field).then_some(i64::from(angle) << 32)
        };
        let quarters = |field, half, strict| {
            let angle = sample.wide(field) as i64;
            sample.has(field).then(|| number(quarter_token(angle, half, strict)))
        };
        let place = || {
            let angle = |field| sample.wide(field) as i64;
            sample.has(Fields::PLACE).then(|| (angle(Field::Lat), angle(Field::Lon)))
        };
        let length = |field, times: u32| {
            let value = u128::from(sample.wide(field)) * u128::from(times);
            (sample.has(field) && value < 1 << 51).then_some((value as i64) << (NUMBER_BITS - 32))
        };
        match self {
            S::LatDeg => degrees(Field::Lat),
            S::LonDeg => degrees(Field::Lon),
            S::EqualEarthX => place().map(|(lat, lon)| equal_earth(lat, lon)[0]),
            S::EqualEarthY => place().map(|(lat, lon)| equal_earth(lat, lon)[1]),
            S::UnitX => place().map(|(lat, lon)| unit_vector(lat, lon)[0]),
            S::UnitY => place().map(|(lat, lon)| unit_vector(lat, lon)[1]),
            S::UnitZ => place().map(|(lat, lon)| unit_vector(lat, lon)[2]),
            S::S2Cell(level) => {
                place().map(|(lat, lon)| count(cell_number(unit_vector(lat, lon), level) as u32))
            }
            S::LatTurns => turns(Field::Lat),
            S::LonTurns => turns(Field::Lon),
            S::LatToken => quarters(Field::Lat, 360, false),
            S::LonToken => quarters(Field::Lon, 720, false),
            S::LatTokenStrict => quarters(Field::Lat, 360, true),
            S::LonTokenStrict => quarters(Field::Lon, 720, true),
            S::Year => sample.has(Field::Year).then(|| number(time.year)),
            S::DayOfYear => derived_day_of_year(time).map(number),
            S::MonthIndex => derived_month(time).map(|month| count((month as u32 - 1 + token.frame) % 12)),
            S::IsoWeek => derived_iso_week(time).map(number),
            S::Hour => derived_hour(time).map(number),
            S::SeasonTurns => season_phase(time).map(|turns| i64::from(turns) << 32),
            S::DayTurns => day_phase(time).map(|turns| i64::from(turns) << 32),
            S::YearsSince2015 => year_phase(time).map(|phase| {
                ((i64::from(phase.year - 2015) << 32) | i64::from(phase.turns)) << (NUMBER_BITS - 32)
            }),
            S::Octaves => sample
                .has(Field::Gsd)
                .then(|| (log2_fixed(sample.wide(Field::Gsd)) - LOG2_TEN_METRES) << (NUMBER_BITS - 32)),
            S::LocalMonthPart => local_month_part(sample).map(number),
            S::LocalSecond => local_second(sample).map(|second| number(second.rem_euclid(86_400))),
            S::GsdM => length(Field::Gsd, 1),
            S::WavelengthUm => length(Field::Wavelength, 1),
            S::Column => Some(count(token.column)),
            S::Row => Some(count(token.row)),
            S::Frame => Some(count(token.frame)),
            S::Channel => Some(count(token.channel)),
            S::Position => Some(count(token.position)),
            S::GsdColumn => length(Field::Gsd, token.column),
            S::GsdRow => length(Field::Gsd, token.row),
            S::Given(column) => given_value(given.get(column as usize).copied()),
        }
    }
}

/// log2(10 · 2³²) in 2⁻³².
const LOG2_TEN_METRES: i64 = (35 << 32) + 1_382_670_639;

/// Quarters of a degree from −half, rounded half to even, of an angle in 2⁻⁴⁰ degrees; strict: 2·half + 1 for a −0.
fn quarter_token(angle: i64, half: i32, strict: bool) -> i32 {
    let raised = angle + (1 << 37);
    let up = (raised >> 38) as i32;
    let is_tie = raised & ((1 << 38) - 1) == 0;
    let quarters = up - (up & i32::from(is_tie));
    if strict && quarters == 0 && angle < 0 { 2 * half + 1 } else { quarters + half }
}

/// A finite number below 2¹⁹; everything else is missing.
fn given_value(value: Option<f32>) -> Option<i64> {
    value.filter(|value| value.abs() < 524_288.0).map(|value| i64_from_f32(value, NUMBER_BITS as i32))
}

/// Second of the local day, before it wraps into the next or the last.
fn local_second(sample: &Sample) -> Option<i32> {
    let time = &sample.time;
    let offset = if sample.has(Field::UtcOffset) { time.utc_offset_s } else { 0 };
    sample.has(Field::SecondOfDay).then(|| time.second_of_day + offset)
}

/// GT-Loc counts a month as 365 parts and a day as 12, whatever the month's length. The year, which it does not know,
/// only matters where local time moves the date past the end of February; 2001 stands for a missing one.
fn local_month_part(sample: &Sample) -> Option<i32> {
    let time = &sample.time;
    let year = if sample.has(Field::Year) { time.year } else { 2001 };
    let mut date = if sample.has(Fields::of(&[Field::Month, Field::Day])) {
        crate::common::calendar::CivilDate { year, month: time.month, day: time.day }
    } else if sample.has(Field::DayOfYear) {
        date_of_year_day(year, time.day_of_year)
    } else {
        return None;
    };
    if let Some(second) = local_second(sample).filter(|second| !(0..86_400).contains(second)) {
        date = shift_days(date, second.div_euclid(86_400));
    }
    Some(365 * (date.month - 1) + 12 * (date.day - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shader_knows_every_source_by_its_number() {
        let shader = include_str!("../../shaders/encode/source.wgsl");
        for (code, source) in Source::ALL.iter().enumerate() {
            let mut name = String::new();
            for letter in format!("{source:?}").chars() {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            let line = format!("const SOURCE_{} = {code}u;", name.replace("SINCE2015", "SINCE_2015"));
            assert!(shader.contains(&line), "{line}");
        }
        assert!(shader.contains(&format!("const SOURCE_GIVEN = {GIVEN}u;")));
        assert!(shader.contains(&format!("const SOURCE_S2_CELL = {S2_CELL}u;")));
    }
}

//! Phases of year and day from whatever a record knows; `shaders/common/season.wgsl`, bit-equal.

use super::calendar::{
    CivilDate, date_of_year_day, day_number, days_before_month, days_in_month, days_in_year, is_leap_year,
    iso_week,
};
use super::fixed64::div_turns;
use crate::records::{Field, Fields, RECORD_WORDS};

/// The fields of a record that tell the time. A field counts only where `valid` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeFields {
    /// Which fields are known.
    pub valid: Fields,
    /// Year, UTC.
    pub year: i32,
    /// Month, 1..=12, UTC.
    pub month: i32,
    /// Day of the month, UTC.
    pub day: i32,
    /// Second of the day, UTC.
    pub second_of_day: i32,
    /// Local time minus UTC in seconds.
    pub utc_offset_s: i32,
    /// Day of the year.
    pub day_of_year: i32,
    /// ISO-8601 week.
    pub iso_week: i32,
    /// Hour of the day, UTC.
    pub hour: i32,
}

impl TimeFields {
    pub(crate) fn from_words(words: &[u32; RECORD_WORDS as usize]) -> Self {
        let word = |field: Field| words[field.info().word as usize] as i32;
        Self {
            valid: Fields::from_bits(words[0]),
            year: word(Field::Year),
            month: word(Field::Month),
            day: word(Field::Day),
            second_of_day: word(Field::SecondOfDay),
            utc_offset_s: word(Field::UtcOffset),
            day_of_year: word(Field::DayOfYear),
            iso_week: word(Field::IsoWeek),
            hour: word(Field::Hour),
        }
    }

    fn has(&self, field: Field) -> bool {
        self.valid.contains(field)
    }

    fn get(&self, field: Field, value: i32) -> Option<i32> {
        self.has(field).then_some(value)
    }
}

/// A year with the fraction of it that has passed, in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YearPhase {
    /// The year; local where the offset is known. 0 where it is not known.
    pub year: i32,
    /// The fraction of that year.
    pub turns: u32,
}

/// Month, day and year that `month` and `day`, or `day_of_year`, give; UTC, as far as known.
fn year_day(time: &TimeFields) -> Option<i32> {
    if time.has(Field::Month) && time.has(Field::Day) {
        let is_leap = time.has(Field::Year) && is_leap_year(time.year);
        return Some(days_before_month(is_leap, time.month) + time.day);
    }
    time.get(Field::DayOfYear, time.day_of_year)
}

/// Year and season together: the year that local time falls in, and the fraction of it that has passed.
fn season(time: &TimeFields) -> Option<YearPhase> {
    let has_year = time.has(Field::Year);
    let mut year = if has_year { time.year } else { 0 };
    let length_of = |year: i32| if has_year { days_in_year(year) } else { 365 };
    let mut length = length_of(year);
    let Some(mut day) = year_day(time) else {
        let month = time.get(Field::Month, time.month)?;
        let before = days_before_month(length == 366, month);
        // Without a year February counts 28 days.
        let days = if has_year { days_in_month(year, month) } else { days_in_month(1, month) };
        let middle = (before * 86_400 + days * 43_200) as u32;
        return Some(YearPhase { year, turns: div_turns(middle, length as u32 * 86_400) });
    };
    let mut second = 43_200;
    if time.has(Field::SecondOfDay) {
        second = time.second_of_day;
        if time.has(Field::UtcOffset) {
            let local = second + time.utc_offset_s;
            let days = local.div_euclid(86_400);
            second = local - days * 86_400;
            day += days;
        }
    }
    if day < 1 {
        year -= i32::from(has_year);
        length = length_of(year);
        day += length;
    } else if day > length {
        day -= length;
        year += i32::from(has_year);
        length = length_of(year);
    }
    let passed = ((day - 1) * 86_400 + second) as u32;
    Some(YearPhase { year, turns: div_turns(passed, length as u32 * 86_400) })
}

/// Fraction of the actual year that has passed, in turns: (day − 1 + f) / days in the year.
///
/// The day comes from month and day, else from `day_of_year`; f is the fraction of the day, 0.5 where the second is
/// missing. Where the year is missing it has 365 days; where only the month is known its middle counts. Local
/// time where second and offset are known (the date moves with it), else UTC. Rounded down.
///
/// ```
/// use gtca::common::season::season_phase;
/// use gtca::records::{Record, Records};
/// let noon = Records::from_records(&[Record::new().date(2023, 7, 2)]).unwrap();
/// // Noon of day 183 of 365 is the middle of the year.
/// assert_eq!(season_phase(&noon.time(0)), Some(1 << 31));
/// ```
pub fn season_phase(time: &TimeFields) -> Option<u32> {
    season(time).map(|phase| phase.turns)
}

/// Year and the fraction of it that has passed; half of it where only the year is known.
pub fn year_phase(time: &TimeFields) -> Option<YearPhase> {
    let year = time.get(Field::Year, time.year)?;
    Some(season(time).unwrap_or(YearPhase { year, turns: 1 << 31 }))
}

/// Fraction of the day in turns; local time where the offset is known, else UTC.
pub fn day_phase(time: &TimeFields) -> Option<u32> {
    let second = time.get(Field::SecondOfDay, time.second_of_day)?;
    let offset = if time.has(Field::UtcOffset) { time.utc_offset_s } else { 0 };
    Some(div_turns((second + offset).rem_euclid(86_400) as u32, 86_400))
}

/// The whole date, UTC, where it is known by year, month and day or by year and day of year.
pub fn full_date(time: &TimeFields) -> Option<CivilDate> {
    let year = time.get(Field::Year, time.year)?;
    if time.has(Field::Month) && time.has(Field::Day) {
        return Some(CivilDate::new(year, time.month, time.day));
    }
    Some(date_of_year_day(year, time.get(Field::DayOfYear, time.day_of_year)?))
}

/// Day of the year, UTC: from month and day (a year of 365 days where it is missing), else as given.
pub fn derived_day_of_year(time: &TimeFields) -> Option<i32> {
    year_day(time)
}

/// ISO-8601 week, UTC: from the whole date, else as given.
pub fn derived_iso_week(time: &TimeFields) -> Option<i32> {
    match full_date(time) {
        Some(date) => Some(iso_week(day_number(date)).week),
        None => time.get(Field::IsoWeek, time.iso_week),
    }
}

/// Month, 1..=12, UTC: as given, else from the day of the year (a year of 365 days where it is missing).
pub fn derived_month(time: &TimeFields) -> Option<i32> {
    time.get(Field::Month, time.month).or_else(|| {
        let year = if time.has(Field::Year) { time.year } else { 1 };
        Some(date_of_year_day(year, time.get(Field::DayOfYear, time.day_of_year)?).month)
    })
}

/// Hour of the day, UTC: from the second, else as given.
pub fn derived_hour(time: &TimeFields) -> Option<i32> {
    time.get(Field::SecondOfDay, time.second_of_day / 3600).or_else(|| time.get(Field::Hour, time.hour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Record, Records};

    fn time(record: Record) -> TimeFields {
        Records::from_records(&[record]).unwrap().time(0)
    }

    fn turns(numerator: i64, denominator: i64) -> u32 {
        ((numerator << 32) / denominator) as u32
    }

    #[test]
    fn the_season_is_the_fraction_of_the_actual_year() {
        let second = Record::new().second_of_day(6 * 3600);
        for (year, days) in [(2023, 365), (2024, 366), (1900, 365), (2000, 366), (-1, 365), (0, 366)] {
            let last = time(second.date(year, 12, 31));
            assert_eq!(season_phase(&last), Some(turns(4 * (days - 1) + 1, 4 * days)), "{year}");
        }
        assert_eq!(season_phase(&time(Record::new().date(2024, 1, 1))), Some(turns(1, 2 * 366)));
    }

    #[test]
    fn a_missing_year_has_365_days() {
        assert_eq!(season_phase(&time(Record::new().month(3).day(1))), Some(turns(2 * 59 + 1, 2 * 365)));
        assert_eq!(season_phase(&time(Record::new().day_of_year(60))), Some(turns(2 * 59 + 1, 2 * 365)));
        // Day 366 of an unknown year runs over into the first of the next.
        assert_eq!(season_phase(&time(Record::new().day_of_year(366))), Some(turns(1, 2 * 365)));
    }

    #[test]
    fn a_month_alone_counts_by_its_middle() {
        let february = Record::new().month(2);
        assert_eq!(season_phase(&time(february.year(2024))), Some(turns(2 * 31 + 29, 2 * 366)));
        assert_eq!(season_phase(&time(february)), Some(turns(2 * 31 + 28, 2 * 365)));
        assert_eq!(season_phase(&time(Record::new().year(2024))), None);
    }

    #[test]
    fn local_time_moves_the_date_across_the_year() {
        let eve = Record::new().date(2023, 12, 31).second_of_day(23 * 3600).utc_offset_s(2 * 3600);
        assert_eq!(year_phase(&time(eve)), Some(YearPhase { year: 2024, turns: turns(1, 24 * 366) }));
        let morning = Record::new().year(2025).day_of_year(1).second_of_day(0).utc_offset_s(-3600);
        assert_eq!(
            year_phase(&time(morning)),
            Some(YearPhase { year: 2024, turns: turns(24 * 366 - 1, 24 * 366) })
        );
        let unknown = Record::new().day_of_year(1).second_of_day(0).utc_offset_s(-3600);
        assert_eq!(season_phase(&time(unknown)), Some(turns(24 * 365 - 1, 24 * 365)));
        // Without a time of day there is nothing to move.
        let dateless = Record::new().date(2023, 12, 31).utc_offset_s(43_200);
        assert_eq!(year_phase(&time(dateless)).unwrap().year, 2023);
    }

    #[test]
    fn a_year_alone_stands_for_its_middle() {
        assert_eq!(
            year_phase(&time(Record::new().year(2020))),
            Some(YearPhase { year: 2020, turns: 1 << 31 })
        );
        assert_eq!(year_phase(&time(Record::new().month(5).day(3))), None);
    }

    #[test]
    fn the_day_follows_local_time() {
        let noon = Record::new().second_of_day(43_200);
        assert_eq!(day_phase(&time(noon)), Some(1 << 31));
        assert_eq!(day_phase(&time(noon.utc_offset_s(-43_200))), Some(0));
        assert_eq!(day_phase(&time(noon.utc_offset_s(50_400))), Some(turns(7200, 86_400)));
        assert_eq!(day_phase(&time(Record::new().hour(12))), None);
    }

    #[test]
    fn derived_columns_prefer_the_date() {
        let date = time(Record::new().date(2024, 12, 30).second_of_day(3600 * 5 + 3599).iso_week(40));
        assert_eq!(derived_iso_week(&date), Some(1));
        assert_eq!(derived_day_of_year(&date), Some(365));
        assert_eq!(derived_hour(&date), Some(5));
        let by_day = time(Record::new().year(2020).day_of_year(60));
        assert_eq!(full_date(&by_day), Some(CivilDate::new(2020, 2, 29)));
        assert_eq!(derived_month(&by_day), Some(2));
        assert_eq!(derived_iso_week(&by_day), Some(9));
        let columns = time(Record::new().iso_week(53).hour(7).day_of_year(32));
        assert_eq!(derived_iso_week(&columns), Some(53));
        assert_eq!(derived_hour(&columns), Some(7));
        assert_eq!(derived_month(&columns), Some(2));
        assert_eq!(derived_month(&time(Record::new())), None);
    }
}

//! Civil (proleptic Gregorian) calendar in integers; `shaders/common/calendar.wgsl`, bit-equal.
//!
//! Year 0 is 1 BC. Valid for years −1,000,000 to 1,000,000. Day numbers count from 1970-01-01 = 0.

/// A date of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CivilDate {
    /// Astronomical year: 0 is 1 BC.
    pub year: i32,
    /// 1..=12.
    pub month: i32,
    /// 1..=31.
    pub day: i32,
}

impl CivilDate {
    /// A date by its parts; nothing is checked.
    pub const fn new(year: i32, month: i32, day: i32) -> Self {
        Self { year, month, day }
    }
}

/// A week of ISO 8601.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IsoWeek {
    /// The year that the week belongs to: the year of its Thursday.
    pub year: i32,
    /// 1..=53.
    pub week: i32,
}

/// A date with a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// The date.
    pub date: CivilDate,
    /// 0..=86,399.
    pub second_of_day: i32,
}

/// Whether a year has 29 February.
pub fn is_leap_year(year: i32) -> bool {
    year & 3 == 0 && (year.rem_euclid(100) != 0 || year & 15 == 0)
}

/// 365 or 366.
pub fn days_in_year(year: i32) -> i32 {
    if is_leap_year(year) { 366 } else { 365 }
}

/// 28 to 31; `month` in 1..=12.
pub fn days_in_month(year: i32, month: i32) -> i32 {
    if month == 2 {
        return if is_leap_year(year) { 29 } else { 28 };
    }
    30 + ((month + (month >> 3)) & 1)
}

/// Days of the year before the first of the month (1..=12).
pub fn days_before_month(is_leap: bool, month: i32) -> i32 {
    if month <= 2 {
        return 31 * (month - 1);
    }
    (153 * (month - 3) + 2) / 5 + 59 + i32::from(is_leap)
}

/// Days from 1970-01-01.
///
/// ```
/// use gtca::common::calendar::{CivilDate, day_number};
/// assert_eq!(day_number(CivilDate::new(2000, 3, 1)), 11_017);
/// ```
pub fn day_number(date: CivilDate) -> i32 {
    let year = date.year - i32::from(date.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let month_from_march = (date.month + 9).rem_euclid(12);
    let day_of_march_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_march_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a day number.
pub fn civil_date(number: i32) -> CivilDate {
    let shifted = number + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_march_year + 2) / 153;
    let day = day_of_march_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march >= 10 { month_from_march - 9 } else { month_from_march + 3 };
    CivilDate { year: year_of_era + era * 400 + i32::from(month <= 2), month, day }
}

/// 1..=366.
pub fn day_of_year(date: CivilDate) -> i32 {
    days_before_month(is_leap_year(date.year), date.month) + date.day
}

/// The date of a day of the year; days outside the year run over into its neighbours.
pub fn date_of_year_day(year: i32, year_day: i32) -> CivilDate {
    civil_date(day_number(CivilDate::new(year, 1, 1)) + year_day - 1)
}

/// 1 = Monday .. 7 = Sunday (ISO 8601).
pub fn weekday(number: i32) -> i32 {
    (number + 3).rem_euclid(7) + 1
}

/// ISO-8601 week of a day number.
///
/// ```
/// use gtca::common::calendar::{CivilDate, IsoWeek, day_number, iso_week};
/// // 30 December 2024 lies in the first week of 2025.
/// assert_eq!(iso_week(day_number(CivilDate::new(2024, 12, 30))), IsoWeek { year: 2025, week: 1 });
/// ```
pub fn iso_week(number: i32) -> IsoWeek {
    let thursday = number - weekday(number) + 4;
    let year = civil_date(thursday).year;
    IsoWeek { year, week: (thursday - day_number(CivilDate::new(year, 1, 1))) / 7 + 1 }
}

/// The same day so many months later (or earlier); a day that the month lacks becomes its last.
///
/// ```
/// use gtca::common::calendar::{CivilDate, shift_months};
/// assert_eq!(shift_months(CivilDate::new(2024, 8, 31), 6), CivilDate::new(2025, 2, 28));
/// ```
pub fn shift_months(date: CivilDate, months: i32) -> CivilDate {
    let month_index = date.year * 12 + date.month - 1 + months;
    let year = month_index.div_euclid(12);
    let month = month_index - year * 12 + 1;
    CivilDate { year, month, day: date.day.min(days_in_month(year, month)) }
}

/// The same day so many years later; 29 February becomes 28 in a common year.
pub fn shift_years(date: CivilDate, years: i32) -> CivilDate {
    shift_months(date, years * 12)
}

/// So many days later.
pub fn shift_days(date: CivilDate, days: i32) -> CivilDate {
    civil_date(day_number(date) + days)
}

/// Moves a date and time by seconds, |seconds| at most 2³⁰.
pub fn shift_seconds(at: DateTime, seconds: i32) -> DateTime {
    let total = at.second_of_day + seconds;
    let days = total.div_euclid(86_400);
    DateTime { date: shift_days(at.date, days), second_of_day: total - days * 86_400 }
}

/// Moves a date and time by hours, |hours| at most 298,000 (34 years).
pub fn shift_hours(at: DateTime, hours: i32) -> DateTime {
    shift_seconds(at, hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_from_year_minus_one_to_4000_agrees_with_jiff() {
        let mut number = day_number(CivilDate::new(-1, 1, 1));
        let mut date = jiff::civil::date(-1, 1, 1);
        let end = jiff::civil::date(4001, 1, 1);
        while date < end {
            let ours = civil_date(number);
            let theirs = CivilDate::new(date.year().into(), date.month().into(), date.day().into());
            assert_eq!(ours, theirs);
            assert_eq!(day_number(ours), number);
            assert_eq!(day_of_year(ours), i32::from(date.day_of_year()));
            assert_eq!(date_of_year_day(ours.year, day_of_year(ours)), ours);
            assert_eq!(weekday(number), i32::from(date.weekday().to_monday_one_offset()));
            let week = date.iso_week_date();
            let expected = IsoWeek { year: week.year().into(), week: week.week().into() };
            assert_eq!(iso_week(number), expected, "{date}");
            number += 1;
            date = date.tomorrow().unwrap();
        }
    }

    #[test]
    fn months_and_years_have_their_lengths() {
        for year in -1..=4000i16 {
            let first = jiff::civil::date(year, 1, 1);
            assert_eq!(is_leap_year(year.into()), first.in_leap_year(), "{year}");
            assert_eq!(days_in_year(year.into()), i32::from(first.days_in_year()));
            for month in 1..=12i8 {
                let days = jiff::civil::date(year, month, 1).days_in_month();
                assert_eq!(days_in_month(year.into(), month.into()), i32::from(days), "{year}-{month}");
            }
        }
    }

    #[test]
    fn a_month_shift_clamps_to_the_months_end() {
        use jiff::ToSpan;
        for (year, month, day) in
            [(2020, 1, 31), (2019, 12, 31), (2020, 2, 29), (2021, 8, 30), (0, 3, 31), (-1, 1, 30)]
        {
            let date = jiff::civil::date(year, month, day);
            for months in -40..=40i32 {
                let theirs = date.checked_add(months.months()).unwrap();
                let ours = shift_months(CivilDate::new(year.into(), month.into(), day.into()), months);
                let theirs = CivilDate::new(theirs.year().into(), theirs.month().into(), theirs.day().into());
                assert_eq!(ours, theirs, "{date} + {months} months");
            }
        }
        assert_eq!(shift_years(CivilDate::new(2024, 2, 29), -1), CivilDate::new(2023, 2, 28));
    }

    #[test]
    fn hours_and_days_cross_years() {
        let eve = DateTime { date: CivilDate::new(1999, 12, 31), second_of_day: 23 * 3600 };
        let next = shift_hours(eve, 2);
        assert_eq!(next, DateTime { date: CivilDate::new(2000, 1, 1), second_of_day: 3600 });
        assert_eq!(shift_hours(next, -2), eve);
        assert_eq!(shift_days(CivilDate::new(0, 2, 28), 2), CivilDate::new(0, 3, 1));
        assert_eq!(shift_hours(eve, -298_000).second_of_day, (23 - 298_000i32).rem_euclid(24) * 3600);
    }

    #[test]
    fn far_years_come_back() {
        for year in [-1_000_000, -999_999, -400, 400_000, 1_000_000] {
            for (month, day) in [(1, 1), (2, 28), (3, 1), (12, 31)] {
                let date = CivilDate::new(year, month, day);
                assert_eq!(civil_date(day_number(date)), date);
            }
        }
    }
}

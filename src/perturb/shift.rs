//! A record's time so many months, years, days or hours later, with whatever it knows; `shaders/perturb/shift.wgsl`,
//! bit-equal. A shift of 0 changes nothing, and what is missing stays missing. Times are UTC, and so is what moves:
//! `utc_offset_s` stays.

use crate::common::calendar::{
    CivilDate, date_of_year_day, day_number, day_of_year, days_in_month, iso_week, shift_months,
};
use crate::common::season::{TimeFields, full_date};
use crate::records::Field;

/// A week of no known date, 1..=52, so many weeks later, and the years that it has passed; a year counts 52 weeks.
fn wrapped_week(week: i32, weeks: i32) -> (i32, i32) {
    let index = week - 1 + weeks;
    (index.rem_euclid(52) + 1, index.div_euclid(52))
}

/// So many months later.
///
/// Year, month and day by the calendar, a day past the month's end becoming its last; without a year the month wraps.
/// The day of the year moves with the date that it stands for, in a year of 365 days where the year is missing. A week
/// alone moves by 4.348 weeks a month; a year alone by whole years.
///
/// ```
/// use gtca::perturb::{shift_time_months, shift_time_years};
/// use gtca::records::{Record, Records};
/// let leap_day = Records::from_records(&[Record::new().date(2024, 2, 29)])?.time(0);
/// let [month, year] = [shift_time_months(&leap_day, 1), shift_time_years(&leap_day, 1)];
/// assert_eq!([month, year].map(|time| (time.year, time.month, time.day)), [(2024, 3, 29), (2025, 2, 28)]);
/// # Ok::<(), gtca::Error>(())
/// ```
pub fn shift_time_months(time: &TimeFields, months: i32) -> TimeFields {
    let mut moved = *time;
    if months == 0 {
        return moved;
    }
    let has = |field| time.valid.contains(field);
    let (has_year, has_month) = (has(Field::Year), has(Field::Month));
    let (has_day_of_year, has_week) = (has(Field::DayOfYear), has(Field::IsoWeek));
    if has_month && has_year {
        let day = if has(Field::Day) { time.day } else { 1 };
        let date = shift_months(CivilDate::new(time.year, time.month, day), months);
        (moved.year, moved.month, moved.day) = (date.year, date.month, date.day);
    } else if has_month {
        moved.month = (time.month - 1 + months).rem_euclid(12) + 1;
        moved.day = time.day.min(days_in_month(2000, moved.month));
    }
    if has_day_of_year {
        let start = date_of_year_day(if has_year { time.year } else { 1 }, time.day_of_year);
        let date = shift_months(start, months);
        if has_year && !has_month {
            moved.year = date.year;
        }
        let year = if has_year { moved.year } else { 1 };
        let day = date.day.min(days_in_month(year, date.month));
        moved.day_of_year = day_of_year(CivilDate::new(year, date.month, day));
    }
    let is_year_alone = has_year && !has_month && !has_day_of_year;
    if let Some(date) = full_date(&moved) {
        moved.iso_week = iso_week(day_number(date)).week;
    } else if has_week {
        let (week, years) = wrapped_week(time.iso_week, (months * 4348 + 500).div_euclid(1000));
        moved.iso_week = week;
        moved.year += if is_year_alone { years } else { 0 };
    } else if is_year_alone {
        moved.year = time.year + months / 12;
    }
    moved
}

/// So many years later, by 12 months each: 29 February becomes 28 in a common year. Without a year nothing changes; a
/// week of no known date stays.
pub fn shift_time_years(time: &TimeFields, years: i32) -> TimeFields {
    let mut moved = shift_time_months(time, 12 * years);
    if years == 0 || !time.valid.contains(Field::Year) {
        return *time;
    }
    if full_date(&moved).is_none() {
        moved.iso_week = time.iso_week;
        moved.year = time.year + years;
    }
    moved
}

/// So many days, and seconds in 0..86,400, later.
///
/// The time of day moves where it is known by second or hour, else noon counts. A date moves by the calendar: the one
/// of year, month and day, else of the day of the year, else the month's 15th; without a year it wraps in one of 365
/// days, where 29 February counts as 1 March. A week alone moves by days / 7 to the nearest; a year alone by whole
/// years.
///
/// ```
/// use gtca::perturb::{shift_time_days, shift_time_hours};
/// use gtca::records::{Record, Records};
/// let evening = Records::from_records(&[Record::new().date(2023, 2, 28).hour(23)])?.time(0);
/// let [day, hours] = [shift_time_days(&evening, 1, 0), shift_time_hours(&evening, 2)];
/// assert_eq!([day, hours].map(|time| (time.month, time.day, time.hour)), [(3, 1, 23), (3, 1, 1)]);
/// # Ok::<(), gtca::Error>(())
/// ```
pub fn shift_time_days(time: &TimeFields, days: i32, seconds: i32) -> TimeFields {
    let mut moved = *time;
    let has = |field| time.valid.contains(field);
    let mut clock = seconds;
    clock += match (has(Field::SecondOfDay), has(Field::Hour)) {
        (true, _) => time.second_of_day,
        (_, true) => time.hour * 3600,
        _ => 43_200,
    };
    let next_day = i32::from(clock >= 86_400);
    let second = clock - 86_400 * next_day;
    if has(Field::SecondOfDay) {
        moved.second_of_day = second;
    }
    if has(Field::Hour) {
        moved.hour = second / 3600;
    }
    let days = days + next_day;
    if days == 0 {
        return moved;
    }
    let (has_year, has_month, has_day) = (has(Field::Year), has(Field::Month), has(Field::Day));
    let has_day_of_year = has(Field::DayOfYear);
    let has_date = has_month || has_day_of_year;
    if has_date {
        let year = if has_year { time.year } else { 1 };
        let year_day = if has_day_of_year && !(has_month && has_day) {
            time.day_of_year
        } else {
            day_of_year(CivilDate::new(year, time.month, if has_day { time.day } else { 15 }))
        };
        let year_day = year_day - 1 + days;
        let date = date_of_year_day(year, if has_year { year_day } else { year_day.rem_euclid(365) } + 1);
        for (has, field, value) in [
            (has_year, &mut moved.year, date.year),
            (has_month, &mut moved.month, date.month),
            (has_day, &mut moved.day, date.day),
            (has_day_of_year, &mut moved.day_of_year, day_of_year(date)),
        ] {
            *field = if has { value } else { *field };
        }
    }
    let is_year_alone = has_year && !has_date;
    let weeks = (2 * days + 7).div_euclid(14);
    if let Some(date) = full_date(&moved) {
        moved.iso_week = iso_week(day_number(date)).week;
    } else if has(Field::IsoWeek) {
        if weeks != 0 {
            let (week, years) = wrapped_week(time.iso_week, weeks);
            moved.iso_week = week;
            moved.year += if is_year_alone { years } else { 0 };
        }
    } else if is_year_alone {
        moved.year = time.year + days * 400 / 146_097;
    }
    moved
}

/// So many hours later, by [`shift_time_days`]: hours cross days, months and years.
pub fn shift_time_hours(time: &TimeFields, hours: i32) -> TimeFields {
    let [days, seconds] = days_and_seconds(hours);
    shift_time_days(time, days, seconds)
}

/// Hours as days and seconds in 0..86,400.
pub(super) fn days_and_seconds(hours: i32) -> [i32; 2] {
    [hours.div_euclid(24), hours.rem_euclid(24) * 3600]
}

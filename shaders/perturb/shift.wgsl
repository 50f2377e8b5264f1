// A record's time so many months, years, days or hours later, with whatever it knows. A shift of 0 changes nothing.
// Twins: src/perturb/shift.rs, bit-equal.

#import common/season

// A week of no known date: week 1..=52, and the years that it has passed.
struct WrappedWeek {
    week: i32,
    years: i32,
}

// A year counts 52 weeks.
fn wrapped_week(week: i32, weeks: i32) -> WrappedWeek {
    let index = week - 1 + weeks;
    let years = floor_div(index, 52);
    return WrappedWeek(index - 52 * years + 1, years);
}

// Year, month and day by the calendar; without a year the month wraps. The day of the year moves with the date that
// it stands for, in a year of 365 days where the year is missing. A week alone moves by 4.348 weeks a month; a year
// alone by whole years.
fn shift_time_months(time: TimeFields, months: i32) -> TimeFields {
    var moved = time;
    if months == 0 {
        return moved;
    }
    let has_year = has_fields(time, YEAR_BIT);
    let has_month = has_fields(time, MONTH_BIT);
    let has_day_of_year = has_fields(time, DAY_OF_YEAR_BIT);
    let has_week = has_fields(time, ISO_WEEK_BIT);
    if has_month {
        if has_year {
            let day = select(1, time.day, has_fields(time, DAY_BIT));
            let date = shift_months(CivilDate(time.year, time.month, day), months);
            moved.year = date.year;
            moved.month = date.month;
            moved.day = date.day;
        } else {
            moved.month = floor_mod(time.month - 1 + months, 12) + 1;
            moved.day = min(time.day, days_in_month(2000, moved.month));
        }
    }
    if has_day_of_year {
        let start = date_of_year_day(select(1, time.year, has_year), time.day_of_year);
        let date = shift_months(start, months);
        if has_year && !has_month {
            moved.year = date.year;
        }
        let year = select(1, moved.year, has_year);
        let day = min(date.day, days_in_month(year, date.month));
        moved.day_of_year = day_of_year(CivilDate(year, date.month, day));
    }
    let is_year_alone = has_year && !has_month && !has_day_of_year;
    let whole = full_date(moved);
    if whole.known {
        moved.iso_week = iso_week(day_number(whole.date)).week;
    } else if has_week {
        let wrapped = wrapped_week(time.iso_week, floor_div(months * 4348 + 500, 1000));
        moved.iso_week = wrapped.week;
        moved.year += select(0, wrapped.years, is_year_alone);
    } else if is_year_alone {
        moved.year = time.year + months / 12;
    }
    return moved;
}

// What `shift_time_months` by 12 months a year gives, mended: without a year nothing changes, and a week of no known
// date stays.
fn whole_years(time: TimeFields, by_months: TimeFields, years: i32) -> TimeFields {
    if !has_fields(time, YEAR_BIT) {
        return time;
    }
    var moved = by_months;
    if !full_date(moved).known {
        moved.iso_week = time.iso_week;
        moved.year = time.year + years;
    }
    return moved;
}

// By days, and by seconds in 0..86,400. The time of day moves where it is known by second or hour, else noon counts.
// A date moves by the calendar: the one of year, month and day, else of the day of the year, else the month's 15th;
// without a year it wraps in one of 365 days. A week alone moves by days / 7 to the nearest; a year alone by whole
// years.
fn shift_time_days(time: TimeFields, by_days: i32, seconds: i32) -> TimeFields {
    var moved = time;
    let has_second = has_fields(time, SECOND_OF_DAY_BIT);
    let has_hour = has_fields(time, HOUR_BIT);
    let clock = select(select(43200, time.hour * 3600, has_hour), time.second_of_day, has_second) + seconds;
    let next_day = select(0, 1, clock >= 86400);
    let second = clock - 86400 * next_day;
    moved.second_of_day = select(time.second_of_day, second, has_second);
    moved.hour = select(time.hour, second / 3600, has_hour);
    let days = by_days + next_day;
    if days == 0 {
        return moved;
    }
    let has_year = has_fields(time, YEAR_BIT);
    let has_month = has_fields(time, MONTH_BIT);
    let has_day = has_fields(time, DAY_BIT);
    let has_day_of_year = has_fields(time, DAY_OF_YEAR_BIT);
    let has_date = has_month || has_day_of_year;
    if has_date {
        let year = select(1, time.year, has_year);
        let is_day_of_year = has_day_of_year && !(has_month && has_day);
        let known = day_of_year(CivilDate(year, time.month, select(15, time.day, has_day)));
        let year_day = select(known, time.day_of_year, is_day_of_year) - 1 + days;
        let date = date_of_year_day(year, select(floor_mod(year_day, 365), year_day, has_year) + 1);
        moved.year = select(time.year, date.year, has_year);
        moved.month = select(time.month, date.month, has_month);
        moved.day = select(time.day, date.day, has_day);
        moved.day_of_year = select(time.day_of_year, day_of_year(date), has_day_of_year);
    }
    let is_year_alone = has_year && !has_date;
    let whole = full_date(moved);
    let weeks = floor_div(2 * days + 7, 14);
    if whole.known {
        moved.iso_week = iso_week(day_number(whole.date)).week;
    } else if has_fields(time, ISO_WEEK_BIT) {
        if weeks != 0 {
            let wrapped = wrapped_week(time.iso_week, weeks);
            moved.iso_week = wrapped.week;
            moved.year += select(0, wrapped.years, is_year_alone);
        }
    } else if is_year_alone {
        moved.year = time.year + days * 400 / 146097;
    }
    return moved;
}

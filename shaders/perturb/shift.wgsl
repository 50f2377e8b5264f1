// A record's time so many months later, with whatever it knows. Twin: `shift_time_months` in src/perturb/twin.rs.

#import common/season

// Year, month and day by the calendar; without a year the month wraps. The day of the year moves with the date that
// it stands for, in a year of 365 days where the year is missing. A week alone moves by 4.348 weeks a month; a year alone by whole years.
fn shift_time_months(time: TimeFields, months: i32) -> TimeFields {
    var moved = time;
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
    let whole = full_date(moved);
    if whole.known {
        moved.iso_week = iso_week(day_number(whole.date)).week;
    } else if has_week {
        let week = time.iso_week - 1 + floor_div(months * 4348 + 500, 1000);
        moved.iso_week = floor_mod(week, 52) + 1;
        if has_year && !has_month && !has_day_of_year {
            moved.year = time.year + floor_div(week, 52);
        }
    } else if has_year && !has_month && !has_day_of_year {
        moved.year = time.year + months / 12;
    }
    return moved;
}

//! The few calendar facts the loader needs.

/// Month and day of a day of the year, `None` where that year has no such day.
pub(crate) fn month_and_day(year: i32, day_of_year: u32) -> Option<(u32, u32)> {
    let mut rest = day_of_year.checked_sub(1)?;
    for month in 1..=12 {
        let days = days_in_month(year, month);
        if rest < days {
            return Some((month, rest + 1));
        }
        rest -= days;
    }
    None
}

/// Days of a month in the Gregorian calendar.
pub(crate) fn days_in_month(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_year_follows_leap_years() {
        assert_eq!(month_and_day(2013, 257), Some((9, 14)));
        assert_eq!(month_and_day(2012, 257), Some((9, 13)));
        assert_eq!(month_and_day(2012, 366), Some((12, 31)));
        assert_eq!(month_and_day(2013, 366), None);
        assert_eq!(month_and_day(2013, 0), None);
        assert_eq!(days_in_month(1900, 2), 28);
        assert_eq!(days_in_month(2000, 2), 29);
    }
}

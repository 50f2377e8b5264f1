// Civil (proleptic Gregorian) calendar in integers: year 0 is 1 BC. Years −1,000,000 to 1,000,000.
// Day numbers count from 1970-01-01 = 0. The era arithmetic (400 years = 146,097 days, years that start in
// March) is Howard Hinnant's, "chrono-compatible low-level date algorithms".
// Twins: src/common/calendar.rs, bit-equal.

struct CivilDate {
    year: i32,
    month: i32, // 1..=12
    day: i32,   // 1..=31
}

struct IsoWeek {
    year: i32, // the year that the week belongs to: the year of its Thursday
    week: i32, // 1..=53
}

struct DateTime {
    date: CivilDate,
    second_of_day: i32, // 0..=86,399
}

// ⌊a / b⌋ for b > 0.
fn floor_div(a: i32, b: i32) -> i32 {
    let quotient = a / b;
    return quotient - select(0, 1, a - quotient * b < 0);
}

// a − b·⌊a / b⌋ for b > 0: 0..b.
fn floor_mod(a: i32, b: i32) -> i32 {
    return a - floor_div(a, b) * b;
}

fn is_leap_year(year: i32) -> bool {
    // Divisible by 100 and by 16 means divisible by 400; & on two's complement is right below zero too.
    return (year & 3) == 0 && (floor_mod(year, 100) != 0 || (year & 15) == 0);
}

fn days_in_year(year: i32) -> i32 {
    return select(365, 366, is_leap_year(year));
}

// month in 1..=12.
fn days_in_month(year: i32, month: i32) -> i32 {
    if month == 2 {
        return select(28, 29, is_leap_year(year));
    }
    return 30 + ((month + (month >> 3u)) & 1);
}

// Days of the year before the first of the month (1..=12).
fn days_before_month(is_leap: bool, month: i32) -> i32 {
    let from_march = (153 * (month - 3) + 2) / 5 + 59 + select(0, 1, is_leap);
    return select(from_march, 31 * (month - 1), month <= 2);
}

// Days from 1970-01-01.
fn day_number(date: CivilDate) -> i32 {
    let year = date.year - select(0, 1, date.month <= 2);
    let era = floor_div(year, 400);
    let year_of_era = year - era * 400;
    let month_from_march = floor_mod(date.month + 9, 12);
    let day_of_march_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_march_year;
    return era * 146097 + day_of_era - 719468;
}

// The date of a day number.
fn civil_date(number: i32) -> CivilDate {
    let shifted = number + 719468;
    let era = floor_div(shifted, 146097);
    let day_of_era = shifted - era * 146097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_march_year + 2) / 153;
    let day = day_of_march_year - (153 * month_from_march + 2) / 5 + 1;
    let month = select(month_from_march + 3, month_from_march - 9, month_from_march >= 10);
    return CivilDate(year_of_era + era * 400 + select(0, 1, month <= 2), month, day);
}

// 1..=366.
fn day_of_year(date: CivilDate) -> i32 {
    return days_before_month(is_leap_year(date.year), date.month) + date.day;
}

// The date of a day of the year; days outside the year run over into its neighbours.
fn date_of_year_day(year: i32, year_day: i32) -> CivilDate {
    return civil_date(day_number(CivilDate(year, 1, 1)) + year_day - 1);
}

// 1 = Monday .. 7 = Sunday (ISO 8601).
fn weekday(number: i32) -> i32 {
    return floor_mod(number + 3, 7) + 1;
}

// ISO-8601 week of a day number: a week belongs to the year of its Thursday.
fn iso_week(number: i32) -> IsoWeek {
    let thursday = number - weekday(number) + 4;
    let year = civil_date(thursday).year;
    return IsoWeek(year, (thursday - day_number(CivilDate(year, 1, 1))) / 7 + 1);
}

// The same day so many months later (or earlier); a day that the month lacks becomes its last.
fn shift_months(date: CivilDate, months: i32) -> CivilDate {
    let month_index = date.year * 12 + date.month - 1 + months;
    let year = floor_div(month_index, 12);
    let month = month_index - year * 12 + 1;
    return CivilDate(year, month, min(date.day, days_in_month(year, month)));
}

// The same day so many years later; 29 February becomes 28 in a common year.
fn shift_years(date: CivilDate, years: i32) -> CivilDate {
    return shift_months(date, years * 12);
}

fn shift_days(date: CivilDate, days: i32) -> CivilDate {
    return civil_date(day_number(date) + days);
}

// Moves a date and time by seconds, |seconds| at most 2³⁰.
fn shift_seconds(at: DateTime, seconds: i32) -> DateTime {
    let total = at.second_of_day + seconds;
    let days = floor_div(total, 86400);
    return DateTime(shift_days(at.date, days), total - days * 86400);
}

// Moves a date and time by hours, |hours| at most 298,000 (34 years).
fn shift_hours(at: DateTime, hours: i32) -> DateTime {
    return shift_seconds(at, hours * 3600);
}

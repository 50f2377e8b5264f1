// Phases of year and day from whatever a record knows, in integers; divisions round down.
// Season = (day − 1 + f) / days in the actual year; f = second / 86,400, or 0.5 where the second is missing.
// The day comes from month and day, else from day_of_year; a missing year has 365 days; a month alone counts by its
// middle. Local time where second and offset are known (the date moves with it), else UTC.
// Twins: src/common/season.rs, bit-equal.

#import common/calendar
#import common/fixed64
#import records/fields

// The fields of a record that tell the time; one counts only where `valid` has its bit.
struct TimeFields {
    valid: u32,
    year: i32,
    month: i32,
    day: i32,
    second_of_day: i32,
    utc_offset_s: i32,
    day_of_year: i32,
    iso_week: i32,
    hour: i32,
}

struct OptionalInteger {
    known: bool,
    value: i32,
}

struct OptionalTurns {
    known: bool,
    turns: u32,
}

struct OptionalDate {
    known: bool,
    date: CivilDate,
}

// A year with the fraction of it that has passed.
struct YearPhase {
    known: bool,
    year: i32, // 0 where the year is not known
    turns: u32,
}

fn has_fields(time: TimeFields, bits: u32) -> bool {
    return (time.valid & bits) == bits;
}

fn derived_day_of_year(time: TimeFields) -> OptionalInteger {
    if has_fields(time, MONTH_BIT | DAY_BIT) {
        let is_leap = has_fields(time, YEAR_BIT) && is_leap_year(time.year);
        return OptionalInteger(true, days_before_month(is_leap, time.month) + time.day);
    }
    return OptionalInteger(has_fields(time, DAY_OF_YEAR_BIT), time.day_of_year);
}

fn known_year_length(has_year: bool, year: i32) -> i32 {
    return select(365, days_in_year(year), has_year);
}

// The year that local time falls in, and the fraction of it that has passed.
fn season(time: TimeFields) -> YearPhase {
    let has_year = has_fields(time, YEAR_BIT);
    let utc_day = derived_day_of_year(time);
    var year = select(0, time.year, has_year);
    var length = known_year_length(has_year, year);
    if !utc_day.known {
        if !has_fields(time, MONTH_BIT) {
            return YearPhase(false, year, 0u);
        }
        let before = days_before_month(length == 366, time.month);
        // Year 1 stands for any common year.
        let days = days_in_month(select(1, year, has_year), time.month);
        return YearPhase(true, year, div_turns(u32(before * 86400 + days * 43200), u32(length) * 86400u));
    }
    var day = utc_day.value;
    var second = 43200;
    if has_fields(time, SECOND_OF_DAY_BIT) {
        second = time.second_of_day;
        if has_fields(time, UTC_OFFSET_S_BIT) {
            let local = second + time.utc_offset_s;
            let days = floor_div(local, 86400);
            second = local - days * 86400;
            day += days;
        }
    }
    if day < 1 {
        year -= select(0, 1, has_year);
        length = known_year_length(has_year, year);
        day += length;
    } else if day > length {
        day -= length;
        year += select(0, 1, has_year);
        length = known_year_length(has_year, year);
    }
    return YearPhase(true, year, div_turns(u32((day - 1) * 86400 + second), u32(length) * 86400u));
}

fn season_phase(time: TimeFields) -> OptionalTurns {
    let phase = season(time);
    return OptionalTurns(phase.known, phase.turns);
}

// Known where the year is; half of it where nothing else is.
fn year_phase(time: TimeFields) -> YearPhase {
    let phase = season(time);
    let turns = select(0x80000000u, phase.turns, phase.known);
    return YearPhase(has_fields(time, YEAR_BIT), phase.year, turns);
}

fn day_phase(time: TimeFields) -> OptionalTurns {
    if !has_fields(time, SECOND_OF_DAY_BIT) {
        return OptionalTurns(false, 0u);
    }
    let offset = select(0, time.utc_offset_s, has_fields(time, UTC_OFFSET_S_BIT));
    return OptionalTurns(true, div_turns(u32(floor_mod(time.second_of_day + offset, 86400)), 86400u));
}

// The whole date, UTC, by year, month and day or by year and day of year.
fn full_date(time: TimeFields) -> OptionalDate {
    if has_fields(time, YEAR_BIT | MONTH_BIT | DAY_BIT) {
        return OptionalDate(true, CivilDate(time.year, time.month, time.day));
    }
    if has_fields(time, YEAR_BIT | DAY_OF_YEAR_BIT) {
        return OptionalDate(true, date_of_year_day(time.year, time.day_of_year));
    }
    return OptionalDate(false, CivilDate(0, 1, 1));
}

fn derived_iso_week(time: TimeFields) -> OptionalInteger {
    let whole = full_date(time);
    if whole.known {
        return OptionalInteger(true, iso_week(day_number(whole.date)).week);
    }
    return OptionalInteger(has_fields(time, ISO_WEEK_BIT), time.iso_week);
}

fn derived_month(time: TimeFields) -> OptionalInteger {
    if has_fields(time, MONTH_BIT) {
        return OptionalInteger(true, time.month);
    }
    if has_fields(time, DAY_OF_YEAR_BIT) {
        let year = select(1, time.year, has_fields(time, YEAR_BIT));
        return OptionalInteger(true, date_of_year_day(year, time.day_of_year).month);
    }
    return OptionalInteger(false, 0);
}

fn derived_hour(time: TimeFields) -> OptionalInteger {
    if has_fields(time, SECOND_OF_DAY_BIT) {
        return OptionalInteger(true, time.second_of_day / 3600);
    }
    return OptionalInteger(has_fields(time, HOUR_BIT), time.hour);
}

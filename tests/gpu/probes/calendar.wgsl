// Every function of common/calendar on one day. Input: day number, months to shift, seconds to shift.

#import common/calendar

@group(0) @binding(0) var<storage, read> input: array<i32>;
@group(0) @binding(1) var<storage, read_write> output: array<i32>;

fn put_date(at: u32, date: CivilDate) {
    output[at] = date.year;
    output[at + 1u] = date.month;
    output[at + 2u] = date.day;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 3u > arrayLength(&input) {
        return;
    }
    let number = input[id.x * 3u];
    let months = input[id.x * 3u + 1u];
    let seconds = input[id.x * 3u + 2u];
    let date = civil_date(number);
    let week = iso_week(number);
    let moved = shift_seconds(DateTime(date, 86399), seconds);
    let to = id.x * 25u;
    put_date(to, date);
    output[to + 3u] = day_number(date);
    output[to + 4u] = day_of_year(date);
    output[to + 5u] = weekday(number);
    output[to + 6u] = week.year;
    output[to + 7u] = week.week;
    output[to + 8u] = days_in_year(date.year);
    output[to + 9u] = days_in_month(date.year, date.month);
    put_date(to + 10u, shift_months(date, months));
    put_date(to + 13u, shift_years(date, months));
    put_date(to + 16u, shift_days(date, months));
    put_date(to + 19u, moved.date);
    output[to + 22u] = moved.second_of_day;
    output[to + 23u] = shift_hours(DateTime(date, 0), months).second_of_day;
    output[to + 24u] = date_of_year_day(date.year, day_of_year(date) + months).day;
}

// The numbers that waves run on. Each is a 64-bit integer with 2^bits to its natural unit: 55 for angles in degrees,
// 64 for turns, 56 for coordinates on a map or in space, else 43; |number| stays below 2¹⁹ natural units. The importing kernel defines
//     fn given(column: u32, row: u32) -> f32          a column of the second view
// and sets the flags of one class of sources, PLACE, POINT (POINT MAP, POINT CELL), DATE (DATE PHASE, DATE LOCAL), LENGTH or
// OTHER: some adapters run every case of a switch.
// Twin: src/encode/source.rs, bit-equal.

#import common/log2
#import common/phase
#if POINT
#import common/projection
#endif
#if CELL
#import common/s2
#endif
#import encode/rows
#import records/valid

const SOURCE_LAT_DEG = 0u;
const SOURCE_LON_DEG = 1u;
const SOURCE_YEAR = 2u;
const SOURCE_DAY_OF_YEAR = 3u;
const SOURCE_MONTH_INDEX = 4u;
const SOURCE_ISO_WEEK = 5u;
const SOURCE_HOUR = 6u;
const SOURCE_SEASON_TURNS = 7u;
const SOURCE_DAY_TURNS = 8u;
const SOURCE_YEARS_SINCE_2015 = 9u;
const SOURCE_OCTAVES = 10u;
const SOURCE_LOCAL_MONTH_PART = 11u;
const SOURCE_LOCAL_SECOND = 12u;
const SOURCE_GSD_M = 13u;
const SOURCE_WAVELENGTH_UM = 14u;
const SOURCE_COLUMN = 15u;
const SOURCE_ROW = 16u;
const SOURCE_FRAME = 17u;
const SOURCE_CHANNEL = 18u;
const SOURCE_POSITION = 19u;
const SOURCE_GSD_COLUMN = 20u;
const SOURCE_GSD_ROW = 21u;
const SOURCE_LAT_TURNS = 22u;
const SOURCE_LON_TURNS = 23u;
const SOURCE_LAT_TOKEN = 24u;
const SOURCE_LON_TOKEN = 25u;
const SOURCE_LAT_TOKEN_STRICT = 26u;
const SOURCE_LON_TOKEN_STRICT = 27u;
const SOURCE_EQUAL_EARTH_X = 28u;
const SOURCE_EQUAL_EARTH_Y = 29u;
const SOURCE_UNIT_X = 30u;
const SOURCE_UNIT_Y = 31u;
const SOURCE_UNIT_Z = 32u;
const SOURCE_GIVEN = 64u;
const SOURCE_S2_CELL = 128u;

// log2(10 · 2³²) in 2⁻³².
const LOG2_TEN_METRES = vec2<u32>(1382670639u, 35u);

struct Number {
    known: bool,
    refused: bool, // the record claims it with an impossible value
    value: vec2<u32>,
}

fn whole_number(known: bool, value: i32) -> Number {
    return Number(known, false, vec2<u32>(0u, bitcast<u32>(value) << 11u));
}

// A number that the record claims by `bit`; `impossible` has the bit where its value is.
fn claimed_number(claimed: u32, bit: u32, impossible: u32, value: vec2<u32>) -> Number {
    return Number((claimed & bit & ~impossible) != 0u, (claimed & impossible) != 0u, value);
}

// Quarters of a degree from −half, rounded half to even, of an angle in 2⁻⁵⁵ degrees; strict: 2·half + 1 for a −0.
fn token_number(angle: Number, half: i32, strict: bool) -> Number {
    let raised = add64(angle.value, vec2<u32>(0u, 1u << 20u));
    let up = bitcast<i32>(raised.y) >> 21u;
    let is_tie = raised.x == 0u && (raised.y & 0x1fffffu) == 0u;
    let quarters = up - select(0, up & 1, is_tie);
    let is_minus_zero = strict && quarters == 0 && is_negative64(angle.value);
    var number = whole_number(angle.known, select(quarters + half, 2 * half + 1, is_minus_zero));
    number.refused = angle.refused;
    return number;
}

// What a row's numbers of one class are made from, once for all of them.
struct Basis {
    sample: u32,
    claimed: u32,    // the record's validity bits
    impossible: u32, // POINT: bits of latitude and longitude where their value is
    time: TimeFields, // DATE: impossible values taken out
    // POINT, 56 binary digits: the place on the unit sphere; MAP: x and y on the Equal Earth map.
    x: vec2<u32>,
    y: vec2<u32>,
    z: vec2<u32>,
}

fn basis_of(sample: u32) -> Basis {
    var basis = Basis();
    basis.sample = sample;
    basis.claimed = record_word(VALID_WORD, sample);
#if DATE
    basis.time = load_time(sample, basis.claimed & DATE_BITS);
    basis.time.valid = basis.time.valid & ~impossible_time(basis.time);
#endif
#if POINT
    let lat = record_words64(LAT_WORD, sample);
    let lon = record_words64(LON_WORD, sample);
    basis.impossible = outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u);
#if MAP
    let map = equal_earth(lat, lon);
    basis.x = map.xy;
    basis.y = map.zw;
#else
    let unit = unit_vector(lat, lon);
    basis.x = unit.x;
    basis.y = unit.y;
    basis.z = unit.z;
#endif
#endif
    return basis;
}

#if POINT
// A coordinate of the place on the map or in space, or its cell.
fn point_number(source: u32, basis: Basis) -> Number {
    let known = (basis.claimed & ~basis.impossible & PLACE_BITS) == PLACE_BITS;
#if CELL
    let cell = s2_cell_number(UnitVector(basis.x, basis.y, basis.z), source - SOURCE_S2_CELL);
    let value = whole_number(known, bitcast<i32>(cell)).value;
#else
    let is_x = source == SOURCE_UNIT_X || source == SOURCE_EQUAL_EARTH_X;
    let value = select(select(basis.y, basis.z, source == SOURCE_UNIT_Z), basis.x, is_x);
#endif
    return Number(known, (basis.claimed & basis.impossible) != 0u, value);
}
#endif

#if PLACE
// Latitude or longitude: in 2⁻⁵⁵ degrees, in turns, or as a token of quarters of a degree. One path for all of them, since
// some adapters would run eight.
fn place_number(source: u32, claimed: u32, sample: u32) -> Number {
    let is_strict = source == SOURCE_LAT_TOKEN_STRICT || source == SOURCE_LON_TOKEN_STRICT;
    let is_token = is_strict || source == SOURCE_LAT_TOKEN || source == SOURCE_LON_TOKEN;
    let in_turns = source == SOURCE_LAT_TURNS || source == SOURCE_LON_TURNS;
    let is_lat = source == SOURCE_LAT_DEG || source == SOURCE_LAT_TURNS || source == SOURCE_LAT_TOKEN
        || source == SOURCE_LAT_TOKEN_STRICT;
    let bit = select(LON_BIT, LAT_BIT, is_lat);
    let angle = record_words64(select(LON_WORD, LAT_WORD, is_lat), sample);
    let impossible = outside_degrees(bit, angle, select(180u, 90u, is_lat));
    let value = select(shl64(angle, 15u), vec2<u32>(0u, turns_from_degrees(angle)), in_turns);
    let number = claimed_number(claimed, bit, impossible, value);
    let token = token_number(number, select(720, 360, is_lat), is_strict);
    return Number(number.known, number.refused, select(number.value, token.value, is_token));
}
#endif

// length · times, where it stays below 2¹⁹ units.
fn length_number(claimed: u32, bit: u32, length: vec2<u32>, times: u32) -> Number {
    let low = mul32_wide(length.x, times);
    let high = add64(mul32_wide(length.y, times), vec2<u32>(low.y, 0u));
    let fits = high.y == 0u && high.x < (1u << 19u);
    var number = claimed_number(claimed, bit, outside_length(bit, length), shl64(vec2<u32>(low.x, high.x), 11u));
    number.known = number.known && fits;
    return number;
}

fn gsd_number(claimed: u32, sample: u32, times: u32) -> Number {
    return length_number(claimed, GSD_M_BIT, record_words64(GSD_M_WORD, sample), times);
}

fn given_number(value: f32) -> Number {
    let magnitude = bitcast<u32>(value) & 0x7fffffffu;
    return Number(magnitude < 0x49000000u, false, i64_from_f32(value, 43)); // 2¹⁹
}

// Second of the local day, before it wraps into the next or the last.
fn local_second(time: TimeFields) -> i32 {
    return time.second_of_day + select(0, time.utc_offset_s, has_fields(time, UTC_OFFSET_S_BIT));
}

// GT-Loc's 365 · (month − 1) + 12 · (day − 1), local time; 2001 stands for a missing year.
fn local_month_part(time: TimeFields) -> OptionalInteger {
    let year = select(2001, time.year, has_fields(time, YEAR_BIT));
    var date = CivilDate(year, time.month, time.day);
    if !has_fields(time, MONTH_BIT | DAY_BIT) {
        if !has_fields(time, DAY_OF_YEAR_BIT) {
            return OptionalInteger(false, 0);
        }
        date = date_of_year_day(year, time.day_of_year);
    }
    if has_fields(time, SECOND_OF_DAY_BIT) {
        let days = floor_div(local_second(time), 86400);
        if days != 0 {
            date = shift_days(date, days);
        }
    }
    return OptionalInteger(true, 365 * (date.month - 1) + 12 * (date.day - 1));
}

fn source_number(source: u32, row: u32, token: Token, basis: Basis) -> Number {
    let sample = basis.sample;
    let claimed = basis.claimed;
    let time = basis.time;
#if PLACE
    return place_number(source, claimed, sample);
#else
#if POINT
    return point_number(source, basis);
#else
    switch source {
#if DATE
#if PHASE
        case SOURCE_SEASON_TURNS: {
            let phase = season_phase(time);
            return Number(phase.known, false, vec2<u32>(0u, phase.turns));
        }
        case SOURCE_DAY_TURNS: {
            let phase = day_phase(time);
            return Number(phase.known, false, vec2<u32>(0u, phase.turns));
        }
        case SOURCE_YEARS_SINCE_2015: {
            let phase = year_phase(time);
            return Number(phase.known, false, shl64(vec2<u32>(phase.turns, bitcast<u32>(phase.year - 2015)), 11u));
        }
#else
#if LOCAL
        case SOURCE_LOCAL_MONTH_PART: {
            let part = local_month_part(time);
            return whole_number(part.known, part.value);
        }
        case SOURCE_LOCAL_SECOND: {
            return whole_number(has_fields(time, SECOND_OF_DAY_BIT), floor_mod(local_second(time), 86400));
        }
#else
        case SOURCE_YEAR: { return whole_number(has_fields(time, YEAR_BIT), time.year); }
        case SOURCE_DAY_OF_YEAR: {
            let day = derived_day_of_year(time);
            return whole_number(day.known, day.value);
        }
        case SOURCE_MONTH_INDEX: {
            let month = derived_month(time);
            return whole_number(month.known, floor_mod(month.value - 1 + i32(token.frame), 12));
        }
        case SOURCE_ISO_WEEK: {
            let week = derived_iso_week(time);
            return whole_number(week.known, week.value);
        }
        case SOURCE_HOUR: {
            let hour = derived_hour(time);
            return whole_number(hour.known, hour.value);
        }
#endif
#endif
#endif
#if LENGTH
        case SOURCE_OCTAVES: {
            let gsd = record_words64(GSD_M_WORD, sample);
            // The logarithm of 0 does not exist; a length of 0 is impossible.
            let positive = select(gsd, vec2<u32>(1u, 0u), equal64(gsd, vec2<u32>(0u)));
            let octaves = sub64(log2_fixed(positive), LOG2_TEN_METRES);
            let impossible = outside_length(GSD_M_BIT, gsd);
            return claimed_number(claimed, GSD_M_BIT, impossible, shl64(octaves, 11u));
        }
        case SOURCE_GSD_M: { return gsd_number(claimed, sample, 1u); }
        case SOURCE_GSD_COLUMN: { return gsd_number(claimed, sample, token.column); }
        case SOURCE_GSD_ROW: { return gsd_number(claimed, sample, token.row); }
        case SOURCE_WAVELENGTH_UM: {
            let length = record_words64(WAVELENGTH_UM_WORD, sample);
            return length_number(claimed, WAVELENGTH_UM_BIT, length, 1u);
        }
#endif
#if OTHER
        case SOURCE_COLUMN: { return whole_number(true, i32(token.column)); }
        case SOURCE_ROW: { return whole_number(true, i32(token.row)); }
        case SOURCE_FRAME: { return whole_number(true, i32(token.frame)); }
        case SOURCE_CHANNEL: { return whole_number(true, i32(token.channel)); }
        case SOURCE_POSITION: { return whole_number(true, i32(token.position)); }
        default: { return given_number(given(source - SOURCE_GIVEN, row)); }
#else
        default: { return Number(false, false, vec2<u32>(0u)); }
#endif
    }
#endif
#endif
}

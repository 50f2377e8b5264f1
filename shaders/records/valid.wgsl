// The validity bits of a device record without those of impossible values, which count as missing.
// The rules are those of `Record` on the host, field by field. Twin: `possible_fields` in src/records/valid.rs.

#import common/calendar
#import common/fixed64
#import records/fields
#import records/load

// `bit` where value is outside low..=high.
fn outside(bit: u32, value: i32, low: i32, high: i32) -> u32 {
    return select(0u, bit, value < low || value > high);
}

// `bit` where a fixed-point angle is outside ±limit degrees.
fn outside_degrees(bit: u32, angle: vec2<u32>, limit: u32) -> u32 {
    return select(0u, bit, less_u64(vec2<u32>(0u, limit << 8u), abs64(angle)));
}

// `bit` where a length in units of 2⁻³² is outside 2⁻³²..=2³¹.
fn outside_length(bit: u32, length: vec2<u32>) -> u32 {
    return select(0u, bit, equal64(length, vec2<u32>(0u)) || less_u64(vec2<u32>(0u, 0x80000000u), length));
}

// `bit` where the bits of an f32 are outside 0..=limit. Bits of positive floats are ordered as integers, and those
// of negative numbers and NaN lie above; −0 is 0.
fn outside_f32(bit: u32, bits: u32, limit: u32) -> u32 {
    return select(0u, bit, bits > limit && bits != 0x80000000u);
}

fn impossible_time(time: TimeFields) -> u32 {
    var bad = outside(YEAR_BIT, time.year, -1000000, 1000000);
    let has_year = (time.valid & YEAR_BIT & ~bad) != 0u;
    bad |= outside(MONTH_BIT, time.month, 1, 12);
    let has_month = (time.valid & MONTH_BIT & ~bad) != 0u;
    // Year 2000 leaves 29 February possible while the year is not known.
    let longest = select(31, days_in_month(select(2000, time.year, has_year), time.month), has_month);
    bad |= outside(DAY_BIT, time.day, 1, longest);
    bad |= outside(SECOND_OF_DAY_BIT, time.second_of_day, 0, 86399);
    bad |= outside(UTC_OFFSET_S_BIT, time.utc_offset_s, -64800, 64800);
    bad |= outside(DAY_OF_YEAR_BIT, time.day_of_year, 1, select(366, days_in_year(time.year), has_year));
    bad |= outside(ISO_WEEK_BIT, time.iso_week, 1, 53);
    return bad | outside(HOUR_BIT, time.hour, 0, 23);
}

// Validity bits of the values that are possible.
fn possible_fields(sample: u32) -> u32 {
    let valid = record_word(VALID_WORD, sample) & (METADATA_BITS | SAMPLE_ID_BIT);
    var bad = impossible_time(load_time(sample, valid));
    bad |= outside_degrees(LAT_BIT, record_words64(LAT_WORD, sample), 90u);
    bad |= outside_degrees(LON_BIT, record_words64(LON_WORD, sample), 180u);
    bad |= outside_length(GSD_M_BIT, record_words64(GSD_M_WORD, sample));
    bad |= outside_length(WAVELENGTH_UM_BIT, record_words64(WAVELENGTH_UM_WORD, sample));
    bad |= outside_f32(CLOUD_FRACTION_BIT, record_word(CLOUD_FRACTION_WORD, sample), 0x3f800000u); // 1
    bad |= outside_f32(SOLAR_ZENITH_DEG_BIT, record_word(SOLAR_ZENITH_DEG_WORD, sample), 0x43340000u); // 180
    return valid & ~bad;
}

// Clay v1.5's eight channels: sin, cos of 2π·week/52, of 2π·hour/24, of latitude and of longitude; ISO week and hour in
// UTC. A pair whose input is missing is (0, 0), which no known input gives.
// Twin: src/encode/schemes/clay.rs.

#import encode/scheme

fn put_pair(at: u32, known: bool, turns: u32) {
    let wave = sincos_turns(turns);
    put(at, select(0.0, wave.x, known));
    put(at + 1u, select(0.0, wave.y, known));
}

fn encode_clay(block: Block, sample: u32, at: u32) -> Outcome {
    let time = possible_time(sample);
    let week = derived_iso_week(time);
    let hour = derived_hour(time);
    put_pair(at, week.known, div_turns(u32(floor_mod(week.value, 52)), 52u));
    put_pair(at + 2u, hour.known, div_turns(u32(floor_mod(hour.value, 24)), 24u));
    let claimed = claimed_fields(sample) & PLACE_BITS;
    let lat = record_words64(LAT_WORD, sample);
    let lon = record_words64(LON_WORD, sample);
    let refused = claimed & (outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u));
    let place = claimed & ~refused;
    put_pair(at + 4u, (place & LAT_BIT) != 0u, turns_from_degrees(lat));
    put_pair(at + 6u, (place & LON_BIT) != 0u, turns_from_degrees(lon));
    let time_bits = YEAR_BIT | MONTH_BIT | DAY_BIT | DAY_OF_YEAR_BIT | ISO_WEEK_BIT | SECOND_OF_DAY_BIT | HOUR_BIT;
    return Outcome(
        week.known && hour.known && place == PLACE_BITS,
        0u,
        refused != 0u || refuses_time(sample, time, time_bits),
    );
}

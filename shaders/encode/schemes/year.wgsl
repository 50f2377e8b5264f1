// Year: (y − 2015)/10 of the decimal year y, then sin of y at periods of 4, 16 and 64 years, then cos.
// y is exact in 2⁻³² years, so that division by a power of two is a shift.
// Twin: src/encode/schemes/year.rs.

#import encode/scheme
#import encode/schemes/season

fn encode_year(block: Block, sample: u32, at: u32) -> Outcome {
    let time = possible_time(sample);
    let phase = year_phase(time);
    let since_2015 = vec2<u32>(phase.turns, bitcast<u32>(phase.year - 2015));
    put(at, f32_from_i64(div_i64_small(since_2015, 10u), 32));
    let decimal_year = vec2<u32>(phase.turns, bitcast<u32>(phase.year));
    for (var k = 0u; k < 3u; k++) {
        let wave = sincos_turns(shr_i64(decimal_year, 2u * k + 2u).x);
        put(at + 1u + k, wave.x);
        put(at + 4u + k, wave.y);
    }
    return Outcome(phase.known, 0u, refuses_time(sample, time, SEASON_BITS));
}

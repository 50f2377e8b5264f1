// Day: sin, then cos, of harmonics 1..=parameter of the fraction of the day that has passed, local time where the
// offset is known.
// Twin: src/encode/schemes/day.rs.

#import encode/scheme

fn encode_day(block: Block, sample: u32, at: u32) -> Outcome {
    let time = possible_time(sample);
    let phase = day_phase(time);
    put_harmonics(at, phase.turns, block.parameter);
    return Outcome(phase.known, 0u, refuses_time(sample, time, SECOND_OF_DAY_BIT | UTC_OFFSET_S_BIT));
}

// Season: sin, then cos, of harmonics 1..=parameter of the fraction of the actual year that has passed.
// Twin: src/encode/schemes/season.rs.

#import encode/scheme

const SEASON_BITS = YEAR_BIT | MONTH_BIT | DAY_BIT | DAY_OF_YEAR_BIT | SECOND_OF_DAY_BIT | UTC_OFFSET_S_BIT;

fn encode_season(block: Block, sample: u32, at: u32) -> Outcome {
    let time = possible_time(sample);
    let phase = season_phase(time);
    put_harmonics(at, phase.turns, block.parameter);
    return Outcome(phase.known, 0u, refuses_time(sample, time, SEASON_BITS));
}

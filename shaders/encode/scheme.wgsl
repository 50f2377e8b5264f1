// What the schemes of `schemes/` share. The importing kernel defines
//     fn record_word(word: u32, sample: u32) -> u32   as records/load says
//     fn learned(at: u32) -> f32                      an element of the arena
//     fn put(at: u32, value: f32)                     writes a feature
// A scheme is one function `encode_<scheme>(block, sample, at) -> Outcome` that puts its features from `at` on.
// Twin: src/encode/scheme.rs.

#import common/phase
#import encode/block
#import records/valid

// What a block found in a record.
struct Outcome {
    known: bool,
    row: u32,      // 1 + row of the table where there is one
    refused: bool, // a field that the block reads holds an impossible value
}

fn claimed_fields(sample: u32) -> u32 {
    return record_word(VALID_WORD, sample);
}

// The time of a record without impossible values.
fn possible_time(sample: u32) -> TimeFields {
    let time = load_time(sample, claimed_fields(sample) & DATE_BITS);
    var possible = time;
    possible.valid = time.valid & ~impossible_time(time);
    return possible;
}

// Which of `bits` the record claims without holding a possible time.
fn refuses_time(sample: u32, time: TimeFields, bits: u32) -> bool {
    return (claimed_fields(sample) & ~time.valid & bits) != 0u;
}

// sin of harmonics 1..=count from `at` on, then their cosines.
fn put_harmonics(at: u32, turns: u32, count: u32) {
    for (var k = 0u; k < count; k++) {
        let wave = sincos_turns(turns * (k + 1u));
        put(at + k, wave.x);
        put(at + count + k, wave.y);
    }
}

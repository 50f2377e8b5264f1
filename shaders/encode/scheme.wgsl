// What the schemes of `schemes/` share. The importing kernel defines
//     fn record_word(word: u32, sample: u32) -> u32   as records/load says
//     fn learned(at: u32) -> f32                      an element of the arena
//     fn put(at: u32, value: f32)                     writes (or adds) a feature, once
//     fn put_absent(block: Block, at: u32)            puts the missing vector, or zeros where the block learns none
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


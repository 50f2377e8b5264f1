// Fields of device records. The importing kernel defines
//     fn record_word(word: u32, sample: u32) -> u32
// which returns records[start + word · stride + sample] of its own binding.

#import common/season
#import records/fields

fn record_words64(word: u32, sample: u32) -> vec2<u32> {
    return vec2<u32>(record_word(word, sample), record_word(word + 1u, sample));
}

// The fields that tell the time, counting those in `valid`.
fn load_time(sample: u32, valid: u32) -> TimeFields {
    return TimeFields(
        valid,
        bitcast<i32>(record_word(YEAR_WORD, sample)),
        bitcast<i32>(record_word(MONTH_WORD, sample)),
        bitcast<i32>(record_word(DAY_WORD, sample)),
        bitcast<i32>(record_word(SECOND_OF_DAY_WORD, sample)),
        bitcast<i32>(record_word(UTC_OFFSET_S_WORD, sample)),
        bitcast<i32>(record_word(DAY_OF_YEAR_WORD, sample)),
        bitcast<i32>(record_word(ISO_WEEK_WORD, sample)),
        bitcast<i32>(record_word(HOUR_WORD, sample)),
    );
}

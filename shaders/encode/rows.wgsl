// The rows that the encoder's kernels work on: a record each, or a token each. The importing kernel declares
//     params: Params and records: array<u32> as encode/forward says.

#import common/view
#import records/load

// Where a token lies in its sample.
struct Token {
    position: u32,
    frame: u32,
    row: u32,
    column: u32,
    channel: u32,
}

struct Params {
    e: Rows,
    given: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    rows: u32,
    first_block: u32,
    blocks: u32,
    arena_start: u32,
    status_start: u32,
    skipped: u32,         // first tokens of a sample, left alone
    frames_a_record: u32, // frames that share a record; 0: all of a sample
    tokens: u32,          // of a sample
    steps: u32,           // rows of one invocation of encode/ladders
    numbers_start: u32,   // encode/numbers: where its sources lie in the plan; encode/ladders: its units, in vectors
    // Axes of the token grid: steps, and tokens from one step to the next.
    frame: vec2<u32>,
    row: vec2<u32>,
    column: vec2<u32>,
    channel: vec2<u32>,
}

// What a row encodes.
struct Input {
    counts: bool, // not a class token
    sample: u32,  // its record
    token: Token,
}

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn along(axis: vec2<u32>, position: u32) -> u32 {
    let steps = quotient(position, axis.y);
    return steps - quotient(steps, axis.x) * axis.x;
}

#if TOKENS
fn input_of(row: u32) -> Input {
    let sample = quotient(row, params.tokens);
    let t = row - sample * params.tokens;
    let p = t - min(t, params.skipped);
    let frame = along(params.frame, p);
    let token = Token(p, frame, along(params.row, p), along(params.column, p), along(params.channel, p));
    var record = sample;
    if params.frames_a_record != 0u {
        record = sample * quotient(params.frame.x, params.frames_a_record) + quotient(frame, params.frames_a_record);
    }
    return Input(t >= params.skipped, record, token);
}
#else
fn input_of(row: u32) -> Input {
    return Input(true, row, Token());
}
#endif

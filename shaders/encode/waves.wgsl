// Encodings made of waves: each feature is amplitude · sin(phase), a product of two such sines, or scale · number + bias.
// phase = Σ frequency · number + offset in turns, in integers; the numbers are those that encode/numbers made.
//
// The program lies in the plan from `block.constants` on:
//     numbers, ladders, columns, flags; then the numbers that the block reads
//     per ladder: kind, numbers a and b, count, first sine and first cosine column, step, amplitude, frequencies
//     per column: column, sines (0: linear), amplitude, then per sine: terms, offset, terms × (number, frequency);
//         linear: number, scale, bias
//     frequency tables
// Where the block learns a scale, it replaces every amplitude. A missing number makes the block 0, or with
// ZERO_BY_COLUMN the columns that read it.
// One invocation = one record (or token) and the whole block. Blocks that are all ladders go to encode/ladders.
// Twin: `Waves::encode` in src/encode/waves.rs.
//
// The importing kernel declares numbers: array<vec2<u32>>, as encode/numbers writes them.

#import encode/rows
#import encode/scheme

const PROGRAM_WORDS = 4u;
const LADDER_WORDS = 9u;
const ZERO_BY_COLUMN = 1u;
const LADDER_HARMONICS = 0u;
const LADDER_ONE = 1u;

struct Number {
    known: bool,
    value: vec2<u32>,
}

// Number `index` of a row; NONE is a known 0.
fn number_of(index: u32, row: u32) -> Number {
    let number = numbers[select(index, 0u, index == NONE) * params.rows + row];
    return Number(index == NONE || (number.x & 1u) == 1u, select(number & vec2<u32>(~3u, ~0u), vec2<u32>(0u), index == NONE));
}

fn plan_words64(at: u32) -> vec2<u32> {
    return vec2<u32>(plan_word(at), plan_word(at + 1u));
}

// Turns of wave k of a ladder.
fn ladder_phase(kind: u32, table: u32, k: u32, a: vec2<u32>, b: vec2<u32>) -> u32 {
    if kind == LADDER_HARMONICS {
        return a.y * plan_word(table + k);
    }
    if kind == LADDER_ONE {
        return wave_turns(a, plan_words64(table + 2u * k));
    }
    let at = table + 5u * k;
    return wave_turns(a, plan_words64(at)) + wave_turns(b, plan_words64(at + 2u)) + plan_word(at + 4u);
}

fn put_ladder(at: u32, ladder: u32, row: u32, live: bool, by_column: bool, scale: f32, has_scale: bool) {
    let kind = plan_word(ladder);
    let a = number_of(plan_word(ladder + 1u), row);
    let b = number_of(plan_word(ladder + 2u), row);
    let count = plan_word(ladder + 3u);
    let sine_at = at + plan_word(ladder + 4u);
    let cosine_at = at + plan_word(ladder + 5u);
    let counts = select(live, a.known && b.known, by_column);
    let amplitude = select(bitcast<f32>(plan_word(ladder + 7u)), scale, has_scale);
    let table = plan_word(ladder + 8u);
    let step = plan_word(ladder + 6u);
    for (var k = 0u; k < count; k++) {
        let wave = sincos_turns(ladder_phase(kind, table, k, a.value, b.value)) * amplitude;
        put(sine_at + k * step, select(0.0, wave.x, counts));
        put(cosine_at + k * step, select(0.0, wave.y, counts));
    }
}

struct Phase {
    known: bool,
    turns: u32,
    next: u32, // where the words after it start
}

// The phase of a column's sine.
fn column_phase(phase: u32, row: u32) -> Phase {
    let terms = plan_word(phase);
    var turns = plan_word(phase + 1u);
    var known = true;
    var at = phase + 2u;
    for (var j = 0u; j < terms; j++) {
        let number = number_of(plan_word(at), row);
        turns += wave_turns(number.value, plan_words64(at + 1u));
        known = known && number.known;
        at += 3u;
    }
    return Phase(known, turns, at);
}

// Puts a column; gives where the next one's words start.
fn put_column(at: u32, column: u32, row: u32, live: bool, by_column: bool, scale: f32, has_scale: bool) -> u32 {
    let sines = plan_word(column + 1u);
    var value = select(bitcast<f32>(plan_word(column + 2u)), scale, has_scale);
    var known = true;
    var next = column + 3u;
    if sines == 0u {
        let number = number_of(plan_word(next), row);
        let product = mul_i64_wide(number.value, plan_words64(next + 1u));
        value = f32_from_i64(add64(product.zw, plan_words64(next + 3u)), 32);
        known = number.known;
        next += 5u;
    }
    for (var j = 0u; j < sines; j++) {
        let phase = column_phase(next, row);
        value = value * sincos_turns(phase.turns).x;
        known = known && phase.known;
        next = phase.next;
    }
    put(at + plan_word(column), select(0.0, value, select(live, known, by_column)));
    return next;
}

fn encode_waves(block: Block, row: u32, at: u32) -> Outcome {
    let program = block.constants;
    let count = plan_word(program);
    let ladders = plan_word(program + 1u);
    let columns = plan_word(program + 2u);
    let by_column = (plan_word(program + 3u) & ZERO_BY_COLUMN) != 0u;
    var known = true;
    var refused = false;
    for (var j = 0u; j < count; j++) {
        let number = numbers[plan_word(program + PROGRAM_WORDS + j) * params.rows + row];
        known = known && (number.x & 1u) == 1u;
        refused = refused || (number.x & 2u) == 2u;
    }
    if !known && block.missing != NONE {
        put_absent(block, at);
        return Outcome(false, 0u, refused);
    }
    let has_scale = block.scale != NONE;
    let scale = learned(select(0u, block.scale, has_scale));
    var next = program + PROGRAM_WORDS + (count + 3u) / 4u * 4u;
    for (var j = 0u; j < ladders; j++) {
        put_ladder(at, next, row, known, by_column, scale, has_scale);
        next += LADDER_WORDS;
    }
    for (var j = 0u; j < columns; j++) {
        next = put_column(at, next, row, known, by_column, scale, has_scale);
    }
    return Outcome(known, 0u, refused);
}

// Encodings made of waves: each feature is amplitude · sin(phase), a product of two such sines, or scale · number + bias.
// phase = Σ frequency · number + offset in turns, in integers; numbers are those of encode/source.
//
// The program lies in the plan from `block.constants` on:
//     4 sources (NONE: unused), ladders, columns, flags, 0
//     per ladder: kind, slots a and b, count, first sine and first cosine column, step, amplitude, frequencies
//     per column: column, sines (0: linear), amplitude, 2 × (slots a and b, frequency a, frequency b, offset)
//     frequency tables
// Where the block learns a scale, it replaces every amplitude. A missing number makes the block 0, or with
// ZERO_BY_COLUMN the columns that read it.
// One invocation = one record (or token) and the whole block. In VEC4 all columns are in ladders of four.
// Twin: `Waves::encode` in src/encode/waves.rs.

#import encode/source

const PROGRAM_WORDS = 8u;
const LADDER_WORDS = 9u;
const COLUMN_WORDS = 17u;
const ZERO_BY_COLUMN = 1u;
const LADDER_HARMONICS = 0u;
const LADDER_ONE = 1u;

struct Numbers {
    a: Number,
    b: Number,
    c: Number,
    d: Number,
}

// Number of a slot; NONE is a known 0.
fn pick(numbers: Numbers, slot: u32) -> Number {
    switch slot {
        case 0u: { return numbers.a; }
        case 1u: { return numbers.b; }
        case 2u: { return numbers.c; }
        case 3u: { return numbers.d; }
        default: { return Number(true, vec2<u32>(0u)); }
    }
}

fn load_number(source: u32, sample: u32, row: u32, token: Token, fields: u32, time: TimeFields) -> Number {
    if source == NONE {
        return Number(true, vec2<u32>(0u));
    }
    return source_number(source, sample, row, token, fields, time);
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

fn put_ladder(at: u32, ladder: u32, numbers: Numbers, live: bool, by_column: bool, scale: f32, has_scale: bool) {
    let kind = plan_word(ladder);
    let a = pick(numbers, plan_word(ladder + 1u));
    let b = pick(numbers, plan_word(ladder + 2u));
    let count = plan_word(ladder + 3u);
    let sine_at = at + plan_word(ladder + 4u);
    let cosine_at = at + plan_word(ladder + 5u);
    let counts = select(live, a.known && b.known, by_column);
    let amplitude = select(bitcast<f32>(plan_word(ladder + 7u)), scale, has_scale);
    let table = plan_word(ladder + 8u);
#if VEC4
    for (var k = 0u; k < count; k += 4u) {
        let w0 = sincos_turns(ladder_phase(kind, table, k, a.value, b.value));
        let w1 = sincos_turns(ladder_phase(kind, table, k + 1u, a.value, b.value));
        let w2 = sincos_turns(ladder_phase(kind, table, k + 2u, a.value, b.value));
        let w3 = sincos_turns(ladder_phase(kind, table, k + 3u, a.value, b.value));
        put4(sine_at + k, select(vec4<f32>(0.0), vec4<f32>(w0.x, w1.x, w2.x, w3.x) * amplitude, counts));
        put4(cosine_at + k, select(vec4<f32>(0.0), vec4<f32>(w0.y, w1.y, w2.y, w3.y) * amplitude, counts));
    }
#else
    let step = plan_word(ladder + 6u);
    for (var k = 0u; k < count; k++) {
        let wave = sincos_turns(ladder_phase(kind, table, k, a.value, b.value)) * amplitude;
        put(sine_at + k * step, select(0.0, wave.x, counts));
        put(cosine_at + k * step, select(0.0, wave.y, counts));
    }
#endif
}

#if VEC4
#else
struct Sine {
    known: bool,
    value: f32,
}

fn column_sine(phase: u32, numbers: Numbers) -> Sine {
    let a = pick(numbers, plan_word(phase));
    let b = pick(numbers, plan_word(phase + 1u));
    let turns = wave_turns(a.value, plan_words64(phase + 2u)) + wave_turns(b.value, plan_words64(phase + 4u));
    return Sine(a.known && b.known, sincos_turns(turns + plan_word(phase + 6u)).x);
}

fn put_column(at: u32, column: u32, numbers: Numbers, live: bool, by_column: bool, scale: f32, has_scale: bool) {
    let sines = plan_word(column + 1u);
    let amplitude = select(bitcast<f32>(plan_word(column + 2u)), scale, has_scale);
    let phase = column + 3u;
    var value = 0.0;
    var known = true;
    if sines == 0u {
        let number = pick(numbers, plan_word(phase));
        let product = mul_i64_wide(number.value, plan_words64(phase + 2u));
        value = f32_from_i64(add64(product.zw, plan_words64(phase + 4u)), 32);
        known = number.known;
    } else {
        let first = column_sine(phase, numbers);
        value = amplitude * first.value;
        known = first.known;
        if sines == 2u {
            let second = column_sine(phase + 7u, numbers);
            value = value * second.value;
            known = known && second.known;
        }
    }
    put(at + plan_word(column), select(0.0, value, select(live, known, by_column)));
}
#endif

fn encode_waves(block: Block, sample: u32, row: u32, token: Token, at: u32) -> Outcome {
    let claimed = claimed_fields(sample) & block.fields;
    let fields = possible_of(block.fields, sample);
    var time = TimeFields();
    if (block.fields & DATE_BITS) != 0u {
        time = load_time(sample, fields & DATE_BITS);
    }
    let program = block.constants;
    let numbers = Numbers(
        load_number(plan_word(program), sample, row, token, fields, time),
        load_number(plan_word(program + 1u), sample, row, token, fields, time),
        load_number(plan_word(program + 2u), sample, row, token, fields, time),
        load_number(plan_word(program + 3u), sample, row, token, fields, time),
    );
    let known = numbers.a.known && numbers.b.known && numbers.c.known && numbers.d.known;
    let refused = (claimed & ~fields) != 0u;
    if !known && block.missing != NONE {
        put_absent(block, at);
        return Outcome(false, 0u, refused);
    }
    let ladders = plan_word(program + 4u);
    let columns = plan_word(program + 5u);
    let by_column = (plan_word(program + 6u) & ZERO_BY_COLUMN) != 0u;
    let has_scale = block.scale != NONE;
    let scale = learned(select(0u, block.scale, has_scale));
    var next = program + PROGRAM_WORDS;
    for (var j = 0u; j < ladders; j++) {
        put_ladder(at, next, numbers, known, by_column, scale, has_scale);
        next += LADDER_WORDS;
    }
#if VEC4
#else
    for (var j = 0u; j < columns; j++) {
        put_column(at, next, numbers, known, by_column, scale, has_scale);
        next += COLUMN_WORDS;
    }
#endif
    return Outcome(known, 0u, refused);
}

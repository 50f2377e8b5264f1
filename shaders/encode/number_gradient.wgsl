// Gradient of the numbers that one block's waves run on:
//     slopes[i, row] += Σ over the block's features of de · ∂feature/∂(number · 2⁻⁶⁴)
// With phase = Σ F · number + offset in turns, the derivative of amplitude · sin(phase) is amplitude · cos(phase) · 2π F, of a
// product of two sines the sum of both, of a linear feature its scale. Where a feature is 0 for a missing number, so is its
// gradient.
//
// records, plan, arena, numbers as in encode/forward; de: [samples, width]; slopes: [numbers, rows] f32 from the binding's
// start, for encode/input_gradient. The program in the plan: as encode/waves says.
// One invocation = one record and the whole block: it owns the record's slopes and adds in place, in the program's order.
// Loops: as the plan says. Twin: `Waves::add_slopes` in src/encode/waves.rs.

#import common/view
#import encode/reading
#import encode/rows
#import encode/waves

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> de: array<f32>;
@group(0) @binding(6) var<storage, read_write> slopes: array<f32>;

const TAU = 6.2831853;
const QUARTER_TURN = 0x40000000u;

fn add_slope(number: u32, row: u32, slope: f32) {
    if number != NONE {
        slopes[number * params.rows + row] += slope;
    }
}

// Turns of a number's 2⁶⁴.
fn frequency(at: u32) -> f32 {
    return f32_from_i64(plan_words64(at), 32);
}

// One wave of a ladder: de of its sine and cosine columns, its phase, its frequencies of both numbers.
fn add_wave(sums: vec2<f32>, sine_at: u32, cosine_at: u32, turns: u32, frequencies: vec2<f32>) -> vec2<f32> {
    let wave = sincos_turns(turns);
    let slope = fma(de[sine_at], wave.y, -(de[cosine_at] * wave.x));
    return fma(vec2<f32>(slope), frequencies, sums);
}

// A loop for each kind: some adapters run every branch, but no loop that no lane needs.
fn add_ladder(at: u32, ladder: u32, row: u32, live: bool, by_column: bool, scale: f32, has_scale: bool) {
    let kind = plan_word(ladder);
    let a = number_of(plan_word(ladder + 1u), row);
    let b = number_of(plan_word(ladder + 2u), row);
    if !select(live, a.known && b.known, by_column) {
        return;
    }
    let count = plan_word(ladder + 3u);
    let sine_at = at + plan_word(ladder + 4u);
    let cosine_at = at + plan_word(ladder + 5u);
    let step = plan_word(ladder + 6u);
    let amplitude = select(bitcast<f32>(plan_word(ladder + 7u)), scale, has_scale);
    let table = plan_word(ladder + 8u);
    var sums = vec2<f32>(0.0);
    if kind == LADDER_HARMONICS {
        for (var k = 0u; k < count; k++) {
            let multiple = plan_word(table + k);
            let frequencies = vec2<f32>(f32(bitcast<i32>(multiple)), 0.0);
            sums = add_wave(sums, sine_at + k * step, cosine_at + k * step, a.value.y * multiple, frequencies);
        }
    } else if kind == LADDER_ONE {
        for (var k = 0u; k < count; k++) {
            let at = table + 2u * k;
            let turns = wave_turns(a.value, plan_words64(at));
            let frequencies = vec2<f32>(frequency(at), 0.0);
            sums = add_wave(sums, sine_at + k * step, cosine_at + k * step, turns, frequencies);
        }
    } else {
        for (var k = 0u; k < count; k++) {
            let at = table + 5u * k;
            let of_b = wave_turns(b.value, plan_words64(at + 2u));
            let turns = wave_turns(a.value, plan_words64(at)) + of_b + plan_word(at + 4u);
            let frequencies = vec2<f32>(frequency(at), frequency(at + 2u));
            sums = add_wave(sums, sine_at + k * step, cosine_at + k * step, turns, frequencies);
        }
    }
    add_slope(plan_word(ladder + 1u), row, TAU * amplitude * sums.x);
    add_slope(plan_word(ladder + 2u), row, TAU * amplitude * sums.y);
}

fn add_phase(phase: u32, row: u32, slope: f32) {
    for (var j = 0u; j < plan_word(phase); j++) {
        let term = phase + 2u + 3u * j;
        add_slope(plan_word(term), row, slope * frequency(term + 1u));
    }
}

// Adds a column; gives where the next one's words start.
fn add_column(at: u32, column: u32, row: u32, live: bool, by_column: bool, scale: f32, has_scale: bool) -> u32 {
    let sines = plan_word(column + 1u);
    let amplitude = select(bitcast<f32>(plan_word(column + 2u)), scale, has_scale);
    let gradient = de[at + plan_word(column)];
    let phase = column + 3u;
    if sines == 0u {
        if select(live, number_of(plan_word(phase), row).known, by_column) {
            add_slope(plan_word(phase), row, gradient * frequency(phase + 1u));
        }
        return phase + 5u;
    }
    let first = column_phase(phase, row);
    // A sine of 1 where there is no second.
    var second = Phase(true, QUARTER_TURN, first.next);
    if sines == 2u {
        second = column_phase(first.next, row);
    }
    if select(live, first.known && second.known, by_column) {
        let factor = TAU * amplitude * gradient;
        let a = sincos_turns(first.turns);
        let b = sincos_turns(second.turns);
        add_phase(phase, row, factor * a.y * b.x);
        if sines == 2u {
            add_phase(first.next, row, factor * a.x * b.y);
        }
    }
    return second.next;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let block = load_block(params.first_block);
    let at = row_start(params.e, row) + block.column;
    let program = block.constants;
    let count = plan_word(program);
    let by_column = (plan_word(program + 3u) & ZERO_BY_COLUMN) != 0u;
    var known = true;
    for (var j = 0u; j < count; j++) {
        known = known && number_of(plan_word(program + PROGRAM_WORDS + j), row).known;
    }
    if !known && (block.missing != NONE || !by_column) {
        return;
    }
    let has_scale = block.scale != NONE;
    let scale = learned(select(0u, block.scale, has_scale));
    var next = program + PROGRAM_WORDS + (count + 3u) / 4u * 4u;
    for (var j = 0u; j < plan_word(program + 1u); j++) {
        add_ladder(at, next, row, known, by_column, scale, has_scale);
        next += LADDER_WORDS;
    }
    for (var j = 0u; j < plan_word(program + 2u); j++) {
        next = add_column(at, next, row, known, by_column, scale, has_scale);
    }
}

// Encoding by ladders of waves, sixteen frequencies at a time, into rows that start at multiples of four elements:
// e[row, …] = amplitude · (sin | cos) of sixteen phases. encode/waves says what a ladder is; encode/forward does the same for
// all other ladders and rows, with the same bits.
// HARMONICS: whole multiples of a number in turns; PAIRS: two numbers and an offset; neither: one number.
// TOKENS adds to tokens, as in encode/forward.
//
// Bindings as in encode/forward, but plan and e in vectors of four. A unit of the plan, in vectors:
//     number a, number b, sine column, cosine column (both in vectors)
//     amplitude, scale (arena offset or NONE), block that counts refused rows (or NONE), 0
//     four times: HARMONICS: four multiples; else low words and high words of four frequencies; PAIRS: those of b, offsets
// One invocation = one unit and `steps` rows, its frequencies in registers; the lanes of a workgroup cover neighbouring
// units, so that they store whole lines, and where these are few, several rows at a time. Loops `steps` times.
// Twin: `Waves::encode` in src/encode/waves.rs.

#import common/phase
#import encode/block
#import encode/rows

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> e: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> status: array<atomic<u32>>;

// Four waves of a unit.
#if HARMONICS
const UNIT_VECTORS = 6u;

struct Four {
    multiples: vec4<u32>,
}

fn load_four(unit: u32, j: u32) -> Four {
    return Four(plan[unit + 2u + j]);
}

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    return four.multiples * a.y;
}
#else
#if PAIRS
const UNIT_VECTORS = 22u;

struct Four {
    a: Fours64,
    b: Fours64,
    offsets: vec4<u32>,
}

fn load_four(unit: u32, j: u32) -> Four {
    let at = unit + 2u + 5u * j;
    return Four(Fours64(plan[at], plan[at + 1u]), Fours64(plan[at + 2u], plan[at + 3u]), plan[at + 4u]);
}

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    return wave_turns_of_four(four.a, a) + wave_turns_of_four(four.b, b) + four.offsets;
}
#else
const UNIT_VECTORS = 10u;

struct Four {
    frequencies: Fours64,
}

fn load_four(unit: u32, j: u32) -> Four {
    return Four(Fours64(plan[unit + 2u + 2u * j], plan[unit + 3u + 2u * j]));
}

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    return wave_turns_of_four(four.frequencies, a);
}
#endif
#endif

fn plan_word(at: u32) -> u32 {
    return plan[at >> 2u][at & 3u];
}

fn store(at: u32, value: vec4<f32>) {
#if TOKENS
    e[at] += value;
#else
    e[at] = value;
#endif
}

fn put_four(sine: u32, cosine: u32, turns: vec4<u32>, amplitude: f32, known: bool) {
    let waves = sincos_of_four(turns);
    store(sine, select(vec4<f32>(0.0), waves.sine * amplitude, known));
    store(cosine, select(vec4<f32>(0.0), waves.cosine * amplitude, known));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // `blocks` counts units here. 64 lanes are 64 units, or fewer units and several rows.
    let width = min(params.blocks, 64u);
    let together = 64u / width;
    let columns = (params.blocks + 63u) / 64u;
    let work = flat_group(group, groups);
    let tile = work / columns;
    let beside = lane / width;
    let unit = (work - tile * columns) * 64u + lane - beside * width;
    let first = tile * together * params.steps + beside;
    if unit >= params.blocks || beside >= together || first >= params.rows {
        return;
    }
    let at = params.numbers_start + (params.first_block + unit) * UNIT_VECTORS;
    let places = plan[at];
    let factors = plan[at + 1u];
    let has_scale = factors.y != NONE;
    let scale = arena[params.arena_start + select(factors.y, 0u, !has_scale)];
    let amplitude = select(bitcast<f32>(factors.x), scale, has_scale);
    let four_0 = load_four(at, 0u);
    let four_1 = load_four(at, 1u);
    let four_2 = load_four(at, 2u);
    let four_3 = load_four(at, 3u);
    let numbers_a = places.x * params.rows;
    let numbers_b = places.y * params.rows;
    var refusals = 0u;
    for (var step = 0u; step < params.steps; step++) {
        let row = first + step * together;
        let inside = row < params.rows;
        let a = numbers[numbers_a + select(0u, row, inside)];
#if PAIRS
        let b = numbers[numbers_b + select(0u, row, inside)];
#else
        let b = vec2<u32>(1u, 0u);
#endif
        let known = (a.x & b.x & 1u) == 1u;
#if TOKENS
        let counts = inside && input_of(select(0u, row, inside)).counts;
#else
        let counts = inside;
#endif
        refusals += select(0u, ((a.x | b.x) >> 1u) & 1u, counts);
        let start = row_start(params.e, row) / 4u;
        let sine = start + places.z;
        let cosine = start + places.w;
        let of_a = vec2<u32>(a.x & ~3u, a.y);
        let of_b = vec2<u32>(b.x & ~3u, b.y);
        if counts {
            put_four(sine, cosine, turns_of(four_0, of_a, of_b), amplitude, known);
            put_four(sine + 1u, cosine + 1u, turns_of(four_1, of_a, of_b), amplitude, known);
            put_four(sine + 2u, cosine + 2u, turns_of(four_2, of_a, of_b), amplitude, known);
            put_four(sine + 3u, cosine + 3u, turns_of(four_3, of_a, of_b), amplitude, known);
        }
    }
    if factors.z != NONE && refusals > 0u {
        atomicAdd(&status[params.status_start + factors.z], refusals);
    }
}

// Encoding by ladders of waves, sixteen frequencies at a time: e[row, …] = amplitude · (sin | cos) of sixteen phases.
// encode/waves says what a ladder is; encode/forward does the same for ladders of blocks that this kernel cannot take,
// with the same bits.
// HARMONICS: whole multiples of a number in turns; PAIRS: two numbers and an offset; neither: one number.
// SCALAR stores element by element, at any column and distance; else rows and columns start at multiples of four elements
// and whole vectors are stored. TOKENS adds to tokens, as in encode/forward.
//
// Bindings as in encode/forward, but the plan in vectors of four, and e too where it is not SCALAR. A unit of the plan, in
// vectors:
//     number a, number b, first sine column, first cosine column
//     amplitude, scale (arena offset or NONE), block that counts refused rows (or NONE), step · 16 + waves − 1
//     four times: HARMONICS: four multiples; else low words and high words of four frequencies; PAIRS: those of b, offsets
// `step` is the distance of its columns; units that are not SCALAR have sixteen waves at distance 1.
// Rows are counted sample by sample, `tokens` each, so that none is divided by anything.
// One invocation = one unit and `steps` rows of a sample, its frequencies in registers; the lanes of a workgroup cover
// neighbouring units, so that they store whole lines, and where these are few, several rows at a time. Loops `steps` times.
// Twin: `Waves::encode` in src/encode/waves.rs.

#import common/phase
#import encode/block
#import encode/rows

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
#if SCALAR
@group(0) @binding(5) var<storage, read_write> e: array<f32>;
#else
@group(0) @binding(5) var<storage, read_write> e: array<vec4<f32>>;
#endif
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

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>, mask: u32) -> vec4<u32> {
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

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>, mask: u32) -> vec4<u32> {
    return wave_turns_of_four(four.a, a) + wave_turns_of_four(four.b, b) + (four.offsets & vec4<u32>(mask));
}
#else
const UNIT_VECTORS = 10u;

struct Four {
    frequencies: Fours64,
}

fn load_four(unit: u32, j: u32) -> Four {
    return Four(Fours64(plan[unit + 2u + 2u * j], plan[unit + 3u + 2u * j]));
}

fn turns_of(four: Four, a: vec2<u32>, b: vec2<u32>, mask: u32) -> vec4<u32> {
    return wave_turns_of_four(four.frequencies, a);
}
#endif
#endif

fn plan_word(at: u32) -> u32 {
    return plan[at >> 2u][at & 3u];
}

// Where a row's waves go, in elements. A missing number takes quarter and turns away, and what is left is zeros.
struct Target {
    sine: u32,
    cosine: u32,
    step: u32,
    last: u32,
    amplitude: f32,
    quarter: i32,
}

#if SCALAR
// Waves past the last of a unit repeat its frequency: they put its value once more, or leave the token as it is. No branch:
// SwiftShader takes minutes to compile thirty-two of them.
fn store(at: u32, j: u32, to: Target, value: f32) {
    let place = at + min(j, to.last) * to.step;
#if TOKENS
    let token = e[place];
    e[place] = select(token, token + value, j <= to.last);
#else
    e[place] = value;
#endif
}

fn store_four(at: u32, j: u32, to: Target, value: vec4<f32>) {
    store(at, 4u * j, to, value.x);
    store(at, 4u * j + 1u, to, value.y);
    store(at, 4u * j + 2u, to, value.z);
    store(at, 4u * j + 3u, to, value.w);
}
#else
fn store_four(at: u32, j: u32, to: Target, value: vec4<f32>) {
#if TOKENS
    e[(at >> 2u) + j] += value;
#else
    e[(at >> 2u) + j] = value;
#endif
}
#endif

fn put_four(to: Target, j: u32, turns: vec4<u32>) {
    let waves = sincos_or_zero(turns, to.quarter);
    store_four(to.sine, j, to, waves.sine * to.amplitude);
    store_four(to.cosine, j, to, waves.cosine * to.amplitude);
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
    let tile_rows = together * params.steps;
    let tiles = (params.tokens - params.skipped + tile_rows - 1u) / tile_rows;
    let work = flat_group(group, groups);
    let tile = work / columns;
    let beside = lane / width;
    let unit = (work - tile * columns) * 64u + lane - beside * width;
    let sample = tile / tiles;
    let first = params.skipped + (tile - sample * tiles) * tile_rows + beside;
    if unit >= params.blocks || beside >= together || sample * params.tokens >= params.rows {
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
    let numbers_a = places.x * params.rows + sample * params.tokens;
#if PAIRS
    let numbers_b = places.y * params.rows + sample * params.tokens;
#endif
    let end = min(first + tile_rows, params.tokens);
    var start = params.e.start + sample * params.e.sample_stride + first * params.e.row_stride;
    var refusals = 0u;
    for (var t = first; t < end; t += together) {
        let a = numbers[numbers_a + t];
#if PAIRS
        let b = numbers[numbers_b + t];
#else
        let b = vec2<u32>(1u, 0u);
#endif
        refusals += ((a.x | b.x) >> 1u) & 1u;
        let mask = 0u - (a.x & b.x & 1u);
        let target_row = Target(
            start + places.z,
            start + places.w,
            factors.w >> 4u,
            factors.w & 15u,
            // So that a missing number gives +0 whatever the amplitude's sign.
            select(1.0, amplitude, mask != 0u),
            bitcast<i32>(mask & u32(QUARTER)),
        );
        let of_a = a & vec2<u32>(mask & ~3u, mask);
        let of_b = b & vec2<u32>(mask & ~3u, mask);
        put_four(target_row, 0u, turns_of(four_0, of_a, of_b, mask));
        put_four(target_row, 1u, turns_of(four_1, of_a, of_b, mask));
        put_four(target_row, 2u, turns_of(four_2, of_a, of_b, mask));
        put_four(target_row, 3u, turns_of(four_3, of_a, of_b, mask));
        start += together * params.e.row_stride;
    }
    if factors.z != NONE && refusals > 0u {
        atomicAdd(&status[params.status_start + factors.z], refusals);
    }
}

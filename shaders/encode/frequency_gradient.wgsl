// First stage of the gradient of one block's learned frequencies f (turns a year) and phases φ (radians), with
// s = de of the sine · cos(2π f d/365 + φ_j), c = −de of the cosine · sin(2π f d/365 + φ_(count + j)):
//     ∂f_j = Σ (s + c) · 2π d/365,   ∂φ_j = Σ s,   ∂φ_(count + j) = Σ c
// over the chunk's rows. Rows whose day is missing and class tokens add 0.
//
// records, plan, numbers, arena as in encode/forward; de: [samples, width] or of tokens; partials: [chunks, 3 · count],
// contiguous: f, then φ, as in the arena.
// One invocation = one chunk of `steps` rows × one j; neighbouring lanes read neighbouring columns. Rows in order, no
// atomics: the same bits every time. Loops `steps` times. Twin: `Frequencies::add_slopes` in src/encode/schemes/frequencies.rs.

#import common/view
#import encode/chunk
#import encode/reading
#import encode/rows
#import encode/schemes/frequencies

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> de: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;
@group(0) @binding(6) var<storage, read> arena: array<f32>;

// 2π/365.
const RADIANS_PER_DAY = 0.017214207;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = load_block(params.first_block);
    let count = block.width / 2u;
    let index = flat_group(group, groups) * 64u + lane;
    let chunk = index / count;
    let j = index - chunk * count;
    let rows = rows_of_chunk(chunk, params.steps, params.tokens, params.rows);
    if rows.first >= rows.end {
        return;
    }
    let frequency = learned(block.scale + j);
    let sine_phase = turns_of(learned(block.scale + count + j));
    let cosine_phase = turns_of(learned(block.scale + 2u * count + j));
    // By frequency, sine's phase, cosine's phase.
    var sums = vec3<f32>(0.0);
    for (var row = rows.first; row < rows.end; row++) {
        let number = number_of(plan_word(block.constants), row);
        if number.known && input_of(row).counts {
            let at = row_start(params.e, row) + block.column + j;
            let turns = year_turns(number.value, frequency);
            let by_sine = de[at] * sincos_turns(turns + sine_phase).y;
            let by_cosine = -(de[at + count] * sincos_turns(turns + cosine_phase).x);
            let days = f32_from_i64(number.value, 43);
            sums += vec3<f32>((by_sine + by_cosine) * days, by_sine, by_cosine);
        }
    }
    let at = params.status_start + chunk * 3u * count + j;
    partials[at] = sums.x * RADIANS_PER_DAY;
    partials[at + count] = sums.y;
    partials[at + 2u * count] = sums.z;
}

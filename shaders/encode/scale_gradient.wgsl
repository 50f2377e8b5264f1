// First stage of the gradient of one block's learned scale: partial[chunk] = Σ over the chunk's rows and the block's columns
// of de · wave, the wave without its amplitude. Rows whose block is missing and class tokens add 0.
//
// records, plan, numbers as in encode/forward; de: [samples, width] or of tokens; partials: [chunks], contiguous.
// One workgroup = one chunk of `steps` rows; lane l takes its rows l, l + 64, … in order, column by column; then a tree over
// the lanes. No atomics: the same bits every time. Loops: steps / 64 times the block's columns.
// Twin: `scale_gradient` in src/encode/twin.rs, which adds a row's columns in their own order.

#import common/view
#import encode/chunk
#import encode/rows
#import encode/waves

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> de: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

var<private> sum: f32;
var<workgroup> sums: array<f32, 64>;

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

// The wave's own derivative by its scale.
fn learned(at: u32) -> f32 {
    return 1.0;
}

fn put(at: u32, value: f32) {
    sum = fma(de[at], value, sum);
}

fn put_absent(block: Block, at: u32) {}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = flat_group(group, groups);
    let block = load_block(params.first_block);
    let rows = rows_of_chunk(chunk, params.steps, params.tokens, params.rows);
    for (var step = lane; step < params.steps; step += 64u) {
        let row = rows.first + step;
        if row < rows.end && input_of(row).counts {
            let at = row_start(params.e, row) + block.column;
            let outcome = encode_waves(block, row, at);
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && rows.first < rows.end {
        partials[params.status_start + chunk] = sums[0];
    }
}

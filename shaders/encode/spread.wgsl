// Spherical harmonics, made once a record by encode/harmonics, onto the record's tokens, for one block:
//     e[row, column + j] += features[record of the row, j]
// Class tokens and rows of unknown places are left alone; encode/forward does the rest of the block.
//
// records, plan and e as in encode/forward with TOKENS; features: [records, width of the block], contiguous.
// One invocation = one column of one token; neighbouring lanes are neighbouring columns, and where a block has few,
// several rows. Twin: `add_to_tokens` in src/encode/twin.rs.

#import encode/block
#import encode/position
#import encode/rows

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> features: array<f32>;
@group(0) @binding(4) var<storage, read_write> e: array<f32>;

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = load_block(params.first_block);
    let width = min(block.width, 64u);
    let together = 64u / width;
    let columns = (block.width + 63u) / 64u;
    let work = flat_group(group, groups);
    let tile = work / columns;
    let beside = lane / width;
    let j = (work - tile * columns) * 64u + lane - beside * width;
    let row = tile * together + beside;
    if j >= block.width || beside >= together || row >= params.rows {
        return;
    }
    let input = input_of(row);
    if !input.counts || !position(input.sample).known {
        return;
    }
    // `arena_start`: where the features start.
    e[row_start(params.e, row) + block.column + j] += features[params.arena_start + input.sample * block.width + j];
}

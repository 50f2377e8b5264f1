// Encoding of records: e[i, columns of a block] = the block's scheme of record i, as the plan lists them.
// A block whose inputs are missing gives its learned missing vector; a validity column (0 or 1) may follow.
// TOKENS adds the row to each token of [samples, tokens, width] instead, at its place in the token grid; a record stands
// for a sample, or for a frame of a sample. The first `skipped` tokens of a sample (class tokens) are left alone.
// Blocks that are all ladders have a kernel of their own, encode/ladders.
// BACKWARD writes no feature but, per block with a missing vector and record, which row of the block's parameters it used:
// 0 = the missing vector, else 1 + row of its table (1 where there is none); NONE for a class token.
//
// records: [RECORD_WORDS, records] u32; plan: headers, then constants; arena: learned f32; numbers: from
// encode/numbers; e: [samples, width] or the tokens; selectors: [learned blocks, rows] u32; status: [blocks] u32, counts rows with
// impossible values.
// One workgroup = one block × 64 rows: the opcode is uniform. One invocation = one row of e and the whole block. Loops:
// as the plan says. All phases are integers. Twin: src/encode/twin.rs.

#import common/view
#import encode/rows
#import encode/schemes/frequencies
#import encode/schemes/id
#import encode/schemes/place
#import encode/schemes/table
#import encode/waves

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
@group(0) @binding(4) var<storage, read> numbers: array<vec2<u32>>;
#if BACKWARD
@group(0) @binding(5) var<storage, read_write> selectors: array<u32>;
#else
@group(0) @binding(5) var<storage, read_write> e: array<f32>;
#endif
@group(0) @binding(6) var<storage, read_write> status: array<atomic<u32>>;

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

#if BACKWARD
// Features do not matter to the selectors; compilers drop them.
fn learned(at: u32) -> f32 {
    return 0.0;
}

fn put(at: u32, value: f32) {}

fn put_absent(block: Block, at: u32) {}

fn skip(block: Block, row: u32) {
    if block.selector != NONE {
        selectors[block.selector * params.rows + row] = NONE;
    }
}

fn finish(block: Block, row: u32, at: u32, outcome: Outcome) {
    if block.selector != NONE {
        selectors[block.selector * params.rows + row] = select(0u, max(outcome.row, 1u), outcome.known);
    }
}
#else
fn learned(at: u32) -> f32 {
    return arena[params.arena_start + at];
}

fn put(at: u32, value: f32) {
#if TOKENS
    e[at] += value;
#else
    e[at] = value;
#endif
}

fn put_absent(block: Block, at: u32) {
    for (var j = 0u; j < block.width; j++) {
        put(at + j, select(0.0, learned(block.missing + j), block.missing != NONE));
    }
}

fn skip(block: Block, row: u32) {}

fn finish(block: Block, row: u32, at: u32, outcome: Outcome) {
    if block.validity == 1u {
        put(at + block.width, select(0.0, 1.0, outcome.known));
    }
    if outcome.refused {
        atomicAdd(&status[params.status_start + block.index], 1u);
    }
}
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let work = flat_group(group, groups);
    let tile = work / params.blocks;
    let block = load_block(params.first_block + work - tile * params.blocks);
    let row = tile * 64u + lane;
    if row >= params.rows {
        return;
    }
    let input = input_of(row);
    if !input.counts {
        skip(block, row);
        return;
    }
    let at = row_start(params.e, row) + block.column;
    var outcome = Outcome(false, 0u, false);
    switch block.opcode {
        case OPCODE_PLACE: { outcome = encode_place(block, input.sample, at); }
        case OPCODE_ID: { outcome = encode_id(block, input.sample, at); }
        case OPCODE_TABLE: { outcome = encode_table(block, row, at); }
        case OPCODE_FREQUENCIES: { outcome = encode_frequencies(block, row, at); }
        case OPCODE_WAVES: { outcome = encode_waves(block, row, at); }
        default: {}
    }
    finish(block, row, at, outcome);
}

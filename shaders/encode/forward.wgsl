// Encoding of records: e[i, columns of a block] = the block's scheme of record i, as the plan lists them.
// A block whose inputs are missing gives its learned missing vector; a validity column (0 or 1) may follow.
// BACKWARD writes no feature but, per learned block and record, which row of the block's parameters it used:
// 0 = the missing vector, else 1 + row of its table (1 where there is none).
//
// records: [RECORD_WORDS, samples] u32; plan: headers, then constants; arena: learned f32; e: [samples, width];
// selectors: [learned blocks, samples] u32; status: [blocks] u32, counts records with impossible values.
// One workgroup = one block × 64 records: the opcode is uniform. One invocation = one record. Loops at most
// (degree + 1)³ / 6 + … < 2,000 times. All phases are integers. Twin: src/encode/twin.rs.

#import common/view
#import encode/schemes/clay
#import encode/schemes/day
#import encode/schemes/gsd
#import encode/schemes/id
#import encode/schemes/place
#import encode/schemes/season
#import encode/schemes/year

struct Params {
    e: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    samples: u32,
    blocks: u32,
    arena_start: u32,
    status_start: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
#if BACKWARD
@group(0) @binding(4) var<storage, read_write> selectors: array<u32>;
#else
@group(0) @binding(4) var<storage, read_write> e: array<f32>;
#endif
@group(0) @binding(5) var<storage, read_write> status: array<atomic<u32>>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

#if BACKWARD
// Features do not matter to the selectors; compilers drop them.
fn learned(at: u32) -> f32 {
    return 0.0;
}

fn put(at: u32, value: f32) {}

fn finish(block: Block, index: u32, sample: u32, at: u32, outcome: Outcome) {
    if block.selector != NONE {
        selectors[block.selector * params.samples + sample] = select(0u, max(outcome.row, 1u), outcome.known);
    }
}
#else
fn learned(at: u32) -> f32 {
    return arena[params.arena_start + at];
}

fn put(at: u32, value: f32) {
    e[at] = value;
}

fn finish(block: Block, index: u32, sample: u32, at: u32, outcome: Outcome) {
    if !outcome.known && block.missing != NONE {
        for (var j = 0u; j < block.width; j++) {
            put(at + j, learned(block.missing + j));
        }
    }
    if block.validity == 1u {
        put(at + block.width, select(0.0, 1.0, outcome.known));
    }
    if outcome.refused {
        atomicAdd(&status[params.status_start + index], 1u);
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
    let index = work - tile * params.blocks;
    let sample = tile * 64u + lane;
    if sample >= params.samples {
        return;
    }
    let block = load_block(index);
    let at = row_start(params.e, sample) + block.column;
    var outcome = Outcome(false, 0u, false);
    switch block.opcode {
        case OPCODE_PLACE: { outcome = encode_place(block, sample, at); }
        case OPCODE_SEASON: { outcome = encode_season(block, sample, at); }
        case OPCODE_DAY: { outcome = encode_day(block, sample, at); }
        case OPCODE_YEAR: { outcome = encode_year(block, sample, at); }
        case OPCODE_GSD: { outcome = encode_gsd(block, sample, at); }
        case OPCODE_ID: { outcome = encode_id(block, sample, at); }
        case OPCODE_CLAY: { outcome = encode_clay(block, sample, at); }
        default: {}
    }
    finish(block, index, sample, at, outcome);
}

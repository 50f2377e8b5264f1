// Encoding of records: e[i, columns of a block] = the block's scheme of record i, as the plan lists them.
// A block whose inputs are missing gives its learned missing vector; a validity column (0 or 1) may follow.
// TOKENS adds the row to each token of [samples, tokens, width] instead, at its place in the token grid; a record stands
// for a sample, or for a frame of a sample. The first `skipped` tokens of a sample (class tokens) are left alone.
// VEC4 runs blocks whose columns come in fours: it stores whole vectors.
// BACKWARD writes no feature but, per block with a missing vector and record, which row of the block's parameters it used:
// 0 = the missing vector, else 1 + row of its table (1 where there is none).
//
// records: [RECORD_WORDS, records] u32; plan: headers, then constants; arena: learned f32; given: [rows, ≤ 8] f32;
// e: [samples, width] or the tokens; selectors: [learned blocks, samples] u32; status: [blocks] u32, counts rows with
// impossible values.
// One workgroup = one block × 64 rows: the opcode is uniform. One invocation = one row of e and the whole block. Loops:
// as the plan says. All phases are integers. Twin: src/encode/twin.rs.

#import common/view
#if VEC4
#else
#import encode/schemes/id
#import encode/schemes/place
#endif
#import encode/waves

struct Params {
    e: Rows,
    given: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    rows: u32,
    first_block: u32,
    blocks: u32,
    arena_start: u32,
    status_start: u32,
    skipped: u32,
    frames_a_record: u32, // frames that share a record; 0: all of a sample
    tokens: u32, // of a sample
    pad0: u32,
    pad1: u32,
    // Axes of the token grid: steps, and tokens from one step to the next.
    frame: vec2<u32>,
    row: vec2<u32>,
    column: vec2<u32>,
    channel: vec2<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> arena: array<f32>;
@group(0) @binding(4) var<storage, read> given_columns: array<f32>;
#if BACKWARD
@group(0) @binding(5) var<storage, read_write> selectors: array<u32>;
#else
#if VEC4
@group(0) @binding(5) var<storage, read_write> e: array<vec4<f32>>;
#else
@group(0) @binding(5) var<storage, read_write> e: array<f32>;
#endif
#endif
@group(0) @binding(6) var<storage, read_write> status: array<atomic<u32>>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

fn given(column: u32, row: u32) -> f32 {
    return given_columns[row_start(params.given, row) + column];
}

#if BACKWARD
// Features do not matter to the selectors; compilers drop them.
fn learned(at: u32) -> f32 {
    return 0.0;
}

fn put(at: u32, value: f32) {}

fn put_absent(block: Block, at: u32) {}

fn finish(block: Block, row: u32, at: u32, outcome: Outcome) {
    if block.selector != NONE {
        selectors[block.selector * params.rows + row] = select(0u, max(outcome.row, 1u), outcome.known);
    }
}
#else
fn learned(at: u32) -> f32 {
    return arena[params.arena_start + at];
}

#if VEC4
fn put4(at: u32, value: vec4<f32>) {
#if TOKENS
    e[at / 4u] += value;
#else
    e[at / 4u] = value;
#endif
}

fn put_absent(block: Block, at: u32) {
    for (var j = 0u; j < block.width; j += 4u) {
        let first = block.missing + j;
        put4(at + j, vec4<f32>(learned(first), learned(first + 1u), learned(first + 2u), learned(first + 3u)));
    }
}

fn put_validity(block: Block, at: u32, known: bool) {}
#else
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

fn put_validity(block: Block, at: u32, known: bool) {
    put(at + block.width, select(0.0, 1.0, known));
}
#endif

fn finish(block: Block, row: u32, at: u32, outcome: Outcome) {
    if block.validity == 1u {
        put_validity(block, at, outcome.known);
    }
    if outcome.refused {
        atomicAdd(&status[params.status_start + block.index], 1u);
    }
}
#endif

fn along(axis: vec2<u32>, position: u32) -> u32 {
    let steps = quotient(position, axis.y);
    return steps - quotient(steps, axis.x) * axis.x;
}

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
    var sample = row;
    var token = Token();
#if TOKENS
    sample = quotient(row, params.tokens);
    let t = row - sample * params.tokens;
    if t < params.skipped {
        return;
    }
    let p = t - params.skipped;
    token = Token(p, along(params.frame, p), along(params.row, p), along(params.column, p), along(params.channel, p));
    if params.frames_a_record != 0u {
        sample = sample * quotient(params.frame.x, params.frames_a_record) + quotient(token.frame, params.frames_a_record);
    }
#endif
    let at = row_start(params.e, row) + block.column;
    var outcome = Outcome(false, 0u, false);
    switch block.opcode {
#if VEC4
#else
        case OPCODE_PLACE: { outcome = encode_place(block, sample, at); }
        case OPCODE_ID: { outcome = encode_id(block, sample, at); }
#endif
        case OPCODE_WAVES: { outcome = encode_waves(block, sample, row, token, at); }
        default: {}
    }
    finish(block, row, at, outcome);
}

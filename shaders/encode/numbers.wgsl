// The numbers that a plan's waves run on, once for every row: numbers[i, row] = (low word, high word), where the two
// lowest bits, which no number needs, say known and refused.
// Waves read them from there: some adapters run every case of a switch, so calendars and logarithms have variants of
// their own, one a class of sources (PLACE, POINT, POINT MAP, POINT CELL, DATE, DATE PHASE, DATE LOCAL, LENGTH, OTHER), and
// run once a record, not once a feature. A place's projection is made once for all its coordinates or cells.
//
// records and given_columns as in encode/forward; each source's code and fields lie in the plan from `numbers_start` on;
// numbers: [sources, rows] vec2<u32>, contiguous, from the binding's start.
// One invocation = one number; POINT: all numbers of the class for one row. Loops 64 times at most, POINT: as often a source
// again. Twin: `Source::value` in src/encode/source.rs, bit-equal.

#import encode/source

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> given_columns: array<f32>;
@group(0) @binding(4) var<storage, read_write> numbers: array<vec2<u32>>;

fn given(column: u32, row: u32) -> f32 {
    return given_columns[row_start(params.given, row) + column];
}

fn put_number(index: u32, row: u32, token: Token, basis: Basis) {
    let source = plan[params.numbers_start + 2u * index];
    let number = source_number(source, row, token, basis);
    var refused = number.refused;
#if DATE
    // A date's field that the number reads holds an impossible value.
    let fields = plan[params.numbers_start + 2u * index + 1u];
    refused = (basis.claimed & fields & DATE_BITS & ~basis.time.valid) != 0u;
#endif
    let flags = select(0u, 1u, number.known) | select(0u, 2u, refused);
    numbers[index * params.rows + row] = vec2<u32>((number.value.x & ~3u) | flags, number.value.y);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let work = flat_group(group, groups);
#if POINT
    let tile = work;
    let first = params.first_block;
    let last = first + params.blocks;
#else
    let tile = work / params.blocks;
    let first = params.first_block + work - tile * params.blocks;
#endif
    let row = tile * 64u + lane;
    if row >= params.rows {
        return;
    }
    let input = input_of(row);
    let basis = basis_of(input.sample);
#if POINT
    for (var index = first; index < last; index++) {
        put_number(index, row, input.token, basis);
    }
#else
    put_number(first, row, input.token, basis);
#endif
}

// Rows of halves, two to a word, beside rows of f32 vectors in scratch. BF16: bfloat16, else IEEE halves. A row of halves
// starts at a word; with an odd width the last word's other half is not ours.
// The importing kernel declares params: Params. One invocation = eight columns of a row.

#import common/pack
#import common/view

struct Params {
    halves: Rows,       // in words
    rows: u32,
    width: u32,
    values_start: u32,  // in vectors
    values_stride: u32, // vectors of a row
    tokens: u32,        // of a sample
    skipped: u32,       // first tokens of a sample, left alone
    pad0: u32,
    pad1: u32,
}

struct Place {
    counts: bool,
    values: u32, // vector
    halves: u32, // word
    pairs: u32,  // from here to the row's end, the last one perhaps half ours
}

fn place_of(index: u32) -> Place {
    let columns = (params.width + 7u) / 8u;
    let row = quotient(index, columns);
    let eight = index - row * columns;
    let token = row - quotient(row, params.tokens) * params.tokens;
    return Place(
        row < params.rows && token >= params.skipped,
        params.values_start + row * params.values_stride + eight * 2u,
        row_start(params.halves, row) + eight * 4u,
        (params.width + 1u) / 2u - eight * 4u,
    );
}

#if BF16
fn pack_pair(pair: vec2<f32>) -> u32 {
    return pack_bf16(pair);
}

fn unpack_pair(word: u32) -> vec2<f32> {
    return unpack_bf16(word);
}
#else
fn pack_pair(pair: vec2<f32>) -> u32 {
    return pack_f16(pair);
}

fn unpack_pair(word: u32) -> vec2<f32> {
    return unpack_f16(word);
}
#endif

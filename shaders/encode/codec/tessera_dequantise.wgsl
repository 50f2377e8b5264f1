// Tessera's int8 back: x = code · scale. Where the scale is NaN or infinite, x is NaN.
//
// codes: [rows, width / 4 rounded up]; scales: [rows, 1] or one (strides 0); x: [rows, width] f32 bits.
// One invocation per word of codes. One product, correctly rounded: twin `tessera_dequantise` in
// src/encode/codec/twin.rs, bit-equal where the product is a normal number.

#import common/view
#import encode/codec/words

struct Params {
    codes: Rows,
    scales: Rows,
    x: Rows,
    rows: u32,
    width: u32,
    words: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = quotient(index, params.words);
    if row >= params.rows {
        return;
    }
    let column = index - row * params.words;
    let word = codes[row_start(params.codes, row) + column];
    let scale = scales[row_start(params.scales, row)];
    let is_damaged = (scale & 0x7f800000u) == 0x7f800000u;
    let first = column * 4u;
    let at = row_start(params.x, row) + first;
    for (var byte = 0u; byte < min(4u, params.width - first); byte++) {
        let product = bitcast<u32>(f32(code_at(word, byte)) * bitcast<f32>(scale));
        x[at + byte] = select(product, 0x7fc00000u, is_damaged);
    }
}

// Tessera's int8: scale = max|x| / 127, code = round_half_even(x / scale), with a floor under max|x| or under the scale.
// PER_ROW takes the maximum of each row; without it, it stands in `magnitude`. A NaN or an infinity among the numbers that
// share a scale gives the scale NaN and codes 0.
//
// x: [rows, width] f32 bits; codes: [rows, width / 4 rounded up]; scales: [rows, 1] or one; magnitude: one word.
// Workgroup: 64 lanes, four rows; loops width / 16 + width / 64. Rows are independent but for the shared maximum.
// Twin: `tessera_quantise` in src/encode/codec/twin.rs, bit-equal.

#import common/view
#import encode/codec/lanes
#import encode/codec/tessera_code
#import encode/codec/words

struct Params {
    x: Rows,
    codes: Rows,
    scales: Rows,
    rows: u32,
    width: u32,
    least_magnitude: u32,
    least_scale: u32,
    magnitude_start: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> magnitude: array<u32>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 4u + (lane >> 4u);
    let own_lane = lane & 15u;
    let inside = row < params.rows;
    let x_at = row_start(params.x, min(row, params.rows - 1u));
#if PER_ROW
    var largest = 0u;
    if inside {
        for (var column = own_lane; column < params.width; column += 16u) {
            largest = max(largest, x[x_at + column] & 0x7fffffffu);
        }
    }
    largest = largest_of_row(largest, lane);
#else
    let largest = magnitude[params.magnitude_start];
#endif
    let scale = scale_bits(largest, params.least_magnitude, params.least_scale);
    if !inside {
        return;
    }
    if own_lane == 0u {
        scales[row_start(params.scales, row)] = scale;
    }
    let codes_at = row_start(params.codes, row);
    for (var first = own_lane * 4u; first < params.width; first += 64u) {
        var word = 0u;
        if scale != DAMAGED {
            for (var byte = 0u; byte < min(4u, params.width - first); byte++) {
                word |= code_in(tessera_code(x[x_at + first + byte], scale), byte);
            }
        }
        codes[codes_at + first / 4u] = word;
    }
}

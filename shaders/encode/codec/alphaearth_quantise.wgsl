// AlphaEarth's int8: code = clamp(round_half_even(sign(x) · √|x| · 127.5), −127, 127). A row that is not valid, or holds a
// NaN or an infinity, is no data: −128 in all its channels.
//
// x: [rows, width] f32 bits; valid: [rows, 1] f32 bits, ±0 = no data (bound to x and ignored where has_valid is 0);
// thresholds: [129], where thresholds[c] is the least |x| (as bits) of code c, 0 and 2³² − 1 at the ends;
// codes: [rows, width / 4 rounded up].
// Workgroup: 64 lanes, four rows; loops width / 16 + width / 64. A driver's square root only guesses; the thresholds, made
// by the host with IEEE arithmetic, decide. Twin: `alphaearth_quantise` in src/encode/codec/twin.rs, bit-equal.

#import common/view
#import encode/codec/lanes
#import encode/codec/words

struct Params {
    x: Rows,
    valid: Rows,
    codes: Rows,
    rows: u32,
    width: u32,
    has_valid: u32,
    thresholds_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read> thresholds: array<u32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;

const ONE = 0x3f800000u;
const NO_DATA = 0x80808080u; // −128 four times

// The guess errs by one at most: √ and products are good to a few ulp, and 127.5 · 2⁻²⁰ is far below one.
fn alphaearth_code(bits: u32) -> i32 {
    let magnitude = min(bits & 0x7fffffffu, ONE);
    let guess = min(u32(sqrt(bitcast<f32>(magnitude)) * 127.5 + 0.5), 127u);
    let above = magnitude >= thresholds[params.thresholds_start + guess + 1u];
    let below = magnitude < thresholds[params.thresholds_start + guess];
    let code = bitcast<i32>(guess + select(0u, 1u, above) - select(0u, 1u, below));
    return select(code, -code, bits > 0x7fffffffu);
}

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
    var largest = 0u;
    if inside {
        for (var column = own_lane; column < params.width; column += 16u) {
            largest = max(largest, x[x_at + column] & 0x7fffffffu);
        }
    }
    largest = largest_of_row(largest, lane);
    if !inside {
        return;
    }
    var has_data = largest < 0x7f800000u;
    if params.has_valid != 0u {
        has_data = has_data && (valid[row_start(params.valid, row)] & 0x7fffffffu) != 0u;
    }
    let codes_at = row_start(params.codes, row);
    for (var first = own_lane * 4u; first < params.width; first += 64u) {
        let bytes = min(4u, params.width - first);
        var word = NO_DATA >> (32u - 8u * bytes);
        if has_data {
            word = 0u;
            for (var byte = 0u; byte < bytes; byte++) {
                word |= code_in(alphaearth_code(x[x_at + first + byte]), byte);
            }
        }
        codes[codes_at + first / 4u] = word;
    }
}

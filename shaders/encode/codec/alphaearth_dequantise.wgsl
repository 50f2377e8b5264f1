// AlphaEarth's int8 back: x = sign(c) · (c / 127.5)², or with `unit` that vector at length 1, sign(c) · c² / √(Σ c⁴).
// A row that holds −128 anywhere is no data: x = no_data in all its channels, valid = 0; else valid = 1.
//
// codes: [rows, width / 4 rounded up]; x: [rows, width] f32 bits; valid: [rows, 1].
// Workgroup: 64 lanes, four rows; loops width / 32. Σ c⁴ is an integer in two halves of 14 bits, so its order does not
// matter and a row alone gives the same bits; a row of zeros stays zeros.
// Without `unit` one product of exact numbers: bit-equal to the twin. With it, 2⁻²² + 2⁻²³ relative: the sum's
// rounding halved by the root, 2 ulp of inverseSqrt, one product. Twin: `alphaearth_dequantise` in
// src/encode/codec/twin.rs.

#import common/view
#import encode/codec/lanes
#import encode/codec/words

struct Params {
    codes: Rows,
    x: Rows,
    valid: Rows,
    rows: u32,
    width: u32,
    unit: u32,
    no_data: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> codes: array<u32>;
@group(0) @binding(2) var<storage, read_write> x: array<u32>;
@group(0) @binding(3) var<storage, read_write> valid: array<f32>;

var<workgroup> fourth_low: array<atomic<u32>, 4>;
var<workgroup> fourth_high: array<atomic<u32>, 4>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 4u + (lane >> 4u);
    let own_lane = lane & 15u;
    let inside = row < params.rows;
    let codes_at = row_start(params.codes, min(row, params.rows - 1u));
    if lane < 4u {
        atomicStore(&fourth_low[lane], 0u);
        atomicStore(&fourth_high[lane], 0u);
    }
    var low = 0u;
    var high = 0u;
    var has_gap = 0u;
    if inside {
        for (var first = own_lane * 4u; first < params.width; first += 64u) {
            let word = codes[codes_at + first / 4u];
            for (var byte = 0u; byte < min(4u, params.width - first); byte++) {
                let code = code_at(word, byte);
                let square = bitcast<u32>(code * code);
                let fourth = square * square; // at most 2²⁸
                low += fourth & 0x3fffu;
                high += fourth >> 14u;
                has_gap = max(has_gap, select(0u, 1u, code == -128));
            }
        }
    }
    // The barriers inside stand between the clearing above and the sums below.
    has_gap = largest_of_row(has_gap, lane);
    atomicAdd(&fourth_low[lane >> 4u], low);
    atomicAdd(&fourth_high[lane >> 4u], high);
    workgroupBarrier();
    if !inside {
        return;
    }
    let fourth = fma(f32(atomicLoad(&fourth_high[lane >> 4u])), 16384.0, f32(atomicLoad(&fourth_low[lane >> 4u])));
    // 4 / 255²; any factor will do for a row of zeros.
    var factor = 6.1514805e-5;
    if params.unit != 0u {
        factor = inverseSqrt(max(fourth, 1.0));
    }
    if own_lane == 0u {
        valid[row_start(params.valid, row)] = select(1.0, 0.0, has_gap == 1u);
    }
    let x_at = row_start(params.x, row);
    for (var first = own_lane * 4u; first < params.width; first += 64u) {
        let word = codes[codes_at + first / 4u];
        for (var byte = 0u; byte < min(4u, params.width - first); byte++) {
            let code = code_at(word, byte);
            let value = bitcast<u32>(f32(code * abs(code)) * factor);
            x[x_at + first + byte] = select(value, params.no_data, has_gap == 1u);
        }
    }
}

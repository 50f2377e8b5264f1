// The largest |x| of a tensor: magnitude = max(magnitude, max |x[row, column]|), as bits (a NaN's are above all others').
//
// x: [rows, width]; magnitude: one word, 0 before the first dispatch.
// Workgroup: 64 lanes, four rows at a time, `steps` times; loops steps · width / 16. Integer maxima: any order gives the
// same bits. Twin: `magnitude` in src/encode/codec/twin.rs.

#import common/view
#import encode/codec/lanes

struct Params {
    x: Rows,
    rows: u32,
    width: u32,
    steps: u32,
    magnitude_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> magnitude: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat_group(group, groups) * params.steps * 4u + (lane >> 4u);
    var largest = 0u;
    for (var step = 0u; step < params.steps; step++) {
        let row = first + step * 4u;
        if row < params.rows {
            let start = row_start(params.x, row);
            for (var column = lane & 15u; column < params.width; column += 16u) {
                largest = max(largest, x[start + column] & 0x7fffffffu);
            }
        }
    }
    let of_rows = largest_of_row(largest, lane);
    if (lane & 15u) == 0u {
        atomicMax(&magnitude[params.magnitude_start], of_rows);
    }
}

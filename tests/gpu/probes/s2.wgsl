// Cells of the S2 grid. Input: lat, lon (two words each); output: the cells of levels 0..=8.

#import common/s2

@group(0) @binding(0) var<storage, read> input: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x + 1u) * 2u > arrayLength(&input) {
        return;
    }
    let point = unit_vector(input[id.x * 2u], input[id.x * 2u + 1u]);
    for (var level = 0u; level <= 8u; level++) {
        output[id.x * 9u + level] = s2_cell_number(point, level);
    }
}

// Probe: floor(a / b) of pairs.

#import common/view

@group(0) @binding(0) var<storage, read> cases: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x * 2u < arrayLength(&cases) {
        out[id.x] = quotient(cases[id.x * 2u], cases[id.x * 2u + 1u]);
    }
}

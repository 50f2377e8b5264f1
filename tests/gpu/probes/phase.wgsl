// Sine and cosine of an angle. Input: turns.

#import common/phase

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&input) {
        let wave = sincos_turns(input[id.x]);
        output[id.x * 2u] = wave.x;
        output[id.x * 2u + 1u] = wave.y;
    }
}

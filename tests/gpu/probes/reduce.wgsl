// Workgroup sums and maxima over 64 and over 256 lanes. Input: 256 values a workgroup.

#import common/reduce

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let value = input[group.x * 256u + lane];
    let few = workgroup_sum(value, lane, 64u);
    let all = workgroup_sum(value, lane, 256u);
    let largest = workgroup_max(value, lane, 256u);
    if lane == 255u {
        output[group.x * 3u] = few;
        output[group.x * 3u + 1u] = all;
        output[group.x * 3u + 2u] = largest;
    }
}

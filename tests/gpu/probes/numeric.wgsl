// The f32 functions of common/numeric. Input: x.

#import common/numeric

@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&input) {
        return;
    }
    let x = input[id.x];
    let to = id.x * 10u;
    output[to] = sigmoid(x);
    output[to + 1u] = silu(x);
    output[to + 2u] = silu_derivative(x);
    output[to + 3u] = softplus(x);
    output[to + 4u] = precise_exp(x);
    output[to + 5u] = precise_log(x);
    output[to + 6u] = lse_value(lse_add(lse_add(LSE_EMPTY, x), 1.0));
    output[to + 7u] = select(0.0, 1.0, is_nan(x));
    output[to + 8u] = select(0.0, 1.0, is_finite(x));
    output[to + 9u] = select(0.0, 1.0, is_zero(x));
}

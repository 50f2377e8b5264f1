// How four numbers travel, and four terms of four sums at a time, in index order with fma: every family adds in this order.

#if LONG
#import common/long

alias Vector = vec2<u64>;
#else
alias Vector = vec4<f32>;

fn four_of(four: Vector) -> vec4<f32> {
    return four;
}

fn words_of(four: vec4<f32>) -> Vector {
    return four;
}
#endif

fn add_four(sums: vec4<f32>, factors: vec4<f32>, values: mat4x4<f32>) -> vec4<f32> {
    let two = fma(vec4<f32>(factors.y), values[1], fma(vec4<f32>(factors.x), values[0], sums));
    return fma(vec4<f32>(factors.w), values[3], fma(vec4<f32>(factors.z), values[2], two));
}

// How many of four places from `first` lie before `end`.
fn places(first: u32, end: u32) -> u32 {
    return min(max(first, end) - first, 4u);
}

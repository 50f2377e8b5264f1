// Where a row of a strided view starts. Twin: `Rows` in src/gpu/view.rs.

struct Rows {
    start: u32,         // elements from the binding's start
    tokens: u32,        // rows per sample, at least 1
    sample_stride: u32, // elements between samples
    row_stride: u32,    // elements between rows of a sample
}

// floor(a / b) for b in 1..=2^30, exact. Integer division is the slowest instruction of most adapters (llvmpipe does
// it lane by lane); this is a reciprocal, a correction of what f32 lost, and one step either way.
// After the first line |near − a/b| ≤ 2^-21·a/b + 1, so `rest` fits 31 bits and its quotient is off by at most one.
fn quotient(a: u32, b: u32) -> u32 {
    let inverse = 1.0 / f32(b);
    let near = u32(min(f32(a) * inverse, 4294967040.0));
    let rest = bitcast<i32>(a - near * b);
    let guess = near + bitcast<u32>(i32(floor(f32(rest) * inverse)));
    let remainder = bitcast<i32>(a - guess * b);
    return guess + select(0u, 1u, remainder >= bitcast<i32>(b)) - select(0u, 1u, remainder < 0);
}

fn row_start(view: Rows, row: u32) -> u32 {
    let sample = quotient(row, view.tokens);
    return view.start + sample * view.sample_stride + (row - sample * view.tokens) * view.row_stride;
}

// Four indices from `first`; those past the end repeat the last one, so that a tile at the edge reads what exists.
fn four_from(first: u32, count: u32) -> vec4<u32> {
    return min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u));
}

fn row_starts(view: Rows, rows: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(
        row_start(view, rows.x),
        row_start(view, rows.y),
        row_start(view, rows.z),
        row_start(view, rows.w),
    );
}

// Dispatches above 65,535 groups are folded into y; this undoes it.
fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

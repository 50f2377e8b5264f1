// Where a row of a strided view starts. Twin: `Rows` in src/gpu/view.rs.

struct Rows {
    start: u32,         // elements from the binding's start
    tokens: u32,        // rows per sample, at least 1
    sample_stride: u32, // elements between samples
    row_stride: u32,    // elements between rows of a sample
}

fn row_start(view: Rows, row: u32) -> u32 {
    let sample = row / view.tokens;
    return view.start + sample * view.sample_stride + (row - sample * view.tokens) * view.row_stride;
}

// Dispatches above 65,535 groups are folded into y; this undoes it.
fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

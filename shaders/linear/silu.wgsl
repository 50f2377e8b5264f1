// SiLU of every element, y = x · σ(x), or with BACKWARD its gradient: dx = dy · σ(x)(1 + x(1 − σ(x))).
//
// x, y: [rows, width]; dy the same (bound to x in the forward). One invocation per element.
// Twin: `silu`, `silu_backward` in src/linear/twin.rs.

#import common/view
#import common/numeric

struct Params {
    x: Rows,
    dy: Rows,
    y: Rows,
    rows: u32,
    width: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = quotient(index, params.width);
    let column = index - row * params.width;
    if row >= params.rows {
        return;
    }
    let value = x[row_start(params.x, row) + column];
    let at = row_start(params.y, row) + column;
#if BACKWARD
    y[at] = dy[row_start(params.dy, row) + column] * silu_derivative(value);
#else
    y[at] = silu(value);
#endif
}

// out = a / b, or 0 where b is 0. totals: (a, b, …); out: [1]. One invocation. Twin: `ratio` in src/loss/twin.rs.

struct Params {
    totals_start: u32,
    out_start: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> totals: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(1)
fn main() {
    let total = totals[params.totals_start + 1u];
    if total != 0.0 {
        out[params.out_start] = totals[params.totals_start] / total;
    } else {
        out[params.out_start] = 0.0;
    }
}

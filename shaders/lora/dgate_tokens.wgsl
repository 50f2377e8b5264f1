// The gradient of gates per token: dgate[row, j] = λ·s · u[row, j] · h[row, j]; SCALAR: summed over j, upwards, with fma.
// ACCUMULATE adds to what dgate holds. ROUTED: each row has its adapter's s and rank; ranks that it lacks give 0.
//
// u, h: [rows, rank]; dgate: [rows, rank or 1]. One invocation per output; loops rank times under SCALAR. A row's result
// depends on no other row. Twin: `dgate` in src/lora/twin.rs with one token a sample.

#import common/view

struct Params {
    u: Rows,
    h: Rows,
    dgate: Rows,
    rows: u32,
    rank: u32,
    columns: u32,  // rank, or 1 with SCALAR
    samples: u32,  // where `routes` has each row's sample
    adapters: u32, // and each sample's adapter
    lambda: f32,
    scale: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read_write> dgate: array<f32>;
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = index / params.columns;
    let column = index - row * params.columns;
    if row >= params.rows {
        return;
    }
#if ROUTED
    let entry = entries[routes[params.adapters + routes[params.samples + row]]];
    let rank = entry.x;
    let scale = bitcast<f32>(entry.y);
#else
    let rank = params.rank;
    let scale = params.scale;
#endif
    let u_at = row_start(params.u, row);
    let h_at = row_start(params.h, row);
    var sum = 0.0;
#if SCALAR
    for (var j = 0u; j < rank; j++) {
        sum = fma(u[u_at + j], h[h_at + j], sum);
    }
#else
    if column < rank {
        sum = u[u_at + column] * h[h_at + column];
    }
#endif
    let at = row_start(params.dgate, row) + column;
    let gradient = scale * sum * params.lambda;
#if ACCUMULATE
    dgate[at] += gradient;
#else
    dgate[at] = gradient;
#endif
}

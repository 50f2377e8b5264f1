// gated[row, j] = h[row, j] · g[sample, j]: the only kernel that reads gates forward, so that the maps know nothing of
// them. The backward's u ⊙ g is the same.
//
// h, gated: [rows, rank]; gate: per sample or per row, [rank] or one. ROUTED: rows find their sample in `routes`. One invocation per four ranks; no loop. A row's result depends
// on no other row. Twin: `gated` in src/lora/twin.rs.

#import common/view
#import lora/gates
#import common/four

struct Params {
    h: Rows,
    gated: Rows,
    gates: GateRows,
    rows: u32,
    rank: u32,
    first_row: u32, // of this dispatch, counted from the first bound gate's first row
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> gate: array<f32>;
@group(0) @binding(3) var<storage, read_write> gated: array<f32>;
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
#endif

fn put(source: u32, gate_at: u32, to: u32, j: u32) {
    gated[to + j] = h[source + j] * gate[gate_at + j * params.gates.rank_stride];
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let fours = (params.rank + 3u) / 4u;
    let row = index / fours;
    if row >= params.rows {
        return;
    }
    let rank = (index - row * fours) * 4u;
    let source = row_start(params.h, row) + rank;
    let to = row_start(params.gated, row) + rank;
    let gate_at = gate_start(params.gates, params.first_row + row) + rank * params.gates.rank_stride;
    let count = places(rank, params.rank);
    put(source, gate_at, to, 0u);
    if 1u < count { put(source, gate_at, to, 1u); }
    if 2u < count { put(source, gate_at, to, 2u); }
    if 3u < count { put(source, gate_at, to, 3u); }
}

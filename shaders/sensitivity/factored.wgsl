// Logits under K gates where the adapter sits in the last layer and pooling and head are linear:
//     out[k, s, c] = base[s, c] + λ·scale · Σ_r g_k[s, r] · h̄[s, r] · map[r, c].
// h̄ is the pooled h, map = B_t·W_headᵀ. A delta that is exactly 0 leaves the base's bits.
//
// base: [rows, classes]; gates: [k, rows, rank] (or width 1, gate_step 0); hidden: [rows, rank]; map: [rank, classes];
// out: [k, rows, classes]. One invocation per (k, row, 4 classes); loops rank times, from rank 0 upwards, with fma.
// Twin: `factored` in src/sensitivity/twin.rs.

#import common/numeric
#import common/view

struct Params {
    base: Rows,
    gates: Rows,
    hidden: Rows,
    out: Rows,
    map_start: u32,
    map_stride: u32,
    rows: u32,
    classes: u32,
    rank: u32,
    gate_step: u32,
    lambda: f32,
    scale: f32,
    variants_count: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> base: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read> hidden: array<f32>;
@group(0) @binding(4) var<storage, read> map: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let quads = (params.classes + 3u) / 4u;
    let variant_row = index / quads;
    let first_class = (index - variant_row * quads) * 4u;
    let k = variant_row / params.rows;
    let row = variant_row - k * params.rows;
    if k >= params.variants_count {
        return;
    }
    let gate_at = row_start(params.gates, variant_row);
    let hidden_at = row_start(params.hidden, row);
    // Classes past the end repeat the last one; they are not stored.
    let map_at = four_from(first_class, params.classes) + params.map_start;
    var delta = vec4<f32>(0.0);
    for (var r = 0u; r < params.rank; r++) {
        let gated = gates[gate_at + r * params.gate_step] * hidden[hidden_at + r];
        let at = map_at + r * params.map_stride;
        delta = fma(vec4<f32>(gated), vec4<f32>(map[at.x], map[at.y], map[at.z], map[at.w]), delta);
    }
    let factor = params.lambda * params.scale;
    let base_at = row_start(params.base, row) + first_class;
    let out_at = row_start(params.out, variant_row) + first_class;
    for (var j = 0u; j < 4u; j++) {
        if first_class + j < params.classes {
            let logit = base[base_at + j];
            let change = factor * delta[j];
            out[out_at + j] = select(logit + change, logit, is_zero(change) || is_zero(factor));
        }
    }
}

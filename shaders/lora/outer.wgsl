// First stage of dA and dB_t: partial[chunk, j, n] = s · Σ_{row in chunk} (w[row, j] · g[sample, j]) · v[row, n],
// with w, v = u, x for dA and h, dy for dB_t. One register tile of 4 ranks × 4 columns per invocation.
// GATE multiplies by the sample's gate; without it g = 1.
//
// w: [rows, rank]; v: [rows, width]; gate: per sample, [rank] or one (bound to w without GATE);
// partial: [chunks, rank, width], contiguous.
// Workgroup: 64 invocations over (chunk, rank tile, column tile), column tiles fastest. Loops chunk_rows, upwards, with
// fma. Chunks count from row 0 of the batch. The second stage, reduce/sum_chunks, multiplies by λ.
// Twin: `outer` in src/lora/twin.rs.

#import common/view
#import lora/gates

struct Params {
    w: Rows,
    v: Rows,
    gates: GateRows,
    rows: u32,
    rank: u32,
    width: u32,
    partial_start: u32,
    chunk_rows: u32,
    first_row: u32, // of this dispatch, counted from the first bound sample's first row
    scale: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> gate: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let rank_tiles = (params.rank + 3u) / 4u;
    let column_tiles = (params.width + 3u) / 4u;
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * 4u;
    let first_column = (index - line * column_tiles) * 4u;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    // Ranks and columns past the end repeat the last one; they are not stored.
    let rank = min(vec4<u32>(first_rank) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.rank - 1u));
    let column = min(vec4<u32>(first_column) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.width - 1u));
    var sum0 = vec4<f32>(0.0);
    var sum1 = vec4<f32>(0.0);
    var sum2 = vec4<f32>(0.0);
    var sum3 = vec4<f32>(0.0);
    for (var row = first; row < end; row++) {
        let w_at = rank + vec4<u32>(row_start(params.w, row));
        var gated = vec4<f32>(w[w_at.x], w[w_at.y], w[w_at.z], w[w_at.w]);
#if GATE
        let g = rank * params.gates.rank_stride + vec4<u32>(gate_start(params.gates, params.first_row + row));
        gated *= vec4<f32>(gate[g.x], gate[g.y], gate[g.z], gate[g.w]);
#endif
        let v_at = column + vec4<u32>(row_start(params.v, row));
        let values = vec4<f32>(v[v_at.x], v[v_at.y], v[v_at.z], v[v_at.w]);
        sum0 = fma(vec4<f32>(gated.x), values, sum0);
        sum1 = fma(vec4<f32>(gated.y), values, sum1);
        sum2 = fma(vec4<f32>(gated.z), values, sum2);
        sum3 = fma(vec4<f32>(gated.w), values, sum3);
    }
    let sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
    for (var j = 0u; j < 4u; j++) {
        if first_rank + j < params.rank {
            let at = params.partial_start + (chunk * params.rank + first_rank + j) * params.width + first_column;
            for (var n = 0u; n < 4u; n++) {
                if first_column + n < params.width {
                    partials[at + n] = params.scale * sums[j][n];
                }
            }
        }
    }
}

// First stage of dA and dB_t: partial[chunk, j, n] = s · Σ_{row in chunk} (w[row, j] · g[sample, j]) · v[row, n],
// with w, v = u, x for dA and h, dy for dB_t. One register tile of 8 ranks × 8 columns per invocation.
// GATE multiplies by the sample's gate; without it g = 1.
//
// w: [rows, rank]; v: [rows, width]; gate: per sample, [rank] or one (bound to w without GATE);
// partial: [chunks, rank, width], contiguous.
// Workgroup: 64 invocations over (chunk, rank tile, column tile), column tiles fastest. Loops chunk_rows, upwards, with
// fma. Chunks count from row 0 of the batch. The second stage, reduce/sum_chunks, multiplies by λ.
// Twin: `outer` in src/lora/twin.rs.

#import common/view
#import lora/gates
#import lora/tile

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
    let rank_tiles = (params.rank + 7u) / 8u;
    let column_tiles = (params.width + 7u) / 8u;
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * 8u;
    let first_column = (index - line * column_tiles) * 8u;
    let first = chunk * params.chunk_rows;
    if first >= params.rows {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
    let ranks_upper = four_from(first_rank, params.rank);
    let ranks_lower = four_from(first_rank + 4u, params.rank);
    let columns_left = four_from(first_column, params.width);
    let columns_right = four_from(first_column + 4u, params.width);
    var tile = Tile();
    for (var row = first; row < end; row++) {
        let w_row = row_start(params.w, row);
        let w_upper = ranks_upper + w_row;
        var upper = vec4<f32>(w[w_upper.x], w[w_upper.y], w[w_upper.z], w[w_upper.w]);
        let w_lower = ranks_lower + w_row;
        var lower = vec4<f32>(w[w_lower.x], w[w_lower.y], w[w_lower.z], w[w_lower.w]);
#if GATE
        let gate_at = gate_start(params.gates, params.first_row + row);
        upper *= four_gates(ranks_upper * params.gates.rank_stride + gate_at);
        lower *= four_gates(ranks_lower * params.gates.rank_stride + gate_at);
#endif
        let v_row = row_start(params.v, row);
        let v_left = columns_left + v_row;
        let left = vec4<f32>(v[v_left.x], v[v_left.y], v[v_left.z], v[v_left.w]);
        let v_right = columns_right + v_row;
        let right = vec4<f32>(v[v_right.x], v[v_right.y], v[v_right.z], v[v_right.w]);
        tile_add(&tile, upper, lower, left, right);
    }
    let first_line = chunk * params.rank;
    tile_store(tile, first_line + first_rank, first_line + params.rank, first_column, params.width);
}

// Lines of the partials are (chunk, rank).
fn line_start(line: u32) -> u32 {
    return params.partial_start + line * params.width;
}

fn put(at: u32, sum: f32) {
    partials[at] = params.scale * sum;
}

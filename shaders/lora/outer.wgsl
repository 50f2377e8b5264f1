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
    var left0 = vec4<f32>(0.0);
    var right0 = vec4<f32>(0.0);
    var left1 = vec4<f32>(0.0);
    var right1 = vec4<f32>(0.0);
    var left2 = vec4<f32>(0.0);
    var right2 = vec4<f32>(0.0);
    var left3 = vec4<f32>(0.0);
    var right3 = vec4<f32>(0.0);
    var left4 = vec4<f32>(0.0);
    var right4 = vec4<f32>(0.0);
    var left5 = vec4<f32>(0.0);
    var right5 = vec4<f32>(0.0);
    var left6 = vec4<f32>(0.0);
    var right6 = vec4<f32>(0.0);
    var left7 = vec4<f32>(0.0);
    var right7 = vec4<f32>(0.0);
    for (var row = first; row < end; row++) {
        let w_row = row_start(params.w, row);
        let w_upper = ranks_upper + w_row;
        var upper = vec4<f32>(w[w_upper.x], w[w_upper.y], w[w_upper.z], w[w_upper.w]);
        let w_lower = ranks_lower + w_row;
        var lower = vec4<f32>(w[w_lower.x], w[w_lower.y], w[w_lower.z], w[w_lower.w]);
#if GATE
        let gate_at = gate_start(params.gates, params.first_row + row);
        let g_upper = ranks_upper * params.gates.rank_stride + gate_at;
        upper *= vec4<f32>(gate[g_upper.x], gate[g_upper.y], gate[g_upper.z], gate[g_upper.w]);
        let g_lower = ranks_lower * params.gates.rank_stride + gate_at;
        lower *= vec4<f32>(gate[g_lower.x], gate[g_lower.y], gate[g_lower.z], gate[g_lower.w]);
#endif
        let v_row = row_start(params.v, row);
        let v_left = columns_left + v_row;
        let left = vec4<f32>(v[v_left.x], v[v_left.y], v[v_left.z], v[v_left.w]);
        let v_right = columns_right + v_row;
        let right = vec4<f32>(v[v_right.x], v[v_right.y], v[v_right.z], v[v_right.w]);
        left0 = fma(vec4<f32>(upper.x), left, left0);
        right0 = fma(vec4<f32>(upper.x), right, right0);
        left1 = fma(vec4<f32>(upper.y), left, left1);
        right1 = fma(vec4<f32>(upper.y), right, right1);
        left2 = fma(vec4<f32>(upper.z), left, left2);
        right2 = fma(vec4<f32>(upper.z), right, right2);
        left3 = fma(vec4<f32>(upper.w), left, left3);
        right3 = fma(vec4<f32>(upper.w), right, right3);
        left4 = fma(vec4<f32>(lower.x), left, left4);
        right4 = fma(vec4<f32>(lower.x), right, right4);
        left5 = fma(vec4<f32>(lower.y), left, left5);
        right5 = fma(vec4<f32>(lower.y), right, right5);
        left6 = fma(vec4<f32>(lower.z), left, left6);
        right6 = fma(vec4<f32>(lower.z), right, right6);
        left7 = fma(vec4<f32>(lower.w), left, left7);
        right7 = fma(vec4<f32>(lower.w), right, right7);
    }
    let line_of = chunk * params.rank + first_rank;
    let ranks = params.rank - first_rank;
    store(line_of, first_column, left0, right0);
    if 1u < ranks { store(line_of + 1u, first_column, left1, right1); }
    if 2u < ranks { store(line_of + 2u, first_column, left2, right2); }
    if 3u < ranks { store(line_of + 3u, first_column, left3, right3); }
    if 4u < ranks { store(line_of + 4u, first_column, left4, right4); }
    if 5u < ranks { store(line_of + 5u, first_column, left5, right5); }
    if 6u < ranks { store(line_of + 6u, first_column, left6, right6); }
    if 7u < ranks { store(line_of + 7u, first_column, left7, right7); }
}

// Eight columns of a line of the partials, those that exist.
fn store(line: u32, column: u32, left: vec4<f32>, right: vec4<f32>) {
    let at = params.partial_start + line * params.width + column;
    let count = params.width - column;
    partials[at] = params.scale * left.x;
    if 1u < count { partials[at + 1u] = params.scale * left.y; }
    if 2u < count { partials[at + 2u] = params.scale * left.z; }
    if 3u < count { partials[at + 3u] = params.scale * left.w; }
    if 4u < count { partials[at + 4u] = params.scale * right.x; }
    if 5u < count { partials[at + 5u] = params.scale * right.y; }
    if 6u < count { partials[at + 6u] = params.scale * right.z; }
    if 7u < count { partials[at + 7u] = params.scale * right.w; }
}

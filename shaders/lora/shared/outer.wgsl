// `outer` for GPUs: w in workgroup memory, v in whole lines.
//
// Workgroup: 64 invocations over 256 columns, $RANKS ranks and a chunk of rows, column tiles fastest; 16 rows at a time.
// An invocation has the sums of four columns in registers. Loops chunk_rows / 16 · 17 times. Rows past the end count as 0.

#import lora/outer

const FOURS = $RANKSu / 4u;

var<workgroup> tile: array<vec4<f32>, 16u * FOURS>; // [row][four ranks], 1 KiB at 16 ranks

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups);
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let column_tiles = (params.width + 255u) / 256u;
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * $RANKSu;
    let column = ((index - line * column_tiles) * 64u + lane) * 4u;
    let first = chunk * params.chunk_rows;
    let end = min(first + params.chunk_rows, params.rows);
    var sums: array<vec4<f32>, $RANKS>;
    for (var row = first; row < end; row += 16u) {
        workgroupBarrier();
        if lane < 16u * FOURS {
            let own = row + lane / FOURS;
            let start = row_start(params.w, min(own, end - 1u));
            tile[lane] = load_w(start, first_rank + lane % FOURS * 4u, own < end);
        }
        workgroupBarrier();
        for (var t = 0u; t < 16u; t++) {
            let v = load_v(row_start(params.v, min(row + t, end - 1u)), column, row + t < end);
#repeat m RANKS/4
            let w$m = tile[t * FOURS + $mu];
#repeat i 4
            sums[$m * 4 + $i] = fma(vec4<f32>(w$m[$i]), v, sums[$m * 4 + $i]);
#end
#end
        }
    }
    if first < params.rows {
#repeat j RANKS
        store_partial(chunk, first_rank + $ju, column, sums[$j]);
#end
    }
}

// `outer` for GPUs: w in workgroup memory, v in whole lines.
//
// Workgroup: 64 invocations over 256 columns, $RANKS ranks and a chunk of rows, column tiles fastest; 16 rows at a time.
// An invocation has the sums of four columns in registers. Loops chunk_rows / 16 · 17 times. Rows past the end count as 0.

#import lora/outer

const FOURS = $RANKSu / 4u;

var<workgroup> loaded: array<vec4<f32>, 16u * FOURS>; // [row][four ranks], 1 KiB at 16 ranks

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
    let tile = tile_at(chunk, params.chunk_rows);
    var sums: array<vec4<f32>, $RANKS>;
    for (var row = tile.first; row < tile.end; row += 16u) {
        workgroupBarrier();
        if lane < 16u * FOURS {
            let own = row + lane / FOURS;
            let start = row_start(params.w, row_at(tile, own));
            loaded[lane] = load_w(tile, start, first_rank + lane % FOURS * 4u, own < tile.end);
        }
        workgroupBarrier();
        for (var t = 0u; t < 16u; t++) {
            let own = row_at(tile, row + t);
            let v = load_v(row_start(params.v, own), own, column, row + t < tile.end);
#repeat m RANKS/4
            let w$m = loaded[t * FOURS + $mu];
#repeat i 4
            sums[$m * 4 + $i] = fma(vec4<f32>(w$m[$i]), v, sums[$m * 4 + $i]);
#end
#end
        }
    }
    if tile.first < tile.end {
#repeat j RANKS
        store_partial(tile, chunk, first_rank + $ju, column, sums[$j]);
#end
    }
}

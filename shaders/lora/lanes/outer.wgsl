// `outer` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over $FOURS · 32 columns, $RANKS ranks and a chunk of rows, column tiles fastest. Lane = $FOURS
// times four columns, 32 apart, with their sums in registers. Rows come eight at a time: the lanes share the loads of w, four ranks each, and a
// broadcast from a constant lane feeds four products. Loops chunk_rows / 8 times. Rows past the end count as 0.

#import lora/outer

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let column_tiles = (params.width + $FOURSu * 32u - 1u) / ($FOURSu * 32u);
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * $RANKSu;
    let first_column = (index - line * column_tiles) * $FOURSu * 32u + lane * 4u;
    let tile = tile_at(chunk, params.chunk_rows);
    if tile.first >= tile.end {
        return;
    }
#repeat c FOURS
    let column$c = first_column + $cu * 32u;
    var sums$c: array<vec4<f32>, $RANKS>;
#end
    for (var row = tile.first; row < tile.end; row += 8u) {
        // Lane l: where row l of the eight starts.
        let v_start = row_start(params.v, row_at(tile, row + lane));
        var loaded: array<vec4<f32>, $RANKS / 4>;
#repeat m RANKS/4
        let place$m = $mu * 32u + lane * 4u;
        let row$m = row + place$m / $RANKSu;
        let start$m = row_start(params.w, row_at(tile, row$m));
        loaded[$m] = load_w(tile, start$m, first_rank + place$m % $RANKSu, row$m < tile.end);
#end
#repeat t 8
#repeat c FOURS
        let v$t_$c = load_v(subgroupBroadcast(v_start, $tu), row_at(tile, row + $tu), column$c, row + $tu < tile.end);
#end
#end
#repeat j RANKS
#repeat t 8
        let w$t_$j = subgroupBroadcast(loaded[($t * $RANKS + $j) / 32][$j % 4], ($t * $RANKSu + $ju) % 32u / 4u);
#repeat c FOURS
        sums$c[$j] = fma(vec4<f32>(w$t_$j), v$t_$c, sums$c[$j]);
#end
#end
#end
    }
#repeat j RANKS
#repeat c FOURS
    store_partial(tile, chunk, first_rank + $ju, column$c, sums$c[$j]);
#end
#end
}

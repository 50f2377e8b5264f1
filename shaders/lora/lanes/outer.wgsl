// `outer` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over $FOURS · 32 columns, $RANKS ranks and a chunk of rows, column tiles fastest. Lane = $FOURS
// times four columns, 32 apart, with their sums in registers. Rows come eight at a time: each lane loads the w of one, and a
// broadcast from a constant lane feeds $FOURS · 4 products. Loops chunk_rows / 8 times. Rows past the end count as 0.

#import lora/outer
#import lora/walk

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
#repeat m RANKS/4
#repeat i 4
    var sums$m_$i_$c = vec4<f32>();
#end
#end
#end
    // Lane l has row l of eight.
    var w_at = walk_from(params.w, tile, tile.first + lane);
    var v_at = walk_from(params.v, tile, tile.first + lane);
    let eight_w = eight_rows(params.w);
    let eight_v = eight_rows(params.v);
    for (var first = tile.first; first < tile.end; first += 8u) {
#repeat m RANKS/4
        let w$m = load_w(tile, w_at.start, first_rank + $mu * 4u, first + lane < tile.end);
#end
#repeat l 8
#repeat c FOURS
        let v$l_$c = load_v(subgroupBroadcast(v_at.start, $lu), row_at(tile, first + $lu), column$c, first + $lu < tile.end);
#end
#end
#repeat m RANKS/4
#repeat l 8
        let w$m_$l = subgroupBroadcast(w$m, $lu);
#end
#repeat i 4
#repeat l 8
#repeat c FOURS
        sums$m_$i_$c = fma(vec4<f32>(w$m_$l[$i]), v$l_$c, sums$m_$i_$c);
#end
#end
#end
#end
        w_at = walked(params.w, tile, w_at, eight_w, first + 8u + lane);
        v_at = walked(params.v, tile, v_at, eight_v, first + 8u + lane);
    }
#repeat m RANKS/4
#repeat i 4
#repeat c FOURS
    store_partial(tile, chunk, first_rank + $mu * 4u + $iu, column$c, sums$m_$i_$c);
#end
#end
#end
}

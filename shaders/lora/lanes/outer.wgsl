// `outer` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over 32 columns, $RANKS ranks and a chunk of rows, column tiles fastest. Lane = four columns with
// their sums in registers. Rows come $ROWS at a time: each lane loads the w of one, $FOURS times four ranks of it, and a broadcast
// from a constant lane feeds four products. Loops chunk_rows / $ROWS times. A body of more than 1,024 products would fall out
// of the processor's instruction cache. Rows past the end count as 0.

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
    let column_tiles = (params.width + 31u) / 32u;
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * $RANKSu;
    let column = (index - line * column_tiles) * 32u + lane * 4u;
    let tile = tile_at(chunk, params.chunk_rows);
    if tile.first >= tile.end {
        return;
    }
#repeat m RANKS/4
#repeat i 4
    var sums$m_$i = vec4<f32>();
#end
#end
    // Lane l has row l of $ROWS, and of its ranks those from `own_rank` on.
    let own_row = lane % $ROWSu;
    let own_rank = first_rank + lane / $ROWSu * $FOURSu * 4u;
    var w_at = walk_from(params.w, tile, tile.first + own_row);
    var v_at = walk_from(params.v, tile, tile.first + own_row);
    let step_w = walk_of(params.w, $ROWSu);
    let step_v = walk_of(params.v, $ROWSu);
    for (var first = tile.first; first < tile.end; first += $ROWSu) {
        var own_w: array<vec4<f32>, $FOURS>;
#repeat f FOURS
        own_w[$f] = load_w(tile, w_at.start, own_rank + $fu * 4u, first + own_row < tile.end);
#end
#repeat l ROWS
        let v$l = load_v(subgroupBroadcast(v_at.start, $lu), row_at(tile, first + $lu), column, first + $lu < tile.end);
#end
#repeat m RANKS/4
#repeat l ROWS
        let w$m_$l = subgroupBroadcast(own_w[$m % $FOURS], $mu / $FOURSu * $ROWSu + $lu);
#end
#repeat i 4
#repeat l ROWS
        sums$m_$i = fma(vec4<f32>(w$m_$l[$i]), v$l, sums$m_$i);
#end
#end
#end
        w_at = walked(params.w, tile, w_at, step_w, first + $ROWSu + own_row);
        v_at = walked(params.v, tile, v_at, step_v, first + $ROWSu + own_row);
    }
#repeat m RANKS/4
#repeat i 4
    store_partial(tile, chunk, first_rank + $mu * 4u + $iu, column, sums$m_$i);
#end
#end
}

// `outer` without subgroups and without barriers: every invocation has a register tile of $RANKS ranks × 8 columns.
//
// Workgroup: 64 invocations over (chunk, rank tile, column tile), column tiles fastest. Loops chunk_rows times.

#import lora/outer

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let column_tiles = (params.width + 7u) / 8u;
    let line = index / column_tiles; // chunk · rank_tiles + rank tile
    let chunk = line / rank_tiles;
    let first_rank = (line - chunk * rank_tiles) * $RANKSu;
    let column = (index - line * column_tiles) * 8u;
    let tile = tile_at(chunk, params.chunk_rows);
    if tile.first >= tile.end {
        return;
    }
    var left: array<vec4<f32>, $RANKS>;
    var right: array<vec4<f32>, $RANKS>;
    for (var place = tile.first; place < tile.end; place++) {
        let row = row_at(tile, place);
        let w_start = row_start(params.w, row);
        let v_start = row_start(params.v, row);
        let v_left = load_v(v_start, row, column, true);
        let v_right = load_v(v_start, row, column + 4u, true);
#repeat m RANKS/4
        let w$m = load_w(tile, w_start, first_rank + $mu * 4u, true);
#repeat i 4
        left[$m * 4 + $i] = fma(vec4<f32>(w$m[$i]), v_left, left[$m * 4 + $i]);
        right[$m * 4 + $i] = fma(vec4<f32>(w$m[$i]), v_right, right[$m * 4 + $i]);
#end
#end
    }
#repeat j RANKS
    store_partial(tile, chunk, first_rank + $ju, column, left[$j]);
    store_partial(tile, chunk, first_rank + $ju, column + 4u, right[$j]);
#end
}

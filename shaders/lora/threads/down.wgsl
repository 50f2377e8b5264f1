// `down` without subgroups and without barriers: every invocation has a register tile of 8 rows × $RANKS ranks.
//
// Workgroup: 64 invocations over (row tile, rank tile), rank tiles fastest, so that small ranks leave no lane idle.
// Loops inputs / 4 times, columns upwards. Rows past the end repeat the last one.

#import lora/down

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let row_tile = index / rank_tiles;
    let tile = tile_at(row_tile, 8u);
    let first_row = tile.first;
    let first_rank = (index - row_tile * rank_tiles) * $RANKSu;
    if first_row >= tile.end {
        return;
    }
#repeat t 8
    let row$t = row_at(tile, first_row + $tu);
    let start$t = row_start(params.x, row$t);
#repeat m RANKS/4
    var sums$t_$m = vec4<f32>();
#end
#end
#repeat m RANKS/4
#repeat i 4
    let a$m_$i = a_row(tile, first_rank + $mu * 4u + $iu);
#end
#end
    for (var k = 0u; k < params.inputs; k += 4u) {
#repeat t 8
        let x$t = load_x(start$t, row$t, k);
#end
#repeat m RANKS/4
        // [column][rank].
        let a$m = transpose(
            mat4x4<f32>(load_a(a$m_0, k), load_a(a$m_1, k), load_a(a$m_2, k), load_a(a$m_3, k)));
#repeat t 8
        sums$t_$m = add_four(sums$t_$m, x$t, a$m);
#end
#end
    }
#repeat t 8
#repeat m RANKS/4
    store_h(tile, first_row + $tu, first_rank + $mu * 4u, sums$t_$m);
#end
#end
}

// `up` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters), for few
// ranks and whole vectors: h is loaded once, and where rows start is found once.
//
// Workgroup: one subgroup over $EIGHTS · 8 rows and all columns. First lane = row: each holds the h of $EIGHTS rows, eight
// apart. Then lane = four columns of 32: it loads B_t's $RANKS ranks of them once for all rows, and a broadcast of h from a
// constant lane feeds four products, two rows at a time. Loops width / 32 times. Rows past the end repeat the last one and
// are not stored.

#import lora/up

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = tile_at(flat_group(group, groups), $EIGHTSu * 8u);
    if tile.first >= tile.end || is_off(tile) {
        return;
    }
    let rows = tile.end - tile.first;
#repeat t EIGHTS
    let row$t = row_at(tile, tile.first + $tu * 8u + lane);
    let h_start$t = row_start(params.h, row$t);
    let y_start$t = row_start(params.y, row$t);
#if APART
    let base_start$t = row_start(params.base, row$t);
#endif
#repeat m RANKS/4
    let h$t_$m = load_h(tile, h_start$t, $mu * 4u);
#end
#end
    for (var block = 0u; block < params.width; block += 32u) {
        let column = block + lane * 4u;
#repeat m RANKS/4
        // [rank][column].
        let b$m = mat4x4<f32>(
            load_b(tile, $mu * 4u, column), load_b(tile, $mu * 4u + 1u, column),
            load_b(tile, $mu * 4u + 2u, column), load_b(tile, $mu * 4u + 3u, column));
#end
#repeat t EIGHTS
#repeat p 4
#repeat d 2
        let start$t_$p_$d = subgroupBroadcast(y_start$t, $pu * 2u + $du);
#if APART
        let base$t_$p_$d = subgroupBroadcast(base_start$t, $pu * 2u + $du);
#else
        let base$t_$p_$d = start$t_$p_$d;
#endif
        let old$t_$p_$d = load_y(base$t_$p_$d, column);
        var sums$t_$p_$d = vec4<f32>();
#end
#repeat m RANKS/4
#repeat d 2
        sums$t_$p_$d = add_four(sums$t_$p_$d, subgroupBroadcast(h$t_$m, $pu * 2u + $du), b$m);
#end
#end
#repeat d 2
        // At the width's end nothing is stored.
        store_y(start$t_$p_$d, select(params.width, column, $tu * 8u + $pu * 2u + $du < rows),
            injected(tile, old$t_$p_$d, sums$t_$p_$d, subgroupBroadcast(row$t, $pu * 2u + $du), column));
#end
#end
#end
    }
}

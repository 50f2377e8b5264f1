// `down` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over 32 rows and $RANKS ranks, rank tiles fastest. Lane = row: each has four, eight apart. Lanes
// load x for their rows and share the loads of A: lane l loads rank l & 3 at columns (l >> 2) · 4, and a broadcast
// from a constant lane feeds four rows. Loops inputs / 16 times, columns upwards.

#import lora/down

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let row_tile = index / rank_tiles;
    let first_rank = (index - row_tile * rank_tiles) * $RANKSu;
    let tile = tile_at(row_tile, 32u);
    let first_row = tile.first + lane;
    if tile.first >= tile.end {
        return;
    }
#repeat t 4
    let row$t = row_at(tile, first_row + $tu * 8u);
    let start$t = row_start(params.x, row$t);
#end
    let a_column = (lane >> 2u) * 4u;
#repeat m RANKS/4
    let a_start$m = a_row(tile, first_rank + $mu * 4u + (lane & 3u));
#end
    // Of each rank, the sums of the lane's four rows.
    var sums: array<vec4<f32>, $RANKS>;
    for (var k = 0u; k < params.inputs; k += 16u) {
        // A row's whole cache line at once.
#repeat t 4
#repeat q 4
        let x$t_$q = load_x(start$t, row$t, k + $qu * 4u);
#end
#end
#repeat q 4
        // [column][row].
        let x$q = transpose(mat4x4<f32>(x0_$q, x1_$q, x2_$q, x3_$q));
#end
#repeat m RANKS/4
        let a$m = array<vec4<f32>, 2>(load_a(a_start$m, k + a_column), load_a(a_start$m, k + 8u + a_column));
#repeat i 4
#repeat q 4
        sums[$m * 4 + $i] = add_four(sums[$m * 4 + $i], subgroupBroadcast(a$m[$q / 2], $iu + $qu % 2u * 4u), x$q);
#end
#end
#end
    }
#repeat m RANKS/4
    let square$m = transpose(mat4x4<f32>(sums[$m * 4], sums[$m * 4 + 1], sums[$m * 4 + 2], sums[$m * 4 + 3]));
#repeat t 4
    store_h(tile, first_row + $tu * 8u, first_rank + $mu * 4u, square$m[$t]);
#end
#end
}

// `down` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters), for many
// ranks: more rows to a load of A, and a loop's body of 1,024 products, which the processor's instruction cache holds.
//
// Workgroup: one subgroup over 64 rows and $RANKS ranks, rank tiles fastest. Lane = row: each has eight, eight apart. Lanes load
// x for their rows and share the loads of A: lane l loads every eighth rank from l on, and a broadcast from a constant lane
// feeds eight rows. Loops inputs / 4 times, columns upwards.

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
    let tile = tile_at(row_tile, 64u);
    let first_row = tile.first + lane;
    if tile.first >= tile.end {
        return;
    }
#repeat t 8
    let row$t = row_at(tile, first_row + $tu * 8u);
    let start$t = row_start(params.x, row$t);
#end
#repeat m RANKS/8
    let a_start$m = a_row(tile, first_rank + $mu * 8u + lane);
#end
    // Of each rank, the sums of the lane's first and last four rows.
    var upper: array<vec4<f32>, $RANKS>;
    var lower: array<vec4<f32>, $RANKS>;
    for (var k = 0u; k < params.inputs; k += 4u) {
        // [column][row].
        let x_upper = transpose(mat4x4<f32>(
            load_x(start0, row0, k), load_x(start1, row1, k), load_x(start2, row2, k), load_x(start3, row3, k)));
        let x_lower = transpose(mat4x4<f32>(
            load_x(start4, row4, k), load_x(start5, row5, k), load_x(start6, row6, k), load_x(start7, row7, k)));
#repeat m RANKS/8
        let a$m = load_a(a_start$m, k);
#repeat i 8
        let a$m_$i = subgroupBroadcast(a$m, $iu);
        upper[$m * 8 + $i] = add_four(upper[$m * 8 + $i], a$m_$i, x_upper);
        lower[$m * 8 + $i] = add_four(lower[$m * 8 + $i], a$m_$i, x_lower);
#end
#end
    }
#repeat m RANKS/4
    let upper$m = transpose(mat4x4<f32>(upper[$m * 4], upper[$m * 4 + 1], upper[$m * 4 + 2], upper[$m * 4 + 3]));
    let lower$m = transpose(mat4x4<f32>(lower[$m * 4], lower[$m * 4 + 1], lower[$m * 4 + 2], lower[$m * 4 + 3]));
#repeat t 4
    store_h(tile, first_row + $tu * 8u, first_rank + $mu * 4u, upper$m[$t]);
    store_h(tile, first_row + 32u + $tu * 8u, first_rank + $mu * 4u, lower$m[$t]);
#end
#end
}

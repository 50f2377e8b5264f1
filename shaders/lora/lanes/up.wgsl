// `up` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over $FOURS · 32 columns and chunk_rows rows, column tiles fastest. Lane = $FOURS times four columns,
// 32 apart, with B_t's $RANKS ranks of them in registers. Rows come eight at a time: the lanes share the loads of h, four ranks each, and a
// broadcast from a constant lane feeds four products. Loops chunk_rows / 8 times. Rows past the end repeat
// the last one: they store what it stores.

#import lora/up

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let column_tiles = (params.width + $FOURSu * 32u - 1u) / ($FOURSu * 32u);
    let chunk = index / column_tiles;
    let first_column = (index - chunk * column_tiles) * $FOURSu * 32u + lane * 4u;
    let tile = tile_at(chunk, params.chunk_rows);
    if tile.first >= tile.end || is_off(tile) {
        return;
    }
#repeat c FOURS
    let column$c = first_column + $cu * 32u;
#repeat j RANKS
    let b$j_$c = load_b(tile, $ju, column$c);
#end
#end
    for (var row = tile.first; row < tile.end; row += 8u) {
        // Lane l: where row l of the eight starts.
        let y_start = row_start(params.y, row_at(tile, row + lane));
        var loaded: array<vec4<f32>, $RANKS / 4>;
#repeat m RANKS/4
        let place$m = $mu * 32u + lane * 4u;
        loaded[$m] = load_h(tile, row_start(params.h, row_at(tile, row + place$m / $RANKSu)), place$m % $RANKSu);
#end
#repeat t 8
        let start$t = subgroupBroadcast(y_start, $tu);
#repeat c FOURS
        let old$t_$c = load_y(start$t, column$c);
        var sums$t_$c = vec4<f32>();
#end
#end
#repeat t 8
#repeat j RANKS
        let h$t_$j = subgroupBroadcast(loaded[($t * $RANKS + $j) / 32][$j % 4], ($t * $RANKSu + $ju) % 32u / 4u);
#repeat c FOURS
        sums$t_$c = fma(vec4<f32>(h$t_$j), b$j_$c, sums$t_$c);
#end
#end
#end
#repeat t 8
#repeat c FOURS
        store_y(start$t, column$c, injected(tile, old$t_$c, sums$t_$c, row_at(tile, row + $tu), column$c));
#end
#end
    }
}

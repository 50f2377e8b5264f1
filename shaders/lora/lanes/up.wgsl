// `up` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over 32 columns and chunk_rows rows, column tiles fastest. Lane = four columns, with B_t's
// $RANKS ranks of them in registers. Rows come eight at a time: the lanes share the loads of h, four ranks each, and a
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
    let column_tiles = (params.width + 31u) / 32u;
    let chunk = index / column_tiles;
    let column = ((index - chunk * column_tiles) * 8u + lane) * 4u;
    let first = chunk * params.chunk_rows;
    if first >= params.rows || is_off() {
        return;
    }
    let end = min(first + params.chunk_rows, params.rows);
#repeat j RANKS
    let b$j = load_b($ju, column);
#end
    for (var row = first; row < end; row += 8u) {
        // Lane l: where row l of the eight starts.
        let y_start = row_start(params.y, min(row + lane, end - 1u));
        var loaded: array<vec4<f32>, $RANKS / 4>;
#repeat m RANKS/4
        let place$m = $mu * 32u + lane * 4u;
        loaded[$m] = load_h(row_start(params.h, min(row + place$m / $RANKSu, end - 1u)), place$m % $RANKSu);
#end
#repeat t 8
        let start$t = subgroupBroadcast(y_start, $tu);
        let old$t = load_y(start$t, column);
        var sums$t = vec4<f32>();
#end
#repeat t 8
#repeat j RANKS
        let h$t_$j = subgroupBroadcast(loaded[($t * $RANKS + $j) / 32][$j % 4], ($t * $RANKSu + $ju) % 32u / 4u);
        sums$t = fma(vec4<f32>(h$t_$j), b$j, sums$t);
#end
#end
#repeat t 8
        store_y(start$t, column, injected(old$t, sums$t));
#end
    }
}

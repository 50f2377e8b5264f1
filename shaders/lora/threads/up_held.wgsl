// `up` without subgroups and without barriers, for few ranks and whole vectors: every invocation holds the h of 8 rows in
// registers and goes along their columns, so that only B_t is loaded again.
//
// Workgroup: 64 invocations over (row tile, 128 columns), columns fastest. Loops 32 times over four columns. Rows past the
// end repeat the last one: they store what it stores.

#import lora/up

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let column_tiles = (params.width + 127u) / 128u;
    let row_tile = index / column_tiles;
    let first_column = (index - row_tile * column_tiles) * 128u;
    let tile = tile_at(row_tile, 8u);
    if tile.first >= tile.end || is_off(tile) {
        return;
    }
#repeat t 8
    let row$t = row_at(tile, tile.first + $tu);
    let start$t = row_start(params.y, row$t);
    let base$t = base_of(row$t, start$t);
    let h_start$t = row_start(params.h, row$t);
#repeat m RANKS/4
    let h$t_$m = load_h(tile, h_start$t, $mu * 4u);
#end
#end
    let end = min(first_column + 128u, params.width);
    for (var column = first_column; column < end; column += 4u) {
#repeat m RANKS/4
        // [rank][column].
        let b$m = mat4x4<f32>(load_b(tile, $mu * 4u, column), load_b(tile, $mu * 4u + 1u, column),
            load_b(tile, $mu * 4u + 2u, column), load_b(tile, $mu * 4u + 3u, column));
#end
#repeat t 8
        var sums$t = vec4<f32>();
#repeat m RANKS/4
        sums$t = add_four(sums$t, h$t_$m, b$m);
#end
        let new$t = injected(tile, load_y(base$t, column), sums$t, row$t, column);
#end
#repeat t 8
        store_y(start$t, column, new$t);
#end
    }
}

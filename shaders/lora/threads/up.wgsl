// `up` without subgroups and without barriers: every invocation has a register tile of 8 rows × 8 columns.
//
// Workgroup: 64 invocations over (row tile, column tile), column tiles fastest. Loops rank / 4 times. Rows past the
// end repeat the last one: they store what it stores.

#import lora/up

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let column_tiles = (params.width + 7u) / 8u;
    let row_tile = index / column_tiles;
    let column = (index - row_tile * column_tiles) * 8u;
    let tile = tile_at(row_tile, 8u);
    if tile.first >= tile.end || is_off(tile) {
        return;
    }
#repeat t 8
    let row$t = row_at(tile, tile.first + $tu);
    let h_start$t = row_start(params.h, row$t);
    var left$t = vec4<f32>();
    var right$t = vec4<f32>();
#end
    for (var j = 0u; j < params.rank; j += 4u) {
        // [rank][column].
        let left = mat4x4<f32>(load_b(tile, j, column), load_b(tile, j + 1u, column), load_b(tile, j + 2u, column), load_b(tile, j + 3u, column));
        let next = column + 4u;
        let right = mat4x4<f32>(load_b(tile, j, next), load_b(tile, j + 1u, next), load_b(tile, j + 2u, next), load_b(tile, j + 3u, next));
#repeat t 8
        let h$t = load_h(tile, h_start$t, j);
        left$t = add_four(left$t, h$t, left);
        right$t = add_four(right$t, h$t, right);
#end
    }
#repeat t 8
    let start$t = row_start(params.y, row$t);
    let base$t = base_of(row$t, start$t);
    let new_left$t = injected(tile, load_y(base$t, column), left$t, row$t, column);
    let new_right$t = injected(tile, load_y(base$t, column + 4u), right$t, row$t, column + 4u);
#end
#repeat t 8
    store_y(start$t, column, new_left$t);
    store_y(start$t, column + 4u, new_right$t);
#end
}

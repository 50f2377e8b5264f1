// `up` for GPUs: h in workgroup memory, y and B_t in whole lines.
//
// Workgroup: 64 invocations over 16 rows and 256 columns, column tiles fastest. An invocation has four columns of the 16
// rows in registers; ranks come 64 at a time into workgroup memory and four at a time into registers.
// Loops (rank / 64 + 1) · 20 times. Rows past the end repeat the last one: they store what it stores.

#import lora/up

var<workgroup> loaded: array<vec4<f32>, 256>; // [row][four ranks], 4 KiB

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups);
    let column_tiles = (params.width + 255u) / 256u;
    let row_tile = index / column_tiles;
    let column = ((index - row_tile * column_tiles) * 64u + lane) * 4u;
    let tile = tile_at(row_tile, 16u);
    let first = tile.first;
    var sums: array<vec4<f32>, 16>;
    for (var block = 0u; block < params.rank; block += 64u) {
        workgroupBarrier();
        for (var place = lane; place < 256u; place += 64u) {
            let start = row_start(params.h, row_at(tile, first + (place >> 4u)));
            loaded[place] = load_h(tile, start, block + (place & 15u) * 4u);
        }
        workgroupBarrier();
        let fours = (min(params.rank - block, 64u) + 3u) / 4u;
        for (var four = 0u; four < fours; four++) {
            let j = block + four * 4u;
            // [rank][column].
            let b = mat4x4<f32>(load_b(tile, j, column), load_b(tile, j + 1u, column), load_b(tile, j + 2u, column), load_b(tile, j + 3u, column));
#repeat t 16
            sums[$t] = add_four(sums[$t], loaded[$tu * 16u + four], b);
#end
        }
    }
    if first >= tile.end || column >= params.width || is_off(tile) {
        return;
    }
#repeat t 16
    let row$t = row_at(tile, first + $tu);
    let start$t = row_start(params.y, row$t);
    let new$t = injected(tile, load_y(base_of(row$t, start$t), column), sums[$t], row$t, column);
#end
#repeat t 16
    store_y(start$t, column, new$t);
#end
}

// `up` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over $FOURS · 32 columns and up to chunk_rows rows, column tiles fastest. Lane = $FOURS times four
// columns, 32 apart, with B_t's $RANKS ranks of them in registers. Rows come eight at a time: each lane loads the h of one, and a
// broadcast from a constant lane feeds $FOURS · 4 products. Loops chunk_rows / 8 times. Rows past the end repeat the last
// one and are not stored.

#import lora/up
#import lora/walk

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
#repeat m RANKS/4
    // [rank][column].
    let b$m_$c = mat4x4<f32>(load_b(tile, $mu * 4u, column$c), load_b(tile, $mu * 4u + 1u, column$c),
        load_b(tile, $mu * 4u + 2u, column$c), load_b(tile, $mu * 4u + 3u, column$c));
#end
#end
    // Lane l has row l of eight.
    var h_at = walk_from(params.h, tile, tile.first + lane);
    var y_at = walk_from(params.y, tile, tile.first + lane);
    let eight_h = walk_of(params.h, 8u);
    let eight_y = walk_of(params.y, 8u);
#if APART
    var base_at = walk_from(params.base, tile, tile.first + lane);
    let eight_base = walk_of(params.base, 8u);
#endif
    for (var first = tile.first; first < tile.end; first += 8u) {
#repeat m RANKS/4
        let h$m = load_h(tile, h_at.start, $mu * 4u);
#end
#repeat l 8
        let start$l = subgroupBroadcast(y_at.start, $lu);
#if APART
        let base$l = subgroupBroadcast(base_at.start, $lu);
#else
        let base$l = start$l;
#endif
        // At the width's end nothing is stored.
        let end$l = select(params.width, 0u, first + $lu < tile.end);
#repeat c FOURS
        let old$l_$c = load_y(base$l, column$c);
        var sums$l_$c = vec4<f32>();
#end
#repeat m RANKS/4
        let h$l_$m = subgroupBroadcast(h$m, $lu);
#repeat c FOURS
        sums$l_$c = add_four(sums$l_$c, h$l_$m, b$m_$c);
#end
#end
#repeat c FOURS
        store_y(start$l, max(column$c, end$l), injected(tile, old$l_$c, sums$l_$c, row_at(tile, first + $lu), column$c));
#end
#end
        h_at = walked(params.h, tile, h_at, eight_h, first + 8u + lane);
        y_at = walked(params.y, tile, y_at, eight_y, first + 8u + lane);
#if APART
        base_at = walked(params.base, tile, base_at, eight_base, first + 8u + lane);
#endif
    }
}

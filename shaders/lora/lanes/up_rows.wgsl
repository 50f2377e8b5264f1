// `up` for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters), for many
// ranks: row by row, so that a loop's body stays at 1,024 products and the processor's instruction cache holds it.
//
// Workgroup: one subgroup over 128 columns and up to chunk_rows rows, column tiles fastest. Lane = four times four columns,
// 32 apart, with B_t's $RANKS ranks of them held. Lanes share a row's h: lane l loads ranks 4l to 4l + 3 of every 32, and a
// broadcast from a constant lane feeds 16 products. Loops chunk_rows times.

#import lora/up
#import lora/walk

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let column_tiles = (params.width + 127u) / 128u;
    let chunk = index / column_tiles;
    let first_column = (index - chunk * column_tiles) * 128u + lane * 4u;
    let tile = tile_at(chunk, params.chunk_rows);
    if tile.first >= tile.end || is_off(tile) {
        return;
    }
#repeat c 4
    let column$c = first_column + $cu * 32u;
#repeat m RANKS/4
    // [rank][column].
    let b$m_$c = mat4x4<f32>(load_b(tile, $mu * 4u, column$c), load_b(tile, $mu * 4u + 1u, column$c),
        load_b(tile, $mu * 4u + 2u, column$c), load_b(tile, $mu * 4u + 3u, column$c));
#end
#end
    var h_at = walk_from(params.h, tile, tile.first);
    var y_at = walk_from(params.y, tile, tile.first);
    let one_h = walk_of(params.h, 1u);
    let one_y = walk_of(params.y, 1u);
#if APART
    var base_at = walk_from(params.base, tile, tile.first);
    let one_base = walk_of(params.base, 1u);
#endif
    for (var place = tile.first; place < tile.end; place++) {
        let row = row_at(tile, place);
        var shared_h: array<vec4<f32>, $RANKS / 32>;
#repeat q RANKS/32
        shared_h[$q] = load_h(tile, h_at.start, $qu * 32u + lane * 4u);
#end
#if APART
        let base = base_at.start;
#else
        let base = y_at.start;
#endif
#repeat c 4
        let old$c = load_y(base, column$c);
        var sums$c = vec4<f32>();
#end
#repeat m RANKS/4
        let h$m = subgroupBroadcast(shared_h[$m / 8], $mu % 8u);
#repeat c 4
        sums$c = add_four(sums$c, h$m, b$m_$c);
#end
#end
#repeat c 4
        store_y(y_at.start, column$c, injected(tile, old$c, sums$c, row, column$c));
#end
        h_at = walked(params.h, tile, h_at, one_h, place + 1u);
        y_at = walked(params.y, tile, y_at, one_y, place + 1u);
#if APART
        base_at = walked(params.base, tile, base_at, one_base, place + 1u);
#endif
    }
}

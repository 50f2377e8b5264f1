// First stage of the arena's gradient: partial[chunk, a] = Σ over the chunk's records that used the arena's element a
// of de at the element's column. The missing vector of an id block is used by every record (e = missing + table[id]).
//
// de: [samples, width]; selectors: [learned blocks, samples], from encode/forward; plan as there;
// partials: [chunks, arena], contiguous.
// One workgroup = one learned block × 64 quads of its parameters × one chunk; one invocation = one quad (up to four
// columns of one row). Loops blocks + chunk_rows. Chunks count from record 0; records in order.
// Twin: `arena_gradient` in src/encode/twin.rs.

#import common/view
#import encode/block

struct Params {
    de: Rows,
    samples: u32,
    blocks: u32,
    tiles: u32,
    chunk_rows: u32,
    partial_start: u32,
    arena_len: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> de: array<f32>;
@group(0) @binding(2) var<storage, read> selectors: array<u32>;
@group(0) @binding(3) var<storage, read> plan: array<u32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

// The last learned block that starts at or before a workgroup.
fn block_of_tile(tile: u32) -> Block {
    var found = 0u;
    for (var index = 0u; index < params.blocks; index++) {
        let block = load_block(index);
        if block.selector != NONE && block.first_tile <= tile {
            found = index;
        }
    }
    return load_block(found);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let work = flat_group(group, groups);
    let chunk = work / params.tiles;
    let tile = work - chunk * params.tiles;
    let block = block_of_tile(tile);
    let quads = (block.width + 3u) / 4u;
    let item = (tile - block.first_tile) * 64u + lane;
    let row = item / quads; // 0 = the missing vector
    let column = (item - row * quads) * 4u;
    let first = chunk * params.chunk_rows;
    if row > block.table_rows || first >= params.samples {
        return;
    }
    let always = row == 0u && block.table_rows > 0u;
    let last = block.width - 1u;
    var sums = vec4<f32>(0.0);
    for (var sample = first; sample < min(first + params.chunk_rows, params.samples); sample++) {
        if always || selectors[block.selector * params.samples + sample] == row {
            // Columns past the end repeat the last one; they are not stored.
            let at = row_start(params.de, sample) + block.column;
            sums += vec4<f32>(de[at + column], de[at + min(column + 1u, last)], de[at + min(column + 2u, last)], de[at + min(column + 3u, last)]);
        }
    }
    // The missing vector lies before the table.
    let at = params.partial_start + chunk * params.arena_len + block.missing + row * block.width + column;
    for (var j = 0u; j < 4u; j++) {
        if column + j < block.width {
            partials[at + j] = sums[j];
        }
    }
}

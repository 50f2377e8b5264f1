// First stage of the arena's gradient for one block: partial[chunk, a] = Σ over the chunk's rows that used the
// arena's element a of de at the element's column. The missing vector of an id block is used by every row
// (e = missing + table[id]). Class tokens, whose selector is NONE, use nothing.
//
// de: [samples, width] or of tokens; selectors: [learned blocks, rows], from encode/forward; plan as there;
// partials: [chunks, arena], contiguous, zeroed.
// One invocation = one chunk × up to four columns, whatever the table's size: it owns these columns of every row in its
// chunk's partial, so it adds in place, without atomics. Loops chunk_rows. Chunks count from row 0; rows in order.
// Twin: `arena_gradient` in src/encode/twin.rs.

#import common/view
#import encode/block
#import encode/chunk

struct Params {
    de: Rows,
    rows: u32,
    block: u32,
    chunk_rows: u32,
    tokens: u32, // rows of a sample; 1 for records
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

fn add_where(counts: bool, at: u32, value: f32) {
    if counts {
        partials[at] += value;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = load_block(params.block);
    let quads = (block.width + 3u) / 4u;
    let index = flat_group(group, groups) * 64u + lane;
    let chunk = index / quads;
    let column = (index - chunk * quads) * 4u;
    let rows = rows_of_chunk(chunk, params.chunk_rows, params.tokens, params.rows);
    if rows.first >= rows.end {
        return;
    }
    let has_table = block.table_rows > 0u;
    let is_shared = block.opcode == OPCODE_ID;
    let last = block.width - 1u;
    // Columns past the end repeat the last one; they are not added.
    let columns = min(vec4<u32>(column, column + 1u, column + 2u, column + 3u), vec4<u32>(last));
    let counts = vec4<u32>(column, column + 1u, column + 2u, column + 3u) <= vec4<u32>(last);
    // The missing vector, then the table's rows.
    let parameters = params.partial_start + chunk * params.arena_len + block.missing;
    var missing = vec4<f32>(0.0);
    for (var row = rows.first; row < rows.end; row++) {
        let used = selectors[block.selector * params.rows + row];
        let at = row_start(params.de, row) + block.column;
        let gradient = vec4<f32>(de[at + columns.x], de[at + columns.y], de[at + columns.z], de[at + columns.w]);
        if used == 0u || (is_shared && used != NONE) {
            missing += gradient;
        }
        if used > 0u && used != NONE && has_table {
            let entry = parameters + used * block.width;
            add_where(counts.x, entry + columns.x, gradient.x);
            add_where(counts.y, entry + columns.y, gradient.y);
            add_where(counts.z, entry + columns.z, gradient.z);
            add_where(counts.w, entry + columns.w, gradient.w);
        }
    }
    add_where(counts.x, parameters + columns.x, missing.x);
    add_where(counts.y, parameters + columns.y, missing.y);
    add_where(counts.z, parameters + columns.z, missing.z);
    add_where(counts.w, parameters + columns.w, missing.w);
}

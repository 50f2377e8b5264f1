// A register tile of 8 lines × 8 columns, sums of outer products: sum[line, column] += factor[line] · value[column].
// A struct of vectors, since drivers put an indexed array into memory. Lines 0 to 3 are "upper", 4 to 7 "lower";
// columns 0 to 3 "left", 4 to 7 "right".
// The importing kernel declares `line_start(line: u32) -> u32`, where a line of its output starts, and
// `put(at: u32, sum: f32)`, which stores one sum there.

struct Tile {
    left0: vec4<f32>,
    right0: vec4<f32>,
    left1: vec4<f32>,
    right1: vec4<f32>,
    left2: vec4<f32>,
    right2: vec4<f32>,
    left3: vec4<f32>,
    right3: vec4<f32>,
    left4: vec4<f32>,
    right4: vec4<f32>,
    left5: vec4<f32>,
    right5: vec4<f32>,
    left6: vec4<f32>,
    right6: vec4<f32>,
    left7: vec4<f32>,
    right7: vec4<f32>,
}

// One term of every sum, with fma.
fn tile_add(tile: ptr<function, Tile>, upper: vec4<f32>, lower: vec4<f32>, left: vec4<f32>, right: vec4<f32>) {
    (*tile).left0 = fma(vec4<f32>(upper.x), left, (*tile).left0);
    (*tile).right0 = fma(vec4<f32>(upper.x), right, (*tile).right0);
    (*tile).left1 = fma(vec4<f32>(upper.y), left, (*tile).left1);
    (*tile).right1 = fma(vec4<f32>(upper.y), right, (*tile).right1);
    (*tile).left2 = fma(vec4<f32>(upper.z), left, (*tile).left2);
    (*tile).right2 = fma(vec4<f32>(upper.z), right, (*tile).right2);
    (*tile).left3 = fma(vec4<f32>(upper.w), left, (*tile).left3);
    (*tile).right3 = fma(vec4<f32>(upper.w), right, (*tile).right3);
    (*tile).left4 = fma(vec4<f32>(lower.x), left, (*tile).left4);
    (*tile).right4 = fma(vec4<f32>(lower.x), right, (*tile).right4);
    (*tile).left5 = fma(vec4<f32>(lower.y), left, (*tile).left5);
    (*tile).right5 = fma(vec4<f32>(lower.y), right, (*tile).right5);
    (*tile).left6 = fma(vec4<f32>(lower.z), left, (*tile).left6);
    (*tile).right6 = fma(vec4<f32>(lower.z), right, (*tile).right6);
    (*tile).left7 = fma(vec4<f32>(lower.w), left, (*tile).left7);
    (*tile).right7 = fma(vec4<f32>(lower.w), right, (*tile).right7);
}

// Stores the sums of the lines before `line_end` and the columns before `column_end`.
fn tile_store(tile: Tile, line: u32, line_end: u32, column: u32, column_end: u32) {
    let lines = line_end - line;
    let columns = column_end - column;
    store_line(line, column, columns, tile.left0, tile.right0);
    if 1u < lines { store_line(line + 1u, column, columns, tile.left1, tile.right1); }
    if 2u < lines { store_line(line + 2u, column, columns, tile.left2, tile.right2); }
    if 3u < lines { store_line(line + 3u, column, columns, tile.left3, tile.right3); }
    if 4u < lines { store_line(line + 4u, column, columns, tile.left4, tile.right4); }
    if 5u < lines { store_line(line + 5u, column, columns, tile.left5, tile.right5); }
    if 6u < lines { store_line(line + 6u, column, columns, tile.left6, tile.right6); }
    if 7u < lines { store_line(line + 7u, column, columns, tile.left7, tile.right7); }
}

fn store_line(line: u32, column: u32, columns: u32, left: vec4<f32>, right: vec4<f32>) {
    let at = line_start(line) + column;
    put(at, left.x);
    if 1u < columns { put(at + 1u, left.y); }
    if 2u < columns { put(at + 2u, left.z); }
    if 3u < columns { put(at + 3u, left.w); }
    if 4u < columns { put(at + 4u, right.x); }
    if 5u < columns { put(at + 5u, right.y); }
    if 6u < columns { put(at + 6u, right.z); }
    if 7u < columns { put(at + 7u, right.w); }
}

// Where a tile's rows start, some rows on at each step of a loop: an addition, where row_start is a division whose result the
// next load would wait for. ROUTED rows lie anywhere and are looked up. The importing kernel imports lora/tile.

struct Walk {
    start: u32, // of the row
    token: u32, // its place in its sample
}

fn walk_from(view: Rows, tile: Tile, place: u32) -> Walk {
    let row = row_at(tile, place);
    return Walk(row_start(view, row), row - quotient(row, view.tokens) * view.tokens);
}

// What so many rows add.
fn walk_of(view: Rows, rows: u32) -> Walk {
    let samples = quotient(rows, view.tokens);
    let tokens = rows - samples * view.tokens;
    return Walk(samples * view.sample_stride + tokens * view.row_stride, tokens);
}

// One step on from `at` to `place`; past the tile's end it stays.
fn walked(view: Rows, tile: Tile, at: Walk, step: Walk, place: u32) -> Walk {
#if ROUTED
    return Walk(row_start(view, row_at(tile, place)), 0u);
#else
    let token = at.token + step.token;
    let over = token >= view.tokens;
    let start = at.start + step.start + select(0u, view.sample_stride - view.tokens * view.row_stride, over);
    return Walk(select(start, at.start, place >= tile.end), token - select(0u, view.tokens, over));
#endif
}

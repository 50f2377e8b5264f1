// Where a tile's rows start, eight rows on at each step of a loop: an addition, where row_start is a division whose result the
// next load would wait for. ROUTED rows lie anywhere and are looked up. The importing kernel imports lora/tile.

struct Walk {
    start: u32, // of the row
    token: u32, // its place in its sample
}

fn walk_from(view: Rows, tile: Tile, place: u32) -> Walk {
    let row = row_at(tile, place);
    return Walk(row_start(view, row), row - quotient(row, view.tokens) * view.tokens);
}

// What eight rows add.
fn eight_rows(view: Rows) -> Walk {
    let samples = quotient(8u, view.tokens);
    let tokens = 8u - samples * view.tokens;
    return Walk(samples * view.sample_stride + tokens * view.row_stride, tokens);
}

// Eight rows on from `at` to `place`; past the tile's end it stays.
fn walked(view: Rows, tile: Tile, at: Walk, eight: Walk, place: u32) -> Walk {
#if ROUTED
    return Walk(row_start(view, row_at(tile, place)), 0u);
#else
    let token = at.token + eight.token;
    let over = token >= view.tokens;
    let start = at.start + eight.start + select(0u, view.sample_stride - view.tokens * view.row_stride, over);
    return Walk(select(start, at.start, place >= tile.end), token - select(0u, view.tokens, over));
#endif
}

// Which rows a tile has and whose they are: a run of the batch's rows with the one adapter, or under ROUTED a run of an
// adapter's rows, which `routes` lists by adapter. The importing kernel declares `params` with a `route`,
// and under ROUTED `routes: array<u32>` and `entries: array<vec4<u32>>` (rank, bits of s, start of A, start of b_t).
// Host side: `Routing` in src/lora/routing.rs, `Bank` in src/lora/bank.rs.

#import lora/route

struct Tile {
    first: u32, // places of its rows
    end: u32,
    rank: u32,  // of its adapter
    start: u32, // where its adapter's matrix starts
    scale: f32, // s
    adapter: u32,
}

// The tile of `rows` rows with this index; those past the end are empty and end where the last one does.
fn tile_at(index: u32, rows: u32) -> Tile {
#if ROUTED
    let route = params.route;
    let own = route.first_tile + min(index, route.count - 1u);
    let segment = routes[route.tiles + own];
    let first = routes[route.starts + segment] + (own - routes[route.firsts + segment]) * rows;
    let end = min(first + rows, routes[route.starts + segment + 1u]);
    let adapter = routes[route.adapters + segment];
    let entry = entries[adapter];
    let in_order = (segment - route.first_segment) * route.elements;
    let start = select(entry[route.matrix], in_order, route.elements != 0u) + route.shift;
    return Tile(select(end, first, index < route.count), end, entry.x, start, bitcast<f32>(entry.y), adapter);
#else
    let first = index * rows;
    return Tile(first, min(first + rows, params.rows), params.rank, params.start, params.scale, 0u);
#endif
}

// The row of the batch at a place; places past the tile's end repeat its last row.
fn row_at(tile: Tile, place: u32) -> u32 {
#if ROUTED
    return routes[params.route.rows + min(place, tile.end - 1u)];
#else
    return min(place, tile.end - 1u);
#endif
}

// Where the parts of `routes` start, and which tiles a dispatch has.
struct Route {
    rows: u32,       // the batch's rows in order of their adapters
    adapters: u32,   // each segment's adapter
    starts: u32,     // each segment's first place among `rows`, and the end
    firsts: u32,     // each segment's first tile
    tiles: u32,      // each tile's segment
    first_tile: u32, // of this dispatch
    count: u32,      // of this dispatch
    matrix: u32,     // 2: A; 3: b_t
    shift: u32,      // from an entry's start to elements of the binding
    first_segment: u32, // of this dispatch
    elements: u32,   // from one segment's matrix to the next where they are written out in that order; 0: `entries` says
    pad: u32,
}

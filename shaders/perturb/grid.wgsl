// The cell of a global grid that a place lies in: first row north, first column at −180°.
// Twin: `LookupGrid::cell` in src/perturb/grid.rs, bit-equal.

#import common/fixed64
#import common/geodesy

// ⌊offset · cells / (degrees · 2⁴⁰)⌋ for an offset in fixed-point degrees.
fn grid_step(offset: vec2<u32>, cells: u32, degrees: u32) -> u32 {
    let product = mul64_wide(offset, vec2<u32>(cells, 0u));
    return ((product.y >> 8u) | (product.z << 24u)) / degrees;
}

// Row · columns + column; rows are clamped, columns wrapped.
fn grid_cell(place: Place, rows: u32, columns: u32) -> u32 {
    let south = sub64(vec2<u32>(0u, 90u << 8u), place.lat);
    let east = add64(place.lon, vec2<u32>(0u, 180u << 8u));
    let row = min(grid_step(south, rows, 180u), rows - 1u);
    let column = grid_step(east, columns, 360u);
    return row * columns + select(column, 0u, column >= columns);
}

// What every family's form of `down` shares, h[row, j] = Σ_k x[row, k] · A[j, k]: parameters, bindings, loads, stores.
// The backward's u = dy · B is the same with b_t in place of A.
//
// x: [rows, inputs], stored as wide.wgsl says; DROPOUT: of x; a: [rank, inputs] and h: [rows, rank], f32. VEC4: all start
// and step by multiples of four elements, and widths are multiples of the family's step. Columns past the end count as 0;
// ranks past the end are not stored. ROUTED: every tile has an adapter of its own, and `rank` is the largest among them.
// The order of every sum depends on the family and `inputs` alone: a row alone gives the same bits.
// Twin: `down` in src/lora/twin.rs.

#import common/view
#import lora/tile
#import common/four
#import common/wide
#import lora/dropout

struct Params {
    x: Rows,
    h: Rows,
    rows: u32,
    rank: u32,
    inputs: u32,
    start: u32, // of A
    stride: u32,
    scale: f32,
    pad0: u32,
    pad1: u32,
    route: Route,
    dropout: Dropped,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> wide: array<Stored>; // x
#if VEC4
@group(0) @binding(2) var<storage, read> a: array<Vector>;
@group(0) @binding(3) var<storage, read_write> h: array<Vector>;
#else
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;
#endif
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif

// Columns k to k + 3 of a row of x, which starts at `start`; under VEC4 they are there.
fn load_x(start: u32, row: u32, k: u32) -> vec4<f32> {
    let four = load_wide(start + k, places(k, params.inputs));
#if DROPOUT
    return dropped(four, row, k);
#else
    return four;
#endif
}

// Where a row of A starts; ranks past the end repeat the last one.
fn a_row(tile: Tile, rank: u32) -> u32 {
    return tile.start + min(rank, tile.rank - 1u) * params.stride;
}

// Columns k to k + 3 of the row of A that starts at `start`; under VEC4 they are there.
fn load_a(start: u32, k: u32) -> vec4<f32> {
#if VEC4
    return four_of(a[(start + k) >> 2u]);
#else
    let count = places(k, params.inputs);
    var four = vec4<f32>();
    if 0u < count { four.x = a[start + k]; }
    if 1u < count { four.y = a[start + k + 1u]; }
    if 2u < count { four.z = a[start + k + 2u]; }
    if 3u < count { four.w = a[start + k + 3u]; }
    return four;
#endif
}

// Ranks `rank` to `rank + 3` of the row at a place; those that its adapter lacks are 0.
fn store_h(tile: Tile, place: u32, rank: u32, sums: vec4<f32>) {
    let at = row_start(params.h, row_at(tile, place)) + rank;
    let count = select(0u, places(rank, params.rank), place < tile.end);
#if ROUTED
    let four = select(vec4<f32>(), sums, vec4<u32>(rank) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(tile.rank));
#else
    let four = sums;
#endif
#if VEC4
    if 0u < count { h[at >> 2u] = words_of(four); }
#else
    if 0u < count { h[at] = four.x; }
    if 1u < count { h[at + 1u] = four.y; }
    if 2u < count { h[at + 2u] = four.z; }
    if 3u < count { h[at + 3u] = four.w; }
#endif
}

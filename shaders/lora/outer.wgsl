// What every family's first stage of dA and dB_t shares, partial[chunk, j, n] = s · Σ_{row in chunk} w[row, j] · v[row, n]
// with w, v = u ⊙ g, x for dA and h ⊙ g, dy for dB_t: parameters, bindings, loads, stores.
//
// w: [rows, rank], f32; v: [rows, width], stored as wide.wgsl says; DROPOUT: of v, which then is x; partial: [chunks, rank,
// width], contiguous. VEC4: all start and step by multiples of four elements, and widths are such. Ranks and columns past the end count as 0 and are not stored.
// Every family sums over the rows of a chunk upwards with fma. Chunks count from row 0 of the batch, and their size
// depends on family and shape. The second stage, reduce/sum_chunks, multiplies by λ. ROUTED: chunks count from each
// adapter's first row, and lora/sum_parts is the second stage. Twin: `outer` in src/lora/twin.rs.

#import common/view
#import lora/tile
#import common/four
#import common/wide
#import lora/dropout

struct Params {
    w: Rows,
    v: Rows,
    rows: u32,
    rank: u32,
    width: u32,
    partial_start: u32,
    chunk_rows: u32,
    scale: f32,
    start: u32, // unused: the matrix is read in the second stage
    pad0: u32,
    route: Route,
    dropout: Dropped,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> wide: array<Stored>; // v
#if VEC4
@group(0) @binding(1) var<storage, read> w: array<Vector>;
@group(0) @binding(3) var<storage, read_write> partials: array<Vector>;
#else
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
#endif
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif

// Ranks `rank` to `rank + 3` of the row of w that starts at `start`; zeros unless `wanted`.
fn load_w(tile: Tile, start: u32, rank: u32, wanted: bool) -> vec4<f32> {
    let inside = wanted && rank < tile.rank;
#if VEC4
    return select(vec4<f32>(), four_of(w[select(start, start + rank, inside) >> 2u]), inside);
#else
    let count = select(0u, places(rank, tile.rank), inside);
    var four = vec4<f32>();
    if 0u < count { four.x = w[start + rank]; }
    if 1u < count { four.y = w[start + rank + 1u]; }
    if 2u < count { four.z = w[start + rank + 2u]; }
    if 3u < count { four.w = w[start + rank + 3u]; }
    return four;
#endif
}

// Columns `column` to `column + 3` of a row of v, which starts at `start`; zeros unless `wanted`.
fn load_v(start: u32, row: u32, column: u32, wanted: bool) -> vec4<f32> {
    let inside = wanted && column < params.width;
    let four = load_wide(select(start, start + column, inside), select(0u, places(column, params.width), inside));
#if DROPOUT
    return select(vec4<f32>(), dropped(four, row, column), inside);
#else
    return select(vec4<f32>(), four, inside);
#endif
}

fn store_partial(tile: Tile, chunk: u32, rank: u32, column: u32, sums: vec4<f32>) {
    let four = tile.scale * sums;
    let at = params.partial_start + (chunk * params.rank + rank) * params.width + column;
    let count = select(0u, places(column, params.width), rank < tile.rank);
#if VEC4
    if 0u < count { partials[at >> 2u] = words_of(four); }
#else
    if 0u < count { partials[at] = four.x; }
    if 1u < count { partials[at + 1u] = four.y; }
    if 2u < count { partials[at + 2u] = four.z; }
    if 3u < count { partials[at + 3u] = four.w; }
#endif
}

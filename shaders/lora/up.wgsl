// What every family's form of `up` shares, y[row, n] = λ·s · Σ_j h[row, j] · B_t[j, n], h gated already: parameters,
// bindings, loads, stores. ACCUMULATE adds to what y holds: the injection itself; the backward's dx is the same with u, A.
//
// h: [rows, rank]; b_t: [rank, width]; y: [rows, width]. VEC4: all start and step by multiples of four elements, and
// widths are such. Ranks and columns past the end count as 0 and are not stored. ROUTED: every tile has an adapter of its
// own, and `rank` is the largest among them.
// Every family sums over ranks upwards with fma. Off is off: where λ·s or the finished addend is ±0 by its bits, y keeps
// its bits under ACCUMULATE (−0, Inf and NaN too); λ·s = 0 hides even non-finite sums. Without ACCUMULATE it gives 0.
// A row's result depends on no other row. Twin: `up` in src/lora/twin.rs.

#import common/numeric
#import common/view
#import lora/tile
#import lora/four

struct Params {
    h: Rows,
    y: Rows,
    rows: u32,
    width: u32,
    rank: u32,
    start: u32, // of B_t
    stride: u32,
    chunk_rows: u32, // of one workgroup or invocation
    lambda: f32,
    scale: f32,
    route: Route,
}

@group(0) @binding(0) var<uniform> params: Params;
#if VEC4
@group(0) @binding(1) var<storage, read> h: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b_t: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> b_t: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#endif
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif

// Ranks `rank` to `rank + 3` of the row of h that starts at `start`.
fn load_h(tile: Tile, start: u32, rank: u32) -> vec4<f32> {
#if VEC4
    let inside = rank < tile.rank;
    return select(vec4<f32>(), h[select(start, start + rank, inside) >> 2u], inside);
#else
    let count = places(rank, tile.rank);
    var four = vec4<f32>();
    if 0u < count { four.x = h[start + rank]; }
    if 1u < count { four.y = h[start + rank + 1u]; }
    if 2u < count { four.z = h[start + rank + 2u]; }
    if 3u < count { four.w = h[start + rank + 3u]; }
    return four;
#endif
}

// Columns `column` to `column + 3` of row `rank` of B_t.
fn load_b(tile: Tile, rank: u32, column: u32) -> vec4<f32> {
    let start = tile.start + min(rank, tile.rank - 1u) * params.stride;
    let inside = rank < tile.rank && column < params.width;
#if VEC4
    return select(vec4<f32>(), b_t[select(start, start + column, inside) >> 2u], inside);
#else
    let count = select(0u, places(column, params.width), inside);
    var four = vec4<f32>();
    if 0u < count { four.x = b_t[start + column]; }
    if 1u < count { four.y = b_t[start + column + 1u]; }
    if 2u < count { four.z = b_t[start + column + 2u]; }
    if 3u < count { four.w = b_t[start + column + 3u]; }
    return four;
#endif
}

// What four columns of the row of y that starts at `start` hold.
fn load_y(start: u32, column: u32) -> vec4<f32> {
#if ACCUMULATE
#if VEC4
    return y[(start + min(column, params.width - 4u)) >> 2u];
#else
    let count = places(column, params.width);
    var four = vec4<f32>();
    if 0u < count { four.x = y[start + column]; }
    if 1u < count { four.y = y[start + column + 1u]; }
    if 2u < count { four.z = y[start + column + 2u]; }
    if 3u < count { four.w = y[start + column + 3u]; }
    return four;
#endif
#else
    return vec4<f32>();
#endif
}

fn store_y(start: u32, column: u32, four: vec4<f32>) {
    let count = places(column, params.width);
    let at = start + column;
#if VEC4
    if 0u < count { y[at >> 2u] = four; }
#else
    if 0u < count { y[at] = four.x; }
    if 1u < count { y[at + 1u] = four.y; }
    if 2u < count { y[at + 2u] = four.z; }
    if 3u < count { y[at + 3u] = four.w; }
#endif
}

// What y becomes.
fn injected(tile: Tile, four: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let factor = params.lambda * tile.scale;
#if ACCUMULATE
    let added = factor * sums;
    let zero = vec4<bool>(is_zero(added.x), is_zero(added.y), is_zero(added.z), is_zero(added.w));
    return select(fma(vec4<f32>(factor), sums, four), four, zero);
#else
    return select(factor * sums, vec4<f32>(), is_zero(factor));
#endif
}

fn is_off(tile: Tile) -> bool {
#if ACCUMULATE
    return is_zero(params.lambda * tile.scale);
#else
    return false;
#endif
}

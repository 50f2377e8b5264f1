// What every family's form of `up` shares, y[row, n] = λ·s · (Σ_j h[row, j] · B_t[j, n] + bias[n]), h gated already:
// parameters, bindings, loads, stores. ACCUMULATE adds to what y holds: the injection itself; with APART to what `base` holds,
// whose rows lie elsewhere, and y is written alone. The backward's dx is the same with u, A, without bias, and DROPOUT: of x,
// whose gradient it is, on the sum.
//
// h: [rows, rank]; b_t: [rank, width]; bias: [width], all f32; y, base: [rows, width], stored as wide.wgsl says and rounded
// once, from f32, half to even; beside an odd width the other half of a row's last word keeps its bits. VEC4: all start and
// step by multiples of four elements, and widths are such. Ranks and columns past the end count as 0 and are not stored.
// ROUTED: every tile has an adapter of its own, and `rank` is the largest among them; bias: [adapters, width].
// Every family sums over ranks upwards with fma. Off is off: where λ·s or the finished addend is ±0 by its bits, y keeps
// its bits under ACCUMULATE, or gets those of `base` (−0, Inf and NaN too); λ·s = 0 hides even non-finite sums. Without
// ACCUMULATE it gives 0.
// A row's result depends on no other row. Twin: `up` in src/lora/twin.rs.

#import common/numeric
#import common/view
#import lora/tile
#import common/four
#import common/wide
#import lora/dropout

struct Params {
    h: Rows,
    y: Rows,
    base: Rows, // without APART y's
    rows: u32,
    width: u32,
    rank: u32,
    start: u32, // of B_t
    stride: u32,
    chunk_rows: u32, // of one workgroup or invocation
    lambda: f32,
    scale: f32,
    route: Route,
    dropout: Dropped,
    bias_start: u32,
    bias_stride: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if VEC4
@group(0) @binding(1) var<storage, read> h: array<Vector>;
@group(0) @binding(2) var<storage, read> b_t: array<Vector>;
#else
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read> b_t: array<f32>;
#endif
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif
#if BIAS
#if VEC4
alias Biases = array<Vector>;
#else
alias Biases = array<f32>;
#endif
#if ROUTED
@group(0) @binding(6) var<storage, read> bias: Biases;
#else
@group(0) @binding(4) var<storage, read> bias: Biases;
#endif
#endif

#if APART
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(5) var<storage, read> wide: array<Stored>; // base

fn stored_at(at: u32) -> Stored {
    return y[at];
}

fn store(at: u32, value: Stored) {
    y[at] = value;
}
#else
@group(0) @binding(3) var<storage, read_write> wide: array<Stored>; // y

fn stored_at(at: u32) -> Stored {
    return wide[at];
}

fn store(at: u32, value: Stored) {
    wide[at] = value;
}
#endif

// Ranks `rank` to `rank + 3` of the row of h that starts at `start`.
fn load_h(tile: Tile, start: u32, rank: u32) -> vec4<f32> {
#if VEC4
    let inside = rank < tile.rank;
    return select(vec4<f32>(), four_of(h[select(start, start + rank, inside) >> 2u]), inside);
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
    return select(vec4<f32>(), four_of(b_t[select(start, start + column, inside) >> 2u]), inside);
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

#if BIAS
// Columns `column` to `column + 3` of the bias.
fn load_bias(tile: Tile, column: u32) -> vec4<f32> {
    let start = params.bias_start + tile.adapter * params.bias_stride;
#if VEC4
    return four_of(bias[(start + min(column, params.width - 4u)) >> 2u]);
#else
    let at = start + column;
    let count = places(column, params.width);
    var four = vec4<f32>();
    if 0u < count { four.x = bias[at]; }
    if 1u < count { four.y = bias[at + 1u]; }
    if 2u < count { four.z = bias[at + 2u]; }
    if 3u < count { four.w = bias[at + 3u]; }
    return four;
#endif
}
#endif

// Where the row of `base` starts, of which y's starts at `start`.
fn base_of(row: u32, start: u32) -> u32 {
#if APART
    return row_start(params.base, row);
#else
    return start;
#endif
}

// What four columns of the row that starts at `start`, of y or `base`, hold.
fn load_y(start: u32, column: u32) -> Four {
#if ACCUMULATE
#if VEC4
    return load_stored(start + min(column, params.width - 4u), 4u);
#else
    return load_stored(start + column, places(column, params.width));
#endif
#else
    return Four();
#endif
}

fn store_y(start: u32, column: u32, four: Four) {
    let count = places(column, params.width);
    let at = start + column;
#if VEC4
    if 0u < count { store(at >> 2u, stored(four)); }
#else
#if HALF
    if 0u < count { store_halves(at >> 1u, four.x, count == 1u); }
    if 2u < count { store_halves((at >> 1u) + 1u, four.y, count == 3u); }
#else
    if 0u < count { store(at, four.x); }
    if 1u < count { store(at + 1u, four.y); }
    if 2u < count { store(at + 2u, four.z); }
    if 3u < count { store(at + 3u, four.w); }
#endif
#endif
}

#if HALF
#if VEC4
#else
// One invocation has a row's last word; the half that is not the row's keeps its bits.
fn store_halves(at: u32, word: u32, is_one: bool) {
    if is_one {
        store(at, (stored_at(at) & 0xffff0000u) | (word & 0xffffu));
    } else {
        store(at, word);
    }
}
#endif
#endif

// Four numbers as they are stored; the bits of `old` where `keep`.
fn rounded(old: Four, four: vec4<f32>, keep: vec4<bool>) -> Four {
#if HALF
    let fresh = vec2<u32>(pack_$HALF(four.xy), pack_$HALF(four.zw));
    let low = select(vec2<u32>(), vec2<u32>(0xffffu), keep.xz);
    let kept = low | select(vec2<u32>(), vec2<u32>(0xffff0000u), keep.yw);
    return (old & kept) | (fresh & ~kept);
#else
    return select(four, old, keep);
#endif
}

// What four columns of y become, by their finished sums.
fn injected(tile: Tile, old: Four, finished: vec4<f32>, row: u32, column: u32) -> Four {
    let factor = params.lambda * tile.scale;
    var sums = finished;
#if BIAS
    sums += load_bias(tile, column);
#endif
#if DROPOUT
    sums = dropped(sums, row, column);
#endif
#if ACCUMULATE
#if APART
    // Nobody has left y alone for it.
    sums = select(sums, vec4<f32>(), is_zero(factor));
#endif
    let added = factor * sums;
    let zero = vec4<bool>(is_zero(added.x), is_zero(added.y), is_zero(added.z), is_zero(added.w));
    return rounded(old, fma(vec4<f32>(factor), sums, numbers(old)), zero);
#else
    return rounded(old, select(factor * sums, vec4<f32>(), is_zero(factor)), vec4<bool>());
#endif
}

// Nothing is to be written.
fn is_off(tile: Tile) -> bool {
#if APART
    return false;
#else
#if ACCUMULATE
    return is_zero(params.lambda * tile.scale);
#else
    return false;
#endif
#endif
}

// What every family's form of `down` shares, h[row, j] = Σ_k x[row, k] · A[j, k]: parameters, bindings, loads, stores.
// The backward's u = dy · B is the same with b_t in place of A.
//
// x: [rows, inputs]; a: [rank, inputs]; h: [rows, rank]. VEC4: all start and step by multiples of four elements, and
// widths are multiples of the family's step. Columns past the end count as 0; ranks past the end are not stored.
// The order of every sum depends on the family and `inputs` alone: a row alone gives the same bits.
// Twin: `down` in src/lora/twin.rs.

#import common/view
#import lora/four

struct Params {
    x: Rows,
    h: Rows,
    rows: u32,
    rank: u32,
    inputs: u32,
    a_start: u32,
    a_stride: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if VEC4
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;
#endif

// Columns k to k + 3 of the row of x that starts at `start`; under VEC4 they are there.
fn load_x(start: u32, k: u32) -> vec4<f32> {
#if VEC4
    return x[(start + k) >> 2u];
#else
    let count = places(k, params.inputs);
    var four = vec4<f32>();
    if 0u < count { four.x = x[start + k]; }
    if 1u < count { four.y = x[start + k + 1u]; }
    if 2u < count { four.z = x[start + k + 2u]; }
    if 3u < count { four.w = x[start + k + 3u]; }
    return four;
#endif
}

// Where a row of A starts; ranks past the end repeat the last one.
fn a_row(rank: u32) -> u32 {
    return params.a_start + min(rank, params.rank - 1u) * params.a_stride;
}

// Columns k to k + 3 of the row of A that starts at `start`; under VEC4 they are there.
fn load_a(start: u32, k: u32) -> vec4<f32> {
#if VEC4
    return a[(start + k) >> 2u];
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

// Ranks `rank` to `rank + 3` of a row.
fn store_h(row: u32, rank: u32, four: vec4<f32>) {
    let at = row_start(params.h, row) + rank;
    let count = select(0u, places(rank, params.rank), row < params.rows);
#if VEC4
    if 0u < count { h[at >> 2u] = four; }
#else
    if 0u < count { h[at] = four.x; }
    if 1u < count { h[at + 1u] = four.y; }
    if 2u < count { h[at + 2u] = four.z; }
    if 3u < count { h[at + 3u] = four.w; }
#endif
}

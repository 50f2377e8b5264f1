// First stage of the gates' gradient: partial[chunk, sample, j] = s · Σ_{token in chunk} u[row, j] · h[row, j];
// SCALAR: also summed over j, ranks fastest.
//
// u, h: [samples, tokens, rank]; partial: [chunks, samples, rank or 1], contiguous.
// One invocation per partial; loops 64 tokens (SCALAR: × rank), upwards, with fma. Chunks of 64 tokens count from
// the sample's first row, so a sample alone gives the same bits. The second stage, reduce/sum_chunks, multiplies by λ.
// ROUTED: samples have any number of rows and an adapter each; partial: [chunks of all samples, rank or 1], and the second
// stage is lora/sum_parts.
// Twin: `dgate` in src/lora/twin.rs.

#import common/view
#import lora/tile

struct Params {
    u: Rows,
    h: Rows,
    samples: u32,
    tokens: u32,
    rank: u32,
    columns: u32, // rank, or 1 with SCALAR
    partial_start: u32,
    chunk_tokens: u32,
    scale: f32,
    rows: u32,
    start: u32, // unused: no matrix is read
    pad0: u32,
    pad1: u32,
    pad2: u32,
    route: Route,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
#if ROUTED
@group(0) @binding(4) var<storage, read> routes: array<u32>;
@group(0) @binding(5) var<storage, read> entries: array<vec4<u32>>;
#endif

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let line = index / params.columns; // chunk · samples + sample
    let column = index - line * params.columns;
#if ROUTED
    let tile = tile_at(line, params.chunk_tokens);
    let first_row = tile.first;
    let end_row = tile.end;
    if first_row >= end_row {
        return;
    }
#else
    let chunk = line / params.samples;
    let sample = line - chunk * params.samples;
    let first = chunk * params.chunk_tokens;
    if first >= params.tokens {
        return;
    }
    let tile = Tile(first, min(first + params.chunk_tokens, params.tokens), params.rank, 0u, params.scale, 0u);
    let first_row = sample * params.tokens + tile.first;
    let end_row = sample * params.tokens + tile.end;
#endif
    var sum = 0.0;
    for (var row = first_row; row < end_row; row++) {
        let u_at = row_start(params.u, row);
        let h_at = row_start(params.h, row);
#if SCALAR
        for (var j = 0u; j < tile.rank; j++) {
            sum = fma(u[u_at + j], h[h_at + j], sum);
        }
#else
        if column < tile.rank {
            sum = fma(u[u_at + column], h[h_at + column], sum);
        }
#endif
    }
    partials[params.partial_start + index] = tile.scale * sum;
}

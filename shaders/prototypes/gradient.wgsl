// First stage of the gradient of prototypes: partial[chunk, p of the set] = Σ over the chunk's samples of that set of
// w_p dc + d_p q, with w and d from prototypes/attend.
//
// query, dcontext: [samples, width]; records as there; terms: [samples, 2 · each], contiguous; partials:
// [chunks, (regions + 1) · each · width], contiguous, zeroed.
// One invocation = one chunk, one p and up to four columns, of every set: nobody else touches those numbers, so it adds
// in place, samples in order, without atomics. Loops chunk_rows. Twin: src/prototypes/twin.rs.

#import prototypes/set

struct Params {
    query: Rows,
    dcontext: Rows,
    records: Rows,
    samples: u32,
    width: u32,
    each: u32,
    regions: u32,
    region_word: u32,
    region_bit: u32,
    terms_start: u32,
    partial_start: u32,
    chunk_rows: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<f32>;
@group(0) @binding(2) var<storage, read> records: array<u32>;
@group(0) @binding(3) var<storage, read> dcontext: array<f32>;
@group(0) @binding(4) var<storage, read> terms: array<f32>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = (params.width + 3u) / 4u;
    let owned = quads * params.each;
    let index = flat_group(group, groups) * 64u + lane;
    let chunk = index / owned;
    let p = (index - chunk * owned) / quads;
    let column = (index - chunk * owned - p * quads) * 4u;
    let first = chunk * params.chunk_rows;
    if first >= params.samples {
        return;
    }
    let columns = min(params.width - column, 4u);
    let size = params.each * params.width;
    let own = params.partial_start + chunk * (params.regions + 1u) * size + p * params.width + column;
    for (var sample = first; sample < min(first + params.chunk_rows, params.samples); sample++) {
        let at = own + region_set(sample).number * size;
        let terms_at = params.terms_start + sample * 2u * params.each + p;
        let weight = terms[terms_at];
        let slope = terms[terms_at + params.each];
        let query_at = row_start(params.query, sample) + column;
        let dcontext_at = row_start(params.dcontext, sample) + column;
        for (var j = 0u; j < columns; j++) {
            partials[at + j] += fma(weight, dcontext[dcontext_at + j], slope * query[query_at + j]);
        }
    }
}

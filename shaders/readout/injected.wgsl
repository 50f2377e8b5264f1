// What both forms of the pooled injection share: many gates over one y and one h, an activation, the mean over tokens,
//     out[k, s, n] = 1/T_s · Σ_t act(y[s, t, n] + λ·s · Σ_j (h[s, t, j] · g_k[s, j]) · B_t[j, n]).
// No y_k is stored, and y is read once for all gates of a tile.
//
// y: [samples, tokens, width], stored as common/wide.wgsl says; h: [samples, tokens, rank]; b_t: [rank, width]; gates:
// [k, samples, rank], or width 1 and gate_step 0; counts: [samples], or none: all tokens; out: [k, samples, width].
// VEC4: y, b_t and out start and step by multiples of four elements; LONG: as 64-bit words (common/four.wgsl). Ranks past the end count as 0.
// Ranks upwards with fma, then one fma into y, then tokens upwards: the y_k inside have the bits of lora's `up`, up to the sign of
// zero, and both forms give the same bits. λ·s = 0 hides h, g and B, non-finite ones too. A sample depends on no other.
// Twin: `injected` in src/readout/twin.rs.

#import common/numeric
#import readout/pooled
#import readout/activation
#import common/wide

struct Params {
    y: Rows,
    h: Rows,
    gates: Rows,
    counts: Rows,
    out: Rows,
    samples: u32,
    tokens: u32,
    width: u32,
    rank: u32,
    variants: u32,
    b_start: u32,
    b_stride: u32,
    gate_step: u32,
    has_counts: u32,
    lambda: f32,
    scale: f32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> wide: array<Stored>; // y
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read> gates: array<f32>;
@group(0) @binding(5) var<storage, read> counts: array<u32>;
#if VEC4
@group(0) @binding(3) var<storage, read> b_t: array<Vector>;
@group(0) @binding(6) var<storage, read_write> out: array<Vector>;
#else
@group(0) @binding(3) var<storage, read> b_t: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
#endif

// Beside it stands |, not ||: that is a branch in every load, and some drivers compile for minutes.
fn is_off() -> bool {
    return is_zero(params.lambda * params.scale);
}

// Rank `rank` of the row of h, or of the gates, that starts at `start`.
fn load_h(start: u32, rank: u32) -> f32 {
    return select(h[start + min(rank, params.rank - 1u)], 0.0, (rank >= params.rank) | is_off());
}

fn load_gate(start: u32, rank: u32) -> f32 {
    return select(gates[start + min(rank, params.rank - 1u) * params.gate_step], 0.0, (rank >= params.rank) | is_off());
}

// Columns `column` to `column + 3` of row `rank` of B_t; those past the end are the last one, and not stored.
fn load_b(rank: u32, column: u32) -> vec4<f32> {
    let row = params.b_start + min(rank, params.rank - 1u) * params.b_stride;
#if VEC4
    let four = four_of(b_t[(row + min(column, params.width - 4u)) >> 2u]);
#else
    let at = vec4<u32>(row) + min(vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.width - 1u));
    let four = vec4<f32>(b_t[at.x], b_t[at.y], b_t[at.z], b_t[at.w]);
#endif
    return select(four, vec4<f32>(), (rank >= params.rank) | is_off());
}

// Where a gate's row starts; gates past the end repeat the last one and are not stored.
fn gate_start(gate: u32, sample: u32) -> u32 {
    return row_start(params.gates, min(gate, params.variants - 1u) * params.samples + sample);
}

// act(y + λ·s · sum).
fn moved(y: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return activated(fma(vec4<f32>(params.lambda * params.scale), sum, y));
}

fn store(gate: u32, sample: u32, column: u32, sum: vec4<f32>, count: u32) {
    if gate < params.variants {
        store_mean(row_start(params.out, gate * params.samples + sample), column, sum, count);
    }
}

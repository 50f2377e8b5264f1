// Real spherical harmonics of the places of records, for one block: e[i, column + l² + l ± m] =
//     P_lm(cos θ) · (√2 cos mφ | 1 | √2 sin |m|φ) for m > 0 | m = 0 | m < 0, θ = colatitude, φ = longitude.
// Each normalised Legendre function is a short trigonometric series whose coefficients the host makes in f64, with √2
// and the convention's signs and factors in them: P_lm(cos θ) = Σ_k c_lmk cos kθ (m even) or sin kθ (m odd), k = l mod 2,
// …, l. The phases kθ and mφ are exact products of u32 turns, so neither poles nor the antimeridian are special, and
// Σ|c| is of the order of the function itself: nothing cancels. (A recursion over l in f32 loses l² near the poles.)
// Rows of unknown places are left to encode/forward.
//
// records, plan and e as in encode/forward. The block's constants, in vec4s: where the series of m = 0, 1, …, degree
// start (as numbers), then the series: for every m those of l = m, m + 2, …, then of l = m + 1, m + 3, …, four l at a
// time, k ascending (0 past an end).
// One workgroup = 32 records; cos kθ and sin kθ lie in workgroup memory, 10.5 KiB. One invocation = four records × every
// eighth m: of 16 products only 8 numbers are loaded. Loops at most 1,000 times at degree 40.
// Twin: `encode` in src/encode/schemes/place.rs.

#import common/view
#import encode/block
#import encode/position

const RECORDS = 32u;
const QUADS = 8u;
const LEVELS = 41u; // degrees 0..=40

struct Params {
    e: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    samples: u32,
    block: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> e: array<f32>;

var<workgroup> thetas: array<u32, RECORDS>;
var<workgroup> phis: array<u32, RECORDS>;
var<workgroup> starts: array<u32, RECORDS>;
// Four records each: cos kθ for all k, then sin kθ.
var<workgroup> waves: array<vec4<f32>, 2u * LEVELS * QUADS>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn plan_word(at: u32) -> u32 {
    return plan[at >> 2u][at & 3u];
}

// Sines, then cosines, of four angles.
fn sincos_of_four(turns: vec4<u32>) -> array<vec4<f32>, 2> {
    let a = sincos_turns(turns.x);
    let b = sincos_turns(turns.y);
    let c = sincos_turns(turns.z);
    let d = sincos_turns(turns.w);
    return array<vec4<f32>, 2>(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

fn four_of_thetas(first: u32) -> vec4<u32> {
    return vec4<u32>(thetas[first], thetas[first + 1u], thetas[first + 2u], thetas[first + 3u]);
}

fn four_of_phis(first: u32) -> vec4<u32> {
    return vec4<u32>(phis[first], phis[first + 1u], phis[first + 2u], phis[first + 3u]);
}

fn four_of_starts(first: u32) -> vec4<u32> {
    return vec4<u32>(starts[first], starts[first + 1u], starts[first + 2u], starts[first + 3u]);
}

// Writes one column of four records; NONE stands for a row that is not written.
fn put_four(rows: vec4<u32>, column: u32, values: vec4<f32>) {
    if rows.x != NONE { e[rows.x + column] = values.x; }
    if rows.y != NONE { e[rows.y + column] = values.y; }
    if rows.z != NONE { e[rows.z + column] = values.z; }
    if rows.w != NONE { e[rows.w + column] = values.w; }
}

// The columns of ±m of one l; those of m = 0 are one, put twice, the second time as it should be.
fn put_pair(rows: vec4<u32>, l: u32, m: u32, legendre: vec4<f32>, along_phi: array<vec4<f32>, 2>) {
    let centre = l * l + l;
    put_four(rows, centre - m, legendre * along_phi[0]);
    put_four(rows, centre + m, legendre * along_phi[1]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = load_block(params.block);
    let degree = min(block.parameter, LEVELS - 1u);
    if lane < RECORDS {
        let sample = flat_group(group, groups) * RECORDS + lane;
        let inside = sample < params.samples;
        let place = position(select(0u, sample, inside));
        thetas[lane] = place.theta;
        phis[lane] = place.phi;
        let start = row_start(params.e, select(0u, sample, inside)) + block.column;
        starts[lane] = select(NONE, start, inside && place.known);
    }
    workgroupBarrier();
    let quad = lane % QUADS;
    let theta = four_of_thetas(quad * 4u);
    for (var k = lane / QUADS; k <= degree; k += 8u) {
        let along_theta = sincos_of_four(theta * k);
        waves[k * QUADS + quad] = along_theta[1];
        waves[(LEVELS + k) * QUADS + quad] = along_theta[0];
    }
    workgroupBarrier();
    let phi = four_of_phis(quad * 4u);
    let rows = four_of_starts(quad * 4u);
    for (var m = lane / QUADS; m <= degree; m += 8u) {
        let along_phi = sincos_of_four(phi * m);
        let wave = (m & 1u) * LEVELS;
        var at = block.constants / 4u + u32(bitcast<f32>(plan_word(block.constants + m)));
        for (var step = 0u; step < 2u; step++) {
            for (var l = m + step; l <= degree; l += 8u) {
                let last = l + min(6u, (degree - l) & ~1u);
                var first = vec4<f32>(0.0);
                var second = vec4<f32>(0.0);
                var third = vec4<f32>(0.0);
                var fourth = vec4<f32>(0.0);
                for (var k = l & 1u; k <= last; k += 2u) {
                    let constants = bitcast<vec4<f32>>(plan[at]);
                    let values = waves[(wave + k) * QUADS + quad];
                    first = fma(vec4<f32>(constants.x), values, first);
                    second = fma(vec4<f32>(constants.y), values, second);
                    third = fma(vec4<f32>(constants.z), values, third);
                    fourth = fma(vec4<f32>(constants.w), values, fourth);
                    at++;
                }
                put_pair(rows, l, m, first, along_phi);
                if l + 2u <= degree { put_pair(rows, l + 2u, m, second, along_phi); }
                if l + 4u <= degree { put_pair(rows, l + 4u, m, third, along_phi); }
                if l + 6u <= degree { put_pair(rows, l + 6u, m, fourth, along_phi); }
            }
        }
    }
}

// Real spherical harmonics of the places of records, for one block: e[i, column + l² + l ± m] =
//     P_lm(cos θ) · (√2 cos mφ | 1 | √2 sin |m|φ) for m > 0 | m = 0 | m < 0, θ = colatitude, φ = longitude.
// Each normalised Legendre function is a short trigonometric series whose coefficients the host makes in f64, with √2
// and the convention's signs and factors in them: P_lm(cos θ) = Σ_k c_lmk cos kθ (m even) or sin kθ (m odd), k = l mod 2,
// …, l. The phases kθ and mφ are exact products of u32 turns, so neither poles nor the antimeridian are special, and
// Σ|c| is of the order of the function itself: nothing cancels. (A recursion over l is cheaper, but errs six times as
// much at degree 40: 3e-6.) Rows of unknown places are left to encode/forward. For tokens, e is [records, width of the
// block], which encode/spread adds to them.
//
// records, plan and e as in encode/forward. The block's constants, in vec4s: where the series of m = 0, 1, …, degree
// start (as numbers), then the series: for every m those of l = m, m + 2, …, then of l = m + 1, m + 3, …, four l at a
// time, k ascending (0 past an end).
// One invocation = 16 records × every `parts`-th m, so that a coefficient loaded once serves 16 records; the waves cos kθ
// or sin kθ lie in a private array: on a software adapter reading one costs an eighth of reading workgroup memory.
// One workgroup = 1,024 records. Loops at most 5,000 times at degree 40. Twin: `encode` in src/encode/schemes/place.rs.

#import common/view
#import encode/four_places

const LEVELS = 41u; // degrees 0..=40

struct Params {
    e: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    samples: u32,
    block: u32,
    parts: u32,  // invocations that share the m of a record; 1 or even
    column: u32, // of the block's first feature in e
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> e: array<f32>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn plan_word(at: u32) -> u32 {
    return plan[at >> 2u][at & 3u];
}

fn row_of(sample: u32) -> u32 {
    return row_start(params.e, sample);
}

// One column of four records.
fn put_four(rows: vec4<u32>, column: u32, values: vec4<f32>) {
    if rows.x != NONE { e[rows.x + column] = values.x; }
    if rows.y != NONE { e[rows.y + column] = values.y; }
    if rows.z != NONE { e[rows.z + column] = values.z; }
    if rows.w != NONE { e[rows.w + column] = values.w; }
}

// The columns of ±m of one l; those of m = 0 are one, put twice, the second time as it should be.
fn put_pair(rows: vec4<u32>, centre: u32, m: u32, legendre: vec4<f32>, along_phi: Waves4) {
    put_four(rows, centre - m, legendre * along_phi.sine);
    put_four(rows, centre + m, legendre * along_phi.cosine);
}

// Four l: l, l + 2, …, as far as there are.
fn put_series(rows: vec4<u32>, column: u32, l: u32, last: u32, m: u32, sums: mat4x4<f32>, along_phi: Waves4) {
    let centre = column + l * l + l;
    put_pair(rows, centre, m, sums[0], along_phi);
    if l + 2u <= last { put_pair(rows, centre + 4u * l + 6u, m, sums[1], along_phi); }
    if l + 4u <= last { put_pair(rows, centre + 8u * l + 20u, m, sums[2], along_phi); }
    if l + 6u <= last { put_pair(rows, centre + 12u * l + 42u, m, sums[3], along_phi); }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let work = flat_group(group, groups);
    let tile = work / params.parts;
    let part = work - tile * params.parts;
    let sample = (tile * 64u + lane) * 16u;
    if sample >= params.samples {
        return;
    }
    let block = load_block(params.block);
    let degree = min(block.parameter, LEVELS - 1u);
    let column = params.column;
    let a = four_places(sample, params.samples);
    let b = four_places(sample + 4u, params.samples);
    let c = four_places(sample + 8u, params.samples);
    let d = four_places(sample + 12u, params.samples);
    var waves_a: array<vec4<f32>, LEVELS>;
    var waves_b: array<vec4<f32>, LEVELS>;
    var waves_c: array<vec4<f32>, LEVELS>;
    var waves_d: array<vec4<f32>, LEVELS>;
    let step = max(params.parts, 2u);
    for (var first = part; first < step; first += params.parts) {
        let is_odd = (first & 1u) == 1u;
        for (var k = 0u; k <= degree; k++) {
            let wave_a = sincos_of_four(a.theta * k);
            let wave_b = sincos_of_four(b.theta * k);
            let wave_c = sincos_of_four(c.theta * k);
            let wave_d = sincos_of_four(d.theta * k);
            waves_a[k] = select(wave_a.cosine, wave_a.sine, is_odd);
            waves_b[k] = select(wave_b.cosine, wave_b.sine, is_odd);
            waves_c[k] = select(wave_c.cosine, wave_c.sine, is_odd);
            waves_d[k] = select(wave_d.cosine, wave_d.sine, is_odd);
        }
        for (var m = first; m <= degree; m += step) {
            let phi_a = sincos_of_four(a.phi * m);
            let phi_b = sincos_of_four(b.phi * m);
            let phi_c = sincos_of_four(c.phi * m);
            let phi_d = sincos_of_four(d.phi * m);
            var at = block.constants / 4u + u32(bitcast<f32>(plan_word(block.constants + m)));
            for (var start = m; start < m + 2u; start++) {
                for (var l = start; l <= degree; l += 8u) {
                    let last = l + min(6u, (degree - l) & ~1u);
                    var sums_a = mat4x4<f32>();
                    var sums_b = mat4x4<f32>();
                    var sums_c = mat4x4<f32>();
                    var sums_d = mat4x4<f32>();
                    for (var k = l & 1u; k <= last; k += 2u) {
                        let series = bitcast<vec4<f32>>(plan[at]);
                        sums_a = add_outer(sums_a, series, waves_a[k]);
                        sums_b = add_outer(sums_b, series, waves_b[k]);
                        sums_c = add_outer(sums_c, series, waves_c[k]);
                        sums_d = add_outer(sums_d, series, waves_d[k]);
                        at++;
                    }
                    put_series(a.rows, column, l, last, m, sums_a, phi_a);
                    put_series(b.rows, column, l, last, m, sums_b, phi_b);
                    put_series(c.rows, column, l, last, m, sums_c, phi_c);
                    put_series(d.rows, column, l, last, m, sums_d, phi_d);
                }
            }
        }
    }
}

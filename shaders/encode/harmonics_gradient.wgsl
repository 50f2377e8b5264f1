// Gradient of the places of records through one block of spherical harmonics, in 1/degree:
//     dinput[i, 0..2] += (Σ_column de · ∂Y/∂lat, Σ_column de · ∂Y/∂lon);   0 where the place is not known.
// ∂Y/∂θ comes from the series of encode/harmonics with k in the coefficients and the other wave: Σ_k −k c_lmk sin kθ (m even)
// or k c_lmk cos kθ (m odd); ∂Y/∂φ is m times the other column of the pair ±m. Then ∂lat = −π/180 ∂θ, ∂lon = π/180 ∂φ.
// encode/input_gradient has written dinput before.
//
// records and plan as in encode/harmonics; de: [samples, width]; dinput: [samples, 4].
// One invocation = four records; sums run over m, then over l as the series lie. Loops at most 5,000 times at degree 40.
// Twin: `Place::gradient` in src/encode/schemes/place.rs.

#import common/view
#import encode/four_places

const LEVELS = 41u; // degrees 0..=40
const RADIANS_PER_DEGREE = 0.017453292;

struct Params {
    de: Rows,
    dinput: Rows,
    records_start: u32,
    records_stride: u32, // elements between the words of a record
    samples: u32,
    block: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> de: array<f32>;
@group(0) @binding(4) var<storage, read_write> dinput: array<f32>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records_start + word * params.records_stride + sample];
}

fn plan_word(at: u32) -> u32 {
    return plan[at >> 2u][at & 3u];
}

fn row_of(sample: u32) -> u32 {
    return row_start(params.de, sample);
}

// de in one column of four records.
fn four_of_column(rows: vec4<u32>, column: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if rows.x != NONE { values.x = de[rows.x + column]; }
    if rows.y != NONE { values.y = de[rows.y + column]; }
    if rows.z != NONE { values.z = de[rows.z + column]; }
    if rows.w != NONE { values.w = de[rows.w + column]; }
    return values;
}

// Per radian, of four records.
struct Slopes {
    theta: vec4<f32>,
    phi: vec4<f32>,
}

// Adds the columns of ±m of one l, whose Legendre function and its derivative are given. At m = 0 the two columns are
// one, and the second counts alone: its partner's factors sin 0 and m are 0.
fn add_pair(sums: Slopes, rows: vec4<u32>, centre: u32, m: u32, legendre: vec4<f32>, slope: vec4<f32>, along_phi: Waves4) -> Slopes {
    let below = four_of_column(rows, centre - m);
    let above = four_of_column(rows, centre + m);
    let across = fma(below, along_phi.cosine, -(above * along_phi.sine));
    return Slopes(
        fma(slope, fma(above, along_phi.cosine, below * along_phi.sine), sums.theta),
        fma(f32(m) * legendre, across, sums.phi),
    );
}

fn put(sample: u32, row: u32, theta: f32, phi: f32) {
    if sample < params.samples {
        let at = row_start(params.dinput, sample);
        let is_known = row != NONE;
        let lat = select(0.0, -RADIANS_PER_DEGREE * theta, is_known);
        let lon = select(0.0, RADIANS_PER_DEGREE * phi, is_known);
        dinput[at] += lat;
        dinput[at + 1u] += lon;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = (flat_group(group, groups) * 64u + lane) * 4u;
    if sample >= params.samples {
        return;
    }
    let block = load_block(params.block);
    let degree = min(block.parameter, LEVELS - 1u);
    let places = four_places(sample, params.samples);
    let rows = places.rows;
    var sines: array<vec4<f32>, LEVELS>;
    var cosines: array<vec4<f32>, LEVELS>;
    for (var k = 0u; k <= degree; k++) {
        let wave = sincos_of_four(places.theta * k);
        sines[k] = wave.sine;
        cosines[k] = wave.cosine;
    }
    var sums = Slopes(vec4<f32>(0.0), vec4<f32>(0.0));
    for (var m = 0u; m <= degree; m++) {
        let is_odd = (m & 1u) == 1u;
        let phi = sincos_of_four(places.phi * m);
        var at = block.constants / 4u + u32(bitcast<f32>(plan_word(block.constants + m)));
        for (var start = m; start < m + 2u; start++) {
            for (var l = start; l <= degree; l += 8u) {
                let last = l + min(6u, (degree - l) & ~1u);
                var values = mat4x4<f32>();
                var slopes = mat4x4<f32>();
                for (var k = l & 1u; k <= last; k += 2u) {
                    let series = bitcast<vec4<f32>>(plan[at]);
                    values = add_outer(values, series, select(cosines[k], sines[k], is_odd));
                    slopes = add_outer(slopes, series, select(-sines[k], cosines[k], is_odd) * f32(k));
                    at++;
                }
                let centre = block.column + l * l + l;
                sums = add_pair(sums, rows, centre, m, values[0], slopes[0], phi);
                if l + 2u <= last { sums = add_pair(sums, rows, centre + 4u * l + 6u, m, values[1], slopes[1], phi); }
                if l + 4u <= last { sums = add_pair(sums, rows, centre + 8u * l + 20u, m, values[2], slopes[2], phi); }
                if l + 6u <= last { sums = add_pair(sums, rows, centre + 12u * l + 42u, m, values[3], slopes[3], phi); }
            }
        }
    }
    put(sample, rows.x, sums.theta.x, sums.phi.x);
    put(sample + 1u, rows.y, sums.theta.y, sums.phi.y);
    put(sample + 2u, rows.z, sums.theta.z, sums.phi.z);
    put(sample + 3u, rows.w, sums.theta.w, sums.phi.w);
}

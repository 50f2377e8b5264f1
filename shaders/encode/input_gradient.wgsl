// Gradient of what records hold, from that of the numbers made of it:
//     dinput[row] (+)= Σ_i slopes[i, row] · ∂(number_i · 2⁻⁶⁴)/∂(lat°, lon°, days, gsd m)
// A number that a record does not tell has none; nor have whole numbers (days, weeks, months, hours, coordinate tokens),
// which step. ACCUMULATE adds to what dinput holds. Spherical harmonics add theirs afterwards, encode/harmonics_gradient.
//
// records, plan, numbers as in encode/numbers; slopes: [numbers, rows] f32, from encode/number_gradient;
// dinput: [samples, 4]. One invocation = one record, numbers in order. Loops: the plan's numbers, and 31 times for each of
// the Equal Earth map. Twin: `slopes` in src/encode/input.rs.

#import common/geodesy
#import common/view
#import encode/rows
#import encode/source

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> plan: array<u32>;
@group(0) @binding(3) var<storage, read> numbers: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read> slopes: array<f32>;
@group(0) @binding(5) var<storage, read_write> dinput: array<f32>;

const RADIAN = 0.017453292; // of a degree
const TURNS_TO_RADIANS = 1.4629181e-9; // 2π · 2⁻³²
const LN_2 = 0.69314718;
const HALF_ROOT_3 = 0.8660254;
// Scale of the map, 66.50336/180, as in common/projection.
const MAP_SCALE = 0.36946311;
// 2^bits/2⁶⁴ of a number with so many binary digits: encode/source says which.
const OF_43_BITS = 4.7683716e-7;
const OF_55_BITS = 0.001953125;
const OF_56_BITS = 0.00390625;

// No number is made here.
fn given(column: u32, row: u32) -> f32 {
    return 0.0;
}

// (sin, cos) of latitude and longitude.
fn swing_of(word: u32, sample: u32) -> vec2<f32> {
    return sincos_turns(turns_from_degrees(record_words64(word, sample)));
}

// ∂(cos lat cos lon, cos lat sin lon, sin lat) by latitude and longitude, per radian.
fn unit_slopes(source: u32, sample: u32) -> vec2<f32> {
    let lat = swing_of(LAT_WORD, sample);
    let lon = swing_of(LON_WORD, sample);
    if source == SOURCE_UNIT_X {
        return vec2<f32>(-lat.x * lon.y, -lat.y * lon.x);
    }
    if source == SOURCE_UNIT_Y {
        return vec2<f32>(-lat.x * lon.x, lat.y * lon.y);
    }
    return vec2<f32>(lat.y, 0.0);
}

// The same of the Equal Earth map. With sin θ = √3/2 sin lat and the polynomial y = P(θ), x = 2/√3 · lon · cos θ / P′(θ).
fn map_slopes(source: u32, sample: u32) -> vec2<f32> {
    let lat = swing_of(LAT_WORD, sample);
    let lon = RADIAN * f32_from_i64(record_words64(LON_WORD, sample), 40);
    let sine = HALF_ROOT_3 * lat.x;
    let cosine = sqrt(fma(lat.y, lat.y, 0.25 * lat.x * lat.x));
    let turns = polar(i32(cosine * 1073741824.0), i32(sine * 1073741824.0)).turns;
    let theta = TURNS_TO_RADIANS * f32(bitcast<i32>(turns));
    let square = theta * theta;
    let fourth = square * square;
    let slope = 1.340264 + square * (-0.243318 + fourth * (0.006251 + 0.034164 * square));
    let bend = theta * (-0.486636 + fourth * (0.037506 + 0.273312 * square));
    if source == SOURCE_EQUAL_EARTH_Y {
        return vec2<f32>(MAP_SCALE * HALF_ROOT_3 * slope * lat.y / cosine, 0.0);
    }
    let by_lat = -lon * lat.y * (sine + cosine * bend / slope) / (slope * cosine);
    return MAP_SCALE * vec2<f32>(by_lat, cosine / (HALF_ROOT_3 * slope));
}

// Years a day: 0 where the record tells no day.
fn years_a_day(time: TimeFields) -> f32 {
    let length = known_year_length(has_fields(time, YEAR_BIT), season(time).year);
    return select(0.0, 1.0 / f32(length), derived_day_of_year(time).known);
}

fn slopes_of(source: u32, sample: u32, time: TimeFields) -> vec4<f32> {
    switch source {
        case SOURCE_LAT_DEG: { return vec4<f32>(OF_55_BITS, 0.0, 0.0, 0.0); }
        case SOURCE_LON_DEG: { return vec4<f32>(0.0, OF_55_BITS, 0.0, 0.0); }
        case SOURCE_LAT_TURNS: { return vec4<f32>(1.0 / 360.0, 0.0, 0.0, 0.0); }
        case SOURCE_LON_TURNS: { return vec4<f32>(0.0, 1.0 / 360.0, 0.0, 0.0); }
        case SOURCE_UNIT_X, SOURCE_UNIT_Y, SOURCE_UNIT_Z: {
            return vec4<f32>(OF_56_BITS * RADIAN * unit_slopes(source, sample), 0.0, 0.0);
        }
        case SOURCE_EQUAL_EARTH_X, SOURCE_EQUAL_EARTH_Y: {
            return vec4<f32>(OF_56_BITS * RADIAN * map_slopes(source, sample), 0.0, 0.0);
        }
        case SOURCE_SEASON_TURNS: { return vec4<f32>(0.0, 0.0, years_a_day(time), 0.0); }
        case SOURCE_YEARS_SINCE_2015: { return vec4<f32>(0.0, 0.0, OF_43_BITS * years_a_day(time), 0.0); }
        case SOURCE_DAY_TURNS: { return vec4<f32>(0.0, 0.0, 1.0, 0.0); }
        case SOURCE_LOCAL_SECOND: { return vec4<f32>(0.0, 0.0, OF_43_BITS * 86400.0, 0.0); }
        case SOURCE_GSD_M: { return vec4<f32>(0.0, 0.0, 0.0, OF_43_BITS); }
        case SOURCE_OCTAVES: {
            let metres = f32_from_i64(record_words64(GSD_M_WORD, sample), 32);
            return vec4<f32>(0.0, 0.0, 0.0, OF_43_BITS / (LN_2 * metres));
        }
        default: { return vec4<f32>(0.0); }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 64u + lane;
    if row >= params.rows {
        return;
    }
    var time = load_time(row, record_word(VALID_WORD, row) & DATE_BITS);
    time.valid = time.valid & ~impossible_time(time);
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < params.blocks; i++) {
        if (numbers[i * params.rows + row].x & 1u) == 1u {
            let source = plan[params.numbers_start + 2u * i];
            sum = fma(vec4<f32>(slopes[i * params.rows + row]), slopes_of(source, row, time), sum);
        }
    }
    let at = row_start(params.e, row);
#if ACCUMULATE
    dinput[at] += sum.x;
    dinput[at + 1u] += sum.y;
    dinput[at + 2u] += sum.z;
    dinput[at + 3u] += sum.w;
#else
    dinput[at] = sum.x;
    dinput[at + 1u] = sum.y;
    dinput[at + 2u] = sum.z;
    dinput[at + 3u] = sum.w;
#endif
}

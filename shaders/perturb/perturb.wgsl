// Records under wrong metadata: dropped fields, a displaced or set place, a shifted date, or the random mix of
// training. Values that are impossible count as missing first, and are counted in the status.
//
// records, out: [RECORD_WORDS, S] u32; v: [S] f32, 0 where no metadata is left, else 1;
// donors: [5, S] u32 (lat, lon in two words each, climate zone or NO_ZONE); grid: codes, four to a word;
// status: 32 counts, one per validity bit; the last two count records without a donor, and random draws that lacked
// a sample id. Such records are copied as they are.
// One invocation per sample. Integers only. Twin: `perturb` in src/perturb/twin.rs, bit-equal.

#import common/fixed64
#import common/geodesy
#import common/rng
#import common/view
#import perturb/grid
#import perturb/shift
#import records/fields
#import records/load
#import records/valid

struct Params {
    records: Rows,
    out: Rows,
    v: Rows,
    donors: Rows,
    no_data: array<vec4<u32>, 2>, // bit c: code c means missing
    samples: u32,
    kind: u32,
    fields: u32,
    months: i32,
    seed: vec2<u32>,
    purpose: u32,
    step: u32,
    bearing: u32,
    bearing_is_random: u32,
    angle: u32,      // turns; where it is random: log₂ of the smallest, 26 binary digits
    angle_span: u32, // log₂ of largest / smallest, or FIXED_ANGLE
    drop_all: u32,   // probabilities in units of 2⁻³¹
    drop_group: u32,
    displace: u32,
    status_start: u32,
    grid_start: u32,
    grid_rows: u32, // 0: no grid
    grid_columns: u32,
    pad: u32,
}

const KIND_DROP = 0u;
const KIND_DISPLACE = 1u;
const KIND_SHIFT_MONTHS = 2u;
const KIND_SET = 3u;
const KIND_TRAINING = 4u;
const FIXED_ANGLE = 0xffffffffu;
const NO_ZONE = 0xffffffffu;
const STATUS_NO_DONOR = 30u;
const STATUS_NO_ID = 31u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> donors: array<u32>;
@group(0) @binding(3) var<storage, read> grid: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<u32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;
@group(0) @binding(6) var<storage, read_write> status: array<atomic<u32>>;

fn record_word(word: u32, sample: u32) -> u32 {
    return records[params.records.start + word * params.records.sample_stride + sample];
}

fn put_word(word: u32, sample: u32, value: u32) {
    out[params.out.start + word * params.out.sample_stride + sample] = value;
}

fn put_words64(word: u32, sample: u32, value: vec2<u32>) {
    put_word(word, sample, value.x);
    put_word(word + 1u, sample, value.y);
}

fn count(bits: u32) {
    for (var rest = bits; rest != 0u; rest &= rest - 1u) {
        atomicAdd(&status[params.status_start + firstTrailingBit(rest)], 1u);
    }
}

// The grid's zone at a place, or NO_ZONE where it has none.
fn grid_zone(place: Place) -> u32 {
    let cell = grid_cell(place, params.grid_rows, params.grid_columns);
    let code = (grid[params.grid_start + (cell >> 2u)] >> ((cell & 3u) * 8u)) & 0xffu;
    let is_missing = ((params.no_data[code >> 7u][(code >> 5u) & 3u] >> (code & 31u)) & 1u) == 1u;
    return select(code, NO_ZONE, is_missing);
}

fn put_zone(sample: u32, valid: u32, zone: u32) -> u32 {
    if (valid & CLIMATE_ZONE_BIT) == 0u {
        return valid;
    }
    if zone == NO_ZONE {
        return valid & ~CLIMATE_ZONE_BIT;
    }
    put_word(CLIMATE_ZONE_WORD, sample, zone);
    return valid;
}

// Writes a new place. The zone follows where the grid says another one there than at the recorded place.
fn put_place(sample: u32, valid: u32, place: Place) -> u32 {
    put_words64(LAT_WORD, sample, place.lat);
    put_words64(LON_WORD, sample, place.lon);
    if params.grid_rows == 0u || (valid & PLACE_BITS) != PLACE_BITS {
        return valid;
    }
    let zone = grid_zone(place);
    if zone == grid_zone(recorded_place(sample)) {
        return valid;
    }
    return put_zone(sample, valid, zone);
}

fn recorded_place(sample: u32) -> Place {
    return Place(record_words64(LAT_WORD, sample), record_words64(LON_WORD, sample));
}

fn displace(sample: u32, valid: u32, draw: vec4<u32>) -> u32 {
    if (valid & PLACE_BITS) != PLACE_BITS {
        return valid;
    }
    let bearing = select(params.bearing, draw.z, params.bearing_is_random == 1u);
    var angle = params.angle;
    if params.angle_span != FIXED_ANGLE {
        angle = exp2_fixed(params.angle + mul32_wide(draw.w, params.angle_span).y);
    }
    return put_place(sample, valid, destination(recorded_place(sample), bearing, angle));
}

fn set_place(sample: u32, valid: u32) -> u32 {
    let at = params.donors.start + sample;
    let stride = params.donors.sample_stride;
    let lat = vec2<u32>(donors[at], donors[at + stride]);
    let lon = vec2<u32>(donors[at + 2u * stride], donors[at + 3u * stride]);
    let zone = donors[at + 4u * stride];
    if (outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u)) != 0u {
        count(1u << STATUS_NO_DONOR);
        return valid;
    }
    let moved = put_place(sample, valid, Place(lat, lon)) | PLACE_BITS;
    if zone == NO_ZONE {
        return moved;
    }
    put_word(CLIMATE_ZONE_WORD, sample, zone);
    return moved | (valid & CLIMATE_ZONE_BIT);
}

fn shift_date(sample: u32, valid: u32) -> u32 {
    let moved = shift_time_months(load_time(sample, valid), params.months);
    put_word(YEAR_WORD, sample, bitcast<u32>(moved.year));
    put_word(MONTH_WORD, sample, bitcast<u32>(moved.month));
    put_word(DAY_WORD, sample, bitcast<u32>(moved.day));
    put_word(DAY_OF_YEAR_WORD, sample, bitcast<u32>(moved.day_of_year));
    put_word(ISO_WEEK_WORD, sample, bitcast<u32>(moved.iso_week));
    return valid;
}

fn draws(sample: u32, number: u32) -> vec4<u32> {
    return draw4(params.seed, params.purpose, record_words64(SAMPLE_ID_WORD, sample), params.step, number);
}

// True with a probability in units of 2⁻³¹.
fn happens(draw: u32, probability: u32) -> bool {
    return (draw >> 1u) < probability;
}

fn training_mix(sample: u32, valid: u32) -> u32 {
    let draw = draws(sample, 0u);
    if happens(draw.x, params.drop_all) {
        return valid & ~METADATA_BITS;
    }
    let groups = draws(sample, 1u);
    var kept = valid;
    kept &= ~select(0u, PLACE_BITS, happens(groups.x, params.drop_group));
    kept &= ~select(0u, DATE_BITS, happens(groups.y, params.drop_group));
    kept &= ~select(0u, SENSOR_BITS, happens(groups.z, params.drop_group));
    kept &= ~select(0u, IDS_BITS, happens(groups.w, params.drop_group));
    if happens(draw.y, params.displace) {
        return displace(sample, kept, draw);
    }
    return kept;
}

fn is_random() -> bool {
    let moves_at_random = params.bearing_is_random == 1u || params.angle_span != FIXED_ANGLE;
    return params.kind == KIND_TRAINING || (params.kind == KIND_DISPLACE && moves_at_random);
}

fn perturbed(sample: u32, valid: u32) -> u32 {
    if is_random() && (valid & SAMPLE_ID_BIT) == 0u {
        count(1u << STATUS_NO_ID);
        return valid;
    }
    switch params.kind {
        case KIND_DROP: {
            return valid & ~(params.fields & METADATA_BITS);
        }
        case KIND_DISPLACE: {
            return displace(sample, valid, draws(sample, 0u));
        }
        case KIND_SHIFT_MONTHS: {
            return shift_date(sample, valid);
        }
        case KIND_SET: {
            return set_place(sample, valid);
        }
        default: {
            return training_mix(sample, valid);
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let sample = flat_group(group, groups) * 64u + lane;
    if sample >= params.samples {
        return;
    }
    let possible = possible_fields(sample);
    count(record_word(VALID_WORD, sample) & (METADATA_BITS | SAMPLE_ID_BIT) & ~possible);
    for (var word = 1u; word < RECORD_WORDS; word++) {
        put_word(word, sample, record_word(word, sample));
    }
    let valid = perturbed(sample, possible);
    put_word(VALID_WORD, sample, valid);
    v[row_start(params.v, sample)] = select(0.0, 1.0, (valid & METADATA_BITS) != 0u);
}

// Records under wrong metadata: a list of perturbations, each applied to what the one before it left.
//
// records, out: [RECORD_WORDS, S] u32; v: [S] f32, 0 where no metadata is left, else 1;
// donors: [S] u32, indices into pool: [RECORD_WORDS, P] u32, like records; grids: codes of 8, 16 or 32 bits;
// status: 32 counts, one per validity bit of values that were impossible and count as missing; the last two count
// what was left out for want of a donor or of a sample id.
// One invocation per sample; the record is changed in place in `out`, which keeps registers few. Integers only.
// Twin: `perturb` in src/perturb/twin.rs, bit-equal.

#import common/fixed64
#import common/geodesy
#import common/rng
#import common/view
#import perturb/grid
#import perturb/shift
#import records/fields
#import records/load
#import records/valid

// One perturbation. Twin: `Part` in src/perturb/plan.rs.
struct Part {
    kind: u32,
    purpose: u32,   // of its random draws; 0: it has none
    draw: u32,      // number of its first draw
    dropped: u32,   // fields that become missing
    taken: u32,     // fields that come from `values` or the donor
    months: i32,
    years: i32,     // what `months` are as whole years, else 0
    days: i32,
    seconds: i32,   // beside the days, 0..86,400
    bearing: u32,
    bearing_is_random: u32,
    angle: u32,      // turns; where it is random: log₂ of the smallest, 26 binary digits
    angle_span: u32, // log₂ of largest / smallest, or FIXED_ANGLE
    drop_all: u32,   // probabilities in units of 2⁻³¹
    drop_group: u32,
    displace: u32,
    factor: vec2<u32>, // of the ground sample distance, unit 2⁻⁴⁴
    pad: vec2<u32>,
    values: array<vec4<u32>, 7>, // a record
}

const MAX_PARTS = 8u;

struct Params {
    records: Rows,
    out: Rows,
    v: Rows,
    pool: Rows,
    seed: vec2<u32>,
    samples: u32,
    pool_size: u32,
    step: u32,
    parts_used: u32,
    donors_start: u32,
    status_start: u32,
    grids: array<vec4<u32>, 3>, // climate zone, ecoregion, tile: start, rows, columns (0: no grid), log₂ codes a word
    parts: array<Part, MAX_PARTS>,
}

const KIND_SET = 0u;
const KIND_SWAP = 1u;
const KIND_DISPLACE = 2u;
const KIND_SHIFT_MONTHS = 3u;
const KIND_SHIFT_DAYS = 4u;
const KIND_SCALE = 5u;
const KIND_TRAINING = 6u;
const FIXED_ANGLE = 0xffffffffu;
const STATUS_NO_DONOR = 30u;
const STATUS_NO_ID = 31u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> records: array<u32>;
@group(0) @binding(2) var<storage, read> donors: array<u32>;
@group(0) @binding(3) var<storage, read> pool: array<u32>;
@group(0) @binding(4) var<storage, read> grids: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<u32>;
@group(0) @binding(6) var<storage, read_write> v: array<f32>;
@group(0) @binding(7) var<storage, read_write> status: array<atomic<u32>>;

// What a part leaves: the valid fields, and those among them that it took from elsewhere.
struct Change {
    valid: u32,
    taken: u32,
}

fn record_word(word: u32, sample: u32) -> u32 {
    return out[params.out.start + word * params.out.sample_stride + sample];
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

fn place(sample: u32) -> Place {
    return Place(record_words64(LAT_WORD, sample), record_words64(LON_WORD, sample));
}

// A place's code in a grid; 0: none.
fn grid_code(grid: vec4<u32>, at: Place) -> u32 {
    let cell = grid_cell(at, grid.y, grid.z);
    let within = cell & ((1u << grid.w) - 1u);
    let bits = 32u >> grid.w;
    return (grids[grid.x + (cell >> grid.w)] >> (within * bits)) & (0xffffffffu >> (32u - bits));
}

// The ids of a place that moved: the grid's where it says another at the new place than at the old one.
fn follow(sample: u32, valid: u32, old: Place) -> u32 {
    let here = place(sample);
    if equal64(here.lat, old.lat) && equal64(here.lon, old.lon) {
        return valid;
    }
    var kept = valid;
    for (var i = 0u; i < 3u; i++) {
        let grid = params.grids[i];
        let bit = CLIMATE_ZONE_BIT << i;
        if grid.z == 0u || (valid & bit) == 0u {
            continue;
        }
        let code = grid_code(grid, here);
        if code != grid_code(grid, old) {
            put_word(CLIMATE_ZONE_WORD + i, sample, code);
            kept &= ~select(0u, bit, code == 0u);
        }
    }
    return kept;
}

fn displace(sample: u32, valid: u32, part: u32, draw: vec4<u32>) {
    if (valid & PLACE_BITS) != PLACE_BITS {
        return;
    }
    let bearing = select(params.parts[part].bearing, draw.z, params.parts[part].bearing_is_random == 1u);
    var angle = params.parts[part].angle;
    let span = params.parts[part].angle_span;
    if span != FIXED_ANGLE {
        angle = exp2_fixed(angle + mul32_wide(draw.w, span).y);
    }
    let moved = destination(place(sample), bearing, angle);
    put_words64(LAT_WORD, sample, moved.lat);
    put_words64(LON_WORD, sample, moved.lon);
}

// Fields with their validity from the part's own record, or the donor's.
fn take(sample: u32, valid: u32, part: u32) -> Change {
    let is_swap = params.parts[part].kind == KIND_SWAP;
    var donor = 0u;
    if is_swap {
        donor = donors[params.donors_start + sample];
        if donor >= params.pool_size {
            count(1u << STATUS_NO_DONOR);
            return Change(valid, 0u);
        }
    }
    let taken = params.parts[part].taken;
    var given = params.parts[part].values[0].x;
    for (var word = 0u; word < RECORD_WORDS; word++) {
        var value = params.parts[part].values[word >> 2u][word & 3u];
        if is_swap {
            value = pool[params.pool.start + word * params.pool.sample_stride + donor];
        }
        if word == VALID_WORD {
            given = value;
        } else if (taken & WORD_BITS[word]) != 0u {
            put_word(word, sample, value);
        }
    }
    let kept = (valid & ~(params.parts[part].dropped | taken)) | (given & taken);
    clamp_days(sample, kept);
    return Change(kept, taken);
}

// Days past the end of another month or year become its last; those that no month or year has stay impossible.
fn clamp_days(sample: u32, valid: u32) {
    let time = load_time(sample, valid);
    let has_year = has_fields(time, YEAR_BIT);
    let length = days_in_month(select(2000, time.year, has_year), clamp(time.month, 1, 12));
    if has_fields(time, MONTH_BIT | DAY_BIT) && time.day <= 31 {
        put_word(DAY_WORD, sample, bitcast<u32>(min(time.day, length)));
    }
    if has_fields(time, YEAR_BIT | DAY_OF_YEAR_BIT) && time.day_of_year <= 366 {
        put_word(DAY_OF_YEAR_WORD, sample, bitcast<u32>(min(time.day_of_year, days_in_year(time.year))));
    }
}

// Whether the day of the year lies in the month; where the year is missing, in some year's.
fn is_in_month(time: TimeFields) -> bool {
    let has_year = has_fields(time, YEAR_BIT);
    let least = select(1, time.year, has_year);
    let most = select(2000, time.year, has_year);
    let past = days_before_month(is_leap_year(most), time.month) + days_in_month(most, time.month);
    return time.day_of_year > days_before_month(is_leap_year(least), time.month) && time.day_of_year <= past;
}

// Derived fields of a date or time that was taken follow what they derive from; a day of the year outside a month
// that has no day becomes missing.
fn derive_time(sample: u32, valid: u32) -> u32 {
    var time = load_time(sample, valid);
    let has_no_day = (valid & (MONTH_BIT | DAY_BIT | DAY_OF_YEAR_BIT)) == (MONTH_BIT | DAY_OF_YEAR_BIT);
    time.valid &= ~select(0u, DAY_OF_YEAR_BIT, has_no_day && !is_in_month(time));
    put_word(DAY_OF_YEAR_WORD, sample, bitcast<u32>(derived_day_of_year(time).value));
    let whole = full_date(time);
    let week = select(time.iso_week, iso_week(day_number(whole.date)).week, whole.known);
    put_word(ISO_WEEK_WORD, sample, bitcast<u32>(week));
    let hour = select(time.hour, time.second_of_day / 3600, has_fields(time, SECOND_OF_DAY_BIT));
    put_word(HOUR_WORD, sample, bitcast<u32>(hour));
    return time.valid;
}

fn put_time(sample: u32, time: TimeFields) {
    put_word(YEAR_WORD, sample, bitcast<u32>(time.year));
    put_word(MONTH_WORD, sample, bitcast<u32>(time.month));
    put_word(DAY_WORD, sample, bitcast<u32>(time.day));
    put_word(SECOND_OF_DAY_WORD, sample, bitcast<u32>(time.second_of_day));
    put_word(DAY_OF_YEAR_WORD, sample, bitcast<u32>(time.day_of_year));
    put_word(ISO_WEEK_WORD, sample, bitcast<u32>(time.iso_week));
    put_word(HOUR_WORD, sample, bitcast<u32>(time.hour));
}

fn shifted_months(time: TimeFields, part: u32) -> TimeFields {
    let moved = shift_time_months(time, params.parts[part].months);
    let years = params.parts[part].years;
    if years == 0 {
        return moved;
    }
    return whole_years(time, moved, years);
}

// length · factor to the nearest, halves up, within 2⁻³²..=2³¹ metres.
fn scaled(length: vec2<u32>, factor: vec2<u32>) -> vec2<u32> {
    let product = mul64_wide(length, factor);
    let low = add64(product.xy, vec2<u32>(0u, 1u << 11u));
    let high = add64(product.zw, vec2<u32>(select(0u, 1u, less_u64(low, product.xy)), 0u));
    let most = vec2<u32>(0u, 0x80000000u);
    let found = vec2<u32>((low.y >> 12u) | (high.x << 20u), (high.x >> 12u) | (high.y << 20u));
    let clamped = select(found, most, (high.y >> 12u) != 0u || less_u64(most, found));
    return vec2<u32>(select(clamped.x, 1u, equal64(clamped, vec2<u32>(0u))), clamped.y);
}

fn draws(sample: u32, part: u32, number: u32) -> vec4<u32> {
    let id = record_words64(SAMPLE_ID_WORD, sample);
    return draw4(params.seed, params.parts[part].purpose, id, params.step, params.parts[part].draw + number);
}

// True with a probability in units of 2⁻³¹.
fn happens(draw: u32, probability: u32) -> bool {
    return (draw >> 1u) < probability;
}

// The fields that the mix of training keeps.
fn thinned(sample: u32, valid: u32, part: u32, draw: vec4<u32>) -> u32 {
    if happens(draw.x, params.parts[part].drop_all) {
        return valid & ~METADATA_BITS;
    }
    let groups = draws(sample, part, 1u);
    let share = params.parts[part].drop_group;
    var kept = valid;
    kept &= ~select(0u, PLACE_BITS, happens(groups.x, share));
    kept &= ~select(0u, DATE_BITS, happens(groups.y, share));
    kept &= ~select(0u, SENSOR_BITS, happens(groups.z, share));
    kept &= ~select(0u, IDS_BITS, happens(groups.w, share));
    return kept;
}

// Applies one part.
fn perturbed(sample: u32, valid: u32, part: u32) -> Change {
    let kind = params.parts[part].kind;
    var draw = vec4<u32>(0u);
    if params.parts[part].purpose != 0u {
        if (valid & SAMPLE_ID_BIT) == 0u {
            count(1u << STATUS_NO_ID);
            return Change(valid, 0u);
        }
        draw = draws(sample, part, 0u);
    }
    if kind == KIND_SET || kind == KIND_SWAP {
        return take(sample, valid, part);
    }
    if kind == KIND_DISPLACE || kind == KIND_TRAINING {
        var kept = valid;
        var moves = true;
        if kind == KIND_TRAINING {
            kept = thinned(sample, valid, part, draw);
            moves = happens(draw.y, params.parts[part].displace);
        }
        if moves {
            displace(sample, kept, part, draw);
        }
        return Change(kept, 0u);
    }
    if kind == KIND_SCALE {
        put_words64(GSD_M_WORD, sample, scaled(record_words64(GSD_M_WORD, sample), params.parts[part].factor));
        return Change(valid, 0u);
    }
    let time = load_time(sample, valid);
    if kind == KIND_SHIFT_MONTHS {
        put_time(sample, shifted_months(time, part));
    } else {
        put_time(sample, shift_time_days(time, params.parts[part].days, params.parts[part].seconds));
    }
    return Change(valid, 0u);
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
    for (var word = 0u; word < RECORD_WORDS; word++) {
        put_word(word, sample, records[params.records.start + word * params.records.sample_stride + sample]);
    }
    // Before each part, and once more at the end, what is impossible becomes missing and the ids of places follow.
    var had_place = false;
    var old = place(sample);
    var taken = 0u;
    for (var part = 0u; part <= params.parts_used; part++) {
        let claimed = record_word(VALID_WORD, sample) & (METADATA_BITS | SAMPLE_ID_BIT);
        var valid = possible_fields(sample);
        count(claimed & ~valid);
        if (taken & DATE_BITS) != 0u {
            valid = derive_time(sample, valid);
        }
        let has_place = (valid & PLACE_BITS) == PLACE_BITS;
        if had_place && has_place {
            valid = follow(sample, valid & ~taken, old) | (valid & taken);
        }
        if part < params.parts_used {
            had_place = has_place;
            old = place(sample);
            let change = perturbed(sample, valid, part);
            valid = change.valid;
            taken = change.taken;
        }
        put_word(VALID_WORD, sample, valid);
    }
    let left = record_word(VALID_WORD, sample) & METADATA_BITS;
    v[row_start(params.v, sample)] = select(0.0, 1.0, left != 0u);
}

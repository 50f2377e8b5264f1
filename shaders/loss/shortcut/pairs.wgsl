// Tiles of four anchors × four others of the anti-shortcut loss: similarities over the temperature, and who is what to whom.
// One similarity sums its columns in order with fma, so s(i, j) and s(j, i) have the same bits wherever they are computed.
//
// The importing kernel declares
//     params: Params with pairs: Pairs
//     anchors, others: array<Four> (rows of z from anchor_first and from other_first);  classes, regions: array<u32>
// Twin: `Pairs` in src/loss/shortcut/twin.rs.

#import common/four
#import common/numeric
#import common/view

struct Pairs {
    anchors: Rows,
    others: Rows,
    classes: Rows,
    regions: Rows,
    width: u32,
    anchor_count: u32,
    anchor_first: u32,
    other_count: u32,
    other_first: u32,
    inverse_temperature: f32,
    weight: f32,
    state_start: u32, // of the anchors' sums
}

// A class or region that is not known.
const IGNORE = 0xffffffffu;
// Rows of a workgroup's tile: a lane has four anchors and four others.
const TILE_ANCHORS = 16u;
const TILE_OTHERS = 64u;

#if VEC4
alias Four = vec4<f32>;

fn anchor_four(at: u32, column: u32) -> vec4<f32> {
    return anchors[(at + column) >> 2u];
}

fn other_four(at: u32, column: u32) -> vec4<f32> {
    return others[(at + column) >> 2u];
}
#else
alias Four = f32;

// Zeros past the end, so that what the other row repeats there adds nothing.
fn anchor_four(at: u32, column: u32) -> vec4<f32> {
    let index = vec4<u32>(at) + four_from(column, params.pairs.width);
    let four = vec4<f32>(anchors[index.x], anchors[index.y], anchors[index.z], anchors[index.w]);
    return select(vec4<f32>(0.0), four, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.pairs.width - column));
}

fn other_four(at: u32, column: u32) -> vec4<f32> {
    let index = vec4<u32>(at) + four_from(column, params.pairs.width);
    return vec4<f32>(others[index.x], others[index.y], others[index.z], others[index.w]);
}
#endif

// [k][j] = z_k·z_j / t of four anchors and four others.
fn similarities(anchor_at: vec4<u32>, other_at: vec4<u32>) -> mat4x4<f32> {
    var of_x = vec4<f32>(0.0);
    var of_y = vec4<f32>(0.0);
    var of_z = vec4<f32>(0.0);
    var of_w = vec4<f32>(0.0);
    for (var column = 0u; column < params.pairs.width; column += 4u) {
        let columns = transpose(mat4x4<f32>(
            other_four(other_at.x, column),
            other_four(other_at.y, column),
            other_four(other_at.z, column),
            other_four(other_at.w, column),
        ));
        of_x = add_four(of_x, anchor_four(anchor_at.x, column), columns);
        of_y = add_four(of_y, anchor_four(anchor_at.y, column), columns);
        of_z = add_four(of_z, anchor_four(anchor_at.z, column), columns);
        of_w = add_four(of_w, anchor_four(anchor_at.w, column), columns);
    }
    let by = params.pairs.inverse_temperature;
    return mat4x4<f32>(of_x * by, of_y * by, of_z * by, of_w * by);
}

// What four samples are: their class and their region.
struct Samples {
    classes: vec4<u32>,
    regions: vec4<u32>,
}

fn samples_of(rows: vec4<u32>) -> Samples {
    let class_at = row_starts(params.pairs.classes, rows);
    let region_at = row_starts(params.pairs.regions, rows);
    return Samples(
        vec4<u32>(classes[class_at.x], classes[class_at.y], classes[class_at.z], classes[class_at.w]),
        vec4<u32>(regions[region_at.x], regions[region_at.y], regions[region_at.z], regions[region_at.w]),
    );
}

fn four_anchors(first: u32) -> Samples {
    return samples_of(vec4<u32>(params.pairs.anchor_first) + four_from(first, params.pairs.anchor_count));
}

// Others past the end are of no class.
fn four_others(first: u32) -> Samples {
    let samples = samples_of(vec4<u32>(params.pairs.other_first) + four_from(first, params.pairs.other_count));
    let past = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(params.pairs.other_count);
    return Samples(select(samples.classes, vec4<u32>(IGNORE), past), samples.regions);
}

// What four others are to one anchor.
struct Relation {
    weights: vec4<f32>,   // 0: left out; ω: other class, same region; else 1
    positives: vec4<f32>, // 1: same class, other region; else 0
}

fn relation(class_id: u32, region: u32, others: Samples) -> Relation {
    let same_class = others.classes == vec4<u32>(class_id);
    let same_region = others.regions == vec4<u32>(region);
    let unknown = vec4<bool>(class_id == IGNORE || region == IGNORE)
        | (others.classes == vec4<u32>(IGNORE)) | (others.regions == vec4<u32>(IGNORE));
    let left_out = unknown | (same_class & same_region);
    let weights = select(vec4<f32>(1.0), vec4<f32>(params.pairs.weight), same_region);
    let positive = same_class & !left_out;
    return Relation(select(weights, vec4<f32>(0.0), left_out), select(vec4<f32>(0.0), vec4<f32>(1.0), positive));
}

// Exponents of pairs that are left out: their exponential underflows and their weight is 0.
fn without_left_out(exponents: vec4<f32>, weights: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(-1.0e38), exponents, weights > vec4<f32>(0.0));
}

fn precise_exp_four(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(precise_exp(x.x), precise_exp(x.y), precise_exp(x.z), precise_exp(x.w));
}

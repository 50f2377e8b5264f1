// Gradient of the anti-shortcut loss over a run of others, similarities computed again: every pair pulls at both its ends, so
//     dz_i += Σ_j c_ij z_j,   c_ij = scale / (A t) · (w (q_ij + q_ji) − [j ∈ P(i)] (1/|P(i)| + 1/|P(j)|)),
//     q_ij = e^(a − log Σ_i) where i is an anchor with positives, else 0;  A = how many such anchors there are.
// The first run starts from 0, with ACCUMULATE from what dz holds.
//
// anchors, others, classes, regions: as in loss/shortcut/rows; state: [S, 4], finished there; totals: (ΣL, A); dz: [S, width], bound from
// anchor_first.
// One workgroup = 16 anchors. Per 64 others: 4 × 16 lanes make c of four anchors × four others each; then the same lanes take four anchors
// × four columns, and all 64 others in order: the sum does not depend on how others are cut into runs.
// Loops other_count / 64 · (width / 4 + width + 64). Twin: `gradient` in src/loss/shortcut/twin.rs.

#import loss/shortcut/pairs

struct Params {
    pairs: Pairs,
    dz: Rows,
    totals_start: u32,
    scale: f32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> anchors: array<Four>;
@group(0) @binding(2) var<storage, read> others: array<Four>;
@group(0) @binding(3) var<storage, read> classes: array<u32>;
@group(0) @binding(4) var<storage, read> regions: array<u32>;
@group(0) @binding(5) var<storage, read> state: array<f32>;
@group(0) @binding(6) var<storage, read> totals: array<f32>;
@group(0) @binding(7) var<storage, read_write> dz: array<Four>;

// c of the tile, [other][four anchors].
var<workgroup> pulls: array<vec4<f32>, 256>;

// What four anchors made of all their pairs.
struct Finished {
    largest: vec4<f32>,
    log_sums: vec4<f32>,
    inverses: vec4<f32>, // 1/|P|, 0 without positives
}

fn finished(rows: vec4<u32>) -> Finished {
    let at = params.pairs.state_start + rows * 4u;
    return Finished(
        vec4<f32>(state[at.x], state[at.y], state[at.z], state[at.w]),
        vec4<f32>(state[at.x + 1u], state[at.y + 1u], state[at.z + 1u], state[at.w + 1u]),
        vec4<f32>(state[at.x + 2u], state[at.y + 2u], state[at.z + 2u], state[at.w + 2u]),
    );
}

// Of one anchor (largest, log Σ, 1/|P|) and four others.
fn pull(exponents: vec4<f32>, pairs: Relation, anchor: vec3<f32>, four: Finished) -> vec4<f32> {
    let a = without_left_out(exponents, pairs.weights);
    let of_anchor = precise_exp_four((a - anchor.x) - anchor.y);
    let of_others = precise_exp_four((a - four.largest) - four.log_sums);
    let both = select(vec4<f32>(0.0), of_anchor, vec4<bool>(anchor.z > 0.0))
        + select(vec4<f32>(0.0), of_others, four.inverses > vec4<f32>(0.0));
    return fma(pairs.weights, both, -(pairs.positives * (four.inverses + anchor.z)));
}

fn load_dz(at: u32, column: u32) -> vec4<f32> {
#if VEC4
    return dz[(at + column) >> 2u];
#else
    let index = vec4<u32>(at) + four_from(column, params.pairs.width);
    return vec4<f32>(dz[index.x], dz[index.y], dz[index.z], dz[index.w]);
#endif
}

fn store_dz(row: u32, at: u32, column: u32, four: vec4<f32>) {
    if row >= params.pairs.anchor_count {
        return;
    }
#if VEC4
    dz[(at + column) >> 2u] = four;
#else
    for (var j = 0u; j < min(params.pairs.width - column, 4u); j++) {
        dz[at + column + j] = four[j];
    }
#endif
}

// Whether nothing is in dz yet.
fn starts_at(first: u32) -> bool {
#if ACCUMULATE
    return false;
#else
    return params.pairs.other_first + first == 0u;
#endif
}

// Four anchors × four columns over the others of a tile.
fn add_tile(first_anchor: u32, column: u32, first: u32) {
    let dz_at = row_starts(params.dz, four_from(first_anchor, params.pairs.anchor_count));
    var of_x = vec4<f32>(0.0);
    var of_y = vec4<f32>(0.0);
    var of_z = vec4<f32>(0.0);
    var of_w = vec4<f32>(0.0);
    if !starts_at(first) {
        of_x = load_dz(dz_at.x, column);
        of_y = load_dz(dz_at.y, column);
        of_z = load_dz(dz_at.z, column);
        of_w = load_dz(dz_at.w, column);
    }
    let quad = (first_anchor & (TILE_ANCHORS - 1u)) >> 2u;
    for (var j = 0u; j < min(params.pairs.other_count - first, TILE_OTHERS); j++) {
        let row = other_four(row_start(params.pairs.others, first + j), column);
        let pulls_of = pulls[j * 4u + quad];
        of_x = fma(vec4<f32>(pulls_of.x), row, of_x);
        of_y = fma(vec4<f32>(pulls_of.y), row, of_y);
        of_z = fma(vec4<f32>(pulls_of.z), row, of_z);
        of_w = fma(vec4<f32>(pulls_of.w), row, of_w);
    }
    store_dz(first_anchor, dz_at.x, column, of_x);
    store_dz(first_anchor + 1u, dz_at.y, column, of_y);
    store_dz(first_anchor + 2u, dz_at.z, column, of_z);
    store_dz(first_anchor + 3u, dz_at.w, column, of_w);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = flat_group(group, groups) * TILE_ANCHORS;
    if tile >= params.pairs.anchor_count {
        return;
    }
    // Anchors past the end repeat the last one; they are not stored.
    let first_anchor = tile + (lane >> 4u) * 4u;
    let rows = four_from(first_anchor, params.pairs.anchor_count);
    let anchor_at = row_starts(params.pairs.anchors, rows);
    let samples = four_anchors(first_anchor);
    let own = finished(vec4<u32>(params.pairs.anchor_first) + rows);
    let count = totals[params.totals_start + 1u];
    let factor = select(0.0, params.scale * params.pairs.inverse_temperature / max(count, 1.0), count > 0.0);
    for (var first = 0u; first < params.pairs.other_count; first += TILE_OTHERS) {
        let of_lane = first + (lane & 15u) * 4u;
        let others = four_from(of_lane, params.pairs.other_count);
        let exponents = similarities(anchor_at, row_starts(params.pairs.others, others));
        let four = four_others(of_lane);
        let theirs = finished(vec4<u32>(params.pairs.other_first) + others);
        let of_x = vec3<f32>(own.largest.x, own.log_sums.x, own.inverses.x);
        let of_y = vec3<f32>(own.largest.y, own.log_sums.y, own.inverses.y);
        let of_z = vec3<f32>(own.largest.z, own.log_sums.z, own.inverses.z);
        let of_w = vec3<f32>(own.largest.w, own.log_sums.w, own.inverses.w);
        let by_other = transpose(mat4x4<f32>(
            factor * pull(exponents[0], relation(samples.classes.x, samples.regions.x, four), of_x, theirs),
            factor * pull(exponents[1], relation(samples.classes.y, samples.regions.y, four), of_y, theirs),
            factor * pull(exponents[2], relation(samples.classes.z, samples.regions.z, four), of_z, theirs),
            factor * pull(exponents[3], relation(samples.classes.w, samples.regions.w, four), of_w, theirs),
        ));
        let place = (lane & 15u) * 16u + (lane >> 4u);
        pulls[place] = by_other[0];
        pulls[place + 4u] = by_other[1];
        pulls[place + 8u] = by_other[2];
        pulls[place + 12u] = by_other[3];
        workgroupBarrier();
        for (var column = (lane & 15u) * 4u; column < params.pairs.width; column += 64u) {
            add_tile(first_anchor, column, first);
        }
        // The next tile's pulls may be written.
        workgroupBarrier();
    }
}

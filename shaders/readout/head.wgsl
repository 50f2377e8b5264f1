// out[row, c] = Σ_n x[row, n] · W[c, n] [+ bias[c]]: a linear head, with few classes beside its width.
//
// x: [rows, width]; weight: [classes, width]; bias: [classes]; out: [rows, classes]. VEC4: x and weight start and step by multiples of
// four elements. One invocation per 8 rows × 8 classes, classes fastest; loops width / 4 times, columns upwards with fma.
// Rows and classes past the end repeat the last one and are not stored. A row's logits depend on no other row.
// Twin: `head` in src/readout/twin.rs.

#import common/view
#import common/four

struct Params {
    x: Rows,
    out: Rows,
    rows: u32,
    classes: u32,
    width: u32,
    weight_start: u32,
    weight_stride: u32,
    bias_start: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if VEC4
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
#endif
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Columns n to n + 3; those past the end are the last one. Without branches, which some drivers take minutes to compile.
fn four_columns(n: u32) -> vec4<u32> {
    return min(vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.width - 1u));
}

// Columns n to n + 3 of the row of x that starts at `start`; past the end 0.
fn load_x(start: u32, n: u32) -> vec4<f32> {
#if VEC4
    return x[(start + n) >> 2u];
#else
    let at = vec4<u32>(start) + four_columns(n);
    let four = vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
    return select(four, vec4<f32>(), vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(params.width));
#endif
}

// The same of a class's weights.
fn load_weight(start: u32, n: u32) -> vec4<f32> {
#if VEC4
    return weight[(start + n) >> 2u];
#else
    let at = vec4<u32>(start) + four_columns(n);
    let four = vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
    return select(four, vec4<f32>(), vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u) >= vec4<u32>(params.width));
#endif
}

fn store(row: u32, first_class: u32, sums: vec4<f32>) {
    if row >= params.rows {
        return;
    }
    let start = row_start(params.out, row);
    for (var i = 0u; i < places(first_class, params.classes); i++) {
        let c = first_class + i;
#if BIAS
        out[start + c] = sums[i] + bias[params.bias_start + c];
#else
        out[start + c] = sums[i];
#endif
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let class_tiles = (params.classes + 7u) / 8u;
    let row_tile = index / class_tiles;
    let first_row = row_tile * 8u;
    let first_class = (index - row_tile * class_tiles) * 8u;
    if first_row >= params.rows {
        return;
    }
#repeat t 8
    let x_at$t = row_start(params.x, min(first_row + $tu, params.rows - 1u));
    let weight_at$t = params.weight_start + min(first_class + $tu, params.classes - 1u) * params.weight_stride;
    var left$t = vec4<f32>();
    var right$t = vec4<f32>();
#end
    for (var n = 0u; n < params.width; n += 4u) {
        // [column][class].
        let left = transpose(mat4x4<f32>(load_weight(weight_at0, n), load_weight(weight_at1, n), load_weight(weight_at2, n), load_weight(weight_at3, n)));
        let right = transpose(mat4x4<f32>(load_weight(weight_at4, n), load_weight(weight_at5, n), load_weight(weight_at6, n), load_weight(weight_at7, n)));
#repeat t 8
        let x$t = load_x(x_at$t, n);
        left$t = add_four(left$t, x$t, left);
        right$t = add_four(right$t, x$t, right);
#end
    }
#repeat t 8
    store(first_row + $tu, first_class, left$t);
    store(first_row + $tu, first_class + 4u, right$t);
#end
}

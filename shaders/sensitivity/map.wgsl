// B_t·W_headᵀ, padded with zeros. The importing kernel declares `map` and, in `params`, its place and shape.

#import common/view
#import sensitivity/reference_row

fn map_at(r: u32, c: u32) -> vec4<f32> {
    let at = four_from(c, params.classes) + params.map_start + min(r, params.rank - 1u) * params.map_stride;
    let four = vec4<f32>(map[at.x], map[at.y], map[at.z], map[at.w]);
    let is_class = four_numbers(c) < vec4<u32>(params.classes);
    return select(vec4<f32>(0.0), four, is_class & vec4<bool>(r < params.rank));
}

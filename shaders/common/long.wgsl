// Four numbers as two 64-bit words, the first of each pair in the low bits. A software adapter that goes through the lanes
// of a load or store one by one (llvmpipe) pays for each element, be it 32 or 64 bits long. Needs SHADER_INT64.

fn four_of(words: vec2<u64>) -> vec4<f32> {
    let low = vec2<u32>(words);
    let high = vec2<u32>(words >> vec2<u32>(32u));
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn words_of(four: vec4<f32>) -> vec2<u64> {
    let bits = bitcast<vec4<u32>>(four);
    return vec2<u64>(bits.xz) | (vec2<u64>(bits.yw) << vec2<u32>(32u));
}

// Learned frequencies: sin(2π f_j d/365 + φ_j), j = 0..count, then cos(2π f_j d/365 + φ_(count + j)), of day d. The arena
// holds f [count], then φ [2·count], from `block.scale` on; the number's place in `numbers` is the block's first constant.
// f and φ become fixed point (53 and 43 binary digits after the point), so that phases are exact for |f| < 1,024 turns a
// year. Nothing else is rounded before the sine. Loops count. Twin: src/encode/schemes/frequencies.rs.

#import encode/waves

// 2⁵³ / 2π.
const TURNS_OF_RADIAN = vec2<u32>(460485153u, 333772u);

fn year_turns(days: vec2<u32>, frequency: f32) -> u32 {
    return wave_turns(days, div_i64_small(i64_from_f32(frequency, 53), 365u));
}

fn turns_of(radians: f32) -> u32 {
    return wave_turns(i64_from_f32(radians, 43), TURNS_OF_RADIAN);
}

fn encode_frequencies(block: Block, row: u32, at: u32) -> Outcome {
    let number = number_of(plan_word(block.constants), row);
    let refused = (numbers[plan_word(block.constants) * params.rows + row].x & 2u) == 2u;
    if !number.known {
        put_absent(block, at);
        return Outcome(false, 0u, refused);
    }
    let count = block.width / 2u;
    for (var j = 0u; j < count; j++) {
        let turns = year_turns(number.value, learned(block.scale + j));
        put(at + j, sincos_turns(turns + turns_of(learned(block.scale + count + j))).x);
        put(at + count + j, sincos_turns(turns + turns_of(learned(block.scale + 2u * count + j))).y);
    }
    return Outcome(true, 0u, refused);
}

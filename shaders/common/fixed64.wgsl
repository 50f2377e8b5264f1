// 64-bit integers in two words, x = low, y = high; signed ones in two's complement. Everything wraps.
// WGSL has no 64-bit integer and no high half of a product; fast-math cannot touch these.
// Twins: u64 and i64 of Rust, and src/common/fixed64.rs for the functions that Rust has not.

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn sub64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn neg64(a: vec2<u32>) -> vec2<u32> {
    return sub64(vec2<u32>(0u), a);
}

fn is_negative64(a: vec2<u32>) -> bool {
    return (a.y >> 31u) != 0u;
}

// |a| as an unsigned number.
fn abs64(a: vec2<u32>) -> vec2<u32> {
    return select(a, neg64(a), is_negative64(a));
}

fn less_u64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn less_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return less_u64(vec2<u32>(a.x, a.y ^ 0x80000000u), vec2<u32>(b.x, b.y ^ 0x80000000u));
}

fn equal64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x == b.x && a.y == b.y;
}

fn i64_from_i32(a: i32) -> vec2<u32> {
    return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u));
}

// a · 2ⁿ, n in 0..=63. WGSL takes shift counts modulo 32, so whole words move apart from bits.
fn shl64(a: vec2<u32>, n: u32) -> vec2<u32> {
    let word = select(a, vec2<u32>(0u, a.x), n >= 32u);
    let bits = n & 31u;
    let carried = select(word.x >> ((32u - bits) & 31u), 0u, bits == 0u);
    return vec2<u32>(word.x << bits, (word.y << bits) | carried);
}

// ⌊a / 2ⁿ⌋ of an unsigned number, n in 0..=63.
fn shr_u64(a: vec2<u32>, n: u32) -> vec2<u32> {
    let word = select(a, vec2<u32>(a.y, 0u), n >= 32u);
    let bits = n & 31u;
    let carried = select(word.y << ((32u - bits) & 31u), 0u, bits == 0u);
    return vec2<u32>((word.x >> bits) | carried, word.y >> bits);
}

// ⌊a / 2ⁿ⌋ of a signed number, n in 0..=63: rounds down, as Rust's >> of i64.
fn shr_i64(a: vec2<u32>, n: u32) -> vec2<u32> {
    // ¬(¬a >> n) shifts ones in.
    let sign = select(vec2<u32>(0u), vec2<u32>(0xffffffffu), is_negative64(a));
    return shr_u64(a ^ sign, n) ^ sign;
}

// The whole product of two words, by 16-bit limbs.
fn mul32_wide(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let low = a_low * b_low;
    // At most (2¹⁶−1)² + 2·(2¹⁶−1) = 2³² − 1: no carry is lost.
    let middle = a_high * b_low + (low >> 16u);
    let middle_2 = a_low * b_high + (middle & 0xffffu);
    return vec2<u32>(a * b, a_high * b_high + (middle >> 16u) + (middle_2 >> 16u));
}

// The whole product of two signed words.
fn mul_i32_wide(a: i32, b: i32) -> vec2<u32> {
    let product = mul32_wide(bitcast<u32>(a), bitcast<u32>(b));
    let correction = select(0u, bitcast<u32>(b), a < 0) + select(0u, bitcast<u32>(a), b < 0);
    return vec2<u32>(product.x, product.y - correction);
}

// The whole 128-bit product of two unsigned numbers, lowest word first.
fn mul64_wide(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    let low = mul32_wide(a.x, b.x);
    // Each sum stays below 2⁶⁴: (2³²−1)² + 2·(2³²−1) = 2⁶⁴ − 1.
    let cross = add64(mul32_wide(a.y, b.x), vec2<u32>(low.y, 0u));
    let cross_2 = add64(mul32_wide(a.x, b.y), vec2<u32>(cross.x, 0u));
    let high = add64(add64(mul32_wide(a.y, b.y), vec2<u32>(cross.y, 0u)), vec2<u32>(cross_2.y, 0u));
    return vec4<u32>(low.x, cross_2.x, high.x, high.y);
}

// The whole 128-bit product of two signed numbers, lowest word first.
fn mul_i64_wide(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    let product = mul64_wide(a, b);
    var high = product.zw;
    high = sub64(high, select(vec2<u32>(0u), b, is_negative64(a)));
    high = sub64(high, select(vec2<u32>(0u), a, is_negative64(b)));
    return vec4<u32>(product.xy, high);
}

// ⌊a / divisor⌋ of an unsigned number, divisor in 1..=65,535, by 16-bit limbs.
fn div_u64_small(a: vec2<u32>, divisor: u32) -> vec2<u32> {
    var rest = a.y >> 16u;
    let limb_3 = rest / divisor;
    rest = ((rest - limb_3 * divisor) << 16u) | (a.y & 0xffffu);
    let limb_2 = rest / divisor;
    rest = ((rest - limb_2 * divisor) << 16u) | (a.x >> 16u);
    let limb_1 = rest / divisor;
    rest = ((rest - limb_1 * divisor) << 16u) | (a.x & 0xffffu);
    let limb_0 = rest / divisor;
    return vec2<u32>((limb_1 << 16u) | limb_0, (limb_3 << 16u) | limb_2);
}

// ⌊a / divisor⌋ of a signed number, rounding down, divisor in 1..=65,535.
fn div_i64_small(a: vec2<u32>, divisor: u32) -> vec2<u32> {
    let sign = select(vec2<u32>(0u), vec2<u32>(0xffffffffu), is_negative64(a));
    // ⌊a/d⌋ = ¬⌊¬a/d⌋ for negative a.
    return div_u64_small(a ^ sign, divisor) ^ sign;
}

// ⌊numerator · 2³² / denominator⌋ for numerator < denominator < 2³¹: a fraction as turns. 32 iterations.
fn div_turns(numerator: u32, denominator: u32) -> u32 {
    var rest = numerator;
    var turns = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
        rest = rest << 1u;
        let fits = rest >= denominator;
        rest = rest - select(0u, denominator, fits);
        turns = (turns << 1u) | select(0u, 1u, fits);
    }
    return turns;
}

// The fraction of value · frequency · 2^−point as turns, rounded down; both signed, point in 32..=127.
// A ladder's frequency is made on the host in f64 as turns per unit of the value, with `point` binary digits
// after the point.
fn ladder_turns(value: vec2<u32>, frequency: vec2<u32>, point: u32) -> u32 {
    let product = mul_i64_wide(value, frequency);
    let shift = point - 32u;
    let word = min(shift >> 5u, 2u);
    let bits = shift & 31u;
    let low = product[word];
    let high = product[word + 1u];
    return select((low >> bits) | (high << ((32u - bits) & 31u)), low, bits == 0u);
}

// The high words of four products, at most 2 below them: carries out of the low words are left out.
fn mul32_high_near(a: vec4<u32>, b: u32) -> vec4<u32> {
    let a_low = a & vec4<u32>(0xffffu);
    let a_high = a >> vec4<u32>(16u);
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    return a_high * b_high + ((a_high * b_low) >> vec4<u32>(16u)) + ((a_low * b_high) >> vec4<u32>(16u));
}

// Four signed numbers.
struct Fours64 {
    low: vec4<u32>,
    high: vec4<u32>,
}

// Bits 64..96 of value · frequency, all signed: phases in turns, at most 5 units (7e-9 radians) below. The product of the
// low words and carries are left out.
fn wave_turns_of_four(value: Fours64, frequency: vec2<u32>) -> vec4<u32> {
    // All ones where the other factor is negative: its two's complement counts 2⁶⁴ too much.
    let if_value = bitcast<vec4<u32>>(bitcast<vec4<i32>>(value.high) >> vec4<u32>(31u));
    let if_frequency = bitcast<u32>(bitcast<i32>(frequency.y) >> 31u);
    let high = mul32_high_near(value.low, frequency.y) - (value.low & vec4<u32>(if_frequency));
    let high_2 = mul32_high_near(value.high, frequency.x) - (if_value & vec4<u32>(frequency.x));
    return high + high_2 + value.high * frequency.y;
}

fn wave_turns(value: vec2<u32>, frequency: vec2<u32>) -> u32 {
    return wave_turns_of_four(Fours64(vec4<u32>(value.x), vec4<u32>(value.y)), frequency).x;
}

// x · 2^point as a signed number, rounded toward zero, saturating at ±(2⁶³ − 1); NaN gives 0.
// point in −60..=1000.
fn i64_from_f32(x: f32, point: i32) -> vec2<u32> {
    let bits = bitcast<u32>(x);
    let exponent = (bits >> 23u) & 0xffu;
    let is_subnormal = exponent == 0u;
    let mantissa = (bits & 0x7fffffu) | select(0x800000u, 0u, is_subnormal);
    let shift = i32(select(exponent, 1u, is_subnormal)) - 150 + point;
    var magnitude = vec2<u32>(0u);
    if shift >= 40 {
        magnitude = select(vec2<u32>(0xffffffffu, 0x7fffffffu), vec2<u32>(0u), mantissa == 0u);
    } else if shift >= 0 {
        magnitude = shl64(vec2<u32>(mantissa, 0u), u32(shift));
    } else if shift > -24 {
        magnitude = vec2<u32>(mantissa >> u32(-shift), 0u);
    }
    if (bits & 0x7fffffffu) > 0x7f800000u {
        magnitude = vec2<u32>(0u);
    }
    return select(magnitude, neg64(magnitude), (bits >> 31u) != 0u);
}

// a · 2^−point as the nearest f32, half to even; a signed, point in −60..=100.
fn f32_from_i64(a: vec2<u32>, point: i32) -> f32 {
    let magnitude = abs64(a);
    let zeros = select(countLeadingZeros(magnitude.y), 32u + countLeadingZeros(magnitude.x), magnitude.y == 0u);
    let shift = u32(max(40 - i32(zeros), 0)); // bits beyond the 24 that f32 keeps
    var kept = shr_u64(magnitude, shift).x;
    let half = shr_u64(shl64(vec2<u32>(1u, 0u), shift), 1u);
    let rest = sub64(magnitude, shl64(vec2<u32>(kept, 0u), shift));
    if less_u64(half, rest) || (shift > 0u && equal64(half, rest) && (kept & 1u) == 1u) {
        kept += 1u;
    }
    // Both factors are exact and so is their product: a power of two only moves the exponent.
    let scale = bitcast<f32>(u32(127 + i32(shift) - point) << 23u);
    return select(1.0, -1.0, is_negative64(a)) * f32(kept) * scale;
}

// ⌊2^x⌋ for x in 0..32 with 26 binary digits after the point, within 2e-8 of its value and one unit: spreads a
// uniform draw evenly over orders of magnitude, alike on every device.
// 2^fraction is a minimax polynomial with 31 binary digits.
fn exp2_fixed(x: u32) -> u32 {
    let fraction = x << 6u;
    var power = 46477u;
    power = 307145u + mul32_wide(power, fraction).y;
    power = 2883937u + mul32_wide(power, fraction).y;
    power = 20644974u + mul32_wide(power, fraction).y;
    power = 119196685u + mul32_wide(power, fraction).y;
    power = 515882179u + mul32_wide(power, fraction).y;
    power = 1488522251u + mul32_wide(power, fraction).y;
    power = 0x80000000u + mul32_wide(power, fraction).y;
    return power >> (31u - (x >> 26u));
}

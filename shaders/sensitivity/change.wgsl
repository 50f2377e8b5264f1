// Four classes at a time: sums, largest ones, and exponentials, logarithms and shares of JS that keep the digits of small changes.
// Polynomials are fitted to the errors that stand beside them.

#import common/numeric

fn sum_of(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

fn largest_of(v: vec4<u32>) -> u32 {
    return max(max(v.x, v.y), max(v.z, v.w));
}

fn least_of(v: vec4<u32>) -> u32 {
    return min(min(v.x, v.y), min(v.z, v.w));
}

fn union_of(v: vec4<u32>) -> u32 {
    return (v.x | v.y) | (v.z | v.w);
}

fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(a, b, b > a);
}

fn top_of(v: vec4<f32>) -> f32 {
    let two = select(v.xy, v.zw, v.zw > v.xy);
    return select(two.x, two.y, two.y > two.x);
}

fn mask_of(is_there: vec4<bool>) -> vec4<u32> {
    return select(vec4<u32>(0u), vec4<u32>(0xffffffffu), is_there);
}

// |x| as bits; in the order of sizes, with NaN above all.
fn size_bits(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
}

// All ones where the sign is set.
fn sign_mask(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(bitcast<vec4<i32>>(x) >> vec4<u32>(31u));
}

// e^x − 1 of |x| ≤ 87, relative to 1e-7: 2^k · (2^f − 1) + (2^k − 1), which is exact where k = 0. The whole part k
// stands in the low bits of a sum with 1.5 · 2²³; integers, so that no driver may simplify it away.
fn exp_less_one(x: vec4<f32>) -> vec4<f32> {
    let y = x * 1.442695040888963;
    let whole = bitcast<vec4<i32>>(y + 12582912.0);
    let f = y - vec4<f32>(whole - 0x4b400000);
    let power = bitcast<vec4<f32>>((whole << vec4<u32>(23u)) + 0x3f800000);
    let high = fma(fma(f, vec4<f32>(1.5453166e-4), vec4<f32>(1.3390863e-3)), f, vec4<f32>(9.618083e-3));
    let low = fma(fma(fma(high, f, vec4<f32>(5.550357e-2)), f, vec4<f32>(0.2402265)), f, vec4<f32>(0.6931472));
    return fma(power, f * low, power - 1.0);
}

// log(1 + z) of z > −1, relative to 1e-7.
fn log_one_more(z: f32) -> f32 {
    let s = z / (2.0 + z);
    let u = s * s;
    let series = fma(fma(fma(u, 0.1342575, 0.14118308), u, 0.20003781), u, 0.3333332);
    let near = 2.0 * fma(s * u, series, s);
    return select(precise_log(1.0 + z), near, abs(z) < 0.5);
}

// Twice the class's share of JS, from m2 = p + q and t = log q/p: with r = e^t it is
// m2 · (r log r/(1 + r) − log((1 + r)/2)), which is even in t. A quotient of polynomials of t², within 6e-7 of it up to
// |t| = 18, where it stays: log 2 within 3e-7.
fn js_share(m2: vec4<f32>, t: vec4<f32>) -> vec4<f32> {
    let near = bitcast<vec4<f32>>(min(size_bits(t), vec4<u32>(bitcast<u32>(18.0))));
    let w = near * near;
    let over_high = fma(w, vec4<f32>(7.4813673e-7), vec4<f32>(8.498978e-5));
    let over = fma(fma(over_high, w, vec4<f32>(5.280076e-3)), w, vec4<f32>(0.12500253));
    let under_high = fma(fma(w, vec4<f32>(1.0795004e-6), vec4<f32>(1.2243916e-4)), w, vec4<f32>(7.6875105e-3));
    let under = fma(fma(under_high, w, vec4<f32>(0.1672667)), w, vec4<f32>(1.0));
    return m2 * w * (over / under);
}

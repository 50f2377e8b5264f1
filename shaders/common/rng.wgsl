// Random numbers by counter, without state: Threefry-4x32 with 20 rounds (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A draw depends on its key and counter alone, so any element can be drawn
// again in a backward pass, in another batch or on the CPU.
// Twins: src/common/rng.rs, bit-equal.

fn rotate_left(x: u32, bits: u32) -> u32 {
    return (x << bits) | (x >> (32u - bits));
}

fn threefry_pair(a: u32, b: u32, bits: u32) -> vec2<u32> {
    let sum = a + b;
    return vec2<u32>(sum, rotate_left(b, bits) ^ sum);
}

// Of the pairs of words 0 and 2, for eight rounds that repeat.
const LEFT = array<u32, 8>(10u, 11u, 13u, 23u, 6u, 17u, 25u, 18u);
const RIGHT = array<u32, 8>(26u, 21u, 27u, 5u, 20u, 11u, 10u, 20u);

// Without loops: kernels draw inside theirs, and software adapters count an invocation's iterations.
fn threefry4x32_20(key: vec4<u32>, counter: vec4<u32>) -> vec4<u32> {
    let parity = 0x1bd11bdau ^ key.x ^ key.y ^ key.z ^ key.w;
    let ring = array<u32, 5>(key.x, key.y, key.z, key.w, parity);
    var x = counter + key;
#repeat four 5
#repeat round 4
    {
        // Words 1 and 3 change places after each round.
        let left = threefry_pair(x.x, x.y, LEFT[$four % 2 * 4 + $round]);
        let right = threefry_pair(x.z, x.w, RIGHT[$four % 2 * 4 + $round]);
        x = vec4<u32>(left.x, right.y, right.x, left.y);
    }
#end
    x += vec4<u32>(ring[($four + 1) % 5], ring[($four + 2) % 5], ring[($four + 3) % 5], ring[($four + 4) % 5] + $fouru + 1u);
#end
    return x;
}

// Four draws for one sample: key = (seed low, seed high, purpose, 0), counter = (id low, id high, step, number).
fn draw4(seed: vec2<u32>, purpose: u32, sample_id: vec2<u32>, step: u32, number: u32) -> vec4<u32> {
    return threefry4x32_20(vec4<u32>(seed, purpose, 0u), vec4<u32>(sample_id, step, number));
}

// [0, 1) in steps of 2⁻²⁴, exact.
fn uniform01(bits: u32) -> f32 {
    return f32(bits >> 8u) * 5.9604644775390625e-8;
}

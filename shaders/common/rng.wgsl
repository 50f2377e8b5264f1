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

fn threefry4x32_20(key: vec4<u32>, counter: vec4<u32>) -> vec4<u32> {
    let parity = 0x1bd11bdau ^ key.x ^ key.y ^ key.z ^ key.w;
    // The five key words in a ring; each injection starts one further.
    var ring = array<u32, 5>(key.x, key.y, key.z, key.w, parity);
    var x = counter + key;
    for (var four = 0u; four < 5u; four++) {
        let is_odd = (four & 1u) == 1u;
        let first = select(vec4<u32>(10u, 11u, 13u, 23u), vec4<u32>(6u, 17u, 25u, 18u), is_odd);
        let second = select(vec4<u32>(26u, 21u, 27u, 5u), vec4<u32>(20u, 11u, 10u, 20u), is_odd);
        for (var round = 0u; round < 4u; round++) {
            // Words 1 and 3 change places after each round.
            let left = threefry_pair(x.x, x.y, first[round]);
            let right = threefry_pair(x.z, x.w, second[round]);
            x = vec4<u32>(left.x, right.y, right.x, left.y);
        }
        let head = ring[0];
        ring[0] = ring[1];
        ring[1] = ring[2];
        ring[2] = ring[3];
        ring[3] = ring[4];
        ring[4] = head;
        x += vec4<u32>(ring[0], ring[1], ring[2], ring[3] + four + 1u);
    }
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

// GSD: o = log2(gsd / 10 m), then sin of o at periods of 1, 2, 4 and 8 octaves, then cos.
// o is an integer in 2⁻³² octaves, so that division by a power of two is a shift.
// Twin: src/encode/schemes/gsd.rs.

#import common/log2
#import encode/scheme

// log2(10 · 2³²) in 2⁻³².
const LOG2_TEN_METRES = vec2<u32>(1382670639u, 35u);

fn encode_gsd(block: Block, sample: u32, at: u32) -> Outcome {
    let claimed = claimed_fields(sample) & GSD_M_BIT;
    let gsd = record_words64(GSD_M_WORD, sample);
    let refused = claimed & outside_length(GSD_M_BIT, gsd);
    // The logarithm of 0 does not exist; what is put then is overwritten as missing.
    let positive = select(gsd, vec2<u32>(1u, 0u), equal64(gsd, vec2<u32>(0u)));
    let octaves = sub64(log2_fixed(positive), LOG2_TEN_METRES);
    put(at, f32_from_i64(octaves, 32));
    for (var k = 0u; k < 4u; k++) {
        let wave = sincos_turns(shr_i64(octaves, k).x);
        put(at + 1u + k, wave.x);
        put(at + 5u + k, wave.y);
    }
    return Outcome((claimed & ~refused) != 0u, 0u, refused != 0u);
}

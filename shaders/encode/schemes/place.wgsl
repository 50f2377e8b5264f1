// Place: real spherical harmonics Y_lm of degree l = 0..=parameter, m = −l..=l, orthonormal on the unit sphere, without
// the Condon–Shortley sign:
//     Y_lm = P_l|m|(cos θ) · (√2 cos mφ | 1 | √2 sin |m|φ) for m > 0 | m = 0 | m < 0, θ = colatitude, φ = longitude.
// Each normalised Legendre function is a short trigonometric series, whose coefficients the host makes in f64 (with
// √2 in them): P_lm(cos θ) = Σ_k c_lmk cos kθ (m even) or sin kθ (m odd), k = l, l − 2, … ≥ 0. The phases kθ and mφ are
// exact products of u32 turns, so neither poles nor the antimeridian are special.
// Twin: src/encode/schemes/place.rs.

#import encode/scheme

const MAX_DEGREE = 16u;

fn encode_place(block: Block, sample: u32, at: u32) -> Outcome {
    let claimed = claimed_fields(sample) & PLACE_BITS;
    let lat = record_words64(LAT_WORD, sample);
    let lon = record_words64(LON_WORD, sample);
    let refused = claimed & (outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u));
    let theta = 0x40000000u - turns_from_degrees(lat);
    let phi = turns_from_degrees(lon);
    let degree = min(block.parameter, MAX_DEGREE);
    var along_theta: array<vec2<f32>, 17>;
    var along_phi: array<vec2<f32>, 17>;
    for (var k = 0u; k <= degree; k++) {
        along_theta[k] = sincos_turns(theta * k);
        along_phi[k] = sincos_turns(phi * k);
    }
    var constant = block.constants;
    for (var l = 0u; l <= degree; l++) {
        let centre = at + l * l + l;
        for (var m = 0u; m <= l; m++) {
            var legendre = 0.0;
            for (var k = l & 1u; k <= l; k += 2u) {
                let wave = select(along_theta[k].y, along_theta[k].x, (m & 1u) == 1u);
                legendre = fma(bitcast<f32>(plan_word(constant)), wave, legendre);
                constant++;
            }
            put(centre - m, legendre * along_phi[m].x);
            // m = 0 is put twice, the second time as it should be.
            put(centre + m, legendre * along_phi[m].y);
        }
    }
    return Outcome((claimed & ~refused) == PLACE_BITS, 0u, refused != 0u);
}

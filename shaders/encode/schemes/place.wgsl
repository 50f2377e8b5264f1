// Place: real spherical harmonics. Their features have a kernel of their own, encode/harmonics, which writes the rows
// of known places; here stands what every block has: whether the place is known, and what a published block, which
// learns nothing, gives where it is not. Twin: src/encode/schemes/place.rs.

#import encode/position
#import encode/scheme

fn encode_place(block: Block, sample: u32, at: u32) -> Outcome {
    let place = position(sample);
    if !place.known && block.missing == NONE {
        for (var j = 0u; j < block.width; j++) {
            put(at + j, 0.0);
        }
    }
    return Outcome(place.known, 0u, place.refused);
    let claimed = claimed_fields(sample) & PLACE_BITS;
    let lat = record_words64(LAT_WORD, sample);
    let lon = record_words64(LON_WORD, sample);
    let refused = claimed & (outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u));
    let known = (claimed & ~refused) == PLACE_BITS;
    if !known {
        put_missing(block, at);
        return Outcome(false, 0u, refused != 0u);
    let theta = 0x40000000u - turns_from_degrees(lat);
    let phi = turns_from_degrees(lon);
    let degree = min(block.parameter, MAX_DEGREE);
    var along_theta: array<vec2<f32>, 17>;
    var along_phi: array<vec2<f32>, 17>;
    for (var k = 0u; k <= degree; k++) {
        along_theta[k] = sincos_turns(theta * k);
        along_phi[k] = sincos_turns(phi * k);
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
    return Outcome(true, 0u, refused != 0u);
}

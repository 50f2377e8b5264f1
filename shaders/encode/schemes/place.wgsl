// Place: real spherical harmonics. Their features have a kernel of their own, encode/harmonics, which writes the rows
// of known places; here stands what every block has: whether the place is known, and what a published block, which
// learns nothing, gives where it is not. Twin: src/encode/schemes/place.rs.

#import encode/position
#import encode/scheme

fn encode_place(block: Block, sample: u32, at: u32) -> Outcome {
    let place = position(sample);
    if !place.known {
        put_absent(block, at);
    }
    return Outcome(place.known, 0u, place.refused);
}

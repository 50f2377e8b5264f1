// Where a record lies. The importing kernel defines
//     fn record_word(word: u32, sample: u32) -> u32   as records/load says
// Twin: `position` in src/encode/schemes/place.rs.

#import common/phase
#import records/valid

struct Position {
    theta: u32,    // colatitude from the north pole, in turns
    phi: u32,      // longitude, in turns
    known: bool,   // both are there and possible
    refused: bool, // one of them is there and impossible
}

fn position(sample: u32) -> Position {
    let claimed = record_word(VALID_WORD, sample) & PLACE_BITS;
    let lat = record_words64(LAT_WORD, sample);
    let lon = record_words64(LON_WORD, sample);
    let refused = claimed & (outside_degrees(LAT_BIT, lat, 90u) | outside_degrees(LON_BIT, lon, 180u));
    let theta = 0x40000000u - turns_from_degrees(lat);
    return Position(theta, turns_from_degrees(lon), (claimed & ~refused) == PLACE_BITS, refused != 0u);
}

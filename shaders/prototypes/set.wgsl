// Which set of prototypes a record's region names. The importing kernel declares
//     params: Params with records: Rows, region_word, region_bit, regions   and   records: array<u32>
// Twin: `sets` in src/prototypes/twin.rs.

#import common/view
#import records/fields

struct RegionSet {
    number: u32,   // 0: the region is not known; else 1 + region
    refused: bool, // an id without a set
}

fn region_set(sample: u32) -> RegionSet {
    let claimed = (records[row_start(params.records, VALID_WORD) + sample] & params.region_bit) != 0u;
    let id = records[row_start(params.records, params.region_word) + sample];
    let known = claimed && id < params.regions;
    return RegionSet(select(0u, id + 1u, known), claimed && !known);
}

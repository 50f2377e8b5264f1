// Ids: missing vector + table[id]; parameter = the field's word in a record. An id past the table is refused.
// Twin: src/encode/schemes/id.rs.

#import encode/scheme

fn encode_id(block: Block, sample: u32, at: u32) -> Outcome {
    let claimed = (claimed_fields(sample) & block.field_bit) != 0u;
    let id = record_word(block.parameter, sample);
    let known = claimed && id < block.table_rows;
    let row = select(0u, id, known);
    for (var j = 0u; j < block.width; j++) {
        put(at + j, learned(block.missing + j) + learned(block.missing + (row + 1u) * block.width + j));
    }
    return Outcome(known, row + 1u, claimed && !known);
}

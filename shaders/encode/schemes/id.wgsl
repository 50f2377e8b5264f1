// Ids: missing vector + table[id]; parameter = the field's word in a record. An id past the table is refused.
// Twin: src/encode/schemes/id.rs.

#import encode/scheme

fn encode_id(block: Block, sample: u32, at: u32) -> Outcome {
    let claimed = (claimed_fields(sample) & block.fields) != 0u;
    let id = record_word(block.parameter, sample);
    let known = claimed && id < block.table_rows;
    if !known {
        put_absent(block, at);
        return Outcome(false, 0u, claimed);
    }
    for (var j = 0u; j < block.width; j++) {
        put(at + j, learned(block.missing + j) + learned(block.missing + (id + 1u) * block.width + j));
    }
    return Outcome(true, id + 1u, false);
}

// Tables by number: table[number − first], or the missing vector; parameter = first, and the number's place in
// `numbers` is the block's first constant. A number outside the table is refused. Twin: src/encode/schemes/table.rs.

#import encode/waves

fn encode_table(block: Block, row: u32, at: u32) -> Outcome {
    let number = numbers[plan_word(block.constants) * params.rows + row];
    let claimed = (number.x & 1u) == 1u;
    // 43 binary digits stand after the point.
    let index = bitcast<u32>(bitcast<i32>(number.y) >> 11u) - block.parameter;
    let known = claimed && index < block.table_rows;
    if !known {
        put_absent(block, at);
        return Outcome(false, 0u, claimed || (number.x & 2u) == 2u);
    }
    for (var j = 0u; j < block.width; j++) {
        put(at + j, learned(block.missing + (index + 1u) * block.width + j));
    }
    return Outcome(true, index + 1u, (number.x & 2u) == 2u);
}

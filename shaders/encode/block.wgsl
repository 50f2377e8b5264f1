// One block of an encoding plan. The importing kernel defines
//     fn plan_word(at: u32) -> u32
// which returns a word of the plan. Rust side: `Plan::compile` in src/encode/plan.rs.

const OPCODE_PLACE = 0u;
const OPCODE_ID = 1u;
const OPCODE_WAVES = 2u;
const OPCODE_TABLE = 3u;
const OPCODE_FREQUENCIES = 4u;

const HEADER_WORDS = 12u;
const NONE = 0xffffffffu;

struct Block {
    opcode: u32,
    column: u32,     // of its first feature
    width: u32,      // features, without the validity column
    validity: u32,   // 1: a validity column follows the features
    missing: u32,    // arena offset of the missing vector; its table follows; NONE: no such vector
    table_rows: u32,
    parameter: u32,
    fields: u32,     // validity bits of the fields that it reads
    constants: u32,  // where the scheme's constants start in the plan
    selector: u32,   // row of the backward's selectors; NONE where there is no missing vector
    scale: u32,      // arena offset of the learned scale or frequencies; NONE: there are none
    index: u32,      // among the plan's blocks
}

fn load_block(index: u32) -> Block {
    let at = index * HEADER_WORDS;
    return Block(
        plan_word(at),
        plan_word(at + 1u),
        plan_word(at + 2u),
        plan_word(at + 3u),
        plan_word(at + 4u),
        plan_word(at + 5u),
        plan_word(at + 6u),
        plan_word(at + 7u),
        plan_word(at + 8u),
        plan_word(at + 9u),
        plan_word(at + 10u),
        plan_word(at + 11u),
    );
}

// One block of an encoding plan. The importing kernel defines
//     fn plan_word(at: u32) -> u32
// which returns a word of the plan. Rust side: `Plan::compile` in src/encode/plan.rs.

const OPCODE_PLACE = 0u;
const OPCODE_SEASON = 1u;
const OPCODE_DAY = 2u;
const OPCODE_YEAR = 3u;
const OPCODE_GSD = 4u;
const OPCODE_ID = 5u;
const OPCODE_CLAY = 6u;

const HEADER_WORDS = 10u;
const NONE = 0xffffffffu;

struct Block {
    opcode: u32,
    column: u32,     // of its first feature
    width: u32,      // features, without the validity column
    validity: u32,   // 1: a validity column follows the features
    missing: u32,    // arena offset of the missing vector; its table follows; NONE: nothing is learned
    table_rows: u32,
    parameter: u32,
    field_bit: u32,
    constants: u32,  // where the scheme's constants start in the plan
    selector: u32,   // row of the backward's selectors; NONE where nothing is learned
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
    );
}

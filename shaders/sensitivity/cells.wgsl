// Cells of one perturbation and slot. Host side: src/sensitivity/table.rs.

const SLOT_CELLS: u32 = 126u;
const COUNT: u32 = 0u;
const INVALID: u32 = 1u;
const FLIPS: u32 = 2u;
const LABELLED: u32 = 3u;
const CORRECT: u32 = 4u;
const CLAMPED: u32 = 5u;
const KL: u32 = 6u;
const JS: u32 = 7u;
const TV: u32 = 8u;
const TOP_CHANGE: u32 = 9u;
const TOP_CHANGE_ABS: u32 = 10u;
const ENTROPY_CHANGE: u32 = 11u;
const LOGIT_CHANGE: u32 = 12u;
const NLL: u32 = 13u;
const BRIER: u32 = 14u;
const CORRECT_BEFORE: u32 = 15u;
const BROKEN: u32 = 16u;
const FIRST_BIN: u32 = 17u;
const BIN_COUNT: u32 = 17u;
const BIN_CORRECT: u32 = 18u;
const BIN_CONFIDENCE: u32 = 19u;
const FIRST_CHANGE: u32 = 62u;

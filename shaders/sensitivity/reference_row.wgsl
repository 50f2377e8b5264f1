// Where a row of `reference` has what, in vectors of four words.

const FIRST_D: u32 = 1u;
const FIRST_P: u32 = 1u + $CLASSESu / 4u;
const FIRST_OWN: u32 = 1u + $CLASSESu / 2u;
#if RANKS
const FIRST_GATED: u32 = FIRST_OWN + $RANKSu / 4u;
const REFERENCE: u32 = FIRST_OWN + $RANKSu / 2u;
#else
const REFERENCE: u32 = FIRST_OWN + $CLASSESu / 4u;
#endif

// Stands for no class: of a label that is none, of a row with a logit that is not finite.
const NOBODY: u32 = 0xffffffffu;
// Logits where there is no class, below every logit; and their distance from the largest.
const NO_LOGIT: f32 = -3.4e38;
const NO_DISTANCE: f32 = -1.0e30;

// The numbers of four classes or ranks.
fn four_numbers(first: u32) -> vec4<u32> {
    return vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
}

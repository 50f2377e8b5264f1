// What encode/scheme asks for, in kernels of gradients that write no feature. The importing kernel declares plan: array<u32>,
// arena: array<f32> and `params`.

fn plan_word(at: u32) -> u32 {
    return plan[at];
}

fn learned(at: u32) -> f32 {
    return arena[params.arena_start + at];
}

// No feature is written here.
fn put(at: u32, value: f32) {}

fn put_absent(block: Block, at: u32) {}

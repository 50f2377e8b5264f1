// 64-bit cells that many invocations add to. Integers add in any order to the same bits, so neither the order of
// invocations nor the cut into dispatches, shards or chunks can be seen in the result.
// The importing kernel declares `sums: array<atomic<u32>>`, its workgroups are 256 wide, and word 2i of a table is
// the low word of cell i. A table that fits is summed in workgroup memory first; the flush then adds it to `sums`.
// Host side: src/common/cells.rs.

#import common/sum64

const CELLS_WIDTH: u32 = 256u;

var<workgroup> cells_local: array<atomic<u32>, 2048>;

// Before the first sum; every lane calls it. `words` is the same for all and at most 2,048.
fn cells_clear(lane: u32, words: u32) {
    for (var word = lane; word < words; word += CELLS_WIDTH) {
        atomicStore(&cells_local[word], 0u);
    }
    workgroupBarrier();
}

// Adds to the cell at `word` of the workgroup's table (`is_local`), or of the table that starts at `first` in `sums`.
fn cells_add(is_local: bool, first: u32, word: u32, value: vec2<u32>) {
    if is_local {
        let old = atomicAdd(&cells_local[word], value.x);
        let high = sum64_high(old, value);
        if high != 0u {
            atomicAdd(&cells_local[word + 1u], high);
        }
    } else {
        let old = atomicAdd(&sums[first + word], value.x);
        let high = sum64_high(old, value);
        if high != 0u {
            atomicAdd(&sums[first + word + 1u], high);
        }
    }
}

// After the last sum; every lane calls it.
fn cells_flush(lane: u32, words: u32, first: u32) {
    workgroupBarrier();
    for (var word = lane * 2u; word < words; word += CELLS_WIDTH * 2u) {
        let value = vec2<u32>(atomicLoad(&cells_local[word]), atomicLoad(&cells_local[word + 1u]));
        if (value.x | value.y) != 0u {
            cells_add(false, first, word, value);
        }
    }
}

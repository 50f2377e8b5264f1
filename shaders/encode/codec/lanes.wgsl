// A workgroup of 64 lanes works on four rows, sixteen lanes a row.

var<workgroup> row_largest: array<atomic<u32>, 4>;

// The largest of `value` over the lanes of each row; integers, so in any order. Every lane of the workgroup calls it.
fn largest_of_row(value: u32, lane: u32) -> u32 {
    if lane < 4u {
        atomicStore(&row_largest[lane], 0u);
    }
    workgroupBarrier();
    atomicMax(&row_largest[lane >> 4u], value);
    workgroupBarrier();
    return atomicLoad(&row_largest[lane >> 4u]);
}

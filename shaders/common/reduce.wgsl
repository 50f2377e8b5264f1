// Sums over a workgroup as a tree: the order depends on the width alone, so repeats are bit-equal, and the result
// does not change with the subgroup's width. Twin: src/common/reduce.rs.

var<workgroup> reduce_scratch: array<f32, 256>;

// The sum of `value` over the first `width` lanes (a power of two up to 256, the same for all), given to every lane.
// Every lane of the workgroup calls it, lanes from `width` on too.
fn workgroup_sum(value: f32, lane: u32, width: u32) -> f32 {
    if lane < width {
        reduce_scratch[lane] = value;
    }
    workgroupBarrier();
    for (var reach = width / 2u; reach > 0u; reach = reach / 2u) {
        if lane < reach {
            reduce_scratch[lane] += reduce_scratch[lane + reach];
        }
        workgroupBarrier();
    }
    let sum = reduce_scratch[0];
    // The next call may write at once.
    workgroupBarrier();
    return sum;
}

// The largest of `value` over the first `width` lanes, likewise.
fn workgroup_max(value: f32, lane: u32, width: u32) -> f32 {
    if lane < width {
        reduce_scratch[lane] = value;
    }
    workgroupBarrier();
    for (var reach = width / 2u; reach > 0u; reach = reach / 2u) {
        if lane < reach {
            reduce_scratch[lane] = max(reduce_scratch[lane], reduce_scratch[lane + reach]);
        }
        workgroupBarrier();
    }
    let largest = reduce_scratch[0];
    workgroupBarrier();
    return largest;
}

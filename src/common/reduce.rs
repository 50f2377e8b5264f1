//! Sums in the kernels' order: as a tree over a workgroup's lanes (`shaders/common/reduce.wgsl`), bit-equal, and
//! over the rows of a batch (`shaders/reduce/column_sum.wgsl`, then `shaders/reduce/sum_chunks.wgsl`).

use crate::gpu::reduce::Chunks;

/// The sum of a power of two of lanes, as a workgroup adds them: halves onto each other.
///
/// # Panics
/// When the number of lanes is not a power of two.
///
/// ```
/// assert_eq!(gtca::common::reduce::workgroup_sum(&[1.0, 2.0, 3.0, 4.0]), 10.0);
/// ```
pub fn workgroup_sum(lanes: &[f32]) -> f32 {
    fold(lanes, |a, b| a + b)
}

/// The largest of a power of two of lanes.
///
/// # Panics
/// When the number of lanes is not a power of two.
pub fn workgroup_max(lanes: &[f32]) -> f32 {
    fold(lanes, f32::max)
}

fn fold(lanes: &[f32], join: impl Fn(f32, f32) -> f32) -> f32 {
    assert!(lanes.len().is_power_of_two(), "{} lanes", lanes.len());
    let mut lanes = lanes.to_vec();
    while lanes.len() > 1 {
        let upper = lanes.split_off(lanes.len() / 2);
        lanes.iter_mut().zip(upper).for_each(|(low, high)| *low = join(*low, high));
    }
    lanes[0]
}

/// `out[n] = Σ_i x[i, n]`, chunks of rows in order, cut as the kernel cuts them.
pub fn column_sum(x: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; width];
    let rows = Chunks::new((x.len() / width) as u64, width as u64).rows as usize;
    for chunk in x.chunks(rows * width) {
        for (n, total) in out.iter_mut().enumerate() {
            *total += chunk.chunks_exact(width).fold(0.0, |sum, row| sum + row[n]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_halves() {
        // 1 vanishes beside 2²⁴ unless the small ones meet first.
        let lanes = [16_777_216.0, 1.0, 0.0, 1.0];
        assert_eq!(workgroup_sum(&lanes), 16_777_218.0);
        assert_eq!(workgroup_max(&lanes), 16_777_216.0);
        assert_eq!(workgroup_sum(&[3.0]), 3.0);
    }
}

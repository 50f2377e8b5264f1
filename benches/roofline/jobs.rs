//! The jobs. Each allocates its own buffers when its turn comes, so that only one job's memory lives at a time.

mod encode;
mod linear;
mod lora;
mod sensitivity;
mod sensitivity_full;
mod shortcut;

use super::Case;
use gtca::gpu::{Gpu, View};

/// Elementwise steps of the naive compositions.
const STEPS: &str = include_str!("steps.wgsl");

/// Every job, in the order in which it runs.
pub(crate) fn all() -> Vec<Case> {
    let rooms = [
        encode::cases(),
        linear::cases(),
        lora::cases(),
        sensitivity::cases(),
        sensitivity_full::cases(),
        shortcut::cases(),
    ];
    rooms.into_iter().flatten().collect()
}

/// `n` numbers in [−1, 1), different for each seed.
fn numbers(n: u32, seed: u32) -> Vec<f32> {
    let mix = |i: u32| i.wrapping_add(seed << 24).wrapping_mul(2_654_435_761);
    (0..n).map(|i| (mix(mix(i) >> 7) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

/// Reads some rows of a contiguous `[rows, width]` buffer back.
fn read_rows(gpu: &Gpu, buffer: &wgpu::Buffer, width: u32, rows: std::ops::Range<u32>) -> Vec<f32> {
    let view = View::matrix(buffer, rows.end - rows.start, width).at(u64::from(rows.start * width) * 4);
    pollster::block_on(gpu.read_f32(&view)).expect("the device answers")
}

/// A matrix of rows of `width`, its columns as rows.
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|n| matrix.iter().skip(n).step_by(width).copied()).collect()
}

/// Panics unless all numbers agree to 1e-4 of the largest one.
fn assert_near(what: &str, got: &[f32], expected: &[f32]) {
    assert_near_stored(what, got, expected, 0.0);
}

/// As [`assert_near`], and each to `ulp` of itself: stored numbers may have been rounded apart.
fn assert_near_stored(what: &str, got: &[f32], expected: &[f32], ulp: f32) {
    assert_eq!(got.len(), expected.len(), "{what}: wrong length");
    let scale = expected.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs();
        // Written so that NaN fails too.
        assert!(error <= 1e-4 * scale + ulp * expected.abs(), "{what}: element {i} is {got}, not {expected}");
    }
}

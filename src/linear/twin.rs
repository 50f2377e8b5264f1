//! CPU twins of the linear kernels, with the kernels' order of sums. Slow on purpose: they read like the shaders.

use crate::common::numeric;
use crate::gpu::reduce::Chunks;

/// `y[i, n] = Σ_k x[i, k] W(n, k) + b[n]`; `w_strides` are those of n and of k.
pub fn rows(
    x: &[f32],
    inputs: usize,
    w: &[f32],
    w_strides: [usize; 2],
    outputs: usize,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let [by_output, by_input] = w_strides;
    let one = |x: &[f32], n: usize| {
        let sum = (0..inputs).fold(0.0, |sum, k| x[k].mul_add(w[n * by_output + k * by_input], sum));
        sum + bias.map_or(0.0, |bias| bias[n])
    };
    x.chunks_exact(inputs).flat_map(|x| (0..outputs).map(move |n| one(x, n))).collect()
}

/// `dW[n, k] = Σ_i dy[i, n] x[i, k]`, chunks of rows in order, cut as the kernel cuts them.
pub fn outer(dy: &[f32], outputs: usize, x: &[f32], inputs: usize) -> Vec<f32> {
    let mut out = vec![0.0; outputs * inputs];
    let chunk = Chunks::new((dy.len() / outputs) as u64, (outputs * inputs) as u64).rows as usize;
    for (dy, x) in dy.chunks(chunk * outputs).zip(x.chunks(chunk * inputs)) {
        for (n, line) in out.chunks_exact_mut(inputs).enumerate() {
            for (k, total) in line.iter_mut().enumerate() {
                let rows = dy.chunks_exact(outputs).zip(x.chunks_exact(inputs));
                *total += rows.fold(0.0, |sum, (dy, x)| dy[n].mul_add(x[k], sum));
            }
        }
    }
    out
}

/// SiLU of every element.
pub fn silu(x: &[f32]) -> Vec<f32> {
    x.iter().map(|&x| numeric::silu(x)).collect()
}

/// Gradient of SiLU: `dy · silu'(x)`.
pub fn silu_backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    x.iter().zip(dy).map(|(&x, &dy)| dy * numeric::silu_derivative(x)).collect()
}

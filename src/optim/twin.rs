//! CPU twins of the optimiser's kernels.

use super::AdamWDesc;

/// ‖·‖² over several tensors, in the kernel's chunks.
pub fn square_norm(tensors: &[&[f32]]) -> f32 {
    let count = tensors.iter().map(|tensor| tensor.len() as u64).sum();
    let chunk = super::gpu::chunk_len(count) as usize;
    let partial = |chunk: &[f32]| chunk.iter().fold(0.0, |sum, x: &f32| x.mul_add(*x, sum));
    tensors.iter().flat_map(|tensor| tensor.chunks(chunk)).map(partial).sum()
}

/// One AdamW step in place; `square_norm` is used where the description clips.
#[expect(clippy::too_many_arguments, reason = "the kernel's arguments, flat as a twin's are")]
pub fn adamw(
    desc: &AdamWDesc,
    step: u32,
    learning_rate: f32,
    square_norm: f32,
    gradient: &[f32],
    theta: &mut [f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step));
    let rate = f64::from(learning_rate);
    let step_size = (rate / correction(desc.beta1)) as f32;
    let decay = (1.0 - rate * f64::from(desc.weight_decay)) as f32;
    let inverse_c2 = (1.0 / correction(desc.beta2)) as f32;
    for (i, &gradient) in gradient.iter().enumerate() {
        let mut g = gradient;
        if let Some(max_norm) = desc.max_norm {
            let norm = square_norm.sqrt();
            if norm > max_norm {
                g *= max_norm / norm;
            }
        }
        m[i] = desc.beta1.mul_add(m[i], (1.0 - desc.beta1) * g);
        v[i] = desc.beta2.mul_add(v[i], (1.0 - desc.beta2) * g * g);
        let scaled = step_size * m[i] / ((v[i] * inverse_c2).sqrt() + desc.epsilon);
        theta[i] = theta[i].mul_add(decay, -scaled);
    }
}

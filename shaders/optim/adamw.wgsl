// AdamW (Loshchilov & Hutter 2019), one step, in place; g is first scaled by min(1, max_norm / ‖g‖) with CLIP:
//   m ← β₁m + (1 − β₁)g,  v ← β₂v + (1 − β₂)g²,
//   θ ← θ − lr·λ·θ − lr · (m / c₁) / (√(v / c₂) + ε),  c = 1 − βᵗ from the host in f64.
//
// gradient, theta, m, v: [rows, width]; square_norm: [1] = ‖g‖².
// One invocation per element. Twin: `adamw` in src/optim/twin.rs.

#import common/view

struct Params {
    gradient: Rows,
    theta: Rows,
    m: Rows,
    v: Rows,
    rows: u32,
    width: u32,
    norm_start: u32,
    max_norm: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    step: f32,          // lr / c₁
    decay: f32,         // 1 − lr · λ
    inverse_c2: f32,    // 1 / c₂
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read> square_norm: array<f32>;
@group(0) @binding(3) var<storage, read_write> theta: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let row = quotient(index, params.width);
    let column = index - row * params.width;
    if row >= params.rows {
        return;
    }
    var g = gradient[row_start(params.gradient, row) + column];
#if CLIP
    let norm = sqrt(square_norm[params.norm_start]);
    if norm > params.max_norm {
        g *= params.max_norm / norm;
    }
#endif
    let m_at = row_start(params.m, row) + column;
    let v_at = row_start(params.v, row) + column;
    let theta_at = row_start(params.theta, row) + column;
    let first = fma(params.beta1, m[m_at], (1.0 - params.beta1) * g);
    let second = fma(params.beta2, v[v_at], (1.0 - params.beta2) * g * g);
    m[m_at] = first;
    v[v_at] = second;
    let scaled = params.step * first / (sqrt(second * params.inverse_c2) + params.epsilon);
    theta[theta_at] = fma(theta[theta_at], params.decay, -scaled);
}

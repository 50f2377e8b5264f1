// Evidence regularizer: what the image alone settles must not be overturned by metadata.
// p = softmax with metadata, q = softmax without; per row
//   J = ½ Σ_c (p − q)(log p − log q),  w = clamp(1 − H(q)/ln C, 0, 1),  term = w · max(0, J − τ) / rows.
// GRADIENT: dz_p = factor · w · [J > τ] · ½ (p_c((lp_c − lq_c) − Σ_j p_j(lp_j − lq_j)) + p_c − q_c); w is constant.
// BOTH: the same for q. ACCUMULATE adds to what the gradients hold.
//
// p, q (logits), dp, dq: [rows, classes]; terms: [rows, 1], contiguous.
// One invocation per row; loops 4 · classes. Twin: `evidence` in src/loss/twin.rs.

#import common/view
#import common/numeric

struct Params {
    p: Rows,
    q: Rows,
    dp: Rows,
    dq: Rows,
    rows: u32,
    classes: u32,
    terms_start: u32,
    threshold: f32,
    per_row: f32,     // 1 / rows of the whole batch
    factor: f32,      // β · upstream / rows of the whole batch
    inverse_log: f32, // 1 / ln C
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> terms: array<f32>;
@group(0) @binding(4) var<storage, read_write> dp: array<f32>;
@group(0) @binding(5) var<storage, read_write> dq: array<f32>;

// p_c, q_c, lp_c − lq_c and lq_c from the logits of one class.
fn parts(at: vec2<u32>, tops: vec2<f32>, log_sums: vec2<f32>) -> vec4<f32> {
    let logs = (vec2<f32>(p[at.x], q[at.y]) - tops) - log_sums;
    return vec4<f32>(precise_exp(logs.x), precise_exp(logs.y), logs.x - logs.y, logs.y);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat_group(group, groups) * 64u + lane;
    if row >= params.rows {
        return;
    }
    let at = vec2<u32>(row_start(params.p, row), row_start(params.q, row));
    var tops = vec2<f32>(p[at.x], q[at.y]);
    for (var c = 1u; c < params.classes; c++) {
        tops = max(tops, vec2<f32>(p[at.x + c], q[at.y + c]));
    }
    var sums = vec2<f32>(0.0);
    for (var c = 0u; c < params.classes; c++) {
        sums += vec2<f32>(precise_exp(p[at.x + c] - tops.x), precise_exp(q[at.y + c] - tops.y));
    }
    let log_sums = vec2<f32>(precise_log(sums.x), precise_log(sums.y));
    var divergence = 0.0;
    var entropy = 0.0;
    var p_mean = 0.0; // Σ p (lp − lq)
    var q_mean = 0.0; // Σ q (lp − lq)
    for (var c = 0u; c < params.classes; c++) {
        let part = parts(at + c, tops, log_sums);
        divergence = fma(part.x - part.y, part.z, divergence);
        entropy = fma(-part.y, part.w, entropy);
        p_mean = fma(part.x, part.z, p_mean);
        q_mean = fma(part.y, part.z, q_mean);
    }
    let excess = fma(0.5, divergence, -params.threshold);
    let weight = clamp(1.0 - entropy * params.inverse_log, 0.0, 1.0);
    terms[params.terms_start + row] = weight * max(0.0, excess) * params.per_row;
#if GRADIENT
    let factor = select(0.0, params.factor * weight * 0.5, excess > 0.0);
    let dp_at = row_start(params.dp, row);
    let dq_at = row_start(params.dq, row);
    for (var c = 0u; c < params.classes; c++) {
        let part = parts(at + c, tops, log_sums);
        var to_p = factor * fma(part.x, part.z - p_mean, part.x - part.y);
#if ACCUMULATE
        to_p += dp[dp_at + c];
#endif
        dp[dp_at + c] = to_p;
#if BOTH
        var to_q = -factor * fma(part.y, part.z - q_mean, part.x - part.y);
#if ACCUMULATE
        to_q += dq[dq_at + c];
#endif
        dq[dq_at + c] = to_q;
#endif
    }
#endif
}

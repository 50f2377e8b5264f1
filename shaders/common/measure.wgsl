// Measures of one prediction from its logits. Twins: src/common/measure.rs, the same operations in the same order.

#import common/numeric

// −log 10⁻⁶: probabilities of labels are clipped there.
const LARGEST_NLL: f32 = 13.815511;
// Sums over classes add blocks of so many: the error grows with the block, not with the number of classes.
const CLASS_BLOCK: u32 = 128u;

// logit − largest, at most 0. Halves first: the difference of two finite numbers may overflow.
fn logit_distance(logit: f32, largest: f32) -> f32 {
    return 2.0 * max(fma(0.5, logit, -0.5 * largest), -1.0e30);
}

// e^distance, 0 where f32 would lose it.
fn softmax_term(distance: f32) -> f32 {
    return select(precise_exp(distance), 0.0, distance < -87.0);
}

// −log p of the label, 0 to −log 10⁻⁶.
fn clipped_nll(log_total: f32, distance: f32) -> f32 {
    return clamp(log_total - distance, 0.0, LARGEST_NLL);
}

// min(⌊15 p⌋, 14).
fn calibration_bin(p: f32) -> u32 {
    return min(u32(15.0 * p), 14u);
}

// The bin of a total variation in units of 2⁻²⁶: four to an octave, from 2⁻¹⁶ to 1. By integers: twenty binary digits fit a
// float exactly, whose exponent and first two digits are the bin.
fn change_bin(units: i32) -> u32 {
    let kept = f32(clamp(units, 1 << 10u, (1 << 26u) - 1) >> 8u);
    return (bitcast<u32>(kept) >> 21u) - 4u * (127u + 2u);
}

// The class's share of KL(p‖q) = Σ (q − p − p log(q/p)); never negative, so small divergences do not drown in the
// rounding of large terms. For small log ratios e^t − 1 − t as a series.
fn kl_term(p: f32, q: f32, log_ratio: f32) -> f32 {
    let t = log_ratio;
    if abs(t) < 0.25 {
        let high = fma(fma(1.984127e-4, t, 1.3888889e-3), t, 8.333333e-3);
        let series = fma(fma(fma(high, t, 4.1666668e-2), t, 0.16666667), t, 0.5);
        return p * (t * t * series);
    }
    return fma(-p, t, q - p);
}

// The class's share of the Jensen-Shannon divergence: with m = (p+q)/2 and u = (q−p)/(2m) it is
// m/2 · ((1−u) log(1−u) + (1+u) log(1+u)), never negative: for small u as a series, else as
// p/2 · log(p/m) + q/2 · log(q/m), which is the same.
fn js_term(p: f32, q: f32) -> f32 {
    let m = 0.5 * (p + q);
    if m < 1.0e-30 {
        return 0.0;
    }
    let u = clamp(0.5 * (q - p) / m, -1.0, 1.0);
    let v = u * u;
    if v < 0.0625 {
        let series = fma(fma(fma(fma(2.2222223e-2, v, 3.5714287e-2), v, 6.666667e-2), v, 0.16666667), v, 1.0);
        return 0.5 * m * (v * series);
    }
    // The ratios themselves: 1 + u would lose the small one.
    return 0.5 * fma(p, precise_log(p / m), q * precise_log(q / m));
}

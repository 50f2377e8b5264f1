//! Measures of one prediction from its logits; `shaders/common/measure.wgsl`. And what both `metrics` and
//! `sensitivity` derive from their sums.

use super::numeric::{precise_exp, precise_log};
use super::sum64::{LOGIT_DIGITS, MEASURE_DIGITS};
use std::fmt;

/// −log 10⁻⁶: probabilities of labels are clipped there.
pub const LARGEST_NLL: f32 = 13.815_511;
/// Sums over classes add blocks of so many.
pub const CLASS_BLOCK: usize = 128;
/// Bins of a reliability diagram (Guo et al. 2017, "On Calibration of Modern Neural Networks").
pub const BINS: usize = 15;

/// Logit − largest, at most 0, without overflow.
pub fn logit_distance(logit: f32, largest: f32) -> f32 {
    2.0 * 0.5f32.mul_add(logit, -0.5 * largest).max(-1.0e30)
}

/// e^distance, 0 where f32 would lose it.
pub fn softmax_term(distance: f32) -> f32 {
    if distance < -87.0 { 0.0 } else { precise_exp(distance) }
}

/// −log p of the label, 0 to −log 10⁻⁶.
pub fn clipped_nll(log_total: f32, distance: f32) -> f32 {
    (log_total - distance).clamp(0.0, LARGEST_NLL)
}

/// min(⌊15 p⌋, 14).
///
/// ```
/// assert_eq!(gtca::common::measure::calibration_bin(1.0), 14);
/// ```
pub fn calibration_bin(p: f32) -> usize {
    ((15.0 * p) as usize).min(BINS - 1)
}

/// Bins of the change of a prediction: four to an octave of its total variation, over sixteen octaves.
pub const CHANGE_BINS: usize = 64;

/// The bin of a total variation in units of 2⁻²⁶. By integers: the same on every device.
///
/// ```
/// use gtca::common::measure::{change_bin, change_edge};
/// assert_eq!((change_bin(0), change_bin(1 << 25), change_bin(1 << 26)), (0, 60, 63));
/// assert_eq!(change_edge(60), 0.5); // bin 60: from one half to five eighths
/// ```
pub fn change_bin(units: i32) -> usize {
    // A float's exponent and its first two binary digits; twenty digits fit it exactly.
    let kept = (units.clamp(1 << 10, (1 << 26) - 1) >> 8) as f32;
    (kept.to_bits() >> 21) as usize - 4 * (127 + 2)
}

/// Where a bin of [`change_bin`] starts: 0 and 1 around all of them, and 2⁻¹⁶·1.25 to 0.875 between.
pub fn change_edge(bin: usize) -> f64 {
    match bin {
        0 => 0.0,
        _ => (4 + bin % 4) as f64 * 2f64.powi((bin / 4) as i32 - 18),
    }
}

/// The class's share of KL(p‖q), `q − p − p·log_ratio` with `log_ratio = log(q/p)`; never negative.
pub fn kl_term(p: f32, q: f32, log_ratio: f32) -> f32 {
    let t = log_ratio;
    if t.abs() < 0.25 {
        let high = 1.984_127e-4f32.mul_add(t, 1.388_888_9e-3).mul_add(t, 8.333_333e-3);
        let series = high.mul_add(t, 4.166_666_8e-2).mul_add(t, 0.166_666_67).mul_add(t, 0.5);
        return p * (t * t * series);
    }
    (-p).mul_add(t, q - p)
}

/// The class's share of the Jensen-Shannon divergence; never negative.
pub fn js_term(p: f32, q: f32) -> f32 {
    let m = 0.5 * (p + q);
    if m < 1.0e-30 {
        return 0.0;
    }
    let u = (0.5 * (q - p) / m).clamp(-1.0, 1.0);
    let v = u * u;
    if v < 0.0625 {
        let high = 2.222_222_3e-2f32.mul_add(v, 3.571_428_7e-2).mul_add(v, 6.666_667e-2);
        return 0.5 * m * (v * high.mul_add(v, 0.166_666_67).mul_add(v, 1.0));
    }
    0.5 * p.mul_add(precise_log(p / m), q * precise_log(q / m))
}

/// The largest logit and its class (ties to the lowest); none where a logit is not finite.
pub fn top_class(logits: &[f32]) -> Option<(f32, usize)> {
    let first = (*logits.first()?, 0);
    let top = logits.iter().enumerate().fold(first, |top, (c, &l)| if l > top.0 { (l, c) } else { top });
    logits.iter().all(|l| l.is_finite()).then_some(top)
}

/// One bin of a reliability diagram: the samples whose largest probability fell into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReliabilityBin {
    /// Samples.
    pub count: u64,
    /// Of these, rightly classified.
    pub correct: u64,
    /// Sum of their largest probabilities, in units of 2⁻²⁶.
    pub confidence_units: i64,
}

impl ReliabilityBin {
    /// Share rightly classified; none in an empty bin.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.correct as f64, self.count)
    }

    /// Mean of the largest probabilities; none in an empty bin.
    pub fn confidence(&self) -> Option<f64> {
        ratio(self.confidence_units as f64 * unit(MEASURE_DIGITS), self.count)
    }
}

/// The bins from their cells: count, correct, confidence; one bin after the other.
pub(crate) fn bins_from_cells(cells: &[i64]) -> [ReliabilityBin; BINS] {
    std::array::from_fn(|bin| {
        let [count, correct] = [0, 1].map(|at| cells[3 * bin + at] as u64);
        ReliabilityBin { count, correct, confidence_units: cells[3 * bin + 2] }
    })
}

/// Expected calibration error: Σ (count/total)·|accuracy − confidence| over the bins; none without samples.
///
/// ```
/// use gtca::common::measure::{ReliabilityBin, ece};
/// let bin = ReliabilityBin { count: 2, correct: 1, confidence_units: 2 << 26 };
/// assert_eq!(ece(&[bin]), Some(0.5));
/// ```
pub fn ece(bins: &[ReliabilityBin]) -> Option<f64> {
    let total = bins.iter().map(|bin| bin.count).sum();
    let gap = |bin: &ReliabilityBin| {
        (bin.correct as f64 - bin.confidence_units as f64 * unit(MEASURE_DIGITS)).abs()
    };
    ratio(bins.iter().map(gap).sum(), total)
}

/// The mean of a sum in units; prints as `< 1.5e-8` where it is below one unit, `–` without samples.
///
/// ```
/// use gtca::common::measure::Mean;
/// assert_eq!(Mean::of_measure(1 << 26, 4).value(), Some(0.25));
/// assert_eq!(Mean::of_measure(1, 4).to_string(), "< 1.5e-8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mean {
    units: i64,
    count: u64,
    digits: u32,
}

impl Mean {
    /// Of a sum in units of 2⁻²⁶.
    pub fn of_measure(units: i64, count: u64) -> Self {
        Self { units, count, digits: MEASURE_DIGITS }
    }

    /// Of a sum of logit changes, in units of 2⁻²⁰.
    pub fn of_logits(units: i64, count: u64) -> Self {
        Self { units, count, digits: LOGIT_DIGITS }
    }

    /// The mean; none without samples.
    pub fn value(&self) -> Option<f64> {
        ratio(self.units as f64 * unit(self.digits), self.count)
    }

    /// The sum, in units.
    pub fn units(&self) -> i64 {
        self.units
    }
}

impl fmt::Display for Mean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value() {
            None => f.pad("–"),
            Some(mean) if mean.abs() < unit(self.digits) => f.pad(&format!("< {:.1e}", unit(self.digits))),
            Some(mean) if mean.abs() < 1e-3 => f.pad(&format!("{mean:.1e}")),
            Some(mean) => f.pad(&format!("{mean:.*}", f.precision().unwrap_or(4))),
        }
    }
}

fn unit(digits: u32) -> f64 {
    2f64.powi(-(digits as i32))
}

pub(crate) fn ratio(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_terms_hold_over_ten_decades_of_change() {
        // Up to a change of 79 nat: beyond it f32 cannot hold p.
        for k in 0..2376 {
            let t = 10f64.powf(-8.0 + f64::from(k) / 240.0) * if k % 2 == 0 { 1.0 } else { -1.0 };
            let p = 0.4 * (-t.max(0.0)).exp();
            let (p, q) = (p as f32, (p * t.exp()) as f32);
            let (pd, qd) = (f64::from(p), f64::from(q));
            let exact = pd * (t.exp_m1() - t);
            let bound = 2e-7 * (pd + qd).max(pd * t.abs()) + exact * 1e-6;
            assert!((f64::from(kl_term(p, q, t as f32)) - exact).abs() <= bound, "kl {t}");
            let m = (pd + qd) / 2.0;
            let side = |x: f64| if x > 0.0 { 0.5 * x * (x / m).ln() } else { 0.0 };
            let exact = side(pd) + side(qd);
            assert!((f64::from(js_term(p, q)) - exact).abs() <= 3e-7 * m, "js {t}");
        }
        assert_eq!(js_term(0.0, 0.0), 0.0);
        assert!((js_term(0.0, 1.0) - 0.5 * std::f32::consts::LN_2).abs() < 1e-7);
    }

    #[test]
    fn a_change_lies_between_the_edges_of_its_bin() {
        let at_edges = (0..=CHANGE_BINS).map(|bin| (change_edge(bin) / unit(MEASURE_DIGITS)) as i32);
        let values = at_edges.flat_map(|edge| [edge - 1, edge, edge + 1]).chain((0..1 << 26).step_by(997));
        for units in values.filter(|units| (0..1 << 26).contains(units)) {
            let change = f64::from(units) * unit(MEASURE_DIGITS);
            let bin = change_bin(units);
            assert!((change_edge(bin)..change_edge(bin + 1)).contains(&change), "{units} in {bin}");
        }
        assert_eq!(change_edge(CHANGE_BINS), 1.0);
    }

    #[test]
    fn ties_go_to_the_lowest_class_and_nonfinite_rows_have_none() {
        assert_eq!(top_class(&[1.0, 2.0, 2.0]), Some((2.0, 1)));
        assert_eq!(top_class(&[1.0, f32::NAN]), None);
        assert_eq!(top_class(&[f32::NEG_INFINITY, 1.0]), None);
    }

    #[test]
    fn distances_never_overflow() {
        assert_eq!(logit_distance(-3e38, 3e38), -2.0e30);
        assert_eq!(logit_distance(3.0, 5.0), -2.0);
    }
}

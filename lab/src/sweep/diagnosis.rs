//! Shortcut diagnosis: does the model use place and time as evidence, or instead of evidence?
//!
//! **Four-way test.** Samples are predicted under the recorded metadata and with a place that is (n) a neighbour,
//! (s) far away in the same climate, (o) far away in another climate. With A the accuracy and N the NLL over the
//! samples that have such a place,
//!
//! ```text
//! dA_j = A_j − A_recorded,   dN_j = N_j − N_recorded,   j ∈ {n, s, o};      climate = dN_o − dN_s
//! ```
//!
//! The samples are the same on both sides (paired); intervals are the 2.5 and 97.5 percentiles of a bootstrap over
//! samples or spatial blocks ([`Bags`](super::Bags)). A model that has learnt how land looks by climate loses under
//! (o), little under (s), nothing under (n); one that has learnt places by heart loses under (s) as under (o). The
//! verdict speaks of an effect where its whole interval lies beyond 0.5 points of accuracy or 0.01 nat.
//!
//! **Justified and unjustified change.** T = ½ Σ_c |q_c − p_c| is the total variation from p under the recorded to q
//! under the wrong metadata.
//!
//! On the synthetic world the posterior moves from p* to q* under the same change of metadata, and
//!
//! ```text
//! J = ½ Σ_c min(|q_c − p_c|, |q*_c − p*_c|) · [both have one sign]          justified change,  J ≤ min(T, T*)
//! justified share = ΣJ / ΣT        uptake = ΣJ / ΣT*        unjustified change = Σ(T − J) / n
//! ```
//!
//! A model that ignores metadata has T = 0: no unjustified change, no uptake. One that follows the posterior has both
//! shares 1. One that moves where the posterior stays has share 0.
//!
//! On real data no posterior is known, but the image's own verdict is: with r the prediction when all metadata are
//! dropped,
//!
//! ```text
//! w = 1 − H(r) / ln C  ∈ [0, 1]         settled change = Σ w·T / n         settled share = Σ w·T / ΣT
//! ```
//!
//! Where the image settles the class (w = 1), metadata have nothing to say, and all change is unjustified; where it
//! leaves everything open (w = 0), change may be justified, which this score alone cannot confirm. It is the weight
//! that the evidence regularizer of the training uses.

use super::bags::{Bags, Bootstrap, Cell, Estimate, Sums};
use super::four_way::FourWay;
use super::verdict;
use gtca::common::sum64::measure_units;
use gtca::sensitivity::twin::compare;

/// Distance of probabilities from known posteriors.
pub(super) fn justified(before: &[f64], after: &[f64], known: [&[f64]; 2]) -> f64 {
    let moves = before.iter().zip(after).map(|(p, q)| q - p);
    let known = known[0].iter().zip(known[1]).map(|(p, q)| q - p);
    let shared = |(a, b): (f64, f64)| if a * b > 0.0 { a.abs().min(b.abs()) } else { 0.0 };
    0.5 * moves.zip(known).map(shared).sum::<f64>()
}

/// ½ Σ |q − p|.
pub(super) fn total_variation(before: &[f64], after: &[f64]) -> f64 {
    0.5 * before.iter().zip(after).map(|(p, q)| (q - p).abs()).sum::<f64>()
}

/// Probabilities of logits; none where one is not finite.
pub(super) fn softmax(logits: &[f32]) -> Option<Vec<f64>> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let terms: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - top).exp()).collect();
    let total: f64 = terms.iter().sum();
    let finite = logits.iter().all(|logit| logit.is_finite());
    finite.then(|| terms.into_iter().map(|term| term / total).collect())
}

/// w = 1 − H/ln C, within [0, 1].
pub(super) fn settled(prediction: &[f64]) -> f64 {
    let entropy: f64 = prediction.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
    (1.0 - entropy / (prediction.len() as f64).ln()).clamp(0.0, 1.0)
}

/// One sample under one perturbation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    /// Logits under the recorded and under the wrong metadata.
    pub logits: [&'a [f32]; 2],
    pub label: Option<usize>,
    /// Probabilities under the recorded metadata.
    pub before: &'a [f64],
    /// w of the sample.
    pub settled: Option<f64>,
    /// The known posterior's logits, recorded and wrong.
    pub known: Option<[&'a [f32]; 2]>,
}

/// What one pair says of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Total variation.
    pub change: f32,
    /// KL(recorded ‖ wrong), nat.
    pub kl: f32,
    /// Whether the class changed.
    pub is_flip: bool,
    /// The class under the wrong metadata.
    pub predicted: u32,
}

/// Adds a pair to the sums of its bag; none where a logit is not finite.
pub(super) fn add(cells: &mut [i64], pair: &Pair<'_>) -> Option<Change> {
    let [base, variant] = pair.logits;
    let moved = compare(base, variant, pair.label)?;
    let units = |value: f64| i64::from(measure_units(value as f32).value);
    let mut add = |cell: Cell, value: i64| cells[cell as usize] += value;
    add(Cell::Count, 1);
    add(Cell::Flips, moved.is_flip.into());
    let change = units(moved.tv.into());
    add(Cell::Change, change);
    if let (Some(label), Some((nll, _))) = (pair.label, moved.scores) {
        let still = compare(base, base, Some(label))?;
        add(Cell::Labelled, 1);
        add(Cell::CorrectBefore, (still.prediction == label).into());
        add(Cell::CorrectAfter, (moved.prediction == label).into());
        add(Cell::NllBefore, units(still.scores?.0.into()));
        add(Cell::NllAfter, units(nll.into()));
    }
    if let Some(w) = pair.settled {
        add(Cell::Weighed, 1);
        add(Cell::WeighedChange, change);
        add(Cell::SettledChange, units(w * f64::from(moved.tv)));
    }
    let known = pair.known.and_then(|[before, after]| Some([softmax(before)?, softmax(after)?]));
    if let (Some([before, after]), Some(q)) = (known, softmax(variant)) {
        add(Cell::Known, 1);
        add(Cell::KnownChange, change);
        add(Cell::JustifiedChange, units(justified(pair.before, &q, [&before, &after])));
        add(Cell::PosteriorChange, units(total_variation(&before, &after)));
    }
    Some(Change {
        change: moved.tv,
        kl: moved.kl,
        is_flip: moved.is_flip,
        predicted: moved.prediction as u32,
    })
}

/// What is known of one perturbation, with intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Samples compared.
    pub count: u64,
    /// Share of predictions that changed class.
    pub flips: Option<Estimate>,
    /// Mean total variation.
    pub change: Option<Estimate>,
    /// Accuracy under the recorded metadata, over the samples that have this perturbation.
    pub accuracy_before: Option<Estimate>,
    /// dA.
    pub accuracy: Option<Estimate>,
    /// dN, nat.
    pub nll: Option<Estimate>,
    /// Σ w·T / n: change of what the image settles.
    pub settled: Option<Estimate>,
    /// Σ w·T / ΣT.
    pub settled_share: Option<Estimate>,
    /// ΣJ / ΣT.
    pub justified_share: Option<Estimate>,
    /// ΣJ / ΣT*.
    pub uptake: Option<Estimate>,
    /// Σ(T − J) / n.
    pub unjustified: Option<Estimate>,
}

impl Effect {
    /// Of perturbation `k`.
    pub fn of(bootstrap: &Bootstrap, k: usize) -> Self {
        let ratio = |cell, over| bootstrap.estimate(|sums| sums.ratio(k, cell, over));
        let gain = |before, after| bootstrap.estimate(move |sums| difference(sums, k, before, after));
        Self {
            count: bootstrap.estimate(|sums| Some(sums.get(k, Cell::Count))).map_or(0, |e| e.value as u64),
            flips: ratio(Cell::Flips, Cell::Count),
            change: ratio(Cell::Change, Cell::Count),
            accuracy_before: ratio(Cell::CorrectBefore, Cell::Labelled),
            accuracy: gain(Cell::CorrectBefore, Cell::CorrectAfter),
            nll: gain(Cell::NllBefore, Cell::NllAfter),
            settled: ratio(Cell::SettledChange, Cell::Weighed),
            settled_share: ratio(Cell::SettledChange, Cell::WeighedChange),
            justified_share: ratio(Cell::JustifiedChange, Cell::KnownChange),
            uptake: ratio(Cell::JustifiedChange, Cell::PosteriorChange),
            unjustified: bootstrap.estimate(|sums| {
                let [all, justified] =
                    [Cell::KnownChange, Cell::JustifiedChange].map(|cell| sums.ratio(k, cell, Cell::Known));
                Some(all? - justified?)
            }),
        }
    }
}

/// Mean after − mean before, over the labelled.
fn difference(sums: &Sums, k: usize, before: Cell, after: Cell) -> Option<f64> {
    Some(sums.ratio(k, after, Cell::Labelled)? - sums.ratio(k, before, Cell::Labelled)?)
}

/// The diagnosis of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// One a perturbation.
    pub effects: Vec<Effect>,
    /// Which of them are the four-way test.
    pub four_way: FourWay,
    /// dN_o − dN_s, nat: what another climate costs beyond a far place.
    pub climate: Option<Estimate>,
    /// What it means, a sentence each.
    pub verdict: Vec<String>,
}

impl Diagnosis {
    /// From the sums of all samples.
    pub fn of(bags: &Bags, perturbations: &[String], replicates: usize, seed: u64) -> Self {
        let bootstrap = bags.bootstrap(replicates, seed);
        let effects: Vec<Effect> = (0..perturbations.len()).map(|k| Effect::of(&bootstrap, k)).collect();
        let counts: Vec<u64> = effects.iter().map(|effect| effect.count).collect();
        let four_way = FourWay::find(perturbations, &counts);
        let climate = four_way.far_same.zip(four_way.far_other).and_then(|(same, other)| {
            bootstrap.estimate(|sums| {
                let gain = |k| difference(sums, k, Cell::NllBefore, Cell::NllAfter);
                Some(gain(other)? - gain(same)?)
            })
        });
        let verdict = verdict::sentences(&effects, &four_way, climate);
        Self { effects, four_way, climate, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits of probabilities.
    fn logits(p: [f32; 2]) -> [f32; 2] {
        p.map(f32::ln)
    }

    /// A model's (and the posterior's) probabilities of the first class under recorded and wrong metadata, and without
    /// any; every sample is of the first class.
    struct World {
        model: [f32; 2],
        posterior: [f32; 2],
        alone: f32,
    }

    fn effect(world: &World) -> Effect {
        let both = |p: f32| logits([p, 1.0 - p]);
        let ([before, after], known) = (world.model.map(both), world.posterior.map(both));
        let mut bags = Bags::new(1);
        for row in 0..50 {
            let pair = Pair {
                logits: [&before, &after],
                label: Some(0),
                before: &softmax(&before).unwrap(),
                settled: softmax(&both(world.alone)).map(|r| settled(&r)),
                known: Some([&known[0], &known[1]]),
            };
            add(bags.of_unit(row, 0), &pair).unwrap();
        }
        Effect::of(&bags.bootstrap(10, 0), 0)
    }

    fn near(found: Option<Estimate>, expected: f64) {
        let found = found.expect("there is an estimate");
        // Probabilities are f32, changes are rounded to 2⁻²⁶.
        assert!((found.value - expected).abs() < 1e-5, "{found:?} against {expected}");
    }

    #[test]
    fn a_model_that_ignores_metadata_changes_nothing_and_takes_up_nothing() {
        let found = effect(&World { model: [0.8, 0.8], posterior: [0.9, 0.2], alone: 0.7 });
        assert_eq!((found.count, found.justified_share, found.settled_share), (50, None, None));
        for nothing in
            [found.flips, found.change, found.accuracy, found.nll, found.settled, found.unjustified]
        {
            near(nothing, 0.0);
        }
        near(found.uptake, 0.0);
    }

    #[test]
    fn a_model_that_follows_the_posterior_is_justified() {
        let found = effect(&World { model: [0.9, 0.2], posterior: [0.9, 0.2], alone: 0.5 });
        near(found.change, 0.7);
        near(found.justified_share, 1.0);
        near(found.uptake, 1.0);
        near(found.unjustified, 0.0);
        near(found.settled, 0.0);
        near(found.accuracy, -1.0);
        near(found.nll, (0.9_f64 / 0.2).ln());
    }

    #[test]
    fn a_model_that_only_looks_at_metadata_is_unjustified() {
        // The image settles the class, so neither the posterior nor the prediction without metadata is in doubt.
        let found =
            effect(&World { model: [0.9, 0.2], posterior: [1.0 - 1e-6, 1.0 - 1e-6], alone: 1.0 - 1e-6 });
        near(found.justified_share, 0.0);
        near(found.unjustified, 0.7);
        near(found.settled_share, settled(&[1.0 - 1e-6, 1e-6]));
        assert!(found.settled.unwrap().value > 0.699);
    }

    #[test]
    fn a_model_that_overdoes_it_is_justified_in_part() {
        let found = effect(&World { model: [0.9, 0.3], posterior: [0.9, 0.7], alone: 0.9 });
        near(found.justified_share, 0.2 / 0.6);
        near(found.uptake, 1.0);
        near(found.unjustified, 0.4);
        let against = effect(&World { model: [0.3, 0.9], posterior: [0.9, 0.7], alone: 0.9 });
        near(against.justified_share, 0.0);
    }

    #[test]
    fn the_weight_is_1_where_the_image_settles_the_class_and_0_where_it_leaves_all_open() {
        assert_eq!(settled(&[1.0, 0.0, 0.0]), 1.0);
        assert!(settled(&[1.0 / 3.0; 3]) < 1e-12);
        let half = settled(&[0.5, 0.5, 0.0, 0.0]);
        assert!((half - 0.5).abs() < 1e-12);
    }

    #[test]
    fn invalid_logits_are_not_counted() {
        let mut cells = [0; super::super::bags::CELLS];
        let pair = Pair {
            logits: [&[0.0, 1.0], &[0.0, f32::NAN]],
            label: None,
            before: &[0.5, 0.5],
            settled: None,
            known: None,
        };
        assert_eq!(add(&mut cells, &pair), None);
        assert!(cells.iter().all(|cell| *cell == 0));
    }
}

//! `loss::shortcut` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::gpu::{Gpu, Mode};
use gtca::loss::IGNORE;
use gtca::loss::shortcut::{AntiShortcut, anti_shortcut, twin};

/// Samples around the edges of a lane's four, of tiles of 16 anchors and 64 others, and of chunks of rows.
const SAMPLES: [usize; 15] = [1, 2, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 130, 256, 257];
/// Widths around the edges of vectors and of the gradient's 64 columns, in the same order; multiples of four take whole vectors.
const WIDTHS: [usize; 15] = [4, 1, 3, 5, 16, 7, 64, 63, 65, 8, 66, 68, 12, 13, 128];
const LAYOUTS: [Layout; 3] = [Layout::Separate, Layout::OneBuffer, Layout::Aligned];
const SCALE: f32 = 0.5;

#[derive(Clone)]
struct Case {
    width: usize,
    z: Vec<f32>,
    classes: Vec<u32>,
    regions: Vec<u32>,
    temperature: f32,
    weight: f32,
}

struct Written {
    loss: Vec<f32>,
    anchors: Vec<f32>,
    per_row: Vec<f32>,
    dz: Vec<f32>,
}

/// f64 reference: each sample's loss and its number of positives, from the formula as it is published.
fn reference(case: &Case, z: &[f64]) -> Vec<(f64, usize)> {
    (0..case.samples()).map(|i| case.loss_of(i, z)).collect()
}

fn mean(losses: &[(f64, usize)]) -> f64 {
    let anchors = losses.iter().filter(|(_, positives)| *positives > 0).count();
    losses.iter().map(|(loss, _)| loss).sum::<f64>() / anchors.max(1) as f64
}

impl Case {
    /// Unit embeddings, four classes, three regions, some of them unknown.
    fn new(samples: usize, width: usize) -> Self {
        let mut random = Random((samples * 40_009 + width) as u64);
        let z = (0..samples).flat_map(|_| unit(random.f32s(width))).collect();
        let mut ids = |n| (0..samples).map(|i| if i % 11 == 7 { IGNORE } else { random.below(n) }).collect();
        let (classes, mut regions): (_, Vec<u32>) = (ids(4), ids(3));
        regions.rotate_left(samples.min(3) - 1);
        Self { width, z, classes, regions, temperature: 0.2, weight: 2.5 }
    }

    fn samples(&self) -> usize {
        self.classes.len()
    }

    /// Others of the same class in another region, and others of another class with their weights.
    fn partners(&self, i: usize) -> (Vec<usize>, Vec<(usize, f64)>) {
        let knows = |k: usize| self.classes[k] != IGNORE && self.regions[k] != IGNORE;
        let known: Vec<_> = (0..self.samples()).filter(|&j| knows(i) && knows(j)).collect();
        let (same, other): (Vec<usize>, Vec<usize>) =
            known.into_iter().partition(|&j| self.classes[i] == self.classes[j]);
        let is_near = |j: usize| self.regions[i] == self.regions[j];
        let weight = |j: usize| (j, if is_near(j) { f64::from(self.weight) } else { 1.0 });
        (same.into_iter().filter(|&j| !is_near(j)).collect(), other.into_iter().map(weight).collect())
    }

    fn exponent(&self, i: usize, j: usize, z: &[f64]) -> f64 {
        let [a, b] = [i, j].map(|k| &z[k * self.width..][..self.width]);
        a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / f64::from(self.temperature)
    }

    /// e^709 is the largest that f64 holds: temperatures down to 0.002 fit.
    fn exponential(&self, i: usize, j: usize, z: &[f64]) -> f64 {
        self.exponent(i, j, z).exp()
    }

    fn loss_of(&self, i: usize, z: &[f64]) -> (f64, usize) {
        let (positives, negatives) = self.partners(i);
        let of_positives: f64 = positives.iter().map(|&p| self.exponential(i, p, z)).sum();
        let of_negatives: f64 = negatives.iter().map(|&(n, w)| w * self.exponential(i, n, z)).sum();
        let log_all = (of_positives + of_negatives).ln();
        let sum: f64 = positives.iter().map(|&p| -(self.exponent(i, p, z) - log_all)).sum();
        (sum / positives.len().max(1) as f64, positives.len())
    }

    /// f64 gradient of `SCALE · loss`, anchor by anchor, and the sum of its terms' magnitudes.
    fn gradient(&self) -> (Vec<f64>, Vec<f64>) {
        let z = wide(&self.z);
        let (mut dz, mut magnitude) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        let anchors = reference(self, &z).iter().filter(|(_, positives)| *positives > 0).count();
        let factor = f64::from(SCALE) / anchors.max(1) as f64 / f64::from(self.temperature);
        for i in 0..self.samples() {
            let (positives, negatives) = self.partners(i);
            if positives.is_empty() {
                continue;
            }
            let inverse = 1.0 / positives.len() as f64;
            let pairs = positives
                .iter()
                .map(|&p| (p, 1.0, inverse))
                .chain(negatives.iter().map(|&(n, w)| (n, w, 0.0)));
            let shares: Vec<_> =
                pairs.map(|(j, w, drawn)| (j, w * self.exponential(i, j, &z), drawn)).collect();
            let all: f64 = shares.iter().map(|(_, share, _)| share).sum();
            for (j, share, drawn) in shares {
                for (to, from) in [(i, j), (j, i)] {
                    for d in 0..self.width {
                        let value = factor * z[from * self.width + d];
                        dz[to * self.width + d] += (share / all - drawn) * value;
                        magnitude[to * self.width + d] += (share / all + drawn) * value.abs();
                    }
                }
            }
        }
        (dz, magnitude)
    }

    /// Bound on an exponent, two dots apart: a product, a sum of `width` and a factor.
    fn exponent_bound(&self) -> f64 {
        sum_bound(self.width + 2, 1.0) / f64::from(self.temperature)
    }

    /// Bound on a sample's loss. A lane adds a term each 64 others and brings its sum to the largest exponent (2e-7 each
    /// time, numeric.wgsl); sixteen lanes meet, and a logarithm follows. Σ_P a sums numbers up to 1/t in as many steps.
    fn loss_bound(&self) -> f64 {
        let steps = self.samples().div_ceil(64) as f64 + 22.0;
        2.0 * self.exponent_bound() + steps * (2.6e-7 + 6e-8 / f64::from(self.temperature)) + 1.2e-6
    }

    /// Bounds on the gradient: those of the shares, each an exponential of three numbers, and of a sum over all pairs.
    fn gradient_bounds(&self, magnitude: &[f64]) -> Vec<f64> {
        let of_one = self.loss_bound() + 2.0 * self.exponent_bound() + 1e-6;
        magnitude.iter().map(|m| m * (of_one + sum_bound(self.samples() + 8, 1.0)) + 1e-12).collect()
    }

    /// `dz` is added to where `held` is given.
    fn run(&self, gpu: &'static Gpu, layout: Layout, held: Option<&[f32]>) -> Written {
        let samples = self.samples() as u32;
        let shape = [samples, 1, self.width as u32];
        let mut t = Tensors::new(gpu, layout);
        let z = t.f32(shape, &self.z);
        let [classes, regions] = [&self.classes, &self.regions].map(|ids| t.u32([samples, 1, 1], ids));
        let [loss, anchors] = [(); 2].map(|()| t.poisoned([1, 1, 1]));
        let per_row = t.poisoned([samples, 1, 1]);
        let dz = held.map(|held| t.f32(shape, held)).unwrap_or_else(|| t.poisoned(shape));
        let numbers = (self.temperature, self.weight);
        let args = AntiShortcut {
            per_row: Some(t.view(per_row)),
            anchors: Some(t.view(anchors)),
            dz: Some(t.view(dz)),
            scale: SCALE,
            mode: held.map_or(Mode::Overwrite, |_| Mode::Accumulate),
            ..AntiShortcut::new(t.view(z), t.view(classes), t.view(regions), numbers, t.view(loss))
        };
        t.run(|recorder| anti_shortcut(recorder, &args)).unwrap();
        let [loss, anchors, per_row, dz] = [loss, anchors, per_row, dz].map(|tensor| t.read(tensor));
        Written { loss, anchors, per_row, dz }
    }

    fn twin(&self) -> gtca::loss::twin::Loss {
        let numbers = (self.temperature, self.weight);
        twin::anti_shortcut(&self.z, self.width, [&self.classes, &self.regions], numbers, SCALE)
    }

    fn check(&self, gpu: &'static Gpu, layout: Layout) {
        let written = self.run(gpu, layout, None);
        let twin = self.twin();
        let losses = reference(self, &wide(&self.z));
        let anchors = losses.iter().filter(|(_, positives)| *positives > 0).count();
        let per_row: Vec<_> = losses.iter().map(|(loss, _)| *loss).collect();
        let bound = self.loss_bound();
        assert_eq!(written.anchors, [anchors as f32]);
        assert_near("per row", &written.per_row, &per_row, bound);
        assert_near("per row of the twin", &twin.per_row, &per_row, bound);
        let mean_bound = bound + 2.0 * sum_bound(256 + self.samples() / 256, mean(&losses));
        assert_near("loss", &written.loss, &[mean(&losses)], mean_bound);
        assert_near("loss of the twin", &[twin.value], &[mean(&losses)], mean_bound);
        let (dz, magnitude) = self.gradient();
        let bounds = self.gradient_bounds(&magnitude);
        assert_close("dz", &written.dz, &dz, &bounds);
        assert_close("dz of the twin", &twin.gradients[0], &dz, &bounds);
    }
}

fn unit(row: Vec<f32>) -> Vec<f32> {
    let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / length).collect()
}

#[test]
fn losses_and_gradients_match_the_reference_at_every_edge() {
    let Some(gpu) = gpu() else { return };
    for (i, samples) in SAMPLES.into_iter().enumerate() {
        // Each count of samples meets two widths, in turn; every layout meets every second.
        for (k, width) in [WIDTHS[i], WIDTHS[(i * 4 + 7) % WIDTHS.len()]].into_iter().enumerate() {
            for layout in [LAYOUTS[(i + k) % 3], LAYOUTS[(i + k + 1) % 3]] {
                Case::new(samples, width).check(gpu, layout);
            }
        }
    }
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    for (samples, width, layout) in
        [(9, 4, Layout::Separate), (23, 3, Layout::OneBuffer), (70, 2, Layout::OneBuffer)]
    {
        let case = Case::new(samples, width);
        let of = |z: &[f64]| f64::from(SCALE) * mean(&reference(&case, z));
        let differences = central_differences(&wide(&case.z), 1e-5, of);
        assert_near("dz", &case.run(gpu, layout, None).dz, &differences, 1e-6);
    }
}

/// The most columns; so wide that a run of others is one tile, and sums go on from run to run.
#[test]
fn others_in_many_runs_are_summed_whole() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(66, 32_768);
    case.check(gpu, Layout::Separate);
    assert_same_bits(
        "dz",
        &case.run(gpu, Layout::Separate, None).dz,
        &case.run(gpu, Layout::OneBuffer, None).dz,
    );
}

#[test]
fn cold_temperatures_and_heavy_neighbours_keep_the_bounds() {
    let Some(gpu) = gpu() else { return };
    for (temperature, weight) in [(0.01, 1.0), (0.002, 1e4), (50.0, 1e6), (1.0, 1.0)] {
        for layout in LAYOUTS {
            Case { temperature, weight, ..Case::new(65, 8) }.check(gpu, layout);
        }
    }
}

#[test]
fn equal_and_opposite_embeddings_keep_the_bounds() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case { temperature: 0.01, ..Case::new(80, 4) };
    for (i, row) in case.z.chunks_exact_mut(4).enumerate() {
        let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
        row.copy_from_slice(&[0.5 * sign; 4]);
    }
    LAYOUTS.iter().for_each(|layout| case.check(gpu, *layout));
}

#[test]
fn samples_without_positives_count_nowhere_but_as_negatives() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(40, 8);
    // One region: all of a class are left out. As many classes as samples: all are negatives.
    for (classes, regions) in
        [(vec![1; 40], vec![2; 40]), ((0..40).collect(), vec![2; 40]), (vec![IGNORE; 40], vec![2; 40])]
    {
        (case.classes, case.regions) = (classes, regions);
        let written = case.run(gpu, Layout::OneBuffer, None);
        assert_eq!((&written.loss[..], &written.anchors[..]), (&[0.0][..], &[0.0][..]));
        assert!(written.per_row.iter().chain(&written.dz).all(|x| *x == 0.0));
    }
    // Two of a class in two regions among negatives: they alone have a loss, and the others are pushed away.
    case.classes = (0..40).map(|i| if i == 17 { 3 } else { i }).collect();
    case.regions = (0..40).map(|i| i % 5).collect();
    let written = case.run(gpu, Layout::Separate, None);
    assert_eq!(written.anchors, [2.0]);
    assert!(written.per_row.iter().enumerate().all(|(i, loss)| (*loss != 0.0) == [3, 17].contains(&i)));
    assert!(written.dz.chunks(8).all(|row| row.iter().any(|x| *x != 0.0)));
    case.check(gpu, Layout::OneBuffer);
}

#[test]
fn unknown_classes_and_regions_take_no_part() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(70, 8);
    let takes_part = |i: &usize| case.classes[*i] != IGNORE && case.regions[*i] != IGNORE;
    let unknown: Vec<_> = (0..70).filter(|i| !takes_part(i)).collect();
    assert!(!unknown.is_empty());
    let written = case.run(gpu, Layout::Separate, None);
    for i in unknown {
        assert!(written.per_row[i] == 0.0 && written.dz[i * 8..][..8].iter().all(|x| *x == 0.0));
        case.z[i * 8..][..8].fill(1.0);
    }
    let moved = case.run(gpu, Layout::Separate, None);
    assert_same_bits("loss", &written.loss, &moved.loss);
    assert_same_bits("dz", &written.dz, &moved.dz);
}

#[test]
fn positives_without_negatives_compete_among_themselves() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(12, 8);
    (case.classes, case.regions) = (vec![1; 12], (0..12).collect());
    case.check(gpu, Layout::OneBuffer);
    let written = case.run(gpu, Layout::OneBuffer, None);
    assert!(written.per_row.iter().all(|loss| f64::from(*loss) >= 11f64.ln() - case.loss_bound()));
}

#[test]
fn a_neighbour_of_another_class_weighs_more_than_a_far_one() {
    let Some(gpu) = gpu() else { return };
    // A sample, its positive far away, and a negative: near, then far.
    let mut case = Case::new(3, 2);
    case.z = vec![1.0, 0.0, 0.0, 1.0, 0.6, 0.8];
    case.classes = vec![0, 0, 1];
    let [near, far] = [0, 2].map(|region| {
        case.regions = vec![0, 1, region];
        case.check(gpu, Layout::Separate);
        case.run(gpu, Layout::Separate, None)
    });
    assert!(near.per_row[0] > far.per_row[0] && near.per_row[1] == far.per_row[1]);
}

#[test]
fn twenty_repeats_and_every_layout_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for width in [8, 9] {
        let case = Case::new(150, width);
        let first = case.run(gpu, Layout::Separate, None);
        for repeat in 0..20 {
            let again = case.run(gpu, LAYOUTS[repeat % 3], None);
            assert_same_bits("loss", &first.loss, &again.loss);
            assert_same_bits("per row", &first.per_row, &again.per_row);
            assert_same_bits("dz", &first.dz, &again.dz);
        }
    }
}

#[test]
fn accumulating_adds_to_what_is_there() {
    let Some(gpu) = gpu() else { return };
    for (width, layout) in [(8, Layout::Aligned), (9, Layout::OneBuffer)] {
        let case = Case::new(130, width);
        let held = Random(3).f32s(130 * width);
        let plain = case.run(gpu, layout, None).dz;
        let added = case.run(gpu, layout, Some(&held)).dz;
        let sums: Vec<f64> = plain.iter().zip(&held).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
        let (_, magnitude) = case.gradient();
        let bounds: Vec<_> = magnitude.iter().map(|m| sum_bound(140, m + 1.0)).collect();
        assert_close("dz", &added, &sums, &bounds);
    }
}

#[test]
fn no_samples_give_zero() {
    let Some(gpu) = gpu() else { return };
    let empty = Case { z: Vec::new(), classes: Vec::new(), regions: Vec::new(), ..Case::new(1, 3) };
    let written = empty.run(gpu, Layout::OneBuffer, None);
    assert_eq!((&written.loss[..], &written.anchors[..]), (&[0.0][..], &[0.0][..]));
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let z = t.f32([4, 1, 2], &[0.5; 8]);
    let [classes, regions] = [(); 2].map(|()| t.u32([4, 1, 1], &[0, 1, 0, 1]));
    let (loss, dz) = (t.poisoned([1, 1, 1]), t.poisoned([4, 1, 2]));
    let [z, classes, regions, loss_view, dz] = [z, classes, regions, loss, dz].map(|tensor| t.view(tensor));
    let good = AntiShortcut { dz: Some(dz), ..AntiShortcut::new(z, classes, regions, (0.1, 2.0), loss_view) };
    let message =
        |args: AntiShortcut<'_>| t.run(|recorder| anti_shortcut(recorder, &args)).unwrap_err().to_string();
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-42] {
        assert!(message(AntiShortcut { temperature, ..good }).contains("`temperature`"));
    }
    for weight in [0.5, f32::NAN, f32::INFINITY] {
        assert!(message(AntiShortcut { weight, ..good }).contains("`weight`"));
    }
    assert!(message(AntiShortcut { scale: f32::NAN, ..good }).contains("`scale`"));
    assert!(message(AntiShortcut { classes: loss_view, ..good }).contains("`classes`"));
    assert!(message(AntiShortcut { regions: z, ..good }).contains("`regions`"));
    assert!(message(AntiShortcut { loss: z, ..good }).contains("`loss`"));
    assert!(message(AntiShortcut { per_row: Some(loss_view), ..good }).contains("`per_row`"));
    assert!(message(AntiShortcut { anchors: Some(dz), ..good }).contains("`anchors`"));
    assert!(message(AntiShortcut { dz: Some(loss_view), ..good }).contains("`dz`"));
    assert!(message(AntiShortcut { dz: Some(z), ..good }).contains("overlap"));
    assert!(message(AntiShortcut { z: z.columns(0, 0), ..good }).contains("`z` is 0 wide"));
    assert_eq!(t.read(loss)[0].to_bits(), POISON, "nothing may have been recorded");
}

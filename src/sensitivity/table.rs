//! The sums on the host, and what they say.

use super::twin::compare;
use super::{OP, Probe, ProbeDesc};
use crate::Error;
use crate::common::cells::{cells_from_words, restore, store, wrong_length};
use crate::common::measure::{
    BINS, CHANGE_BINS, Mean, ReliabilityBin, bins_from_cells, change_bin, change_edge, ece, ratio,
};
use crate::common::sum64::{Units, logit_units, measure_units};

const COUNT: usize = 0;
const INVALID: usize = 1;
const FLIPS: usize = 2;
const LABELLED: usize = 3;
const CORRECT: usize = 4;
const CLAMPED: usize = 5;
const KL: usize = 6;
const JS: usize = 7;
const TV: usize = 8;
const TOP_CHANGE: usize = 9;
const TOP_CHANGE_ABS: usize = 10;
const ENTROPY_CHANGE: usize = 11;
const LOGIT_CHANGE: usize = 12;
const NLL: usize = 13;
const BRIER: usize = 14;
const CORRECT_BEFORE: usize = 15;
const BROKEN: usize = 16;
const FIRST_BIN: usize = 17;
const FIRST_CHANGE: usize = FIRST_BIN + 3 * BINS;
/// Cells of one [`Tally`].
pub(super) const SLOT_CELLS: usize = FIRST_CHANGE + CHANGE_BINS;
/// "gtcS" in ASCII, and the version of the words' layout.
const FORMAT: (u32, u32) = (0x5363_7467, 2);

/// Sums of changes by perturbation and group; equal sums are equal bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    desc: ProbeDesc,
    /// `[perturbation, slot, 126]`.
    cells: Vec<i64>,
}

/// One perturbation in one group of a [`Sensitivity`], or several added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    cells: [i64; SLOT_CELLS],
}

impl Sensitivity {
    /// No samples yet.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn new(desc: &ProbeDesc) -> Result<Self, Error> {
        let cells = Probe::new(desc)?.sums_words() as usize / 2;
        Ok(Self { desc: *desc, cells: vec![0; cells] })
    }

    /// From the sums of a [`Probe`], which somebody else has read back.
    ///
    /// ```
    /// use gtca::sensitivity::{Probe, ProbeDesc, Sensitivity};
    /// let desc = ProbeDesc { classes: 16, groups: 1, perturbations: 1 };
    /// let words = vec![0; Probe::new(&desc)?.sums_words() as usize];
    /// assert_eq!(Sensitivity::from_sums(desc, &words)?, Sensitivity::new(&desc)?);
    /// # Ok::<(), gtca::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Probe::new`]; another number of words than [`Probe::sums_words`].
    pub fn from_sums(desc: ProbeDesc, words: &[u32]) -> Result<Self, Error> {
        Self::whole(desc, cells_from_words(words))
    }

    fn whole(desc: ProbeDesc, cells: Vec<i64>) -> Result<Self, Error> {
        let wanted = Probe::new(&desc)?.sums_words() / 2;
        if cells.len() as u64 == wanted {
            Ok(Self { desc, cells })
        } else {
            Err(wrong_length("sensitivity", cells.len(), wanted))
        }
    }

    /// The stored form: a mark, the format version, classes, groups, perturbations, then two words a cell.
    pub fn to_words(&self) -> Vec<u32> {
        let ProbeDesc { classes, groups, perturbations } = self.desc;
        store(FORMAT.0, FORMAT.1, &[classes, groups, perturbations], &self.cells)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Another mark or version; cells that are missing or too many.
    pub fn from_words(words: &[u32]) -> Result<Self, Error> {
        let ([classes, groups, perturbations], cells) = restore("sensitivity", FORMAT, words)?;
        Self::whole(ProbeDesc { classes, groups, perturbations }, cells)
    }

    /// Adds one sample on the CPU, as the kernel does; `group` none or outside: without a group; a label that is no
    /// class: unlabelled.
    ///
    /// # Errors
    /// Logits of another width; a perturbation that is not there.
    pub fn add(
        &mut self,
        perturbation: u32,
        base: &[f32],
        variant: &[f32],
        label: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), Error> {
        let ProbeDesc { classes, groups, perturbations } = self.desc;
        if perturbation >= perturbations {
            let rule = format!("there are {perturbations}");
            return Err(Error::argument(OP, "perturbation", perturbation, rule, "count from 0"));
        }
        for (name, logits) in [("base", base), ("variant", variant)] {
            if logits.len() != classes as usize {
                let rule = format!("{classes} are required");
                let value = format!("{} wide", logits.len());
                return Err(Error::argument(OP, name, value, rule, "check the shapes"));
            }
        }
        let slot = group.unwrap_or(groups).min(groups);
        let at = (perturbation * (groups + 1) + slot) as usize * SLOT_CELLS;
        let label = label.filter(|label| *label < classes).map(|label| label as usize);
        tally(&mut self.cells[at..at + SLOT_CELLS], base, variant, label);
        Ok(())
    }

    /// Adds the sums of other samples or perturbations; exact, whatever the order.
    ///
    /// # Errors
    /// Other classes, groups or perturbations.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.desc != other.desc {
            let rule = format!("{:?} is required", self.desc);
            let value = format!("of {:?}", other.desc);
            return Err(Error::argument(OP, "other", value, rule, "merge what one probe measured"));
        }
        self.cells.iter_mut().zip(&other.cells).for_each(|(sum, more)| *sum += more);
        Ok(())
    }

    /// How many perturbations.
    pub fn perturbations(&self) -> u32 {
        self.desc.perturbations
    }

    /// How many groups, those without one not counted.
    pub fn groups(&self) -> u32 {
        self.desc.groups
    }

    /// One perturbation in one group; the id `groups` means the samples without a group. None beyond.
    pub fn group(&self, perturbation: u32, group: u32) -> Option<Tally> {
        let ProbeDesc { groups, perturbations, .. } = self.desc;
        let at = (perturbation as usize * (groups as usize + 1) + group as usize) * SLOT_CELLS;
        let is_there = perturbation < perturbations && group <= groups;
        is_there.then(|| Tally { cells: std::array::from_fn(|i| self.cells[at + i]) })
    }

    /// One perturbation over all samples, those without a group too. None beyond the last.
    pub fn overall(&self, perturbation: u32) -> Option<Tally> {
        let tallies = (0..=self.desc.groups).map(|group| self.group(perturbation, group));
        tallies.reduce(|sum, more| Some(sum?.plus(&more?))).flatten()
    }
}

/// What one pair adds.
fn tally(cells: &mut [i64], base: &[f32], variant: &[f32], label: Option<usize>) {
    let Some(moved) = compare(base, variant, label) else {
        cells[INVALID] += 1;
        return;
    };
    let mut add = |cell: usize, units: Units| {
        cells[cell] += i64::from(units.value);
        cells[CLAMPED] += i64::from(units.clamped);
    };
    let one = |yes: bool| Units { value: yes.into(), clamped: false };
    add(COUNT, one(true));
    add(FLIPS, one(moved.is_flip));
    add(KL, measure_units(moved.kl));
    add(JS, measure_units(moved.js));
    add(TV, measure_units(moved.tv));
    add(FIRST_CHANGE + change_bin(measure_units(moved.tv).value), one(true));
    add(TOP_CHANGE, measure_units(moved.top_change));
    add(TOP_CHANGE_ABS, measure_units(moved.top_change.abs()));
    add(ENTROPY_CHANGE, measure_units(moved.entropy_change));
    add(LOGIT_CHANGE, logit_units(moved.logit_change));
    if let (Some((nll, brier)), Some(label)) = (moved.scores, label) {
        let bin = FIRST_BIN + 3 * moved.bin;
        let is_correct = one(moved.prediction == label);
        add(LABELLED, one(true));
        add(CORRECT, is_correct);
        let was_correct = moved.base_prediction == label;
        add(CORRECT_BEFORE, one(was_correct));
        add(BROKEN, one(was_correct && moved.prediction != label));
        add(NLL, measure_units(nll));
        add(BRIER, measure_units(brier));
        add(bin, one(true));
        add(bin + 1, is_correct);
        add(bin + 2, measure_units(moved.confidence));
    }
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { cells: std::array::from_fn(|i| self.cells[i] + other.cells[i]) }
    }

    /// Pairs with finite logits: what the changes are over.
    pub fn count(&self) -> u64 {
        self.cells[COUNT] as u64
    }

    /// Pairs left out for a logit that is not finite.
    pub fn invalid(&self) -> u64 {
        self.cells[INVALID] as u64
    }

    /// Predictions that changed class.
    pub fn flips(&self) -> u64 {
        self.cells[FLIPS] as u64
    }

    /// Share of predictions that changed class.
    pub fn flip_rate(&self) -> Option<f64> {
        ratio(self.flips() as f64, self.count())
    }

    /// Counted pairs with a label: what accuracy, NLL, Brier and calibration are over.
    pub fn labelled(&self) -> u64 {
        self.cells[LABELLED] as u64
    }

    /// Values beyond their limits (±31; logits ±2,047), which entered the sums at the limit.
    pub fn clamped(&self) -> u64 {
        self.cells[CLAMPED] as u64
    }

    fn mean(&self, cell: usize) -> Mean {
        Mean::of_measure(self.cells[cell], self.count())
    }

    /// Mean KL(p‖q), nat.
    pub fn kl(&self) -> Mean {
        self.mean(KL)
    }

    /// Mean Jensen-Shannon divergence, nat, at most ln 2.
    pub fn js(&self) -> Mean {
        self.mean(JS)
    }

    /// Mean total variation, 0 to 1.
    pub fn tv(&self) -> Mean {
        self.mean(TV)
    }

    /// How many pairs have which total variation: bin b from [`change_edge`]`(b)` to below the next, the last with 1.
    pub fn tv_histogram(&self) -> [u64; CHANGE_BINS] {
        std::array::from_fn(|bin| self.cells[FIRST_CHANGE + bin] as u64)
    }

    /// The total variation that a share `q` of the pairs does not exceed, from the histogram, linear within a bin: off by
    /// at most the bin, which is a quarter of its lower edge or less (2⁻¹⁶·1.25 below that).
    pub fn tv_quantile(&self, q: f64) -> Option<f64> {
        let rank = q.clamp(0.0, 1.0) * self.count() as f64;
        let mut below = 0.0;
        for (bin, &count) in self.tv_histogram().iter().enumerate() {
            let here = count as f64;
            if count > 0 && below + here >= rank {
                let [from, to] = [bin, bin + 1].map(change_edge);
                return Some(from + (to - from) * (rank - below).max(0.0) / here);
            }
            below += here;
        }
        None
    }

    /// Mean change of the probability of the class first predicted.
    pub fn top_change(&self) -> Mean {
        self.mean(TOP_CHANGE)
    }

    /// Mean absolute change of the probability of the class first predicted.
    pub fn top_change_abs(&self) -> Mean {
        self.mean(TOP_CHANGE_ABS)
    }

    /// Mean change of entropy, nat.
    pub fn entropy_change(&self) -> Mean {
        self.mean(ENTROPY_CHANGE)
    }

    /// Mean of max |δ − mean δ| over the classes' logits.
    pub fn logit_change(&self) -> Mean {
        Mean::of_logits(self.cells[LOGIT_CHANGE], self.count())
    }

    /// Accuracy under the perturbed metadata.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.cells[CORRECT] as f64, self.labelled())
    }

    /// Accuracy under the recorded metadata, of the same pairs.
    pub fn accuracy_before(&self) -> Option<f64> {
        ratio(self.cells[CORRECT_BEFORE] as f64, self.labelled())
    }

    /// Predictions that were right and are wrong under the perturbed metadata.
    pub fn broken(&self) -> u64 {
        self.cells[BROKEN] as u64
    }

    /// Predictions that were wrong and are right under the perturbed metadata.
    pub fn fixed(&self) -> u64 {
        (self.cells[CORRECT] - self.cells[CORRECT_BEFORE] + self.cells[BROKEN]) as u64
    }

    /// Mean −log q of the label under the perturbed metadata, q clipped at 10⁻⁶; nat.
    pub fn nll(&self) -> Mean {
        Mean::of_measure(self.cells[NLL], self.labelled())
    }

    /// Mean Brier score under the perturbed metadata.
    pub fn brier(&self) -> Mean {
        Mean::of_measure(self.cells[BRIER], self.labelled())
    }

    /// Reliability diagram under the perturbed metadata, 15 bins.
    pub fn reliability(&self) -> [ReliabilityBin; BINS] {
        bins_from_cells(&self.cells[FIRST_BIN..])
    }

    /// Expected calibration error under the perturbed metadata.
    pub fn ece(&self) -> Option<f64> {
        ece(&self.reliability())
    }
}

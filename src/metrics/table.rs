//! The sums on the host, and what they say.

use super::twin::measure;
use super::{Meter, MeterDesc, OP, SLOT_CELLS};
use crate::Error;
use crate::common::cells::{cells_from_words, restore, store, wrong_length};
use crate::common::measure::{BINS, Mean, ReliabilityBin, bins_from_cells, ece, ratio, top_class};
use crate::common::sum64::measure_units;

const COUNT: usize = 0;
const INVALID: usize = 1;
const UNLABELLED: usize = 2;
const NLL: usize = 3;
const BRIER: usize = 4;
const FIRST_BIN: usize = 5;
/// "gtcM" in ASCII, and the version of the words' layout.
const FORMAT: (u32, u32) = (0x4d63_7467, 1);

/// Sums of labelled predictions by group; equal sums are equal bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    desc: MeterDesc,
    /// Slots of [`SLOT_CELLS`], then `[slot, label, prediction]`.
    cells: Vec<i64>,
}

/// One group of a [`Metrics`], or several added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetrics {
    classes: usize,
    head: Vec<i64>,
    confusion: Vec<i64>,
}

impl Metrics {
    /// No samples yet.
    ///
    /// # Errors
    /// As [`Meter::new`].
    pub fn new(desc: &MeterDesc) -> Result<Self, Error> {
        let cells = Meter::new(desc)?.sums_words() as usize / 2;
        Ok(Self { desc: *desc, cells: vec![0; cells] })
    }

    pub(super) fn from_sums(desc: MeterDesc, words: &[u32]) -> Result<Self, Error> {
        Self::whole(desc, cells_from_words(words))
    }

    fn whole(desc: MeterDesc, cells: Vec<i64>) -> Result<Self, Error> {
        let wanted = Meter::new(&desc)?.sums_words() / 2;
        if cells.len() as u64 == wanted {
            Ok(Self { desc, cells })
        } else {
            Err(wrong_length("metrics", cells.len(), wanted))
        }
    }

    /// The stored form: a mark, the format version, classes, groups, then two words a cell.
    pub fn to_words(&self) -> Vec<u32> {
        store(FORMAT.0, FORMAT.1, &[self.desc.classes, self.desc.groups], &self.cells)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Another mark or version; cells that are missing or too many.
    pub fn from_words(words: &[u32]) -> Result<Self, Error> {
        let ([classes, groups], cells) = restore("metrics", FORMAT, words)?;
        Self::whole(MeterDesc { classes, groups }, cells)
    }

    /// Adds one sample on the CPU, as the kernel does; `group` none or outside: without a group.
    ///
    /// # Errors
    /// Logits of another width.
    pub fn add(&mut self, logits: &[f32], label: u32, group: Option<u32>) -> Result<(), Error> {
        let MeterDesc { classes, groups } = self.desc;
        if logits.len() != classes as usize {
            let rule = format!("{classes} are required");
            let value = format!("{} wide", logits.len());
            return Err(Error::argument(OP, "logits", value, rule, "check the shapes"));
        }
        let slot = group.unwrap_or(groups).min(groups) as usize;
        let head = slot * SLOT_CELLS;
        if top_class(logits).is_none() {
            self.cells[head + INVALID] += 1;
            return Ok(());
        }
        let Some(measured) = (label < classes).then(|| measure(logits, label as usize)).flatten() else {
            self.cells[head + UNLABELLED] += 1;
            return Ok(());
        };
        let (classes, label) = (classes as usize, label as usize);
        let bin = head + FIRST_BIN + 3 * measured.bin;
        for (cell, value) in [
            (head + COUNT, 1),
            (head + NLL, measure_units(measured.nll).value),
            (head + BRIER, measure_units(measured.brier).value),
            (bin, 1),
            (bin + 1, i32::from(measured.prediction == label)),
            (bin + 2, measure_units(measured.confidence).value),
            (self.confusion_start() + (slot * classes + label) * classes + measured.prediction, 1),
        ] {
            self.cells[cell] += i64::from(value);
        }
        Ok(())
    }

    fn confusion_start(&self) -> usize {
        (self.desc.groups as usize + 1) * SLOT_CELLS
    }

    /// Adds the sums of other samples; exact, whatever the order.
    ///
    /// # Errors
    /// Other classes or groups.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.desc != other.desc {
            let rule = format!("{:?} is required", self.desc);
            let value = format!("of {:?}", other.desc);
            return Err(Error::argument(OP, "other", value, rule, "merge what one meter measured"));
        }
        self.cells.iter_mut().zip(&other.cells).for_each(|(sum, more)| *sum += more);
        Ok(())
    }

    /// How many groups, those without one not counted.
    pub fn groups(&self) -> u32 {
        self.desc.groups
    }

    /// One group; the id `groups` means the samples without a group. None beyond.
    pub fn group(&self, group: u32) -> Option<GroupMetrics> {
        (group <= self.desc.groups).then(|| self.slots(group as usize..group as usize + 1))
    }

    /// All samples, those without a group too.
    pub fn overall(&self) -> GroupMetrics {
        self.slots(0..self.desc.groups as usize + 1)
    }

    fn slots(&self, slots: std::ops::Range<usize>) -> GroupMetrics {
        let classes = self.desc.classes as usize;
        let (heads, confusions) = self.cells.split_at(self.confusion_start());
        let added = |cells: &[i64], width: usize| {
            let mut sum = vec![0; width];
            for slot in cells[slots.start * width..slots.end * width].chunks_exact(width) {
                sum.iter_mut().zip(slot).for_each(|(sum, cell)| *sum += cell);
            }
            sum
        };
        let (head, confusion) = (added(heads, SLOT_CELLS), added(confusions, classes * classes));
        GroupMetrics { classes, head, confusion }
    }
}

impl GroupMetrics {
    /// Labelled samples with finite logits: what every metric is over.
    pub fn count(&self) -> u64 {
        self.head[COUNT] as u64
    }

    /// Samples left out for a logit that is not finite.
    pub fn invalid(&self) -> u64 {
        self.head[INVALID] as u64
    }

    /// Samples left out for a label that is no class.
    pub fn unlabelled(&self) -> u64 {
        self.head[UNLABELLED] as u64
    }

    /// Samples of class `label` that were taken for `prediction`.
    pub fn confusion(&self, label: u32, prediction: u32) -> u64 {
        self.confusion[label as usize * self.classes + prediction as usize] as u64
    }

    /// Share rightly classified.
    pub fn accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|c| self.cell(c, c)).sum(), self.count())
    }

    fn cell(&self, label: usize, prediction: usize) -> f64 {
        self.confusion[label * self.classes + prediction] as f64
    }

    /// F1 of one class, 2·tp / (2·tp + fp + fn); none where the class is absent from the labels.
    pub fn f1(&self, class: u32) -> Option<f64> {
        let class = class as usize;
        let labelled: f64 = (0..self.classes).map(|c| self.cell(class, c)).sum();
        let predicted: f64 = (0..self.classes).map(|c| self.cell(c, class)).sum();
        (labelled > 0.0).then(|| 2.0 * self.cell(class, class) / (labelled + predicted))
    }

    /// Mean F1 of the classes present in the labels.
    pub fn macro_f1(&self) -> Option<f64> {
        let present: Vec<f64> = (0..self.classes as u32).filter_map(|class| self.f1(class)).collect();
        ratio(present.iter().sum(), present.len() as u64)
    }

    /// Mean −log p of the label, p clipped at 10⁻⁶; nat.
    pub fn nll(&self) -> Mean {
        Mean::of_measure(self.head[NLL], self.count())
    }

    /// Mean Brier score, 0 to 2.
    pub fn brier(&self) -> Mean {
        Mean::of_measure(self.head[BRIER], self.count())
    }

    /// Reliability diagram, 15 bins of equal width.
    pub fn reliability(&self) -> [ReliabilityBin; BINS] {
        bins_from_cells(&self.head[FIRST_BIN..])
    }

    /// Expected calibration error over the 15 bins.
    pub fn ece(&self) -> Option<f64> {
        ece(&self.reliability())
    }
}

//! Metrics of labelled predictions by group: confusion, accuracy, macro-F1, NLL, Brier, calibration.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | confusion[g, y, ŷ] += 1, ŷ = argmax (ties to the lowest) | `shaders/metrics/count.wgsl` | [`twin::measure`] |
//! | NLL = −log max(p_y, 10⁻⁶), Brier = Σ_c (p_c − \[c = y\])² | `shaders/metrics/count.wgsl` | [`twin::measure`] |
//! | bin min(⌊15 p_ŷ⌋, 14): count, correct, Σ p_ŷ | `shaders/metrics/count.wgsl` | [`twin::measure`] |
//!
//! Sums are 64-bit integers, reals in units of 2⁻²⁶ rounded half to even: any order, sharding or chunking of the
//! samples gives the same bits. They lie in one buffer of `u32` (two words a cell), which a batch overwrites or adds
//! to. [`Metrics`] holds them on the host, merges, and derives the rest.
//!
//! Sources: Guo et al. 2017 (ECE and reliability diagrams); Brier 1950. Tests: `tests/gpu/metrics.rs`.

mod gpu;
mod table;
pub mod twin;

pub(crate) use gpu::KERNELS;
pub use table::{GroupMetrics, Metrics};

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Mode, Recorder, View, check_overlap};

const OP: &str = "metrics";
/// One invocation reads every class twice.
const MAX_CLASSES: u32 = 29_900;
/// count, invalid, unlabelled, NLL, Brier, then three cells for each of 15 bins.
const SLOT_CELLS: usize = 50;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterDesc {
    /// Width of the logits; 2 to 29,900.
    pub classes: u32,
    /// How many groups, at least 1. A sample whose id is not below it counts as one without a group.
    pub groups: u32,
}

impl Default for MeterDesc {
    fn default() -> Self {
        Self { classes: 2, groups: 1 }
    }
}

/// A checked meter.
///
/// ```
/// use gtca::metrics::{Meter, MeterDesc};
/// let meter = Meter::new(&MeterDesc { classes: 16, groups: 4 }).unwrap();
/// assert_eq!(meter.sums_words(), 2 * 5 * (50 + 16 * 16)); // the fifth slot: samples without a group
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    desc: MeterDesc,
}

/// Arguments of [`Meter::record`].
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// `[S, classes]`. A sample with a logit that is not finite is left out and counted as invalid.
    pub logits: View<'a>,
    /// u32 `[S, 1]`; a label that is not below `classes` is left out and counted as unlabelled.
    pub labels: View<'a>,
    /// u32 `[S, 1]`, or none: all in group 0.
    pub groups: Option<View<'a>>,
    /// Written: u32 vector of [`Meter::sums_words`]; with [`Mode::Overwrite`] its buffer needs `COPY_DST`.
    pub sums: View<'a>,
    /// Whether the sums start from zero or from what is there.
    pub mode: Mode,
}

impl Meter {
    /// Checks the shape.
    ///
    /// # Errors
    /// Classes outside 2..=29,900; no group; a confusion matrix whose cells do not fit 32-bit addresses.
    pub fn new(desc: &MeterDesc) -> Result<Self, Error> {
        if !(2..=MAX_CLASSES).contains(&desc.classes) {
            let rule = format!("classes run from 2 to {MAX_CLASSES}");
            return Err(Error::argument(OP, "classes", desc.classes, rule, "merge classes"));
        }
        if desc.groups == 0 {
            return Err(Error::argument(OP, "groups", 0, "at least one is needed", "use 1 for all together"));
        }
        let meter = Self { desc: *desc };
        if meter.sums_words() > u64::from(u32::MAX) - 64 {
            let rule = "(groups + 1)·(50 + classes²) cells must fit 32-bit addresses";
            return Err(Error::argument(OP, "groups", desc.groups, rule, "measure fewer groups at a time"));
        }
        Ok(meter)
    }

    /// Words of the sums' buffer: (groups + 1)·(50 + classes²) cells of two.
    pub fn sums_words(&self) -> u64 {
        let classes = u64::from(self.desc.classes);
        (u64::from(self.desc.groups) + 1) * (SLOT_CELLS as u64 + classes * classes) * 2
    }

    /// A zeroed buffer for the sums.
    pub fn sums(&self, gpu: &Gpu) -> wgpu::Buffer {
        gpu.zeros("gtca metrics", self.sums_words() * 4)
    }

    /// The whole of such a buffer as a view.
    pub fn view<'a>(&self, sums: &'a wgpu::Buffer) -> View<'a> {
        View::vector(sums, self.sums_words() as u32).of(Dtype::U32)
    }

    /// Records the counting of one batch.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; sums that overlap an input or do not fit one binding.
    pub fn record(&self, recorder: &mut Recorder<'_>, args: &Args<'_>) -> Result<(), Error> {
        let rows = args.logits.rows();
        args.logits.check_rows(OP, "logits", Dtype::F32, rows, self.desc.classes)?;
        args.labels.check_rows(OP, "labels", Dtype::U32, rows, 1)?;
        let mut used = vec![
            ("logits", args.logits, Access::Read),
            ("labels", args.labels, Access::Read),
            ("sums", args.sums, Access::Write),
        ];
        if let Some(groups) = args.groups {
            groups.check_rows(OP, "groups", Dtype::U32, rows, 1)?;
            used.push(("groups", groups, Access::Read));
        }
        args.sums.check_cells(OP, "sums", self.sums_words(), recorder.gpu(), args.mode)?;
        check_overlap(OP, &used)?;
        if args.mode == Mode::Overwrite {
            recorder.clear(args.sums.buffer, args.sums.offset, self.sums_words() * 4);
        }
        gpu::count(self, recorder, args)
    }

    /// Submits a copy of the sums to the host and resolves to them.
    ///
    /// # Errors
    /// As [`Gpu::read_u32`].
    pub async fn read(&self, gpu: &Gpu, sums: &View<'_>) -> Result<Metrics, Error> {
        let words = gpu.read_u32(sums).await?;
        Metrics::from_sums(self.desc, &words)
    }
}

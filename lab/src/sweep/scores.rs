//! Logits to scores, through `gtca::metrics`.

use crate::Error;
use crate::report::{Bin, Scores};
use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::metrics::{self, Meter, MeterDesc};

/// Scores and reliability diagram of logits `[rows, classes]`.
///
/// # Errors
/// The GPU's.
pub fn score(gpu: &Gpu, logits: &[f32], labels: &[u32]) -> Result<(Scores, Vec<Bin>), Error> {
    let (rows, classes) = (labels.len() as u32, (logits.len() / labels.len()) as u32);
    let meter = Meter::new(&MeterDesc { classes, groups: 1 })?;
    let (logits, labels, sums) =
        (gpu.upload("logits", logits), gpu.upload("labels", labels), meter.sums(gpu));
    let mut encoder = gpu.encoder();
    let args = metrics::Args {
        logits: View::matrix(&logits, rows, classes),
        labels: View::matrix(&labels, rows, 1).of(Dtype::U32),
        groups: None,
        sums: meter.view(&sums),
        mode: Mode::Overwrite,
    };
    meter.record(&mut gpu.recorder(&mut encoder), &args)?;
    gpu.submit(encoder)?;
    let counted = pollster::block_on(meter.read(gpu, &meter.view(&sums)))?.overall();
    let scores = Scores {
        accuracy: counted.accuracy().unwrap_or(0.0),
        macro_f1: counted.macro_f1().unwrap_or(0.0),
        nll: counted.nll().value().unwrap_or(0.0),
        ece: counted.ece().unwrap_or(0.0),
    };
    let bin = |bin: &gtca::common::measure::ReliabilityBin| Bin {
        count: bin.count,
        accuracy: bin.correct as f64 / bin.count.max(1) as f64,
        confidence: bin.confidence_units as f64 / f64::from(1 << 26) / bin.count.max(1) as f64,
    };
    Ok((scores, counted.reliability().iter().map(bin).collect()))
}

//! What a scheme is: one file here, one WGSL function of the same name, one row of the table in [`super::plan`].

use crate::Error;
use crate::common::phase::sincos_turns;
use crate::common::season::TimeFields;
use crate::records::{Field, Fields, RECORD_WORDS, Records};

/// One record as schemes read it.
pub(super) struct Sample {
    /// The fields that are known and possible.
    pub fields: Fields,
    /// Those of them that tell the time.
    pub time: TimeFields,
    words: [u32; RECORD_WORDS as usize],
}

impl Sample {
    pub(super) fn new(records: &Records, sample: usize) -> Self {
        let fields = records.possible_fields(sample);
        let mut time = records.time(sample);
        time.valid = fields & Fields::DATE;
        Self { fields, time, words: records.record_words(sample) }
    }

    /// Whether the record has all these fields.
    pub(super) fn has(&self, fields: impl Into<Fields>) -> bool {
        let fields = fields.into();
        self.fields & fields == fields
    }

    /// The word of a one-word field.
    pub(super) fn word(&self, field: Field) -> u32 {
        self.words[field.info().word as usize]
    }

    /// The value of a two-word field.
    pub(super) fn wide(&self, field: Field) -> u64 {
        let at = field.info().word as usize;
        u64::from(self.words[at]) | (u64::from(self.words[at + 1]) << 32)
    }
}

/// What the CPU twin of a scheme works with.
pub(super) struct Given<'a> {
    /// [`Scheme::constants`].
    pub constants: &'a [f32],
    /// The missing vector, and the table after it.
    pub learned: &'a [f32],
}

/// An encoding scheme with its parameters.
pub(super) trait Scheme {
    /// Number of its WGSL function, `OPCODE_…` in `shaders/encode/block.wgsl`.
    fn opcode(&self) -> u32;

    /// The stem of its column names.
    fn name(&self) -> &'static str;

    /// Refuses parameters out of range.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Names of its features, in order.
    fn features(&self) -> Vec<String>;

    /// The fields that it reads.
    fn fields(&self) -> Fields;

    /// One number for the kernel.
    fn parameter(&self) -> u32 {
        0
    }

    /// Numbers made in f64 for the kernel.
    fn constants(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Whether missing inputs give a learned vector; else what the scheme says.
    fn is_learned(&self) -> bool {
        true
    }

    /// Whether a validity column follows.
    fn has_validity(&self) -> bool {
        true
    }

    /// Rows of its learned table.
    fn table_rows(&self) -> u32 {
        0
    }

    /// The CPU twin: writes the features. Gives 1 + the row of the table that it used (1 where there is none), or none
    /// where an input is missing.
    fn encode(&self, sample: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32>;
}

/// Names of harmonics: sines, then cosines.
pub(super) fn wave_names(of: impl IntoIterator<Item = u32> + Clone) -> Vec<String> {
    let sines = of.clone().into_iter().map(|k| format!("sin{k}"));
    sines.chain(of.into_iter().map(|k| format!("cos{k}"))).collect()
}

/// Sines, then cosines, of phases.
pub(super) fn put_waves(out: &mut [f32], turns: impl ExactSizeIterator<Item = u32>) {
    let count = turns.len();
    for (k, turns) in turns.enumerate() {
        [out[k], out[count + k]] = sincos_turns(turns);
    }
}

/// Sines, then cosines, of harmonics 1..=count.
pub(super) fn put_harmonics(out: &mut [f32], turns: u32, count: u32) {
    put_waves(out, (0..count).map(|k| turns.wrapping_mul(k + 1)));
}

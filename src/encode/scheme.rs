//! What a scheme is: one file of `schemes/`, one row of the table in [`super::plan`], and either waves or a WGSL function
//! of the same name.

use super::OP;
use super::source::Source;
use super::waves::{Order, Wave, Waves};
use crate::Error;
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
    /// [`Scheme::own_parameters`], as they are learned.
    pub own: &'a [f32],
    /// [`Scheme::source`] of this row, where it is known.
    pub number: Option<i64>,
}

/// What multiplies a published encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// A constant.
    Fixed(f32),
    /// A learned number with this initial value; it lies in the arena.
    Learned(f32),
}

impl Scale {
    /// The constant, or the initial value.
    pub fn value(self) -> f32 {
        match self {
            Self::Fixed(value) | Self::Learned(value) => value,
        }
    }
}

/// An encoding scheme with its parameters. One made of waves says which; others have a WGSL function of their own.
pub(super) trait Scheme {
    /// The stem of its column names.
    fn name(&self) -> &'static str;

    /// Refuses parameters out of range.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The waves that it consists of.
    fn waves(&self) -> Option<Waves> {
        None
    }

    /// Number of its WGSL function, `OPCODE_…` in `shaders/encode/block.wgsl`.
    fn opcode(&self) -> u32 {
        OPCODE_WAVES
    }

    /// Names of its features, in order.
    fn features(&self) -> Vec<String> {
        (0..self.waves().map_or(0, |waves| waves.width())).map(|j| j.to_string()).collect()
    }

    /// The fields that it reads.
    fn fields(&self) -> Fields {
        self.waves().map_or(Fields::NONE, |waves| waves.fields())
    }

    /// One number for the kernel.
    fn parameter(&self) -> u32 {
        0
    }

    /// The number that tells the row of its table, where it reads one.
    fn source(&self) -> Option<Source> {
        None
    }

    /// Whether the missing vector is added to every row of the table.
    fn shares_missing(&self) -> bool {
        true
    }

    /// Numbers made in f64 for the kernel.
    fn constants(&self) -> Vec<f32> {
        Vec::new()
    }

    /// Whether missing inputs give a learned vector; else zeros.
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

    /// Initial values of learned parameters that are neither a missing vector nor a table: its scale, or what its
    /// features need.
    fn own_parameters(&self) -> Vec<f32> {
        match self.scale() {
            Some(Scale::Learned(initial)) => vec![initial],
            _ => Vec::new(),
        }
    }

    /// The learned scale of all its waves.
    fn scale(&self) -> Option<Scale> {
        None
    }

    /// The CPU twin of a scheme that is not made of waves: writes the features. Gives 1 + the row of the table that it
    /// used (1 where there is none), or none where an input is missing.
    fn encode(&self, _: &Sample, _: &Given<'_>, _: &mut [f32]) -> Option<u32> {
        None
    }
}

/// `OPCODE_WAVES` in `shaders/encode/block.wgsl`.
pub(super) const OPCODE_WAVES: u32 = 2;

/// Refuses a width that is no positive multiple of so many columns, or too large for the loops of kernels.
pub(super) fn check_width(width: u32, multiple: u32) -> Result<(), Error> {
    if (1..=16_384).contains(&width) && width.is_multiple_of(multiple) {
        return Ok(());
    }
    let rule = format!("it must be a positive multiple of {multiple}, at most 16,384");
    Err(Error::argument(OP, "width", width, rule, "take another width"))
}

/// An angular frequency in turns.
pub(super) fn per_turn(radians: f64) -> f64 {
    radians / std::f64::consts::TAU
}

/// `sin, cos(source·base^(−2i/width))`, i = 0..width/2.
pub(super) fn interleaved(of: Source, base: f64, width: u32) -> Waves {
    let omega = |i: u32| base.powf(-2.0 * f64::from(i) / f64::from(width));
    let waves = (0..width / 2).map(|i| Wave::new(of, per_turn(omega(i))));
    Waves::new().ladder(Order::Interleaved, 1.0, waves)
}

/// Harmonics 1..=count of a number in turns: sines, then cosines.
pub(super) fn harmonics(of: Source, count: u32) -> Waves {
    Waves::new().ladder(Order::Split, 1.0, (1..=count).map(|k| Wave::new(of, k.into())))
}

/// Names of harmonics: sines, then cosines.
pub(super) fn wave_names(of: impl IntoIterator<Item = u32> + Clone) -> Vec<String> {
    let sines = of.clone().into_iter().map(|k| format!("sin{k}"));
    sines.chain(of.into_iter().map(|k| format!("cos{k}"))).collect()
}

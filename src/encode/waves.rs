//! Encodings made of waves: every feature is `amplitude · sin(phase)`, a product of two such sines, or a linear map of one
//! number. All published sin/cos schemes are lists of them; `shaders/encode/waves.wgsl` runs any list.

use super::scheme::Sample;
use super::source::{Source, Token};
use crate::common::fixed64::{f32_from_i64, wave_turns};
use crate::common::phase::sincos_turns;
use crate::records::Fields;

/// Words before the list of numbers; `PROGRAM_WORDS` in `shaders/encode/waves.wgsl`.
const PROGRAM_WORDS: usize = 4;
/// Words of a ladder; `LADDER_WORDS` there.
const LADDER_WORDS: u32 = 9;
/// Waves of one invocation of `shaders/encode/ladders.wgsl`.
const UNIT_WAVES: usize = 16;
/// No source, no offset.
const NONE: u32 = u32::MAX;
/// With it, linear maps of any number stay below 2³¹.
const MAX_BIAS: f64 = 1_073_741_824.0;
/// Flags of a program; `ZERO_…` there.
const ZERO_BY_COLUMN: u32 = 1;

/// A phase in turns: `Σ frequency · number + offset`; frequencies in turns per natural unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    terms: Vec<(Source, f64)>,
    offset: f64,
}

impl Wave {
    /// `turns_per_unit · source`.
    pub fn new(source: Source, turns_per_unit: f64) -> Self {
        Self { terms: vec![(source, turns_per_unit)], offset: 0.0 }
    }

    /// A further number in the phase: two at most in a ladder, eight in a product.
    #[must_use]
    pub fn plus(mut self, source: Source, turns_per_unit: f64) -> Self {
        self.terms.push((source, turns_per_unit));
        self
    }

    /// The phase moved by so many turns.
    #[must_use]
    pub fn offset(mut self, turns: f64) -> Self {
        self.offset += turns;
        self
    }

    /// Its cosine: a quarter turn further on.
    #[must_use]
    pub fn cos(self) -> Self {
        self.offset(0.25)
    }

    fn offset_turns(&self) -> u32 {
        // Rounded in f64 first: a quarter stays a quarter.
        (self.offset.rem_euclid(1.0) * 4_294_967_296.0).round() as u64 as u32
    }
}

/// Order of a ladder's sines and cosines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// `sin … sin | cos … cos`.
    Split,
    /// `cos … cos | sin … sin`.
    CosFirst,
    /// `sin, cos, sin, cos …`.
    Interleaved,
}

#[derive(Clone, Debug, PartialEq)]
struct Ladder {
    at: u32,
    order: Order,
    amplitude: f32,
    waves: Vec<Wave>,
}

#[derive(Clone, Debug, PartialEq)]
enum Feature {
    /// `amplitude · Π sin`, over one or two waves.
    Product(Vec<Wave>),
    /// `scale · source + bias`.
    Linear(Source, f64, f64),
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    at: u32,
    amplitude: f32,
    feature: Feature,
}

/// A list of waves, in the order of their columns.
///
/// ```
/// use gtca::encode::{Order, Source, Wave, Waves};
/// // sin and cos of longitude, then of its double.
/// let lon = |k: f64| Wave::new(Source::LonDeg, k / 360.0);
/// let waves = Waves::new().ladder(Order::Interleaved, 1.0, [lon(1.0), lon(2.0)]);
/// assert_eq!(waves.width(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waves {
    ladders: Vec<Ladder>,
    columns: Vec<Column>,
    width: u32,
    zero_by_column: bool,
}

impl Waves {
    /// No column yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A missing number makes only those columns 0 that read it; otherwise the whole block.
    #[must_use]
    pub fn zero_by_column(mut self) -> Self {
        self.zero_by_column = true;
        self
    }

    /// Sines and cosines of several waves that read the same numbers.
    #[must_use]
    pub fn ladder(mut self, order: Order, amplitude: f32, waves: impl IntoIterator<Item = Wave>) -> Self {
        let waves: Vec<_> = waves.into_iter().collect();
        let at = self.width;
        self.width += 2 * waves.len() as u32;
        self.ladders.push(Ladder { at, order, amplitude, waves });
        self
    }

    /// One column: `amplitude · Π sin(wave)` of one or two waves.
    #[must_use]
    pub fn product(mut self, amplitude: f32, waves: impl IntoIterator<Item = Wave>) -> Self {
        let feature = Feature::Product(waves.into_iter().collect());
        self.columns.push(Column { at: self.width, amplitude, feature });
        self.width += 1;
        self
    }

    /// One column: `scale · source + bias`, rounded once; the scale below that of a wave, the bias within 2³⁰.
    #[must_use]
    pub fn linear(mut self, source: Source, scale: f64, bias: f64) -> Self {
        let feature = Feature::Linear(source, scale, bias);
        self.columns.push(Column { at: self.width, amplitude: 1.0, feature });
        self.width += 1;
        self
    }

    /// The columns of another list after these.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        let moved = |at: u32| at + self.width;
        self.ladders
            .extend(other.ladders.into_iter().map(|ladder| Ladder { at: moved(ladder.at), ..ladder }));
        self.columns
            .extend(other.columns.into_iter().map(|column| Column { at: moved(column.at), ..column }));
        self.width += other.width;
        self
    }

    /// The same waves of another number, which counts in the same unit.
    #[must_use]
    pub fn reading(mut self, of: Source, instead: Source) -> Self {
        let swap = |source: &mut Source| {
            if *source == of {
                *source = instead;
            }
        };
        for wave in self.all_waves_mut() {
            wave.terms.iter_mut().for_each(|(source, _)| swap(source));
        }
        for column in &mut self.columns {
            if let Feature::Linear(source, ..) = &mut column.feature {
                swap(source);
            }
        }
        self
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    fn all_waves_mut(&mut self) -> impl Iterator<Item = &mut Wave> {
        let of_columns = self.columns.iter_mut().filter_map(|column| match &mut column.feature {
            Feature::Product(waves) => Some(waves),
            Feature::Linear(..) => None,
        });
        self.ladders.iter_mut().map(|ladder| &mut ladder.waves).chain(of_columns).flatten()
    }

    /// The different numbers that it reads, in order of first use.
    pub fn sources(&self) -> Vec<Source> {
        let of_waves = |waves: &[Wave]| -> Vec<Source> {
            waves.iter().flat_map(|wave| wave.terms.iter().map(|(source, _)| *source)).collect()
        };
        let of_columns = self.columns.iter().flat_map(|column| match &column.feature {
            Feature::Product(waves) => of_waves(waves),
            Feature::Linear(source, ..) => vec![*source],
        });
        let mut sources = Vec::new();
        for source in self.ladders.iter().flat_map(|ladder| of_waves(&ladder.waves)).chain(of_columns) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    /// The fields that it reads, required or not.
    pub fn fields(&self) -> Fields {
        self.sources().into_iter().fold(Fields::NONE, |fields, source| fields | source.fields())
    }

    /// What a kernel could not run, as (argument, value, rule).
    pub(super) fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let sources = self.sources();
        let refused = |source: &Source| Some(("waves", format!("{source:?}"), source.problem()?));
        if let Some(problem) = sources.iter().find_map(refused) {
            return Some(problem);
        }
        if self.columns.is_empty() && self.ladders.is_empty()
            || self.ladders.iter().any(|l| l.waves.is_empty())
        {
            return Some(("waves", "empty".to_owned(), "a list has a column, and a ladder has a wave"));
        }
        if let Some(value) = self.impossible_number() {
            let rule =
                "amplitudes and offsets are finite; a linear map is as slow as a wave, its bias within 2^30";
            return Some(("waves", value, rule));
        }
        let mut in_ladders = self.ladders.iter().flat_map(|ladder| &ladder.waves);
        if let Some(wave) = in_ladders.find(|wave| wave.terms.len() > 2) {
            let rule = "a phase of a ladder adds one or two: make columns of it";
            return Some(("waves", format!("{} numbers", wave.terms.len()), rule));
        }
        let mut copy = self.clone();
        for wave in copy.all_waves_mut() {
            if wave.terms.len() > 8 {
                return Some((
                    "waves",
                    format!("{} numbers", wave.terms.len()),
                    "a phase adds at most eight",
                ));
            }
            // 63 bits hold a frequency: 2²² turns a degree, 1,024 turns of any other unit.
            for (source, frequency) in &wave.terms {
                if !fixed_frequency_fits(*source, *frequency) {
                    let rule = "frequencies stay below 2^22 turns a degree, 1,024 of another unit";
                    return Some(("waves", format!("{frequency} turns of {source:?}"), rule));
                }
            }
        }
        let mismatched = self.ladders.iter().any(|ladder| {
            let sources = |wave: &Wave| wave.terms.iter().map(|(source, _)| *source).collect::<Vec<_>>();
            ladder.waves.windows(2).any(|pair| sources(&pair[0]) != sources(&pair[1]))
        });
        if mismatched {
            let value = "waves of different numbers".to_owned();
            return Some(("waves", value, "all waves of a ladder read the same numbers"));
        }
        let too_many = self.columns.iter().any(
            |column| matches!(&column.feature, Feature::Product(waves) if !(1..=2).contains(&waves.len())),
        );
        too_many.then(|| ("waves", "a product".to_owned(), "a column multiplies one or two sines"))
    }

    /// An amplitude, an offset or a linear map that no kernel could make.
    fn impossible_number(&self) -> Option<String> {
        let of_ladders = self.ladders.iter().map(|ladder| (ladder.amplitude, &ladder.waves[..]));
        let of_columns = self.columns.iter().map(|column| match &column.feature {
            Feature::Product(waves) => (column.amplitude, &waves[..]),
            Feature::Linear(..) => (column.amplitude, &[][..]),
        });
        for (amplitude, waves) in of_ladders.chain(of_columns) {
            if !amplitude.is_finite() {
                return Some(format!("an amplitude of {amplitude}"));
            }
            if let Some(wave) = waves.iter().find(|wave| !wave.offset.is_finite()) {
                return Some(format!("an offset of {}", wave.offset));
            }
        }
        self.columns.iter().find_map(|column| match &column.feature {
            Feature::Linear(source, scale, bias)
                if !fixed_frequency_fits(*source, *scale) || !(-MAX_BIAS..=MAX_BIAS).contains(bias) =>
            {
                Some(format!("{scale} · {source:?} + {bias}"))
            }
            _ => None,
        })
    }

    /// Whether `shaders/encode/ladders.wgsl` can run it: all columns in ladders of at most two numbers, none twice in a
    /// ladder (its second place may stand for another number); where only those columns become 0 that read a missing
    /// number, every ladder reads all.
    pub(super) fn is_in_units(&self) -> bool {
        let numbers = self.sources().len();
        let reads_twice =
            |ladder: &Ladder| matches!(ladder.sources()[..], [first, second] if first == second);
        if self.ladders.iter().any(reads_twice) {
            return false;
        }
        let reads_all = |ladder: &Ladder| ladder.sources().len() == numbers;
        let is_whole = numbers <= 2 && (!self.zero_by_column || self.ladders.iter().all(reads_all));
        self.columns.is_empty() && is_whole
    }

    /// The units of `shaders/encode/ladders.wgsl`, up to sixteen waves each; `column`: the block's first, `scale`: its arena
    /// offset or NONE, `block`: its place in the plan.
    pub(super) fn units(
        &self,
        [column, scale, block]: [u32; 3],
        number: &dyn Fn(&Source) -> u32,
    ) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        let all = self.sources();
        for ladder in &self.ladders {
            let [sine, cosine, step] = ladder.first_columns();
            let [sine, cosine] = [sine, cosine].map(|at| column + at);
            let first = ladder.sources()[0];
            let other = all.iter().find(|source| **source != first).unwrap_or(&first);
            // What must be known besides is a second number, though its frequency be 0.
            let kind = if other == &first { ladder.kind() } else { Kind::Pairs };
            for (k, waves) in (0u32..).step_by(UNIT_WAVES).zip(ladder.waves.chunks(UNIT_WAVES)) {
                // One unit of a block counts its refused rows.
                let counts_for = if units.is_empty() { block } else { NONE };
                let last = waves.len() - 1;
                let [sine, cosine] = [sine, cosine].map(|at| at + k * step);
                let mut words = vec![number(&first), number(other), sine, cosine];
                words.extend([ladder.amplitude.to_bits(), scale, counts_for, step << 4 | last as u32]);
                // Waves past the last repeat it.
                let padded: Vec<_> = (0..UNIT_WAVES).map(|j| &waves[j.min(last)]).collect();
                words.extend(padded.chunks_exact(4).flat_map(|four| kind.unit(four)));
                let is_aligned = step == 1 && last + 1 == UNIT_WAVES && (sine | cosine) % 4 == 0;
                units.push(Unit { kind, is_aligned, words });
            }
        }
        units
    }

    /// Loop iterations of one invocation.
    pub(super) fn iterations(&self) -> u64 {
        let of_ladders: usize = self.ladders.iter().map(|ladder| ladder.waves.len() + 1).sum();
        let of_columns: usize = self.columns.iter().map(|column| column.feature.numbers() + 3).sum();
        (of_ladders + of_columns + self.width as usize) as u64
    }

    /// The words of `shaders/encode/waves.wgsl`, to lie at `start` in the plan.
    pub(super) fn words(&self, start: u32, number: &dyn Fn(&Source) -> u32) -> Vec<u32> {
        let sources = self.sources();
        let flags = if self.zero_by_column { ZERO_BY_COLUMN } else { 0 };
        let sizes = [sources.len(), self.ladders.len(), self.columns.len()].map(|count| count as u32);
        let mut words = [&sizes[..], &[flags]].concat();
        debug_assert_eq!(words.len(), PROGRAM_WORDS);
        words.extend(sources.iter().map(number));
        words.resize(words.len().next_multiple_of(4), 0);
        let mut table = Vec::new();
        let ladders_end = start + words.len() as u32 + self.ladders.len() as u32 * LADDER_WORDS;
        let columns: Vec<u32> = self.columns.iter().flat_map(|column| column.words(number)).collect();
        let table_start = ladders_end + columns.len() as u32;
        for ladder in &self.ladders {
            let count = ladder.waves.len() as u32;
            let [sine, cosine, step] = ladder.first_columns();
            let kind = ladder.kind();
            let first = ladder.waves.first().map_or(&[][..], |wave| &wave.terms);
            let slots = [0, 1].map(|j| first.get(j).map_or(NONE, |(source, _)| number(source)));
            let frequencies = table_start + table.len() as u32;
            let amplitude = ladder.amplitude.to_bits();
            words.extend([
                kind as u32,
                slots[0],
                slots[1],
                count,
                sine,
                cosine,
                step,
                amplitude,
                frequencies,
            ]);
            table.extend(ladder.waves.iter().flat_map(|wave| kind.table(wave)));
        }
        words.extend(columns);
        words.extend(table);
        words
    }

    /// Twin of `encode_waves`: writes all columns; false where a number is missing.
    pub(super) fn encode(
        &self,
        sample: &Sample,
        token: &Token,
        given: &[f32],
        scale: Option<f32>,
        out: &mut [f32],
    ) -> bool {
        let sources = self.sources();
        let values: Vec<_> = sources.iter().map(|source| source.value(sample, token, given)).collect();
        let all_known = values.iter().all(Option::is_some);
        let value_of =
            |source: &Source| values[sources.iter().position(|other| other == source).unwrap_or(0)];
        let turns = |wave: &Wave| -> Option<u32> {
            wave.terms.iter().try_fold(wave.offset_turns(), |sum, (source, frequency)| {
                let fixed = fixed_frequency(*source, *frequency);
                Some(sum.wrapping_add(wave_turns(value_of(source)?, fixed)))
            })
        };
        let is_live = |known: bool| if self.zero_by_column { known } else { all_known };
        for ladder in &self.ladders {
            let amplitude = scale.unwrap_or(ladder.amplitude);
            for (k, wave) in ladder.waves.iter().enumerate() {
                let turns = turns(wave).filter(|_| is_live(true));
                let [sine, cosine] =
                    turns.map_or([0.0; 2], |turns| sincos_turns(turns).map(|w| w * amplitude));
                let (sine_at, cosine_at) = ladder.columns(k);
                (out[sine_at], out[cosine_at]) = (sine, cosine);
            }
        }
        for column in &self.columns {
            let amplitude = scale.unwrap_or(column.amplitude);
            let value = match &column.feature {
                Feature::Product(waves) => waves
                    .iter()
                    .try_fold(amplitude, |product, wave| Some(product * sincos_turns(turns(wave)?)[0])),
                Feature::Linear(source, scale, bias) => value_of(source).map(|value| {
                    let product = (i128::from(value) * i128::from(fixed_frequency(*source, *scale))) >> 64;
                    f32_from_i64((product as i64).wrapping_add(fixed32(*bias)), 32)
                }),
            };
            out[column.at as usize] = value.filter(|_| is_live(true)).unwrap_or(0.0);
        }
        all_known
    }
}

impl Waves {
    /// Twin of `encode/number_gradient`: hands `add` the gradient of every number, per 2⁶⁴ of its integer, given that of the
    /// features; nothing where the kernel makes the features 0.
    pub(super) fn add_slopes(
        &self,
        value_of: &dyn Fn(Source) -> Option<i64>,
        scale: Option<f32>,
        de: &[f32],
        add: &mut dyn FnMut(Source, f32),
    ) {
        const TAU: f32 = std::f32::consts::TAU;
        let all_known = self.sources().into_iter().all(|source| value_of(source).is_some());
        if !all_known && !self.zero_by_column {
            return;
        }
        let frequency = |source: Source, per_unit: f64| f32_from_i64(fixed_frequency(source, per_unit), 32);
        let swing = |wave: &Wave| -> Option<[f32; 2]> {
            let turns = wave.terms.iter().try_fold(wave.offset_turns(), |sum, (source, per_unit)| {
                let fixed = fixed_frequency(*source, *per_unit);
                Some(sum.wrapping_add(wave_turns(value_of(*source)?, fixed)))
            });
            turns.map(sincos_turns)
        };
        for ladder in &self.ladders {
            let factor = TAU * scale.unwrap_or(ladder.amplitude);
            let mut sums = vec![0f32; ladder.waves.first().map_or(0, |wave| wave.terms.len())];
            for (k, wave) in ladder.waves.iter().enumerate() {
                let Some([sine, cosine]) = swing(wave) else { continue };
                let (sine_at, cosine_at) = ladder.columns(k);
                let slope = de[sine_at].mul_add(cosine, -(de[cosine_at] * sine));
                for (sum, (source, per_unit)) in sums.iter_mut().zip(&wave.terms) {
                    *sum = slope.mul_add(frequency(*source, *per_unit), *sum);
                }
            }
            let terms = ladder.waves.first().map_or(&[][..], |wave| &wave.terms);
            sums.iter().zip(terms).for_each(|(sum, (source, _))| add(*source, factor * sum));
        }
        for column in &self.columns {
            let gradient = de[column.at as usize];
            let factor = TAU * scale.unwrap_or(column.amplitude) * gradient;
            match &column.feature {
                Feature::Product(waves) => {
                    let Some(swings) = waves.iter().map(swing).collect::<Option<Vec<_>>>() else { continue };
                    for (i, wave) in waves.iter().enumerate() {
                        let other = swings.get(1 - i).map_or(1.0, |[sine, _]| *sine);
                        let slope = factor * swings[i][1] * other;
                        for (source, per_unit) in &wave.terms {
                            add(*source, slope * frequency(*source, *per_unit));
                        }
                    }
                }
                Feature::Linear(source, per_unit, _) if value_of(*source).is_some() => {
                    add(*source, gradient * frequency(*source, *per_unit));
                }
                Feature::Linear(..) => {}
            }
        }
    }
}

/// Up to sixteen waves of a ladder as `shaders/encode/ladders.wgsl` reads them.
pub(super) struct Unit {
    pub(super) kind: Kind,
    /// Whether whole vectors can be stored where rows start at multiples of four elements.
    pub(super) is_aligned: bool,
    pub(super) words: Vec<u32>,
}

/// How a ladder's phases are made; `LADDER_…` in `shaders/encode/waves.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Whole multiples of a number in turns: wrapping products. One word a wave.
    Harmonics = 0,
    /// One number, no offset. Two words a wave.
    One = 1,
    /// Two numbers and an offset. Five words a wave.
    Pairs = 2,
}

impl Kind {
    /// Each with the flags of its variant of `encode/ladders`.
    pub(super) const ALL: [(Self, &'static [&'static str]); 3] =
        [(Self::Harmonics, &["HARMONICS"]), (Self::One, &[]), (Self::Pairs, &["PAIRS"])];

    /// Words of a wave: frequency a, frequency b, offset, as far as the kind has them.
    fn table(self, wave: &Wave) -> Vec<u32> {
        let fixed = |j: usize| wave.terms.get(j).map_or(0, |(source, f)| fixed_frequency(*source, *f));
        let [a, b] = [fixed(0), fixed(1)].map(crate::common::fixed64::words);
        match self {
            Self::Harmonics => vec![a[1]],
            Self::One => a.to_vec(),
            Self::Pairs => vec![a[0], a[1], b[0], b[1], wave.offset_turns()],
        }
    }

    /// The same of four waves, word by word.
    fn unit(self, waves: &[&Wave]) -> Vec<u32> {
        let tables: Vec<_> = waves.iter().map(|wave| self.table(wave)).collect();
        (0..tables[0].len()).flat_map(|word| tables.iter().map(move |table| table[word])).collect()
    }
}

impl Ladder {
    /// First sine, first cosine, and the distance of columns.
    fn first_columns(&self) -> [u32; 3] {
        let count = self.waves.len() as u32;
        match self.order {
            Order::Split => [self.at, self.at + count, 1],
            Order::CosFirst => [self.at + count, self.at, 1],
            Order::Interleaved => [self.at, self.at + 1, 2],
        }
    }

    /// Columns of the sine and the cosine of wave k.
    fn columns(&self, k: usize) -> (usize, usize) {
        let [sine, cosine, step] = self.first_columns().map(|column| column as usize);
        (sine + k * step, cosine + k * step)
    }

    /// The numbers that its waves read.
    fn sources(&self) -> Vec<Source> {
        let first = self.waves.first();
        first.map_or(Vec::new(), |wave| wave.terms.iter().map(|(source, _)| *source).collect())
    }

    fn kind(&self) -> Kind {
        let is_plain = |wave: &Wave| wave.terms.len() == 1 && wave.offset_turns() == 0;
        let is_harmonic = |wave: &Wave| {
            let (source, frequency) = wave.terms[0];
            source.bits() == 64 && fixed_frequency(source, frequency) as u32 == 0
        };
        if !self.waves.iter().all(is_plain) {
            Kind::Pairs
        } else if self.waves.iter().all(is_harmonic) {
            Kind::Harmonics
        } else {
            Kind::One
        }
    }
}

impl Feature {
    /// Numbers that it adds up.
    fn numbers(&self) -> usize {
        match self {
            Self::Product(waves) => waves.iter().map(|wave| wave.terms.len()).sum(),
            Self::Linear(..) => 1,
        }
    }
}

impl Column {
    /// at, sines (0: linear), amplitude; then per sine terms, offset and, for each term, number and frequency; linear:
    /// number, scale, bias.
    fn words(&self, number: &dyn Fn(&Source) -> u32) -> Vec<u32> {
        let two = crate::common::fixed64::words;
        let mut words = vec![self.at, 0, self.amplitude.to_bits()];
        match &self.feature {
            Feature::Product(waves) => {
                words[1] = waves.len() as u32;
                for wave in waves {
                    words.extend([wave.terms.len() as u32, wave.offset_turns()]);
                    for (source, frequency) in &wave.terms {
                        words.push(number(source));
                        words.extend(two(fixed_frequency(*source, *frequency)));
                    }
                }
            }
            Feature::Linear(source, scale, bias) => {
                words.push(number(source));
                words.extend([fixed_frequency(*source, *scale), fixed32(*bias)].map(two).as_flattened());
            }
        }
        words
    }
}

/// A frequency in turns (or a linear scale) per natural unit as [`wave_turns`] takes it: with a source's 2^bits a unit
/// the product has its turns in bits 64..96.
fn fixed_frequency(source: Source, per_unit: f64) -> i64 {
    (per_unit * 2f64.powi(96 - source.bits() as i32)).round() as i64
}

fn fixed_frequency_fits(source: Source, per_unit: f64) -> bool {
    (per_unit * 2f64.powi(96 - source.bits() as i32)).abs() < 2f64.powi(63)
}

/// A number in units of 2⁻³².
fn fixed32(value: f64) -> i64 {
    (value * 4_294_967_296.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shader_has_the_same_sizes() {
        let shader = include_str!("../../shaders/encode/waves.wgsl");
        for (name, value) in [("PROGRAM", PROGRAM_WORDS as u32), ("LADDER", LADDER_WORDS)] {
            assert!(shader.contains(&format!("const {name}_WORDS = {value}u;")), "{name}");
        }
    }

    #[test]
    fn lists_that_no_kernel_can_run_are_named() {
        let wave = |j| Wave::new(Source::Given(j), 1.0);
        let rule = |waves: Waves| waves.problem().map(|(_, _, rule)| rule).unwrap_or_default().to_owned();
        assert_eq!(rule(Waves::new().ladder(Order::Split, 1.0, [wave(0), wave(0).cos()])), "");
        assert!(rule(Waves::new().product(1.0, [wave(8)])).contains("eight columns"));
        assert!(rule(Waves::new().product(1.0, [])).contains("one or two sines"));
        assert!(rule(Waves::new()).contains("a list has a column"));
        assert!(
            rule(Waves::new().ladder(Order::Split, 1.0, []).product(1.0, [wave(0)])).contains("has a wave")
        );
        assert!(rule(Waves::new().linear(Source::Year, 1.0, -2015.0)).is_empty());
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for waves in [
                Waves::new().ladder(Order::Split, odd as f32, [wave(0)]),
                Waves::new().product(odd as f32, [wave(0)]),
                Waves::new().ladder(Order::Split, 1.0, [wave(0).offset(odd)]),
                Waves::new().product(1.0, [wave(0).offset(odd)]),
                Waves::new().linear(Source::Year, odd, 0.0),
                Waves::new().linear(Source::Year, 1.0, odd),
            ] {
                assert!(rule(waves).contains("are finite"), "{odd}");
            }
        }
        assert!(rule(Waves::new().ladder(Order::Split, 1.0, [wave(0), wave(1)])).contains("same numbers"));
        let fast = Wave::new(Source::LatDeg, 1e7);
        assert!(rule(Waves::new().product(1.0, [fast])).contains("2^22"));
    }
}

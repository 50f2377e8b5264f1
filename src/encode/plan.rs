//! Blocks, and the plan that they compile to.

use super::scheme::Scheme;
use super::schemes::clay::{self, Clay};
use super::schemes::fourier::{self, Fourier};
use super::schemes::geotime::{self, GeoTime};
use super::schemes::prithvi::{self, Prithvi};
use super::schemes::satclip::{self, SatClip};
use super::schemes::terramind::{self, TerraMind};
use super::schemes::torchspatial::{self, Radii, Spatial};
use super::schemes::{
    ClayScalars, Day, Frequencies, Galileo, Gsd, Id, Place, Presto, Published, Season, Table,
    TerraMindCoordinate, Tessera, Year,
};
use super::source::Source;
use super::waves::{Kind, Unit, Waves};
use super::{Convention, OP};
use crate::Error;
use crate::records::{Field, Fields};
use std::collections::BTreeSet;
use std::ops::Range;

/// What stands where a plan has no number.
const NONE: u32 = u32::MAX;
/// Words of one block's header; `HEADER_WORDS` in `shaders/encode/block.wgsl`.
const HEADER_WORDS: usize = 12;

/// One block of an encoding: a scheme with its parameters.
///
/// Where an input is missing, a block of ours gives its learned missing vector, and its validity column says 0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// Real spherical harmonics of latitude and longitude, degree 0..=`degree` (at most 40): `(degree + 1)²` features
    /// in the order l = 0..=degree, m = −l..=l; orthonormal on the unit sphere, without the Condon–Shortley sign.
    /// Continuous across ±180° and at the poles; errors at [`Convention`].
    Place {
        /// Highest degree.
        degree: u32,
    },
    /// As [`Block::Place`], in somebody's convention: a missing place gives zeros, nothing is learned.
    Harmonics {
        /// Highest degree, at most 40; one below SatCLIP's number of levels L.
        degree: u32,
        /// Signs and factors.
        convention: Convention,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// sin of harmonics 1..=8, then cos, of the fraction of the actual year (365 or 366 days) that has passed.
    Season,
    /// sin of harmonics 1..=4, then cos, of the fraction of the day that has passed; local time where the offset
    /// from UTC is known.
    Day,
    /// `(y − 2015)/10` of the decimal year y, then sin at periods of 4, 16 and 64 years, then cos. A year alone counts
    /// by its middle.
    Year,
    /// `o = log2(gsd / 10 m)`, then sin of o at periods of 1, 2, 4 and 8 octaves, then cos.
    Gsd,
    /// `missing vector + table[id]`, both learned and initially 0. An id past the table counts as missing (and as refused),
    /// a code that stands for none is left out of the record ([`Record`](crate::records::Record) says how).
    ///
    /// | field | codes | rows | none |
    /// |---|---|---|---|
    /// | climate zone | Köppen–Geiger maps of Beck et al. (Scientific Data 2018 and 2023), 1..=30 | 31 | 0, ocean |
    /// | ecoregion | RESOLVE's `ECO_ID` (Dinerstein et al., BioScience 2017), up to 846 | 847 | no polygon |
    /// | tile | [`MgrsSquare::number`](crate::records::MgrsSquare::number), Sentinel-2's tiles | 87,840 | near the poles |
    /// | tile | [`S2Cell::number`](crate::records::S2Cell::number) of level L ≤ 10 | 6·4ᴸ | – |
    /// | sensor | the user's own list | its length | unknown sensor |
    Id {
        /// Sensor, climate zone, ecoregion or tile.
        field: Field,
        /// Rows of the table: ids run from 0 to `rows − 1`.
        rows: u32,
        /// Features.
        width: u32,
    },
    /// The eight channels of Clay v1.5: sin, cos of 2π·ISO week/52, of 2π·hour/24, of latitude, of longitude (UTC). A
    /// pair whose input is missing is (0, 0). Nothing is learned.
    ClayScalars {
        /// Whether a validity column follows (all four inputs known); upstream has none.
        validity: bool,
    },
    /// An encoding of Clay v1.5 with wide columns; 0 where its number is missing.
    Clay {
        /// Which one.
        encoding: Clay,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// An encoding of Prithvi-EO-2.0; 0 where one of its numbers is missing (upstream leaves the term out for the whole
    /// batch).
    Prithvi {
        /// Which one.
        encoding: Prithvi,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// A position encoding of TerraMind.
    TerraMind {
        /// Which one.
        encoding: TerraMind,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// A location encoder of TorchSpatial, Space2Vec or Sphere2Vec; 0 where longitude or latitude is missing.
    Spatial {
        /// Which one.
        encoding: Spatial,
        /// Its frequencies.
        radii: Radii,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// One of SatCLIP's closed forms; 0 where longitude or latitude is missing.
    SatClip {
        /// Which one.
        encoding: SatClip,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// Fourier features of two numbers; 0 where one is missing.
    Fourier {
        /// Which ones.
        features: Fourier,
        /// x and y.
        of: [Source; 2],
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// GeoCLIP's Equal Earth coordinates (Šavrič et al., 2019), which its [`Block::Fourier`] features read as
    /// [`Source::EqualEarthX`] and [`Source::EqualEarthY`], exact in 64 bits. A seam at ±180°, and at a pole x still tells
    /// longitudes apart.
    EqualEarth {
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// GT-Loc's angles of month and time of day in radians, from −π; local time. Not periodic as they stand: upstream feeds
    /// them to [`Block::Fourier`], so that New Year is a seam.
    TimeAngles {
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// Joint features of place and time, ours: `[cos 2πφ_j | sin 2πφ_j]` of phases φ_j that turn with the place on the
    /// unit sphere, the season and the time of day at once. Continuous at the poles, across ±180°, at New Year and at
    /// midnight. A column that reads a missing number is 0; phases without a day do not need the time of day.
    ///
    /// TIGeR (Shatwell, Swetha and Shah, CVPR 2026, arXiv:2603.24749; no public code) is what asks for them: as its paper
    /// tells, place and time pass through random Fourier features of their own at deviations 2²ⁱ and join as tokens of a
    /// transformer. The joining is a network there and no encoding; to join them in the phase itself is ours, and
    /// nothing here could be compared with TIGeR's numbers.
    GeoTime {
        /// The phases; [`GeoTime::random`] draws them.
        phases: Vec<GeoTime>,
        /// Whether a validity column follows: place, date and time of day are known, as far as some phase reads them.
        validity: bool,
    },
    /// `table[source − first]`: one learned row for each whole number, and a learned vector where the number is missing or
    /// has no row (which also counts as refused). All are initially 0. Channel embeddings are such tables, of
    /// [`Source::Channel`].
    Table {
        /// The stem of its column names.
        name: &'static str,
        /// A whole number: [`Source::Year`], [`Source::DayOfYear`], [`Source::MonthIndex`], [`Source::IsoWeek`],
        /// [`Source::Hour`], [`Source::S2Cell`], a token's place, a coordinate token or [`Source::Given`], of which what
        /// lies below the point is cut off.
        source: Source,
        /// The number of the first row.
        first: u32,
        /// Rows of the table.
        rows: u32,
        /// Features.
        width: u32,
        /// Whether a validity column follows.
        validity: bool,
    },
    /// The calendar table of SkySense++ (github.com/kang-wu/SkySensePlusPlus at cb0c6b77): a learned row for each day of
    /// the year, initially 0. Upstream's table has 365 rows and indexes it by day − 1, so that day 366 lies past its end;
    /// ours has 366. Upstream gives a missing date row 0 (1 January) or, in the few-shot loader, the last row; here it has a
    /// vector of its own. Both of upstream's published configurations leave the table out.
    SkySenseCalendar {
        /// Features.
        width: u32,
    },
    /// Tessera's learned frequencies: `sin(2π f_j d/365 + φ_j)`, j = 0..count, then `cos(2π f_j d/365 + φ_(count + j))`, of
    /// day d; 0 where it is missing. Upstream maps them on by a linear layer ([`crate::linear`]). The arena holds f
    /// (turns a year, |f| < 1,024, initially a geometric row from 1 to 365), then φ (radians, initially 0). Phases are exact,
    /// so that only the sine is rounded; day 366 lies in the next turn.
    TesseraFrequencies {
        /// Days: [`Source::DayOfYear`], or [`Source::Given`] for days that no record holds.
        source: Source,
        /// Frequencies; two columns each.
        count: u32,
    },
    /// A coordinate token of TerraMind.
    TerraMindCoordinate(TerraMindCoordinate),
    /// A part of Galileo's encodings. Nothing is learned; a missing input makes the whole block 0.
    Galileo(Galileo),
    /// A part of Presto's encodings. Nothing is learned; a missing input makes the whole block 0.
    Presto(Presto),
    /// A part of Tessera's encodings. Nothing is learned; a missing input makes the whole block 0.
    Tessera(Tessera),
    /// Any list of waves; where an input is missing, it is 0. Nothing is learned.
    Waves {
        /// The stem of its column names.
        name: &'static str,
        /// The waves.
        waves: Waves,
        /// Whether a validity column follows.
        validity: bool,
    },
}

impl Block {
    /// The table of schemes.
    pub(super) fn scheme(&self) -> Box<dyn Scheme> {
        match self.clone() {
            Self::Place { degree } => Box::new(Place::ours(degree)),
            Self::Harmonics { degree, convention, validity } => {
                Box::new(Place::published(degree, convention, validity))
            }
            Self::Season => Box::new(Season),
            Self::Day => Box::new(Day),
            Self::Year => Box::new(Year),
            Self::Gsd => Box::new(Gsd),
            Self::Id { field, rows, width } => Box::new(Id { field, rows, width }),
            Self::ClayScalars { validity } => Box::new(ClayScalars { validity }),
            Self::Clay { encoding, validity } => clay::scheme(encoding, validity),
            Self::Prithvi { encoding, validity } => prithvi::scheme(encoding, validity),
            Self::TerraMind { encoding, validity } => terramind::scheme(encoding, validity),
            Self::Spatial { encoding, radii, validity } => torchspatial::scheme(encoding, radii, validity),
            Self::SatClip { encoding, validity } => satclip::scheme(encoding, validity),
            Self::Fourier { features, of, validity } => fourier::scheme(&features, of, validity),
            Self::GeoTime { phases, validity } => geotime::scheme(&phases, validity),
            Self::EqualEarth { validity } => {
                Published::checked("equal_earth", validity, Ok(fourier::equal_earth()))
            }
            Self::TimeAngles { validity } => {
                Published::checked("time_angles", validity, Ok(fourier::time_angles()))
            }
            Self::Table { name, source, first, rows, width, validity } => {
                Box::new(Table { name, source, first, rows, width, validity })
            }
            Self::SkySenseCalendar { width } => {
                let (name, source) = ("skysense_calendar", Source::DayOfYear);
                Box::new(Table { name, source, first: 1, rows: 366, width, validity: false })
            }
            Self::TesseraFrequencies { source, count } => Box::new(Frequencies { source, count }),
            Self::TerraMindCoordinate(coordinate) => Box::new(coordinate.table()),
            Self::Galileo(part) => Published::checked(part.name(), false, part.checked()),
            Self::Presto(part) => Published::checked(part.name(), false, part.checked()),
            Self::Tessera(part) => Published::checked(part.name(), false, part.checked()),
            Self::Waves { name, waves, validity } => {
                Box::new(Published { name, waves, validity, scale: None })
            }
        }
    }

    /// Whether its features come from the kernel of spherical harmonics.
    pub(super) fn is_harmonics(&self) -> bool {
        self.harmonics().is_some()
    }

    /// Its scheme, where it is one of spherical harmonics.
    pub(super) fn harmonics(&self) -> Option<Place> {
        match *self {
            Self::Place { degree } => Some(Place::ours(degree)),
            Self::Harmonics { degree, convention, validity } => {
                Some(Place::published(degree, convention, validity))
            }
            _ => None,
        }
    }

    /// The stem of its column names.
    pub fn name(&self) -> &'static str {
        self.scheme().name()
    }

    /// The fields that it reads, required or not.
    pub fn fields(&self) -> Fields {
        self.scheme().fields()
    }
}

/// Where a block of a [`Plan`] lies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layout {
    /// The block.
    pub block: Block,
    /// The columns of its features.
    pub features: Range<u32>,
    /// Its validity column, after the features, where it has one.
    pub validity: Option<u32>,
    /// Its missing vector in the arena; empty where nothing is learned.
    pub missing: Range<u32>,
    /// Its table in the arena, `[rows, features]`, after the missing vector; empty where there is none.
    pub table: Range<u32>,
    /// Its learned scale in the arena, after the table, or its frequencies and phases; empty where there are none.
    pub scale: Range<u32>,
}

impl Layout {
    /// Whether it has learned parameters.
    pub fn is_learned(&self) -> bool {
        !self.missing.is_empty()
    }
}

/// Sizes of the id tables of [`Plan::gtca`]; 0 leaves the block out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdTables {
    /// Sensors.
    pub sensor: u32,
    /// Climate zones.
    pub climate_zone: u32,
    /// Ecoregions.
    pub ecoregion: u32,
    /// Tiles.
    pub tile: u32,
}

/// Units of one kind of ladders, where `shaders/encode/ladders.wgsl` finds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Units {
    /// The vector of the plan where they start.
    pub(super) start: u32,
    /// So many, the first, can store whole vectors where the rows allow it.
    pub(super) aligned: u32,
    /// All.
    pub(super) count: u32,
}

/// Blocks compiled to columns, parameters and the words that the kernel reads.
///
/// ```
/// use gtca::encode::{Block, IdTables, Plan};
/// let plan = Plan::gtca(&IdTables { climate_zone: 31, ..Default::default() })?;
/// assert_eq!(plan.width(), 82 + 17 + 9 + 8 + 10 + 9);
/// assert_eq!(plan.columns()[81], "place.known");
/// let clay = Plan::new(&[Block::ClayScalars { validity: false }])?;
/// assert_eq!((clay.width(), clay.arena_len()), (8, 0));
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    layouts: Vec<Layout>,
    width: u32,
    arena_len: u32,
    learned: u32,
    order: Vec<u32>,
    numbers: Vec<Source>,
    numbers_start: u32,
    units: [Units; 3],
    in_units: u32,
    iterations: u64,
    words: Vec<u32>,
}

impl Plan {
    /// Compiles blocks, in the order of their columns.
    ///
    /// # Errors
    /// No block; a parameter out of its range; more than 2²⁶ learned parameters or 59,999 columns.
    pub fn new(blocks: &[Block]) -> Result<Self, Error> {
        if blocks.is_empty() {
            return Err(Error::argument(OP, "blocks", "empty", "a plan has a block", "list the blocks"));
        }
        let (mut column, mut arena) = (0u64, 0u64);
        let mut layouts = Vec::with_capacity(blocks.len());
        for block in blocks {
            let scheme = block.scheme();
            scheme.check()?;
            if scheme.name().is_empty() {
                let rule = "a block's columns are named after it";
                return Err(Error::argument(OP, "name", "empty", rule, "name the block"));
            }
            if let Some((argument, value, rule)) = scheme.waves().and_then(|waves| waves.problem()) {
                return Err(Error::argument(OP, argument, value, rule, "change the waves"));
            }
            let width = scheme.features().len() as u64;
            let features = column as u32..(column + width) as u32;
            let validity = scheme.has_validity().then_some(features.end);
            column += width + u64::from(scheme.has_validity());
            let missing = if scheme.is_learned() { width } else { 0 };
            let table = width * u64::from(scheme.table_rows());
            let own = scheme.own_parameters().len() as u64;
            let parameters = arena + missing + table + own;
            if column > 59_999 || parameters > 1 << 26 {
                let value = format!("{column} columns and {parameters} parameters");
                let rule = "a plan has at most 59,999 columns and 2^26 learned parameters";
                return Err(Error::argument(OP, "blocks", value, rule, "shrink the tables"));
            }
            let at = arena as u32;
            let missing = at..at + missing as u32;
            let table = missing.end..missing.end + table as u32;
            let scale = table.end..table.end + own as u32;
            arena = scale.end.into();
            layouts.push(Layout { block: block.clone(), features, validity, missing, table, scale });
        }
        let (width, arena_len) = (column as u32, arena as u32);
        let mut plan = Self {
            layouts,
            width,
            arena_len,
            learned: 0,
            order: Vec::new(),
            numbers: Vec::new(),
            numbers_start: 0,
            units: Default::default(),
            in_units: 0,
            iterations: 0,
            words: Vec::new(),
        };
        plan.compile();
        Ok(plan)
    }

    /// The default set: place to degree 8, season, day, year, GSD, and ids of eight columns each.
    ///
    /// # Errors
    /// A table of more than 2²⁴ rows.
    pub fn gtca(tables: &IdTables) -> Result<Self, Error> {
        let mut blocks = vec![Block::Place { degree: 8 }, Block::Season, Block::Day, Block::Year, Block::Gsd];
        for (field, rows) in [
            (Field::Sensor, tables.sensor),
            (Field::ClimateZone, tables.climate_zone),
            (Field::Ecoregion, tables.ecoregion),
            (Field::Tile, tables.tile),
        ] {
            if rows > 0 {
                blocks.push(Block::Id { field, rows, width: 8 });
            }
        }
        Self::new(&blocks)
    }

    /// Columns of the output, M.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The name of every column: `block.feature`. Later blocks of one name are numbered from 2: `season`, `season2`.
    pub fn columns(&self) -> Vec<String> {
        let mut taken = BTreeSet::new();
        let of_block = |layout: &Layout| {
            let (scheme, stem) = (layout.block.scheme(), layout.block.name());
            let numbered = (2..).map(|k| format!("{stem}{k}"));
            let mut names = std::iter::once(stem.to_owned()).chain(numbered);
            let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
            let known = layout.validity.map(|_| "known".to_owned());
            let names = scheme.features().into_iter().chain(known);
            names.map(|column| format!("{name}.{column}")).collect::<Vec<_>>()
        };
        self.layouts.iter().flat_map(of_block).collect()
    }

    /// Learned parameters: missing vectors, tables and scales.
    pub fn arena_len(&self) -> u32 {
        self.arena_len
    }

    /// Their initial values: 0, what each learned scale names, and the frequencies that upstream starts from.
    pub fn initial_arena(&self) -> Vec<f32> {
        let mut arena = vec![0.0; self.arena_len as usize];
        for layout in self.layouts.iter().filter(|layout| !layout.scale.is_empty()) {
            arena[layout.scale.start as usize..layout.scale.end as usize]
                .copy_from_slice(&layout.block.scheme().own_parameters());
        }
        arena
    }

    /// Whether some block needs the place of a token: [`Encoder::add_to_tokens`](super::Encoder::add_to_tokens) only.
    pub fn reads_tokens(&self) -> bool {
        self.sources().any(Source::is_of_token)
    }

    /// Columns of the view `given` that the blocks read.
    pub fn given_columns(&self) -> u32 {
        let column = |source| if let Source::Given(column) = source { column + 1 } else { 0 };
        self.sources().map(column).max().unwrap_or(0)
    }

    fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.layouts.iter().flat_map(|layout| {
            let scheme = layout.block.scheme();
            scheme.waves().map(|waves| waves.sources()).unwrap_or_default().into_iter().chain(scheme.source())
        })
    }

    /// Where each block lies.
    pub fn layouts(&self) -> &[Layout] {
        &self.layouts
    }

    /// The fields that the blocks read.
    pub fn fields(&self) -> Fields {
        self.layouts.iter().fold(Fields::NONE, |fields, layout| fields | layout.block.fields())
    }

    /// Headers of all blocks, then their constants.
    pub(super) fn words(&self) -> &[u32] {
        &self.words
    }

    /// Blocks with learned parameters: rows of the backward's selectors.
    pub(super) fn learned(&self) -> u32 {
        self.learned
    }

    /// Every header's place in the plan, with its layout.
    pub(super) fn headers(&self) -> impl Iterator<Item = (u32, &Layout)> {
        (0..).zip(self.order.iter().map(|index| &self.layouts[*index as usize]))
    }

    /// Blocks that run as units of ladders; their headers are the first.
    pub(super) fn in_units(&self) -> u32 {
        self.in_units
    }

    /// The numbers that its waves read, by class.
    pub(super) fn numbers(&self) -> &[Source] {
        &self.numbers
    }

    /// Where their codes and fields start in the words.
    pub(super) fn numbers_start(&self) -> u32 {
        self.numbers_start
    }

    /// Units of each kind of ladders.
    pub(super) fn units(&self) -> &[Units; 3] {
        &self.units
    }

    /// Loop iterations of the busiest invocation.
    pub(super) fn iterations(&self) -> u64 {
        self.iterations
    }

    fn compile(&mut self) {
        let comes_in_units = |layout: &Layout| {
            let waves = layout.block.scheme().waves();
            let is_plain = layout.validity.is_none() && !layout.is_learned();
            is_plain && waves.is_some_and(|waves| waves.is_in_units())
        };
        let (in_units, others): (Vec<_>, Vec<_>) =
            (0..).zip(&self.layouts).partition(|(_, layout)| comes_in_units(layout));
        self.in_units = in_units.len() as u32;
        self.order = in_units.iter().chain(&others).map(|(index, _)| *index).collect();
        // By class, so that one variant of a kernel makes a run of them.
        let mut numbers: Vec<_> = self.sources().collect();
        numbers.sort_by_key(|source| (source.class(), *source));
        numbers.dedup();
        let number = |source: &Source| numbers.iter().position(|other| other == source).unwrap_or(0) as u32;
        let mut headers = Vec::new();
        let mut constants: Vec<u32> = Vec::new();
        // Everything starts at a multiple of four words, for the kernels that read four at once.
        let first_constant = (self.layouts.len() * HEADER_WORDS).next_multiple_of(4) as u32;
        for (index, layout) in in_units.into_iter().chain(others) {
            let scheme = layout.block.scheme();
            let is_learned = layout.is_learned();
            let start = first_constant + constants.len() as u32;
            let header: [u32; HEADER_WORDS] = [
                scheme.opcode(),
                layout.features.start,
                layout.features.len() as u32,
                layout.validity.is_some().into(),
                if is_learned { layout.missing.start } else { NONE },
                scheme.table_rows(),
                scheme.parameter(),
                scheme.fields().bits(),
                start,
                if is_learned { self.learned } else { NONE },
                if layout.scale.is_empty() { NONE } else { layout.scale.start },
                index,
            ];
            headers.extend(header);
            let waves = scheme.waves();
            self.iterations = self.iterations.max(waves.as_ref().map_or(0, |waves| waves.iterations()));
            self.iterations =
                self.iterations.max(2 * layout.features.len() as u64 + scheme.constants().len() as u64);
            constants.extend(waves.map(|waves| waves.words(start, &number)).unwrap_or_default());
            constants.extend(scheme.source().as_ref().map(number));
            constants.extend(scheme.constants().into_iter().map(f32::to_bits));
            constants.resize(constants.len().next_multiple_of(4), 0);
            self.learned += u32::from(is_learned);
        }
        headers.resize(first_constant as usize, 0);
        self.numbers_start = first_constant + constants.len() as u32;
        constants.extend(numbers.iter().flat_map(|source| [source.code(), source.fields().bits()]));
        constants.resize(constants.len().next_multiple_of(4), 0);
        self.units = self.compile_units(&number, first_constant, &mut constants);
        self.numbers = numbers;
        self.words = [headers, constants].concat();
    }
}

impl Plan {
    /// The units of the blocks that run so, kind after kind, in each kind those first that can store whole vectors.
    fn compile_units(
        &self,
        number: &dyn Fn(&Source) -> u32,
        first: u32,
        constants: &mut Vec<u32>,
    ) -> [Units; 3] {
        let blocks = self.order[..self.in_units as usize].iter();
        let of_block = |index: &u32| {
            let layout = &self.layouts[*index as usize];
            let scale = if layout.scale.is_empty() { NONE } else { layout.scale.start };
            let waves = layout.block.scheme().waves().unwrap_or_default();
            waves.units([layout.features.start, scale, *index], number)
        };
        let (aligned, others): (Vec<Unit>, Vec<Unit>) =
            blocks.flat_map(of_block).partition(|unit| unit.is_aligned);
        Kind::ALL.map(|(kind, _)| {
            let start = (first + constants.len() as u32) / 4;
            let [aligned, others] = [&aligned, &others].map(|units| {
                let of_kind = units.iter().filter(|unit| unit.kind == kind);
                of_kind.map(|unit| constants.extend(&unit.words)).count() as u32
            });
            Units { start, aligned, count: aligned + others }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [Block; 10] = [
        Block::Place { degree: 3 },
        Block::Harmonics { degree: 2, convention: Convention::SatClip, validity: false },
        Block::Season,
        Block::Day,
        Block::Year,
        Block::Gsd,
        Block::Id { field: Field::Tile, rows: 5, width: 3 },
        Block::ClayScalars { validity: true },
        Block::TesseraFrequencies { source: Source::DayOfYear, count: 3 },
        Block::Table { name: "table", source: Source::Hour, first: 0, rows: 24, width: 2, validity: true },
    ];

    #[test]
    fn the_shader_knows_every_opcode_by_its_name() {
        let shader = include_str!("../../shaders/encode/block.wgsl");
        assert!(shader.contains(&format!("const HEADER_WORDS = {HEADER_WORDS}u;")));
        for block in EVERY {
            let name = match block.name() {
                "table" => "table",
                "frequencies" => "frequencies",
                "tile" => "id",
                "place" | "harmonics" => "place",
                _ => "waves",
            };
            let line = format!("const OPCODE_{} = {}u;", name.to_uppercase(), block.scheme().opcode());
            assert!(shader.contains(&line), "{line}");
        }
    }

    #[test]
    fn columns_and_parameters_leave_no_gap() {
        let plan = Plan::new(&EVERY).unwrap();
        let (mut column, mut arena) = (0, 0);
        for layout in plan.layouts() {
            assert_eq!((layout.features.start, layout.missing.start), (column, arena));
            assert_eq!(layout.missing.end, layout.table.start);
            assert_eq!(layout.table.end, layout.scale.start);
            (column, arena) = (layout.validity.map_or(layout.features.end, |at| at + 1), layout.scale.end);
        }
        assert_eq!((plan.width(), plan.arena_len()), (column, arena));
        let names = plan.columns();
        assert_eq!(names.len(), column as usize);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert_eq!(names[1], "place.l1.m-1");
        assert_eq!(
            plan.fields(),
            Block::ClayScalars { validity: true }.fields() | Field::UtcOffset | Field::Gsd | Field::Tile
        );
    }

    #[test]
    fn blocks_of_one_name_have_columns_of_their_own() {
        let table =
            |name| Block::Table { name, source: Source::Hour, first: 0, rows: 1, width: 1, validity: false };
        let names = Plan::new(&["t", "t2", "t", "u", "t"].map(table)).unwrap().columns();
        assert_eq!(names, ["t.0", "t2.0", "t3.0", "u.0", "t4.0"]);
        let twice = Plan::new(&[Block::Season, Block::Season]).unwrap().columns();
        assert_eq!((twice[0].as_str(), twice[17].as_str()), ("season.sin1", "season2.sin1"));
    }

    #[test]
    fn lists_that_no_plan_could_hold_are_refused_before_they_are_made() {
        let message = |block: Block| Plan::new(&[block]).unwrap_err().to_string();
        let dfs = |count| {
            let radii = Radii { count, min: 1e-6, max: 1.0 };
            Block::Spatial { encoding: Spatial::Dfs, radii, validity: false }
        };
        assert_eq!(Plan::new(&[dfs(121)]).unwrap().width(), 59_048);
        assert!(message(dfs(122)).contains("`count` is 122"));
        let positional = |sigma, count| {
            let features = Fourier::Positional { sigma, count };
            Block::Fourier { features, of: [Source::LonDeg, Source::LatDeg], validity: false }
        };
        assert!(message(positional(1.0, u32::MAX)).contains("`count` is 4294967295"));
        assert!(message(positional(1.0, 0)).contains("`count` is 0"));
        assert!(message(positional(-1.0, 2)).contains("`sigma` is -1"));
    }

    #[test]
    fn bad_blocks_are_refused_by_name() {
        let message = |blocks: &[Block]| Plan::new(blocks).unwrap_err().to_string();
        assert!(message(&[]).contains("`blocks`"));
        let unnamed = Waves::new().linear(Source::Hour, 1.0, 0.0);
        let unnamed = Block::Waves { name: "", waves: unnamed, validity: false };
        assert!(message(&[unnamed]).contains("`name` is empty"));
        assert!(message(&[Block::Place { degree: 41 }]).contains("`degree` is 41"));
        assert!(message(&[Block::Id { field: Field::Tile, rows: 0, width: 8 }]).contains("`rows` is 0"));
        assert!(message(&[Block::Id { field: Field::Tile, rows: 1, width: 0 }]).contains("`width` is 0"));
        assert!(message(&[Block::Id { field: Field::Lat, rows: 1, width: 8 }]).contains("`field` is lat"));
        let wide = Block::Id { field: Field::Tile, rows: 1 << 24, width: 8 };
        assert!(message(&[wide]).contains("parameters"));
    }
}

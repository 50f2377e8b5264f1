//! The plan that blocks compile to.

use super::OP;
use super::block::Block;
use super::source::Source;
use super::waves::{Kind, Unit};
use crate::Error;
use crate::records::{Field, Fields};
use std::collections::BTreeSet;
use std::ops::Range;

/// What stands where a plan has no number.
const NONE: u32 = u32::MAX;
/// Words of one block's header; `HEADER_WORDS` in `shaders/encode/block.wgsl`.
const HEADER_WORDS: usize = 12;

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
    use super::super::Convention;
    use super::super::schemes::fourier::Fourier;
    use super::super::schemes::torchspatial::{Radii, Spatial};
    use super::super::waves::Waves;
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

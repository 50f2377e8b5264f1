//! Metadata records to feature rows: `e = E(m)`, every block of a [`Plan`] in one pass; or added to tokens,
//! [`Encoder::add_to_tokens`].
//!
//! Most blocks are lists of waves ([`Waves`]) of 64-bit numbers ([`Source`]). Their formulas stand at the block; the numbers
//! are made by `shaders/encode/numbers.wgsl` (`source.wgsl`; twin `src/encode/source.rs`), the waves by
//! `shaders/encode/ladders.wgsl` and `waves.wgsl` (twin `src/encode/waves.rs`).
//!
//! | block | formula | shader | lists and twins |
//! |---|---|---|---|
//! | [`Block::Season`] | `sin, cos 2πk·(doy − 1 + f)/days`, k = 1..=8 | `waves.wgsl` | `src/encode/schemes/season.rs` |
//! | [`Block::Day`] | `sin, cos 2πk·second/86,400`, k = 1..=4 | `waves.wgsl` | `…/day.rs` |
//! | [`Block::Year`] | `(y − 2015)/10; sin, cos 2πy/p`, p = 4, 16, 64 years | `waves.wgsl` | `…/year.rs` |
//! | [`Block::Gsd`] | `o = log2(gsd/10); sin, cos 2πo/p`, p = 1, 2, 4, 8 | `waves.wgsl` | `…/gsd.rs` |
//! | [`Block::ClayScalars`], [`Block::Clay`] | see [`Clay`] | `waves.wgsl` | `…/clay.rs` |
//! | [`Block::Prithvi`] | see [`Prithvi`] | `waves.wgsl` | `…/prithvi.rs` |
//! | [`Block::Galileo`], [`Block::Presto`], [`Block::Tessera`] | see [`Galileo`], [`Presto`], [`Tessera`] | `waves.wgsl` | `…/galileo.rs`, `presto.rs`, `tessera.rs` |
//! | [`Block::TerraMind`] | see [`TerraMind`] | `waves.wgsl` | `…/terramind.rs` |
//! | [`Block::Spatial`], [`Block::SatClip`] | see [`Spatial`], [`SatClip`] | `waves.wgsl` | `…/torchspatial.rs`, `satclip.rs` |
//! | [`Block::Fourier`], [`Block::EqualEarth`], [`Block::TimeAngles`] | see [`Fourier`] | `waves.wgsl` | `…/fourier.rs` |
//! | [`Block::GeoTime`] | `cos, sin 2π (b·r + p·s + q·t)` of place, season and day | `waves.wgsl` | `…/geotime.rs` |
//! | [`Block::Place`], [`Block::Harmonics`] | `Y_lm(θ, φ)`, l = 0..=L, m = −l..=l | `harmonics.wgsl` | `…/place.rs` |
//! | [`Block::Id`]: sensor, Köppen zone, ecoregion, MGRS or S2 tile | `missing + table[id]` | `schemes/id.wgsl` | `…/id.rs` |
//! | [`Block::Table`] (S2 cells too), [`Block::TerraMindCoordinate`], [`Block::SkySenseCalendar`] | `table[number − first]` | `schemes/table.wgsl` | `…/table.rs` |
//! | [`Block::TesseraFrequencies`] | `sin, cos(2π f_j d/365 + φ)`, f and φ learned | `schemes/frequencies.wgsl` | `…/frequencies.rs` |
//!
//! Forward: `shaders/encode/forward.wgsl`, twin [`twin::forward`].
//!
//! | gradient | of | shaders, each first stage before `reduce/sum_chunks.wgsl` | twin |
//! |---|---|---|---|
//! | [`Encoder::backward`], [`Encoder::tokens_backward`] | missing vectors, tables | `arena_gradient.wgsl` | [`twin::arena_gradient`], [`twin::tokens_gradient`] |
//! | | learned scales | `scale_gradient.wgsl` | |
//! | | learned frequencies, phases | `frequency_gradient.wgsl` | |
//! | [`Encoder::input_gradient`] | place, time, GSD of each record | `number_gradient.wgsl`, `input_gradient.wgsl` (no sums over rows) | [`twin::input_gradient`] |
//! | | places, through harmonics | `harmonics_gradient.wgsl` | |
//!
//! Tests: `tests/gpu/encode/`, `tests/golden.rs`.
//!
//! **Exactness.** Angles are integers up to the last step (fixed-point degrees, calendar arithmetic, u32 turns), and
//! harmonics are wrapping products; only the final sine is a float. Errors against f64 stay below 1e-6, whatever the
//! adapter's own `sin` is worth (the two linear features, decades and octaves, are rounded once).
//!
//! **Missing values.** A block whose inputs are missing gives one learned vector instead (initially 0) and 0 in its
//! validity column; published ones give 0. All learned parameters lie in one arena, block after block: missing vector,
//! table, scale or frequencies.

mod backward;
mod block;
mod catalogue;
pub mod codec;
mod gpu;
mod halves;
mod harmonics;
mod input;
mod plan;
mod scheme;
mod schemes;
mod source;
mod tokens;
pub mod twin;
mod waves;

pub use backward::{Backward, TokensBackward};
pub use block::Block;
pub use catalogue::{SchemeInfo, schemes};
pub(crate) use gpu::KERNELS;
pub use harmonics::Convention;
pub use input::InputGradient;
pub use plan::{IdTables, Layout, Plan};
pub use scheme::Scale;
pub use schemes::clay::Clay;
pub use schemes::fourier::Fourier;
pub use schemes::geotime::GeoTime;
pub use schemes::prithvi::Prithvi;
pub use schemes::satclip::SatClip;
pub use schemes::terramind::TerraMind;
pub use schemes::torchspatial::{Radii, Spatial};
pub use schemes::{Coordinate, Galileo, GalileoTokens, Presto, TerraMindCoordinate, Tessera, terramind_text};
pub use source::Source;
pub use tokens::{AddToTokens, Axis, TokenGrid};
pub use waves::{Order, Wave, Waves};

use crate::Error;
use crate::gpu::{Access, Dtype, Gpu, Recorder, View, check_overlap};
use crate::records::RECORD_WORDS;

const OP: &str = "encode";

/// A plan on a device.
///
/// ```no_run
/// use gtca::encode::{Encoder, Forward, IdTables, Plan};
/// use gtca::gpu::{Dtype, Gpu, View};
/// use gtca::records::{RECORD_WORDS, Record, Records};
/// # fn f(gpu: &Gpu) -> Result<(), gtca::Error> {
/// let encoder = Encoder::new(gpu, Plan::gtca(&IdTables::default())?);
/// let records = Records::from_records(&[Record::new().lat_deg(47.4).lon_deg(8.5).date(2024, 2, 29)])?;
/// let words = gpu.upload("records", records.words());
/// let arena = gpu.zeros("arena", u64::from(encoder.plan().arena_len()) * 4);
/// let e = gpu.zeros("e", u64::from(encoder.plan().width()) * 4);
/// let mut commands = gpu.encoder();
/// encoder.forward(
///     &mut gpu.recorder(&mut commands),
///     &Forward {
///         records: View::matrix(&words, RECORD_WORDS, 1).of(Dtype::U32),
///         arena: View::vector(&arena, encoder.plan().arena_len()),
///         given: None,
///         e: View::matrix(&e, 1, encoder.plan().width()),
///         status: None,
///     },
/// )?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Encoder {
    plan: Plan,
    buffer: wgpu::Buffer,
}

/// Arguments of [`Encoder::forward`].
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// u32 `[RECORD_WORDS, S]`, as [`Records::words`](crate::records::Records::words) lays them out.
    pub records: View<'a>,
    /// Learned parameters, `[arena_len]`.
    pub arena: View<'a>,
    /// Further numbers of each record, `[S, ≤ 8]`, for waves of [`Source::Given`]. A value that is not finite or not below
    /// 2¹⁹ is missing.
    pub given: Option<View<'a>>,
    /// Written: `[S, M]`, f32, or f16 or bf16 packed two to a word: from a multiple of four bytes, with even strides. Halves are
    /// the f32 result rounded once, half to even; with an odd width the last word of a row keeps its other half.
    pub e: View<'a>,
    /// u32 `[blocks]`, counted up: records in which a field that the block reads holds an impossible value or an id
    /// past its table. Such a field counts as missing.
    pub status: Option<View<'a>>,
}

impl Encoder {
    /// Puts a plan on a device.
    pub fn new(gpu: &Gpu, plan: Plan) -> Self {
        let buffer = gpu.upload("gtca plan", plan.words());
        Self { plan, buffer }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records `e = E(m)`. Rows are independent: a record alone gives the same bits.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; records that exceed one binding.
    pub fn forward(&self, recorder: &mut Recorder<'_>, args: &Forward<'_>) -> Result<(), Error> {
        let samples = args.e.rows();
        self.check_records(recorder, &args.records, samples)?;
        self.check_arena(recorder, &args.arena)?;
        let is_half = halves::is_half("e", &args.e)?;
        let dtype = if is_half { args.e.dtype } else { Dtype::F32 };
        args.e.check_rows(OP, "e", dtype, samples, self.plan.width())?;
        if self.plan.reads_tokens() {
            let rule = "some block needs a token's place";
            return Err(Error::argument(OP, "plan", "without tokens", rule, "call add_to_tokens"));
        }
        let mut used = vec![
            ("records", args.records, Access::Read),
            ("arena", args.arena, Access::Read),
            ("e", args.e, Access::Write),
        ];
        used.extend(self.check_given(args.given, samples)?);
        if let Some(status) = args.status {
            status.check_rows(OP, "status", Dtype::U32, 1, self.plan.layouts().len() as u32)?;
            used.push(("status", status, Access::Write));
        }
        check_overlap(OP, &used)?;
        if is_half { halves::forward(self, recorder, args) } else { gpu::forward(self, recorder, args) }
    }

    /// One call: uploads records and an arena, encodes, submits, and reads `[S, M]` back.
    ///
    /// ```
    /// use gtca::encode::{Block, Encoder, Plan};
    /// use gtca::gpu::{Gpu, OpenOptions};
    /// use gtca::records::{Record, Records};
    /// # async fn f() -> Result<(), gtca::Error> {
    /// let gpu = Gpu::open(&OpenOptions::default()).await?;
    /// let encoder = Encoder::new(&gpu, Plan::new(&[Block::Season])?);
    /// let records = Records::from_records(&[Record::new().date(2024, 2, 29)])?;
    /// let e = encoder.encode(&gpu, &records, &encoder.plan().initial_arena()).await?;
    /// assert_eq!(e.len(), encoder.plan().width() as usize);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// An arena of another length; as [`Encoder::forward`] and reading back.
    pub async fn encode(
        &self,
        gpu: &Gpu,
        records: &crate::records::Records,
        arena: &[f32],
    ) -> Result<Vec<f32>, Error> {
        let (samples, width) = (records.len() as u32, self.plan.width());
        if arena.len() != self.plan.arena_len() as usize {
            let rule = format!("the plan has {} learned parameters", self.plan.arena_len());
            return Err(Error::argument(OP, "arena", arena.len(), rule, "start from Plan::initial_arena"));
        }
        let words = gpu.upload("records", records.words());
        let learned = gpu.upload("arena", arena);
        let e = gpu.zeros("e", u64::from(samples) * u64::from(width) * 4);
        let e = View::matrix(&e, samples, width);
        let args = Forward {
            records: View::matrix(&words, RECORD_WORDS, samples).of(Dtype::U32),
            arena: View::vector(&learned, self.plan.arena_len()),
            given: None,
            e,
            status: None,
        };
        gpu.run(|recorder| self.forward(recorder, &args))?;
        gpu.read_f32(&e).await
    }

    fn check_records(&self, recorder: &Recorder<'_>, records: &View<'_>, samples: u64) -> Result<(), Error> {
        if samples > u32::MAX.into() {
            let rule = "samples are counted in 32 bits";
            return Err(Error::argument(OP, "records", samples, rule, "split the batch"));
        }
        records.check_matrix(OP, "records", Dtype::U32, RECORD_WORDS.into(), samples as u32)?;
        check_binding(recorder, "records", records, "split the batch")
    }

    fn check_arena(&self, recorder: &Recorder<'_>, arena: &View<'_>) -> Result<(), Error> {
        arena.check_rows(OP, "arena", Dtype::F32, 1, self.plan.arena_len())?;
        check_binding(recorder, "arena", arena, "shrink the tables, or open a device with larger limits")
    }

    /// The second view: as many columns as the blocks read.
    fn check_given<'a>(
        &self,
        given: Option<View<'a>>,
        rows: u64,
    ) -> Result<Option<(&'static str, View<'a>, Access)>, Error> {
        let columns = self.plan.given_columns();
        match given {
            None if columns > 0 => {
                let rule = format!("{columns} columns are read");
                Err(Error::argument(OP, "given", "absent", rule, "give a view"))
            }
            Some(given) if given.width() < columns => {
                let rule = format!("{columns} columns are read");
                Err(Error::argument(OP, "given", format!("{} wide", given.width()), rule, "widen the view"))
            }
            Some(given) if given.width() > 8 => {
                let rule = "it has at most eight columns";
                Err(Error::argument(
                    OP,
                    "given",
                    format!("{} wide", given.width()),
                    rule,
                    "give a view of those read",
                ))
            }
            Some(given) => {
                given.check_rows(OP, "given", Dtype::F32, rows, given.width())?;
                Ok(Some(("given", given, Access::Read)))
            }
            None => Ok(None),
        }
    }

    /// The plan's words as a view.
    fn words(&self) -> View<'_> {
        View::vector(&self.buffer, self.plan.words().len() as u32).of(Dtype::U32)
    }
}

/// Refuses a view that no dispatch could bind as a whole.
fn check_binding(
    recorder: &Recorder<'_>,
    argument: &'static str,
    view: &View<'_>,
    remedy: &'static str,
) -> Result<(), Error> {
    let limit = recorder.gpu().limits().max_storage_buffer_binding_size;
    let bytes = view.bind(recorder.gpu().alignment()).size;
    if bytes > limit {
        let rule = format!("this device binds at most {limit} bytes");
        return Err(Error::argument(OP, argument, format!("{bytes} bytes"), rule, remedy));
    }
    Ok(())
}

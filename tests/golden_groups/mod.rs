//! Which code answers for which group of golden tensors. One module a file, one row a group.

mod alphaearth;
mod clay;
mod codec;
mod fourier;
mod galileo;
mod presto;
mod prithvi;
mod satclip;
mod terramind;
mod tessera;
mod torchspatial;

pub mod case;
pub mod outcome;
pub mod report;

use crate::support::Tensors;
use case::Case;
use gtca::encode::{AddToTokens, Encoder, Forward, Plan, TokenGrid};
use gtca::gpu::Gpu;
use gtca::records::{RECORD_WORDS, Record, Records};
use outcome::Outcome;

/// What stands in a test's way; any message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Compares one case with ours.
pub type Check = fn(&'static Gpu, &Case<'_>) -> Result<Outcome>;

/// File, group, and what compares it.
pub const TABLE: &[(&str, &str, Check)] = &[
    ("alphaearth", "dequant_all", alphaearth::dequant_all),
    ("alphaearth", "roundtrip", alphaearth::roundtrip),
    ("clay", "add_encodings", clay::add_encodings),
    ("clay", "latlon", clay::latlon),
    ("clay", "latlon_bounds", clay::latlon_bounds),
    ("clay", "posemb1d_wave", clay::posemb1d_wave),
    ("clay", "posemb2d", clay::posemb2d),
    ("clay", "posemb2d_gsd", clay::posemb2d_gsd),
    ("clay", "time", clay::time),
    ("galileo", "apply_encodings", galileo::apply_encodings),
    ("galileo", "cartesian", galileo::cartesian),
    ("galileo", "month_table", galileo::month_table),
    ("galileo", "posemb1d", galileo::posemb1d),
    ("galileo", "posemb2d_res", galileo::posemb2d_res),
    ("geoclip", "basic", fourier::basic),
    ("geoclip", "equal_earth", fourier::equal_earth),
    ("geoclip", "positional", fourier::positional),
    ("geoclip", "rff", fourier::geoclip_rff),
    ("gtloc", "rff", fourier::gtloc_rff),
    ("gtloc", "time_angles", fourier::time_angles),
    ("presto", "cartesian", presto::cartesian),
    ("presto", "month_seq", presto::month_seq),
    ("presto", "month_table", presto::month_table),
    ("presto", "posemb1d", presto::posemb1d),
    ("prithvi", "location", prithvi::location),
    ("prithvi", "posemb3d", prithvi::posemb3d),
    ("prithvi", "temporal", prithvi::temporal),
    ("satclip", "cartesian3d", satclip::cartesian3d),
    ("satclip", "direct", satclip::direct),
    ("satclip", "multiscale", satclip::multiscale),
    ("satclip", "sh_analytic", satclip::sh_analytic),
    ("satclip", "sh_closed", satclip::sh_closed),
    ("satclip", "wrap", satclip::wrap),
    ("terramind", "coords", terramind::coords),
    ("terramind", "img_posemb2d", terramind::img_posemb2d),
    ("terramind", "seq_posemb1d", terramind::seq_posemb1d),
    ("tessera", "doy_pe", tessera::doy_pe),
    ("tessera", "learned_freq", tessera::learned_freq),
    ("tessera", "int8_row", tessera::int8_row),
    ("tessera", "int8_tensor", tessera::int8_tensor),
    ("torchspatial", "case", torchspatial::case),
    ("torchspatial", "dft", torchspatial::dft),
    ("torchspatial", "nerf", torchspatial::nerf),
    ("torchspatial", "rff", torchspatial::rff),
    ("torchspatial", "wrap", torchspatial::wrap),
    ("torchspatial", "xyz", torchspatial::xyz),
];

/// Groups that show upstream's own damage: how far they are from ours is told, and nothing is asked of them.
pub const INFORMATIONAL: &[(&str, &str, Check)] = &[("prithvi", "lowprec", prithvi::lowprec)];

/// Groups whose encoder does not exist yet. A row moves from here to [`TABLE`].
pub const NOT_YET: &[(&str, &str)] = &[];

/// Pairs of numbers.
pub fn pairs(values: &[f64]) -> impl Iterator<Item = [f64; 2]> + '_ {
    values.chunks_exact(2).map(|pair| [pair[0], pair[1]])
}

/// Records of (longitude, latitude) in degrees.
pub fn lonlat_records(lonlat_deg: &[f64]) -> Vec<Record> {
    pairs(lonlat_deg).map(|[lon, lat]| Record::new().lat_deg(lat).lon_deg(lon)).collect()
}

/// Feature rows of records under a plan, from the kernel; `arena` holds the plan's learned parameters.
pub fn encode(gpu: &'static Gpu, plan: Plan, records: &[Record], arena: &[f32]) -> Result<Vec<f32>> {
    encode_given(gpu, plan, records, arena, &[])
}

/// As [`encode`], with further numbers of each record.
pub fn encode_given(
    gpu: &'static Gpu,
    plan: Plan,
    records: &[Record],
    arena: &[f32],
    given: &[f32],
) -> Result<Vec<f32>> {
    let samples = records.len() as u32;
    let columns = given.len() as u32 / samples.max(1);
    let records = Records::from_records(records)?;
    let mut t = Tensors::new(gpu, crate::support::Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, samples], records.words());
    let arena = t.f32([1, 1, plan.arena_len()], arena);
    let numbers = t.f32([samples, 1, columns], given);
    let e = t.poisoned([samples, 1, plan.width()]);
    let encoder = Encoder::new(gpu, plan);
    let given = (columns > 0).then(|| t.view(numbers));
    let args = Forward { records: t.view(words), given, arena: t.view(arena), e: t.view(e), status: None };
    t.run(|recorder| encoder.forward(recorder, &args))?;
    Ok(t.read(e))
}

/// As [`encode`], for the tokens of a grid, `[samples, tokens, M]`.
pub fn encode_tokens(
    gpu: &'static Gpu,
    plan: Plan,
    records: &[Record],
    arena: &[f32],
    grid: TokenGrid,
    tokens: u32,
) -> Result<Vec<f32>> {
    let count = records.len() as u32;
    let samples = count / grid.frame.count.checked_div(grid.frames_a_record).unwrap_or(1);
    let shape = [samples, tokens, plan.width()];
    let zeros = vec![0.0; shape.iter().map(|&n| n as usize).product()];
    add_to(gpu, plan, records, arena, &[], grid, (shape, &zeros))
}

/// Tokens with what a plan adds to them; `given` has as many numbers for each token.
pub fn add_to(
    gpu: &'static Gpu,
    plan: Plan,
    records: &[Record],
    arena: &[f32],
    given: &[f32],
    grid: TokenGrid,
    (shape, tokens): ([u32; 3], &[f32]),
) -> Result<Vec<f32>> {
    let columns = given.len() as u32 / (shape[0] * shape[1]).max(1);
    let host = Records::from_records(records)?;
    let mut t = Tensors::new(gpu, crate::support::Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, records.len() as u32], host.words());
    let arena = t.f32([1, 1, plan.arena_len()], arena);
    let numbers = t.f32([shape[0], shape[1], columns], given);
    let out = t.f32(shape, tokens);
    let encoder = Encoder::new(gpu, plan);
    let given = (columns > 0).then(|| t.view(numbers));
    let tokens = t.view(out);
    let args =
        AddToTokens { records: t.view(words), arena: t.view(arena), given, tokens, grid, status: None };
    t.run(|recorder| encoder.add_to_tokens(recorder, &args))?;
    Ok(t.read(out))
}

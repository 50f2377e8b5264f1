//! Prithvi-EO-2.0.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, add_to, encode, encode_given, encode_tokens, pairs};
use gtca::encode::{Block, Plan, Prithvi, Scale, Source, TokenGrid};
use gtca::gpu::Gpu;
use gtca::records::Record;

fn plan(encoding: Prithvi) -> Result<Plan> {
    Ok(Plan::new(&[Block::Prithvi { encoding, validity: false }])?)
}

/// Learned and fixed scales give the same.
fn scaled(
    case: &Case<'_>,
    of: impl Fn(u32, Scale) -> Prithvi,
    compare: impl Fn(Plan, &[f32]) -> Result<Outcome>,
) -> Result<Outcome> {
    let width = case.i32("in.dim")?[0] as u32;
    let scale = case.f32("in.scale")?[0];
    let fixed = compare(plan(of(width, Scale::Fixed(scale)))?, &[])?;
    let learned = plan(of(width, Scale::Learned(scale)))?;
    let arena = learned.initial_arena();
    Ok(fixed.and(compare(learned, &arena)?))
}

pub fn location(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let records: Vec<Record> = pairs(&case.f64("in.latlon_deg")?)
        .map(|[lat, lon]| Record::new().lat_deg(lat).lon_deg(lon))
        .collect();
    let expected = case.f64("out_f64")?;
    scaled(
        case,
        |width, scale| Prithvi::Location { width, scale },
        |plan, arena| Outcome::near(&encode(gpu, plan, &records, arena)?, &expected, 1e-6),
    )
}

/// Years and days as upstream's data sets have them, from 0 or 1; upstream repeats a frame's row over its tokens.
pub fn temporal(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let (frames, width) = (case.shape("in.year_doy")?[1] as u32, case.i32("in.dim")?[0] as u32);
    let per_frame = case.i32("in.tokens_per_frame")?[0].max(1) as u32;
    let times = case.f32("in.year_doy")?;
    let given: Vec<f32> = times.chunks_exact(2).flat_map(|pair| pair.repeat(per_frame as usize)).collect();
    let samples = times.len() as u32 / 2 / frames;
    let shape = [samples, frames * per_frame, width];
    let zeros = vec![0.0; shape.iter().map(|&n| n as usize).product()];
    let records = vec![Record::new(); samples as usize];
    let grid = TokenGrid::series(frames, 1, per_frame);
    let of = [Source::Given(0), Source::Given(1)];
    let expected = case.f64("out_f64")?;
    scaled(
        case,
        |width, scale| Prithvi::Time { of, width, scale },
        |plan, arena| {
            let tokens = add_to(gpu, plan, &records, arena, &given, grid, (shape, &zeros))?;
            Outcome::near(&tokens, &expected, 1e-6)
        },
    )
}

/// Upstream's modules run in f16 or bf16, with a scale of 1, against ours in f32: what those types cost.
pub fn lowprec(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let (upstream, width) = (case.f64("out")?, case.width("out")? as u32);
    let scale = Scale::Fixed(1.0);
    let ours = if case.has("in.year_doy") {
        let (times, of) = (case.f32("in.year_doy")?, [Source::Given(0), Source::Given(1)]);
        let nobody = vec![Record::new(); times.len() / 2];
        encode_given(gpu, plan(Prithvi::Time { of, width, scale })?, &nobody, &[], &times)?
    } else {
        let place = |[lat, lon]: [f64; 2]| Record::new().lat_deg(lat).lon_deg(lon);
        let records: Vec<_> = pairs(&case.f64("in.latlon_deg")?).map(place).collect();
        encode(gpu, plan(Prithvi::Location { width, scale })?, &records, &[])?
    };
    // Two sines differ by 2 at most.
    Outcome::near(&ours, &upstream, 2.0)
}

pub fn posemb3d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.i32("in.dim_T_H_W")?;
    let [width, frames, rows, columns] = [0, 1, 2, 3].map(|i| input[i] as u32);
    // The class token comes first and keeps its zeros.
    let grid = TokenGrid { skipped: 1, ..TokenGrid::series(frames, rows, columns) };
    let shape = [1, 1 + frames * rows * columns, width];
    let tokens =
        encode_tokens(gpu, plan(Prithvi::Position3d { width })?, &[Record::new()], &[], grid, shape[1])?;
    Outcome::near(&tokens, &case.f64("out_f64")?, 1e-6)
}

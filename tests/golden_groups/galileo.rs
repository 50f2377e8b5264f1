//! Galileo; and Presto's groups of the same form.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, encode_tokens};
use gtca::encode::{Block, Galileo, Plan, TokenGrid};
use gtca::gpu::Gpu;
use gtca::records::Record;

/// A record in each month.
fn months() -> Vec<Record> {
    (1..=12).map(|month| Record::new().date(2023, month, 1)).collect()
}

/// A month table `[12, dim]`.
pub fn months_of(gpu: &'static Gpu, case: &Case<'_>, block: impl Fn(u32) -> Block) -> Result<Outcome> {
    let width = case.i32("in.dim")?[0] as u32;
    let e = encode(gpu, Plan::new(&[block(width)])?, &months(), &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Positions `[length, dim]`.
pub fn positions_of(gpu: &'static Gpu, case: &Case<'_>, block: impl Fn(u32) -> Block) -> Result<Outcome> {
    let [length, width] = case.i32("in.len_dim")?[..] else { return Err("length and width".into()) };
    let plan = Plan::new(&[block(width as u32)])?;
    let grid = TokenGrid::series(length as u32, 1, 1);
    let e = encode_tokens(gpu, plan, &[Record::new()], &[], grid, length as u32)?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Unit vectors `[N, 3]`.
pub fn places_of(gpu: &'static Gpu, case: &Case<'_>, block: Block) -> Result<Outcome> {
    let input = case.f64("in.latlon_deg")?;
    let record = |p: &[f64]| Record::new().lat_deg(p[0]).lon_deg(p[1]);
    let records: Vec<_> = input.chunks_exact(2).map(record).collect();
    let e = encode(gpu, Plan::new(&[block])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

pub fn month_table(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    months_of(gpu, case, |width| Block::Galileo(Galileo::Month { width }))
}

pub fn posemb1d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    positions_of(gpu, case, |width| Block::Galileo(Galileo::Position { width }))
}

pub fn cartesian(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    places_of(gpu, case, Block::Galileo(Galileo::Place))
}

pub fn posemb2d_res(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let [side, width, patch_px] = case.i32("in.grid_dim_patch")?[..] else {
        return Err("side, width and patch".into());
    };
    let (side, patch_px) = (side as u32, patch_px.into());
    let records: Vec<_> = case.f64("in.gsd_m")?.iter().map(|&gsd| Record::new().gsd_m(gsd)).collect();
    let plan = Plan::new(&[Block::Galileo(Galileo::Space { width: width as u32, patch_px })])?;
    let e = encode_tokens(gpu, plan, &records, &[], TokenGrid::image(side, side), side * side)?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

//! Presto.

use super::case::Case;
use super::galileo::{months_of, places_of, positions_of};
use super::outcome::Outcome;
use super::{Result, encode_tokens};
use gtca::encode::{Block, Plan, Presto, TokenGrid};
use gtca::gpu::Gpu;
use gtca::records::Record;

pub fn month_table(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    months_of(gpu, case, |width| Block::Presto(Presto::Month { width }))
}

pub fn posemb1d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    positions_of(gpu, case, |width| Block::Presto(Presto::Position { width }))
}

pub fn cartesian(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    places_of(gpu, case, Block::Presto(Presto::Place))
}

/// The month of each step, told by its angle.
pub fn month_seq(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let steps = case.width("out")? as u32;
    let start = |&month0: &i32| Record::new().date(2023, month0 + 1, 1);
    let records: Vec<_> = case.i32("in.start_month0")?.iter().map(start).collect();
    let plan = Plan::new(&[Block::Presto(Presto::Month { width: 2 })])?;
    let e = encode_tokens(gpu, plan, &records, &[], TokenGrid::series(steps, 1, 1), steps)?;
    let month = |wave: &[f32]| {
        let turns = f64::from(wave[0]).atan2(wave[1].into()) / std::f64::consts::TAU;
        (turns * 12.0).round().rem_euclid(12.0) as i32
    };
    let months: Vec<_> = e.chunks_exact(2).map(month).collect();
    Outcome::same(&months, &case.i32("out")?)
}

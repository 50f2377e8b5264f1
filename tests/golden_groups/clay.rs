//! Clay v1.5.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode};
use gtca::common::calendar::{CivilDate, day_number, iso_week};
use gtca::encode::{Block, Plan};
use gtca::gpu::Gpu;
use gtca::records::Record;

/// Half of Clay's eight channels: those of the time, or those of the place.
fn half(gpu: &'static Gpu, records: &[Record], first: usize) -> Result<Vec<f32>> {
    let plan = Plan::new(&[Block::ClayScalars { validity: false }])?;
    let e = encode(gpu, plan, records, &[])?;
    Ok(e.chunks_exact(8).flat_map(|row| row[first..first + 4].to_vec()).collect())
}

fn places(gpu: &'static Gpu, case: &Case<'_>, latlon_deg: &[[f64; 2]]) -> Result<Outcome> {
    let record = |&[lat, lon]: &[f64; 2]| Record::new().lat_deg(lat).lon_deg(lon);
    let records: Vec<Record> = latlon_deg.iter().map(record).collect();
    Outcome::near(&half(gpu, &records, 4)?, &case.f64("out_f64")?, 1e-6)
}

pub fn latlon(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.f64("in.latlon_deg")?;
    places(gpu, case, &input.chunks_exact(2).map(|p| [p[0], p[1]]).collect::<Vec<_>>())
}

/// A chip that crosses the antimeridian may have its middle past it; records hold ±180°.
fn wrapped(lon_deg: f64) -> f64 {
    if lon_deg.abs() <= 180.0 { lon_deg } else { (lon_deg + 180.0).rem_euclid(360.0) - 180.0 }
}

/// Upstream encodes the middle of a chip's bounds.
pub fn latlon_bounds(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.f64("in.minx_miny_maxx_maxy_deg")?;
    let middle = |b: &[f64]| [b[1] + (b[3] - b[1]) / 2.0, wrapped(b[0] + (b[2] - b[0]) / 2.0)];
    places(gpu, case, &input.chunks_exact(4).map(middle).collect::<Vec<_>>())
}

pub fn time(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let times = case.i32("in.ymdh")?;
    let record = |t: &[i32]| Record::new().date(t[0], t[1], t[2]).second_of_day(t[3] * 3600);
    let records: Vec<Record> = times.chunks_exact(4).map(record).collect();
    let week = |t: &[i32]| iso_week(day_number(CivilDate::new(t[0], t[1], t[2]))).week;
    let weeks: Vec<i32> = times.chunks_exact(4).map(week).collect();
    let weeks = Outcome::same(&weeks, &case.i32("in.iso_week")?)?;
    Ok(weeks.and(Outcome::near(&half(gpu, &records, 0)?, &case.f64("out_f64")?, 1e-6)?))
}

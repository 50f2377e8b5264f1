//! Clay v1.5.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, add_to, encode, encode_tokens};
use gtca::common::calendar::{CivilDate, day_number, iso_week};
use gtca::encode::{Block, Clay, Plan, Source, TokenGrid, Waves};
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

fn clay(encoding: Clay) -> Block {
    Block::Clay { encoding, validity: false }
}

pub fn posemb1d_wave(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let records: Vec<Record> =
        case.f64("in.wavelength_um")?.iter().map(|&um| Record::new().wavelength_um(um)).collect();
    let width = case.i32("in.dim")?[0] as u32;
    let e = encode(gpu, Plan::new(&[clay(Clay::Wavelength { width })])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

pub fn posemb2d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let [rows, columns, width] = hwd(case)?;
    let plan = Plan::new(&[clay(Clay::Position2d { width })])?;
    let shape = [1, rows * columns, width];
    let tokens = encode_tokens(gpu, plan, &[Record::new()], &[], TokenGrid::image(rows, columns), shape[1])?;
    Outcome::near(&tokens, &case.f64("out_f64")?, 1e-6)
}

fn hwd(case: &Case<'_>) -> Result<[u32; 3]> {
    let input = case.i32("in.hwd")?;
    Ok([0, 1, 2].map(|i| input[i] as u32))
}

pub fn posemb2d_gsd(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let [rows, columns, width] = hwd(case)?;
    let gsd = case.f64("in.gsd_m")?;
    let records: Vec<Record> = gsd.iter().map(|&gsd| Record::new().gsd_m(gsd)).collect();
    let plan = Plan::new(&[clay(Clay::Position2dGsd { width })])?;
    let shape = [records.len() as u32, rows * columns, width];
    let tokens = encode_tokens(gpu, plan, &records, &[], TokenGrid::image(rows, columns), shape[1])?;
    let largest = gsd.iter().fold(0.0, |a: f64, b| a.max(*b)) * f64::from(rows.max(columns));
    Outcome::near(&tokens, &case.f64("out_f64")?, if largest > 1e4 { 5e-6 } else { 1e-6 })
}

/// Tokens + position with GSD + the eight scalars, which come as they are (missing ones as zeros): the whole fusion, with
/// the scalars given. Upstream gives f32 alone: ours is compared with the formula in f64, and with upstream within the
/// error of its own f32 angles.
pub fn add_encodings(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let shape = case.shape("in.patches")?;
    let [samples, tokens, width] = [0, 1, 2].map(|i| shape[i] as u32);
    let side = f64::from(tokens).sqrt() as u32;
    let gsd = case.f64("in.gsd_m")?[0];
    let position = clay(Clay::Position2dGsd { width: width - 8 });
    let scalars = (0..8).fold(Waves::new(), |waves, j| waves.linear(Source::Given(j % 8), 1.0, 0.0));
    let plan = Plan::new(&[position, Block::Waves { name: "scalars", waves: scalars, validity: false }])?;
    let (time, place) = (case.f64("in.time4")?, case.f64("in.latlon4")?);
    let rows = time.chunks_exact(4).zip(place.chunks_exact(4)).map(|(time, place)| [time, place].concat());
    let given: Vec<f64> = rows.flat_map(|row| row.repeat(tokens as usize)).collect();
    let given32: Vec<f32> = given.iter().map(|&value| value as f32).collect();
    let patches = case.f32("in.patches")?;
    let records = vec![Record::new().gsd_m(gsd); samples as usize];
    let grid = TokenGrid::image(side, side);
    let got = add_to(gpu, plan, &records, &[], &given32, grid, ([samples, tokens, width], &patches))?;
    let d = f64::from(width - 8);
    let n = (width - 8) / 4;
    let angle = |p: u32, i: u32| {
        let e = f64::from(i) / f64::from(n - 1);
        f64::from(p) * gsd * 1e4f64.powf(-2.0 * e / d)
    };
    let reference: Vec<f64> = (0..samples * tokens)
        .flat_map(|row| {
            let t = row % tokens;
            let wave = |p: u32| {
                let sines = (0..n).map(move |i| angle(p, i).sin());
                sines.chain((0..n).map(move |i| angle(p, i).cos())).collect::<Vec<_>>()
            };
            [wave(t % side), wave(t / side), given[8 * row as usize..][..8].to_vec()].concat()
        })
        .zip(&patches)
        .map(|(encoding, patch)| encoding + f64::from(*patch))
        .collect();
    let theirs = 2.0 * gsd * f64::from(side) * 2f64.powi(-23) + 2e-6;
    let upstream = Outcome::near(&got, &case.f64("out_f32")?, theirs)?;
    Ok(Outcome::near(&got, &reference, 1e-6)?.and(upstream))
}

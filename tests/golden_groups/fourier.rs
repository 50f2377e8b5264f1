//! GeoCLIP's and GT-Loc's Fourier features of given numbers, and GT-Loc's angles of the time.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, encode_given, pairs};
use gtca::encode::{Block, Fourier, Plan, Source};
use gtca::gpu::Gpu;
use gtca::records::Record;
use std::f64::consts::TAU;

fn compare(
    gpu: &'static Gpu,
    case: &Case<'_>,
    input: &str,
    features: Fourier,
    bound: impl Fn(usize) -> f64,
) -> Result<Outcome> {
    let given: Vec<f32> = case.f64(input)?.iter().map(|&value| value as f32).collect();
    let of = [Source::Given(0), Source::Given(1)];
    let plan = Plan::new(&[Block::Fourier { features, of, validity: false }])?;
    let records = vec![Record::new(); given.len() / 2];
    Outcome::within(&encode_given(gpu, plan, &records, &[], &given)?, &case.f64("out_f64")?, bound)
}

fn gaussian(gpu: &'static Gpu, case: &Case<'_>, input: &str) -> Result<Outcome> {
    let b: Vec<[f32; 2]> =
        case.f64("in.B")?.chunks_exact(2).map(|row| [row[0] as f32, row[1] as f32]).collect();
    let given = case.f64(input)?;
    let rows = b.clone();
    // Cosines, then sines, of the same waves; angles above 1e4 rad may err by 5e-6.
    let bound = move |i: usize| {
        let (point, wave) = (i / (2 * rows.len()), i % rows.len());
        let [x, y] = rows[wave].map(f64::from);
        let angle = TAU * (x * given[2 * point] + y * given[2 * point + 1]);
        if angle.abs() > 1e4 { 5e-6 } else { 1e-6 }
    };
    compare(gpu, case, input, Fourier::Gaussian(b), bound)
}

pub fn geoclip_rff(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    gaussian(gpu, case, "in.xy")
}

pub fn gtloc_rff(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    gaussian(gpu, case, "in.theta_phi")
}

pub fn basic(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    compare(gpu, case, "in.xy", Fourier::Basic, |_| 1e-6)
}

/// Its points are those of the group `basic`.
pub fn positional(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let points = case.beside("basic").ok_or("the points of `basic` are missing")?;
    let input = case.f64("in.sigma_m")?;
    let features = Fourier::Positional { sigma: input[0], count: input[1] as u32 };
    let of = [Source::Given(0), Source::Given(1)];
    let given: Vec<f32> = points.f64("in.xy")?.iter().map(|&value| value as f32).collect();
    let plan = Plan::new(&[Block::Fourier { features, of, validity: false }])?;
    let e = encode_given(gpu, plan, &vec![Record::new(); given.len() / 2], &[], &given)?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

pub fn time_angles(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let times = case.i32("in.month_day_hour_min_sec")?;
    let record = |t: &[i32]| {
        let mut record = Record::new().second_of_day(t[2] * 3600 + t[3] * 60 + t[4]);
        (record.month, record.day) = (Some(t[0]), Some(t[1]));
        record
    };
    let records: Vec<Record> = times.chunks_exact(5).map(record).collect();
    let e = encode(gpu, Plan::new(&[Block::TimeAngles { validity: false }])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

pub fn equal_earth(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let latlon = case.f64("in.latlon_deg")?;
    let records: Vec<Record> =
        pairs(&latlon).map(|[lat, lon]| Record::new().lat_deg(lat).lon_deg(lon)).collect();
    let e = encode(gpu, Plan::new(&[Block::EqualEarth { validity: false }])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

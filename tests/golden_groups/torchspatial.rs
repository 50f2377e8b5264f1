//! TorchSpatial, Space2Vec and Sphere2Vec.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, lonlat_records, pairs};
use gtca::encode::{Block, Fourier, Plan, Radii, Source, Spatial};
use gtca::gpu::Gpu;

fn radii(case: &Case<'_>) -> Result<Radii> {
    let input = case.f64("in.F_minr_maxr")?;
    Ok(Radii { count: input[0] as u32, min: input[1], max: input[2] })
}

fn compare(gpu: &'static Gpu, case: &Case<'_>, block: Block, bound: f64) -> Result<Outcome> {
    let records = lonlat_records(&case.f64("in.lonlat_deg")?);
    let e = encode(gpu, Plan::new(&[block])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, bound)
}

fn spatial(gpu: &'static Gpu, case: &Case<'_>, encoding: Spatial, radii: Radii) -> Result<Outcome> {
    // The largest angle: angles above 1e4 rad may err by 5e-6, those above 1e7, where f64 itself errs by 2e-8, by 2e-5.
    let largest = 180.0 / radii.min;
    let bound = if largest > 1e7 {
        2e-5
    } else if largest > 1e4 {
        5e-6
    } else {
        1e-6
    };
    compare(gpu, case, Block::Spatial { encoding, radii, validity: false }, bound)
}

pub fn case(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let encoding = match case.variant() {
        "grid" => Spatial::Grid,
        "theory" => Spatial::Theory,
        "sphereC" => Spatial::SphereC,
        "sphereCplus" => Spatial::SphereCPlus,
        "sphereM" => Spatial::SphereM,
        "sphereMplus" => Spatial::SphereMPlus,
        "sphereMplus_sphere2vec_repo" => Spatial::SphereMPlusOfSphere2Vec,
        other => return Err(format!("unknown encoder {other}").into()),
    };
    spatial(gpu, case, encoding, radii(case)?)
}

pub fn dft(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    spatial(gpu, case, Spatial::Dfs, radii(case)?)
}

pub fn xyz(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    spatial(gpu, case, Spatial::Xyz, Radii { count: 1, min: 1.0, max: 1.0 })
}

pub fn wrap(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    spatial(gpu, case, Spatial::Wrap, Radii { count: 1, min: 1.0, max: 1.0 })
}

/// Directions come as `[2, F]`; upstream works in f32 and gives no f64, so ours is the reference.
pub fn rff(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let directions = case.f64("in.dirvec")?;
    let count = case.width("in.dirvec")?;
    let shifts = case.f64("in.shift")?;
    let rows: Vec<[f64; 2]> = (0..count).map(|j| [directions[j], directions[count + j]]).collect();
    let features = Fourier::Shifted {
        divisors: [180.0, 90.0],
        directions: rows.iter().map(|row| row.map(|value| value as f32)).collect(),
        shifts: shifts.iter().map(|&shift| shift as f32).collect(),
    };
    let lonlat = case.f64("in.lonlat_deg")?;
    let of = [Source::LonDeg, Source::LatDeg];
    let plan = Plan::new(&[Block::Fourier { features, of, validity: false }])?;
    let e = encode(gpu, plan, &lonlat_records(&lonlat), &[])?;
    let reference: Vec<f64> = pairs(&lonlat)
        .flat_map(|[lon, lat]| {
            let wave = move |(row, shift): (&[f64; 2], &f64)| {
                (lon / 180.0 * row[0] + lat / 90.0 * row[1] + shift).cos()
            };
            let scale = (2.0 / count as f64).sqrt();
            rows.iter().zip(&shifts).map(move |both| scale * wave(both)).collect::<Vec<_>>()
        })
        .collect();
    let ours = Outcome::near(&e, &reference, 1e-6)?;
    // Upstream's angle is a sum of two f32 products and a shift, rounded each time: at most 4 · 2⁻²⁴ of Σ|terms|.
    let largest = rows.iter().zip(&shifts).map(|(row, shift)| row[0].abs() + row[1].abs() + shift.abs());
    let theirs = 4.0 * 2f64.powi(-24) * largest.fold(0.0, f64::max) + 1e-6;
    Ok(ours.and(Outcome::near(&e, &case.f64("out_f32")?, theirs)?))
}

pub fn nerf(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let radii = Radii { count: case.i32("in.F")?[0] as u32, min: 1.0, max: 1.0 };
    compare(gpu, case, Block::Spatial { encoding: Spatial::Nerf, radii, validity: false }, 1e-6)
}

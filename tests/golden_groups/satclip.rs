//! SatCLIP.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, lonlat_records};
use gtca::encode::{Block, Convention, Plan, Radii, SatClip, Spatial};
use gtca::gpu::Gpu;

fn compare(gpu: &'static Gpu, case: &Case<'_>, block: Block, bound: f64) -> Result<Outcome> {
    let records = lonlat_records(&case.f64("in.lonlat_deg")?);
    let e = encode(gpu, Plan::new(&[block])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, bound)
}

fn closed_form(gpu: &'static Gpu, case: &Case<'_>, encoding: SatClip) -> Result<Outcome> {
    compare(gpu, case, Block::SatClip { encoding, validity: false }, 1e-6)
}

pub fn wrap(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    closed_form(gpu, case, SatClip::Wrap)
}

pub fn cartesian3d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    closed_form(gpu, case, SatClip::Cartesian3d)
}

pub fn direct(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    closed_form(gpu, case, SatClip::Direct)
}

pub fn multiscale(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.f64("in.F_minr_maxr")?;
    let radii = Radii { count: input[0] as u32, min: input[1], max: input[2] };
    let encoding = match case.variant() {
        "grid" => Spatial::Grid,
        "theory" => Spatial::Theory,
        "spherec" => Spatial::SphereC,
        "spherecplus" => Spatial::SphereCPlus,
        "spherem" => Spatial::SphereM,
        "spheremplus" => Spatial::SphereMPlusOfSphere2Vec,
        other => return Err(format!("unknown encoder {other}").into()),
    };
    closed_form(gpu, case, SatClip::Multiscale(encoding, radii))
}

/// L levels are degrees 0..L.
fn harmonics(gpu: &'static Gpu, case: &Case<'_>, convention: Convention) -> Result<Outcome> {
    let degree = case.i32("in.L")?[0] as u32 - 1;
    let bound = if degree <= 10 { 1e-6 } else { 5e-6 };
    compare(gpu, case, Block::Harmonics { degree, convention, validity: false }, bound)
}

pub fn sh_closed(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    harmonics(gpu, case, Convention::SatClip)
}

pub fn sh_analytic(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    harmonics(gpu, case, Convention::SatClipAnalytic)
}

//! SatCLIP's closed-form encodings beside its spherical harmonics.

use super::torchspatial::{self, Radii, Spatial, columns, directions, lat, lon};
use crate::encode::scheme::Scheme;
use crate::encode::waves::{Wave, Waves};
use crate::encode::{Source, schemes::Published};
use std::f64::consts::{PI, TAU};

/// Encodings of (longitude, latitude) in SatCLIP's repository (Klemmer et al., AAAI 2025). Its spherical harmonics are
/// [`Block::Harmonics`](crate::encode::Block::Harmonics).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SatClip {
    /// `cos lon, sin lon, cos lat, sin lat`.
    Wrap,
    /// `cos lon cos lat, sin lon cos lat, sin lat`.
    Cartesian3d,
    /// `rad(lon) − π, rad(lat) − π`: not centred, and with a seam.
    Direct,
    /// The location encoders of TorchSpatial on raw degrees as radians. All but grid and theory write every feature twice in
    /// a row; with an odd number of frequencies theory swaps sines and cosines in its second half. Kept as upstream is.
    Multiscale(Spatial, Radii),
}

fn waves(encoding: SatClip) -> Waves {
    const DEGREES: f64 = 1.0 / 360.0;
    let (x, y) = (lon(1.0, DEGREES), lat(1.0, DEGREES));
    match encoding {
        SatClip::Wrap => columns([vec![x.clone().cos()], vec![x], vec![y.clone().cos()], vec![y]]),
        SatClip::Cartesian3d => {
            columns([vec![x.clone().cos(), y.clone().cos()], vec![x, y.clone().cos()], vec![y]])
        }
        SatClip::Direct => {
            let linear = |waves: Waves, source| waves.linear(source, PI / 180.0, -PI);
            linear(linear(Waves::new(), Source::LonDeg), Source::LatDeg)
        }
        SatClip::Multiscale(encoding, radii) => multiscale(encoding, &radii),
    }
}

fn multiscale(encoding: Spatial, radii: &Radii) -> Waves {
    let frequencies = radii.frequencies();
    match encoding {
        Spatial::Grid => torchspatial::grid(&frequencies),
        Spatial::Theory => {
            let angles: Vec<Wave> = frequencies.iter().flat_map(|f| directions(*f)).collect();
            let half = angles.len();
            columns((0..2 * half).map(|i| {
                let angle = angles[i / 2].clone();
                vec![if (i % half).is_multiple_of(2) { angle } else { angle.cos() }]
            }))
        }
        encoding => {
            let features = frequencies.iter().flat_map(|f| torchspatial::sphere(encoding, *f, 1.0 / TAU));
            columns(features.flat_map(|feature| [feature.clone(), feature]))
        }
    }
}

pub(in crate::encode) fn scheme(encoding: SatClip, validity: bool) -> Box<dyn Scheme> {
    let (name, check) = match &encoding {
        SatClip::Wrap => ("satclip_wrap", Ok(())),
        SatClip::Cartesian3d => ("satclip_xyz", Ok(())),
        SatClip::Direct => ("satclip_direct", Ok(())),
        SatClip::Multiscale(_, radii) => ("satclip_multiscale", radii.check()),
    };
    Published::checked(name, validity, check.map(|()| waves(encoding)))
}

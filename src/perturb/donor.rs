//! Other places for samples: what `Set` sets.

use super::DONOR_WORDS;
use crate::Error;
use crate::common::fixed64::words;
use crate::records::{Field, fixed_from_degrees};

/// Says that a donor brings no climate zone.
pub(super) const NO_ZONE: u32 = u32::MAX;

/// The place, and where known the climate zone, that a sample is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Donor {
    /// Latitude in degrees, −90..=90.
    pub lat_deg: f64,
    /// Longitude in degrees, −180..=180.
    pub lon_deg: f64,
    /// The zone there; none: as the grid says, or unchanged without one.
    pub climate_zone: Option<u32>,
}

/// The words of one donor a sample, `[DONOR_WORDS][S]`, to upload. A sample without a donor stays as it is, and is
/// counted under [`STATUS_NO_DONOR`](super::STATUS_NO_DONOR).
///
/// # Errors
/// A coordinate out of range or NaN, with the sample's index.
///
/// ```
/// use gtca::perturb::{Donor, donor_words};
/// let donor = Donor { lat_deg: 10.0, lon_deg: 20.0, climate_zone: None };
/// assert_eq!(donor_words(&[Some(donor), None])?.len(), 10);
/// # Ok::<(), gtca::Error>(())
/// ```
pub fn donor_words(donors: &[Option<Donor>]) -> Result<Vec<u32>, Error> {
    let len = donors.len();
    let mut out = vec![0; len * DONOR_WORDS as usize];
    for (sample, donor) in donors.iter().enumerate() {
        // No latitude is that large: the kernel takes it for no donor.
        let mut packed = [0, i32::MAX as u32, 0, i32::MAX as u32, NO_ZONE];
        if let Some(donor) = donor {
            check(sample, Field::Lat, donor.lat_deg, 90.0)?;
            check(sample, Field::Lon, donor.lon_deg, 180.0)?;
            let [lat, lon] = [donor.lat_deg, donor.lon_deg].map(|degrees| words(fixed_from_degrees(degrees)));
            packed = [lat[0], lat[1], lon[0], lon[1], donor.climate_zone.unwrap_or(NO_ZONE)];
        }
        for (word, value) in packed.into_iter().enumerate() {
            out[word * len + sample] = value;
        }
    }
    Ok(out)
}

/// One group id a sample: `group`, or [`u32::MAX`] where there is no donor.
///
/// A record without a donor is not perturbed, so its prediction does not move; counted, it would make a model look
/// stable. Given to the one chunk of [`sensitivity`](crate::sensitivity) that compares this perturbation, these ids
/// put such samples into the slot behind the last group, and every group holds perturbed samples alone.
///
/// ```
/// use gtca::perturb::{Donor, donor_groups};
/// let donor = Donor { lat_deg: 10.0, lon_deg: 20.0, climate_zone: None };
/// assert_eq!(donor_groups(&[Some(donor), None], 0), [0, u32::MAX]);
/// ```
pub fn donor_groups(donors: &[Option<Donor>], group: u32) -> Vec<u32> {
    donors.iter().map(|donor| if donor.is_some() { group } else { u32::MAX }).collect()
}

fn check(sample: usize, field: Field, degrees: f64, limit: f64) -> Result<(), Error> {
    if (-limit..=limit).contains(&degrees) {
        return Ok(());
    }
    let rule = format!("a donor's must lie in -{limit}..={limit}");
    Err(Error::record(sample, field.info().name, degrees, rule, "correct it or give no donor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_donor_outside_the_earth_is_refused() {
        let donor = Donor { lat_deg: 0.0, lon_deg: f64::NAN, climate_zone: Some(3) };
        let error = donor_words(&[None, Some(donor)]).unwrap_err().to_string();
        assert!(error.starts_with("record 1: `lon` is NaN"), "{error}");
    }
}

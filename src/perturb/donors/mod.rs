//! Donors: which other record gives a sample its place, or all its metadata. Chosen on the host, in integers: the same
//! on every platform, for every batch.

mod pool;
mod tree;

use super::{LookupGrid, OP, check_ids};
use crate::Error;
use crate::common::geodesy::EARTH_RADIUS_KM;
use crate::records::Records;
use pool::{Pool, Sight};
use tree::Ring;

/// In place of a donor's index: there is none.
pub const NO_DONOR: u32 = u32::MAX;

/// Which records may be donors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DonorKind {
    /// Any within the range of distances, drawn.
    #[default]
    Random,
    /// The nearest within the range.
    Neighbour,
    /// One of the same climate zone, drawn.
    SameClimate,
    /// One of another climate zone, drawn.
    OtherClimate,
    /// One whose date lies within so many days of the sample's, whatever the years, drawn. Years have 365 days, where
    /// 29 February counts as 1 March; a month alone counts by its 15th, and a week alone is no date.
    SameSeason {
        /// Days, 0..=182.
        days: u32,
    },
}

/// How donors are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DonorDesc<'a> {
    /// Which records may be donors.
    pub kind: DonorKind,
    /// Least and largest distance of a donor in kilometres. A record at the very place of the sample (within 6 mm) is
    /// never its donor, so that a pool may hold the samples themselves.
    pub km: [f64; 2],
    /// Tells the climate zones of samples and pool from their places; none: their own `climate_zone` counts.
    pub climate: Option<&'a LookupGrid>,
    /// Seed of the random draws.
    pub seed: u64,
    /// The index k of the perturbation: part of the random draws' counter.
    pub step: u32,
}

impl Default for DonorDesc<'_> {
    fn default() -> Self {
        Self { kind: DonorKind::Random, km: [0.0, f64::INFINITY], climate: None, seed: 0, step: 0 }
    }
}

/// Chooses a donor from a pool of records for each sample, as indices into the pool; none where no record fits, or where
/// the sample lacks what the choice needs: a place, a climate zone, a date. [`DonorPool`] does it batch by batch.
///
/// A drawn donor is any of those that fit, all equally likely, and depends on the seed, the step, the sample's place,
/// zone, date and `sample_id`, and on the pool: not on the other samples. Nor does it depend on the pool's order where
/// its records have ids of their own. Of equally near neighbours the one with the lowest id counts.
///
/// A tree over the pool finds them: 100,000 samples take seconds from a pool of 100,000.
///
/// ```
/// use gtca::perturb::{DonorDesc, DonorKind, choose_donors, donor_indices};
/// use gtca::records::{Record, Records};
/// let at = |lat, lon, zone, id| Record::new().lat_deg(lat).lon_deg(lon).climate_zone(zone).sample_id(id);
/// let zurich = at(47.4, 8.5, 15, 0);
/// let pool = [zurich, at(46.9, 7.4, 15, 1), at(43.1, 141.3, 15, 2), at(-3.1, -60.0, 1, 3)];
/// let (samples, pool) = (Records::from_records(&[zurich])?, Records::from_records(&pool)?);
///
/// let near = DonorDesc { kind: DonorKind::Neighbour, ..Default::default() };
/// assert_eq!(choose_donors(&samples, &pool, &near)?, [Some(1)]);
/// let far = [1000.0, f64::INFINITY];
/// let same = DonorDesc { kind: DonorKind::SameClimate, km: far, ..Default::default() };
/// assert_eq!(choose_donors(&samples, &pool, &same)?, [Some(2)]);
/// let other = DonorDesc { kind: DonorKind::OtherClimate, km: far, ..Default::default() };
/// let donors = choose_donors(&samples, &pool, &other)?;
/// assert_eq!(donors, [Some(3)]);
/// let words = donor_indices(&donors); // to upload, with the pool's words
/// # assert_eq!(words, [3]);
/// # Ok::<(), gtca::Error>(())
/// ```
///
/// # Errors
/// A range of distances that is not increasing from 0; more than 182 days; for a drawn donor, a sample without
/// `sample_id`.
pub fn choose_donors(
    samples: &Records,
    pool: &Records,
    desc: &DonorDesc<'_>,
) -> Result<Vec<Option<u32>>, Error> {
    DonorPool::new(pool, desc)?.choose(samples)
}

/// A pool made ready for one choice of donors, for samples that come batch by batch: its tree is built once.
///
/// It holds about 60 bytes for each record that has what the choice needs.
///
/// ```
/// use gtca::perturb::{DonorDesc, DonorKind, DonorPool};
/// use gtca::records::{Record, Records};
/// let at = |lat, lon, id| Record::new().lat_deg(lat).lon_deg(lon).sample_id(id);
/// let towns = Records::from_records(&[at(47.4, 8.5, 0), at(46.9, 7.4, 1), at(43.1, 141.3, 2)])?;
/// let desc = DonorDesc { kind: DonorKind::Neighbour, ..Default::default() };
/// let pool = DonorPool::new(&towns, &desc)?;
/// for (lat, lon, nearest) in [(46.5, 6.6, 1), (35.7, 139.7, 2)] {
///     let batch = Records::from_records(&[at(lat, lon, 9)])?;
///     assert_eq!(pool.choose(&batch)?, [Some(nearest)]);
/// }
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Debug)]
pub struct DonorPool<'a> {
    desc: DonorDesc<'a>,
    ring: Ring,
    pool: Pool,
}

impl<'a> DonorPool<'a> {
    /// Sorts the pool.
    ///
    /// # Errors
    /// A range of distances that is not increasing from 0; more than 182 days.
    pub fn new(pool: &Records, desc: &DonorDesc<'a>) -> Result<Self, Error> {
        let [from, to] = desc.km;
        if !(0.0 <= from && from <= to) {
            let rule = "distances increase from 0";
            return Err(Error::argument(OP, "km", format!("{from} to {to}"), rule, "give least and largest"));
        }
        if matches!(desc.kind, DonorKind::SameSeason { days } if days > 182) {
            let rule = "a season reaches 182 days either way";
            return Err(Error::argument(OP, "days", format!("{:?}", desc.kind), rule, "draw any date"));
        }
        let ring = Ring::of_angles(desc.km.map(|km| km / EARTH_RADIUS_KM));
        Ok(Self { desc: *desc, ring, pool: Pool::new(pool, desc) })
    }

    /// A donor for each sample, as [`choose_donors`] says: the same in any batch.
    ///
    /// # Errors
    /// For a drawn donor, a sample without `sample_id`.
    pub fn choose(&self, samples: &Records) -> Result<Vec<Option<u32>>, Error> {
        if self.desc.kind != DonorKind::Neighbour {
            check_ids(samples)?;
        }
        let donor = |sample| self.pool.donor(&self.desc, self.ring, &Sight::of(samples, sample, &self.desc)?);
        Ok((0..samples.len()).map(donor).collect())
    }
}

/// The words of donors to upload: the index, or [`NO_DONOR`].
///
/// ```
/// assert_eq!(gtca::perturb::donor_indices(&[Some(4), None]), [4, u32::MAX]);
/// ```
pub fn donor_indices(donors: &[Option<u32>]) -> Vec<u32> {
    donors.iter().map(|donor| donor.unwrap_or(NO_DONOR)).collect()
}

/// One group id a sample: `group`, or [`u32::MAX`] where there is no donor.
///
/// A record without a donor is not perturbed, so its prediction does not move; counted, it would make a model look
/// stable. Given to the one chunk of [`sensitivity`](crate::sensitivity) that compares this perturbation, these ids
/// put such samples into the slot behind the last group, and every group holds perturbed samples alone.
///
/// ```
/// assert_eq!(gtca::perturb::donor_groups(&[Some(4), None], 0), [0, u32::MAX]);
/// ```
pub fn donor_groups<D>(donors: &[Option<D>], group: u32) -> Vec<u32> {
    donors.iter().map(|donor| if donor.is_some() { group } else { u32::MAX }).collect()
}

#[cfg(test)]
mod tests;

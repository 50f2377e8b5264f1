//! Metadata records: one per sample, every field optional, checked on the host, packed for the device.
//!
//! A batch of `S` records is one u32 buffer `[word][S]`: word `w` of sample `i` lies at `w · S + i`. Word 0 holds
//! the validity bits, [`FIELDS`] says where each field lies. Shaders read the same table as constants
//! (`#import records/fields`) and load fields with `records/load`.

mod fields;
mod mgrs;
mod record;
mod s2;
mod units;
mod valid;

pub(crate) use fields::WORD_FIELDS;
pub use fields::{FIELDS, Field, FieldInfo, Fields, Kind, RECORD_WORDS, wgsl_constants};
pub use mgrs::MgrsSquare;
pub use record::Record;
pub use s2::S2Cell;
pub use units::{degrees_from_fixed, fixed_from_degrees};
pub(crate) use valid::possible_fields;

use crate::Error;
use crate::common::season::TimeFields;

/// A checked batch of records, laid out as the device reads it.
///
/// ```
/// use gtca::records::{Record, Records};
/// let here = Record::new().lat_deg(-12.5).lon_deg(-55.0).date(2016, 9, 1);
/// let records = Records::from_records(&[here, Record::new()])?;
/// assert_eq!(records.get(0), here);
/// let error = Records::from_records(&[here, Record::new().lat_deg(91.0)]).unwrap_err();
/// assert!(error.to_string().starts_with("record 1: `lat` is 91"));
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    len: usize,
    words: Vec<u32>,
}

impl Records {
    /// Checks and packs records.
    ///
    /// # Errors
    /// The first value that breaks a rule, with record, field, value, rule and remedy: a coordinate out of range
    /// or NaN, a month, day, second, hour, week or day of year that does not exist, a GSD or wavelength that is
    /// not positive, a derived column that contradicts the date.
    pub fn from_records(records: &[Record]) -> Result<Self, Error> {
        let len = records.len();
        let mut words = vec![0; len * RECORD_WORDS as usize];
        for (sample, record) in records.iter().enumerate() {
            for (word, value) in record.pack(sample)?.into_iter().enumerate() {
                words[word * len + sample] = value;
            }
        }
        Ok(Self { len, words })
    }

    /// Records read back from a device, as [`words`](Self::words) lays them out. Values are not checked.
    ///
    /// # Errors
    /// When the number of words is not a whole number of records.
    pub fn from_words(words: Vec<u32>) -> Result<Self, Error> {
        let per_record = RECORD_WORDS as usize;
        if !words.len().is_multiple_of(per_record) {
            let rule = format!("it must be a multiple of {per_record} words");
            return Err(Error::argument("records", "words", words.len(), rule, "read back whole records"));
        }
        Ok(Self { len: words.len() / per_record, words })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words to upload: `[word][S]`.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// The fields that a record has.
    ///
    /// # Panics
    /// When `sample` is out of range.
    pub fn fields(&self, sample: usize) -> Fields {
        assert!(sample < self.len, "record {sample} of {}", self.len);
        Fields::from_bits(self.words[sample])
    }

    /// The fields of a record whose values are possible; on the device the others count as missing.
    ///
    /// The same as [`fields`](Self::fields) for a batch that was checked.
    ///
    /// # Panics
    /// When `sample` is out of range.
    pub fn possible_fields(&self, sample: usize) -> Fields {
        possible_fields(&self.record_words(sample))
    }

    /// One record in natural units.
    ///
    /// # Panics
    /// When `sample` is out of range.
    pub fn get(&self, sample: usize) -> Record {
        Record::unpack(&self.record_words(sample))
    }

    /// The fields of one record that tell the time, for the functions of [`common::season`](crate::common::season).
    ///
    /// # Panics
    /// When `sample` is out of range.
    pub fn time(&self, sample: usize) -> TimeFields {
        TimeFields::from_words(&self.record_words(sample))
    }

    /// The words of one record.
    pub(crate) fn record_words(&self, sample: usize) -> [u32; RECORD_WORDS as usize] {
        assert!(sample < self.len, "record {sample} of {}", self.len);
        std::array::from_fn(|word| self.words[word * self.len + sample])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Record {
        Record::new()
            .lat_deg(-89.999_999_9)
            .lon_deg(180.0)
            .date(2024, 2, 29)
            .second_of_day(86_399)
            .utc_offset_s(-12_600)
            .gsd_m(0.3)
            .wavelength_um(0.665)
            .cloud_fraction(0.25)
            .solar_zenith_deg(33.5)
            .sensor(3)
            .climate_zone(14)
            .ecoregion(800)
            .tile(9)
            .sample_id(u64::MAX - 1)
            .day_of_year(60)
            .iso_week(9)
            .hour(23)
    }

    fn near(a: Option<f64>, b: Option<f64>, unit: f64) -> bool {
        (a.unwrap() - b.unwrap()).abs() <= unit / 2.0
    }

    #[test]
    fn a_record_comes_back_from_its_words() {
        let records = Records::from_records(&[Record::new(), full()]).unwrap();
        assert_eq!(records.get(0), Record::new());
        assert!(records.fields(0).is_empty());
        let (back, given) = (records.get(1), full());
        assert!(near(back.lat_deg, given.lat_deg, 2f64.powi(-40)));
        assert!(near(back.gsd_m, given.gsd_m, 2f64.powi(-32)));
        assert!(near(back.wavelength_um, given.wavelength_um, 2f64.powi(-32)));
        let same =
            Record { lat_deg: given.lat_deg, gsd_m: given.gsd_m, wavelength_um: given.wavelength_um, ..back };
        assert_eq!(same, given);
        assert_eq!(records.fields(1), Fields::METADATA | Field::SampleId);
        assert_eq!(Records::from_words(records.words().to_vec()).unwrap(), records);
    }

    #[test]
    fn both_sides_of_the_antimeridian_stay_apart() {
        let sides = [Record::new().lon_deg(180.0), Record::new().lon_deg(-180.0)];
        let records = Records::from_records(&sides).unwrap();
        assert_eq!([records.get(0), records.get(1)], sides);
    }

    #[test]
    fn each_impossible_value_is_refused_by_name() {
        let new = Record::new;
        for (record, field) in [
            (new().lat_deg(90.000_001), "lat"),
            (new().lat_deg(f64::NAN), "lat"),
            (new().lon_deg(-180.1), "lon"),
            (new().lon_deg(f64::INFINITY), "lon"),
            (new().year(1_000_001), "year"),
            (new().unix_seconds(i64::MIN), "year"),
            (new().month(0), "month"),
            (new().month(13), "month"),
            (new().day(32), "day"),
            (new().date(2023, 2, 29), "day"),
            (new().month(4).day(31), "day"),
            (new().second_of_day(86_400), "second_of_day"),
            (new().utc_offset_s(64_801), "utc_offset_s"),
            (new().gsd_m(0.0), "gsd_m"),
            (new().gsd_m(f64::NAN), "gsd_m"),
            (new().wavelength_um(-0.5), "wavelength_um"),
            (new().cloud_fraction(40.0), "cloud_fraction"),
            (new().solar_zenith_deg(-1.0), "solar_zenith_deg"),
            (new().day_of_year(367), "day_of_year"),
            (new().year(2023).day_of_year(366), "day_of_year"),
            (new().date(2023, 3, 1).day_of_year(61), "day_of_year"),
            (new().iso_week(54), "iso_week"),
            (new().hour(24), "hour"),
            (new().second_of_day(7200).hour(1), "hour"),
        ] {
            match Records::from_records(&[new(), record]).unwrap_err() {
                Error::Record { index: 1, field: named, .. } => assert_eq!(named, field, "{record:?}"),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_leap_day_without_a_year_is_possible() {
        assert!(
            Records::from_records(&[Record::new().month(2).day(29), Record::new().day_of_year(366)]).is_ok()
        );
    }

    #[test]
    fn unix_time_before_1970_counts_backwards() {
        let record = Record::new().unix_seconds(-1);
        assert_eq!(record, Record::new().date(1969, 12, 31).second_of_day(86_399));
    }

    #[test]
    fn half_a_record_is_refused() {
        assert!(Records::from_words(vec![0; 26]).is_err());
    }
}

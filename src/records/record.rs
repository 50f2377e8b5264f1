//! One sample's metadata in natural units.

use super::fields::{Field, Fields};
use super::units::{degrees_from_fixed, fixed_from_degrees, fixed32, from_fixed32};
use crate::Error;
use crate::common::calendar::{CivilDate, civil_date, day_of_year, days_in_month, days_in_year};

/// Largest distance of a year from 0 that the calendar is built for.
pub(crate) const YEAR_LIMIT: i32 = 1_000_000;
/// Largest distance of local time from UTC, 18 hours.
pub(crate) const OFFSET_LIMIT_S: i32 = 64_800;

/// The metadata of one sample; every field may be missing.
///
/// Values are checked when a batch is made with [`Records::from_records`](super::Records::from_records).
///
/// ```
/// use gtca::records::Record;
/// let record = Record::new().lat_deg(47.38).lon_deg(8.54).unix_seconds(1_592_697_600).gsd_m(10.0);
/// assert_eq!((record.year, record.month, record.day), (Some(2020), Some(6), Some(21)));
///
/// // A code that stands for none, as a map's 0 over the ocean, is left out.
/// let koeppen = |code: u32| {
///     let mut record = Record::new();
///     record.climate_zone = (code != 0).then_some(code);
///     record
/// };
/// assert_eq!([koeppen(0).climate_zone, koeppen(15).climate_zone], [None, Some(15)]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Latitude in degrees (WGS84), −90..=90.
    pub lat_deg: Option<f64>,
    /// Longitude in degrees (WGS84), −180..=180; both ends are kept apart.
    pub lon_deg: Option<f64>,
    /// Astronomical year, UTC.
    pub year: Option<i32>,
    /// Month, 1..=12, UTC.
    pub month: Option<i32>,
    /// Day of the month, UTC.
    pub day: Option<i32>,
    /// Second of the day, 0..=86,399, UTC.
    pub second_of_day: Option<i32>,
    /// Local time minus UTC in seconds, within ±18 hours.
    pub utc_offset_s: Option<i32>,
    /// Ground sample distance in metres, above 0.
    pub gsd_m: Option<f64>,
    /// Central wavelength in micrometres, above 0.
    pub wavelength_um: Option<f64>,
    /// Cloud cover, 0..=1.
    pub cloud_fraction: Option<f32>,
    /// Solar zenith angle in degrees, 0..=180.
    pub solar_zenith_deg: Option<f32>,
    /// Sensor id, a row of the sensor table.
    pub sensor: Option<u32>,
    /// Climate zone code, a row of its table.
    pub climate_zone: Option<u32>,
    /// Ecoregion id.
    pub ecoregion: Option<u32>,
    /// Tile id.
    pub tile: Option<u32>,
    /// Keys the random draws; in a data set, for example, the row number.
    pub sample_id: Option<u64>,
    /// Day of the year, 1..=366; counts where month and day are not both known.
    pub day_of_year: Option<i32>,
    /// ISO-8601 week, 1..=53; counts where the date is not known.
    pub iso_week: Option<i32>,
    /// Hour of the day, 0..=23, UTC; counts where the second is not known.
    pub hour: Option<i32>,
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {$(
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $kind) -> Self {
            self.$name = Some($name);
            self
        }
    )*};
}

impl Record {
    /// A record with every field missing.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        lat_deg: f64, lon_deg: f64, year: i32, month: i32, day: i32, second_of_day: i32, utc_offset_s: i32,
        gsd_m: f64, wavelength_um: f64, cloud_fraction: f32, solar_zenith_deg: f32, sensor: u32,
        climate_zone: u32, ecoregion: u32, tile: u32, sample_id: u64, day_of_year: i32, iso_week: i32, hour: i32,
    }

    /// Sets year, month and day, UTC.
    #[must_use]
    pub fn date(self, year: i32, month: i32, day: i32) -> Self {
        self.year(year).month(month).day(day)
    }

    /// Sets date and second of the day from Unix time.
    #[must_use]
    pub fn unix_seconds(self, seconds: i64) -> Self {
        // Days past the calendar's limit keep a year past it, which the batch's check then names.
        let days = seconds.div_euclid(86_400).clamp(-400_000_000, 400_000_000) as i32;
        let date = civil_date(days);
        self.date(date.year, date.month, date.day).second_of_day(seconds.rem_euclid(86_400) as i32)
    }

    /// Checks every value that is given and packs the record into words.
    pub(super) fn pack(&self, index: usize) -> Result<[u32; super::RECORD_WORDS as usize], Error> {
        self.check(index)?;
        let mut packer = Packer { words: [0; super::RECORD_WORDS as usize] };
        packer.i64(Field::Lat, self.lat_deg.map(fixed_from_degrees));
        packer.i64(Field::Lon, self.lon_deg.map(fixed_from_degrees));
        packer.i32(Field::Year, self.year);
        packer.i32(Field::Month, self.month);
        packer.i32(Field::Day, self.day);
        packer.i32(Field::SecondOfDay, self.second_of_day);
        packer.i32(Field::UtcOffset, self.utc_offset_s);
        packer.i64(Field::Gsd, self.gsd_m.map(|gsd| fixed32(gsd) as i64));
        packer.i64(Field::Wavelength, self.wavelength_um.map(|wavelength| fixed32(wavelength) as i64));
        packer.u32(Field::CloudFraction, self.cloud_fraction.map(f32::to_bits));
        packer.u32(Field::SolarZenith, self.solar_zenith_deg.map(f32::to_bits));
        packer.u32(Field::Sensor, self.sensor);
        packer.u32(Field::ClimateZone, self.climate_zone);
        packer.u32(Field::Ecoregion, self.ecoregion);
        packer.u32(Field::Tile, self.tile);
        packer.i64(Field::SampleId, self.sample_id.map(|id| id as i64));
        packer.i32(Field::DayOfYear, self.day_of_year);
        packer.i32(Field::IsoWeek, self.iso_week);
        packer.i32(Field::Hour, self.hour);
        Ok(packer.words)
    }

    /// The record that words hold.
    pub(super) fn unpack(words: &[u32; super::RECORD_WORDS as usize]) -> Self {
        let valid = Fields::from_bits(words[0]);
        let u32 = |field: Field| valid.contains(field).then(|| words[field.info().word as usize]);
        let i32 = |field: Field| u32(field).map(|word| word as i32);
        let u64 = |field: Field| {
            u32(field).map(|low| u64::from(low) | (u64::from(words[field.info().word as usize + 1]) << 32))
        };
        Self {
            lat_deg: u64(Field::Lat).map(|fixed| degrees_from_fixed(fixed as i64)),
            lon_deg: u64(Field::Lon).map(|fixed| degrees_from_fixed(fixed as i64)),
            year: i32(Field::Year),
            month: i32(Field::Month),
            day: i32(Field::Day),
            second_of_day: i32(Field::SecondOfDay),
            utc_offset_s: i32(Field::UtcOffset),
            gsd_m: u64(Field::Gsd).map(from_fixed32),
            wavelength_um: u64(Field::Wavelength).map(from_fixed32),
            cloud_fraction: u32(Field::CloudFraction).map(f32::from_bits),
            solar_zenith_deg: u32(Field::SolarZenith).map(f32::from_bits),
            sensor: u32(Field::Sensor),
            climate_zone: u32(Field::ClimateZone),
            ecoregion: u32(Field::Ecoregion),
            tile: u32(Field::Tile),
            sample_id: u64(Field::SampleId),
            day_of_year: i32(Field::DayOfYear),
            iso_week: i32(Field::IsoWeek),
            hour: i32(Field::Hour),
        }
    }

    fn check(&self, index: usize) -> Result<(), Error> {
        let check = Check { index };
        check.real(Field::Lat, self.lat_deg, -90.0, 90.0, "correct or drop the coordinate")?;
        check.real(Field::Lon, self.lon_deg, -180.0, 180.0, "wrap it into range or drop the coordinate")?;
        check.integer(Field::Year, self.year, -YEAR_LIMIT, YEAR_LIMIT)?;
        check.integer(Field::Month, self.month, 1, 12)?;
        check.integer(Field::Day, self.day, 1, self.longest_day())?;
        check.integer(Field::SecondOfDay, self.second_of_day, 0, 86_399)?;
        check.integer(Field::UtcOffset, self.utc_offset_s, -OFFSET_LIMIT_S, OFFSET_LIMIT_S)?;
        check.positive(Field::Gsd, self.gsd_m)?;
        check.positive(Field::Wavelength, self.wavelength_um)?;
        check.real(
            Field::CloudFraction,
            self.cloud_fraction.map(f64::from),
            0.0,
            1.0,
            "give a fraction, not percent",
        )?;
        check.real(
            Field::SolarZenith,
            self.solar_zenith_deg.map(f64::from),
            0.0,
            180.0,
            "correct or drop it",
        )?;
        check.integer(Field::DayOfYear, self.day_of_year, 1, self.year.map_or(366, days_in_year))?;
        check.integer(Field::IsoWeek, self.iso_week, 1, 53)?;
        check.integer(Field::Hour, self.hour, 0, 23)?;
        self.check_agreement(&check)
    }

    /// The longest the day may be: 29 February is possible while the year is not known.
    fn longest_day(&self) -> i32 {
        self.month.map_or(31, |month| days_in_month(self.year.unwrap_or(2000), month))
    }

    /// Derived columns given directly must not contradict what they derive from.
    fn check_agreement(&self, check: &Check) -> Result<(), Error> {
        if let (Some(year), Some(month), Some(day), Some(given)) =
            (self.year, self.month, self.day, self.day_of_year)
        {
            let expected = day_of_year(CivilDate::new(year, month, day));
            check.agrees(Field::DayOfYear, given, expected, "year, month and day")?;
        }
        if let (Some(second), Some(given)) = (self.second_of_day, self.hour) {
            check.agrees(Field::Hour, given, second / 3600, "second_of_day")?;
        }
        Ok(())
    }
}

/// Refuses values of one record.
struct Check {
    index: usize,
}

impl Check {
    fn refuse(&self, field: Field, value: impl ToString, rule: String, remedy: &'static str) -> Error {
        Error::record(self.index, field.info().name, value, rule, remedy)
    }

    fn integer(&self, field: Field, value: Option<i32>, low: i32, high: i32) -> Result<(), Error> {
        match value {
            Some(value) if !(low..=high).contains(&value) => Err(self.refuse(
                field,
                value,
                format!("it must lie in {low}..={high}"),
                "correct it or leave the field out",
            )),
            _ => Ok(()),
        }
    }

    fn real(
        &self,
        field: Field,
        value: Option<f64>,
        low: f64,
        high: f64,
        remedy: &'static str,
    ) -> Result<(), Error> {
        match value {
            // A range never contains NaN.
            Some(value) if !(low..=high).contains(&value) => {
                Err(self.refuse(field, value, format!("it must lie in {low}..={high}"), remedy))
            }
            _ => Ok(()),
        }
    }

    fn positive(&self, field: Field, value: Option<f64>) -> Result<(), Error> {
        let (low, high) = (2f64.powi(-32), 2f64.powi(31));
        self.real(field, value, low, high, "give it in the field's unit, or leave it out")
    }

    fn agrees(&self, field: Field, given: i32, expected: i32, source: &str) -> Result<(), Error> {
        if given == expected {
            return Ok(());
        }
        let rule = format!("{source} make it {expected}");
        Err(self.refuse(field, given, rule, "leave the derived field out"))
    }
}

/// Writes fields into the words of a record.
struct Packer {
    words: [u32; super::RECORD_WORDS as usize],
}

impl Packer {
    fn u32(&mut self, field: Field, value: Option<u32>) {
        if let Some(value) = value {
            self.words[0] |= field.bit();
            self.words[field.info().word as usize] = value;
        }
    }

    fn i32(&mut self, field: Field, value: Option<i32>) {
        self.u32(field, value.map(|value| value as u32));
    }

    fn i64(&mut self, field: Field, value: Option<i64>) {
        self.u32(field, value.map(|value| value as u32));
        if let Some(value) = value {
            self.words[field.info().word as usize + 1] = (value >> 32) as u32;
        }
    }
}

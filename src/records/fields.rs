//! The one table of metadata fields: where each lies in a device record, its type, unit and validity bit.

use std::fmt::Write as _;
use std::ops::{BitAnd, BitOr, Not};

/// A metadata field. Its discriminant is its validity bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Field {
    /// Latitude, WGS84.
    Lat,
    /// Longitude, WGS84.
    Lon,
    /// Astronomical year, UTC.
    Year,
    /// Month, 1..=12, UTC.
    Month,
    /// Day of the month, 1..=31, UTC.
    Day,
    /// Second of the day, 0..=86,399, UTC.
    SecondOfDay,
    /// Local time minus UTC in seconds.
    UtcOffset,
    /// Ground sample distance.
    Gsd,
    /// Central wavelength.
    Wavelength,
    /// Cloud cover, 0..=1.
    CloudFraction,
    /// Solar zenith angle.
    SolarZenith,
    /// Sensor id.
    Sensor,
    /// Climate zone code.
    ClimateZone,
    /// Ecoregion id.
    Ecoregion,
    /// Tile id.
    Tile,
    /// Keys the random draws; not metadata.
    SampleId,
    /// Day of the year, 1..=366, where the date is not known by month and day.
    DayOfYear,
    /// ISO-8601 week, 1..=53, where the date is not known.
    IsoWeek,
    /// Hour of the day, 0..=23, UTC, where the second is not known.
    Hour,
}

/// How a field's words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Signed 64-bit fixed point, unit 2⁻⁴⁰, low word first.
    Fixed40,
    /// Unsigned 64-bit fixed point, unit 2⁻³², low word first.
    Fixed32,
    /// One signed word.
    I32,
    /// One unsigned word.
    U32,
    /// One f32.
    F32,
    /// Unsigned 64-bit integer, low word first.
    U64,
}

impl Kind {
    /// Words of one value.
    pub const fn words(self) -> u32 {
        match self {
            Self::Fixed40 | Self::Fixed32 | Self::U64 => 2,
            Self::I32 | Self::U32 | Self::F32 => 1,
        }
    }
}

/// One row of the table of fields.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FieldInfo {
    /// The field.
    pub field: Field,
    /// Its name in errors; in upper case the stem of its WGSL constants.
    pub name: &'static str,
    /// Its first word in a device record; word 0 holds the validity bits.
    pub word: u32,
    /// How its words are read.
    pub kind: Kind,
    /// Unit in words; empty for plain numbers and codes.
    pub unit: &'static str,
}

const fn row(field: Field, name: &'static str, word: u32, kind: Kind, unit: &'static str) -> FieldInfo {
    FieldInfo { field, name, word, kind, unit }
}

/// Every field, in the order of validity bits.
pub const FIELDS: [FieldInfo; 19] = [
    row(Field::Lat, "lat", 1, Kind::Fixed40, "degree"),
    row(Field::Lon, "lon", 3, Kind::Fixed40, "degree"),
    row(Field::Year, "year", 5, Kind::I32, "year"),
    row(Field::Month, "month", 6, Kind::I32, "month"),
    row(Field::Day, "day", 7, Kind::I32, "day"),
    row(Field::SecondOfDay, "second_of_day", 8, Kind::I32, "second"),
    row(Field::UtcOffset, "utc_offset_s", 9, Kind::I32, "second"),
    row(Field::Gsd, "gsd_m", 10, Kind::Fixed32, "metre"),
    row(Field::Wavelength, "wavelength_um", 12, Kind::Fixed32, "micrometre"),
    row(Field::CloudFraction, "cloud_fraction", 14, Kind::F32, ""),
    row(Field::SolarZenith, "solar_zenith_deg", 15, Kind::F32, "degree"),
    row(Field::Sensor, "sensor", 16, Kind::U32, ""),
    row(Field::ClimateZone, "climate_zone", 17, Kind::U32, ""),
    row(Field::Ecoregion, "ecoregion", 18, Kind::U32, ""),
    row(Field::Tile, "tile", 19, Kind::U32, ""),
    row(Field::SampleId, "sample_id", 20, Kind::U64, ""),
    row(Field::DayOfYear, "day_of_year", 22, Kind::I32, "day"),
    row(Field::IsoWeek, "iso_week", 23, Kind::I32, "week"),
    row(Field::Hour, "hour", 24, Kind::I32, "hour"),
];

/// Words of one device record, the validity bits included.
pub const RECORD_WORDS: u32 = 25;

impl Field {
    /// The field's row of the table.
    pub const fn info(self) -> &'static FieldInfo {
        &FIELDS[self as usize]
    }

    /// The field's bit in the validity word.
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of fields.
///
/// ```
/// use gtca::records::{Field, Fields};
/// let place_and_year = Fields::PLACE | Field::Year;
/// assert!(place_and_year.contains(Field::Lon));
/// assert!(!place_and_year.contains(Field::Month));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(u32);

impl Fields {
    /// No field.
    pub const NONE: Self = Self(0);
    /// Latitude and longitude.
    pub const PLACE: Self = Self::of(&[Field::Lat, Field::Lon]);
    /// Everything that tells the time.
    pub const DATE: Self = Self::of(&[
        Field::Year,
        Field::Month,
        Field::Day,
        Field::SecondOfDay,
        Field::UtcOffset,
        Field::DayOfYear,
        Field::IsoWeek,
        Field::Hour,
    ]);
    /// How the image was taken: sensor, GSD, wavelength, cloud, solar zenith.
    pub const SENSOR: Self =
        Self::of(&[Field::Sensor, Field::Gsd, Field::Wavelength, Field::CloudFraction, Field::SolarZenith]);
    /// The ids of places: climate zone, ecoregion, tile.
    pub const IDS: Self = Self::of(&[Field::ClimateZone, Field::Ecoregion, Field::Tile]);
    /// All metadata: every field but the sample's id.
    pub const METADATA: Self = Self(Self::PLACE.0 | Self::DATE.0 | Self::SENSOR.0 | Self::IDS.0);

    /// The set of the fields listed.
    pub const fn of(fields: &[Field]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < fields.len() {
            bits |= fields[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// The set with these validity bits; unknown bits are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & (Self::METADATA.0 | Field::SampleId.bit()))
    }

    /// The validity bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the field is in the set.
    pub const fn contains(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    /// Whether no field is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<Field> for Fields {
    fn from(field: Field) -> Self {
        Self(field.bit())
    }
}

impl<F: Into<Self>> BitOr<F> for Fields {
    type Output = Self;
    fn bitor(self, other: F) -> Self {
        Self(self.0 | other.into().0)
    }
}

impl<F: Into<Self>> BitAnd<F> for Fields {
    type Output = Self;
    fn bitand(self, other: F) -> Self {
        Self(self.0 & other.into().0)
    }
}

impl Not for Fields {
    type Output = Self;
    fn not(self) -> Self {
        Self::from_bits(!self.0)
    }
}

/// The table as WGSL constants: `LAT_WORD` and `LAT_BIT` for each field, the bits of each group, `RECORD_WORDS`, and by
/// word the bit of the field that it belongs to, `WORD_BITS`.
///
/// Shaders get it with `#import records/fields`.
pub fn wgsl_constants() -> String {
    let mut out = String::from("// The table of metadata fields, from src/records/fields.rs.\n\n");
    let mut constant = |name: &str, value: u32| {
        writeln!(out, "const {name} = {value:#x}u;").expect("writing to a string cannot fail");
    };
    constant("RECORD_WORDS", RECORD_WORDS);
    constant("VALID_WORD", 0);
    for info in &FIELDS {
        let stem = info.name.to_uppercase();
        constant(&format!("{stem}_WORD"), info.word);
        constant(&format!("{stem}_BIT"), info.field.bit());
    }
    for (name, fields) in [
        ("PLACE_BITS", Fields::PLACE),
        ("DATE_BITS", Fields::DATE),
        ("SENSOR_BITS", Fields::SENSOR),
        ("IDS_BITS", Fields::IDS),
        ("METADATA_BITS", Fields::METADATA),
    ] {
        constant(name, fields.bits());
    }
    let bits = WORD_FIELDS.map(|field| format!("{:#x}u", field.bits()));
    writeln!(out, "const WORD_BITS = array<u32, {RECORD_WORDS}>({});", bits.join(", "))
        .expect("writing to a string cannot fail");
    out
}

/// By word of a record the field that it belongs to; none for the validity bits.
pub(crate) const WORD_FIELDS: [Fields; RECORD_WORDS as usize] = {
    let mut words = [Fields::NONE; RECORD_WORDS as usize];
    let mut i = 0;
    while i < FIELDS.len() {
        let info = &FIELDS[i];
        let mut word = info.word;
        while word < info.word + info.kind.words() {
            words[word as usize] = Fields::of(&[info.field]);
            word += 1;
        }
        i += 1;
    }
    words
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_each_field_once_and_leaves_no_gap() {
        let mut word = 1;
        for (index, info) in FIELDS.iter().enumerate() {
            assert_eq!(info.field as usize, index, "{}", info.name);
            assert_eq!(info.word, word, "{}", info.name);
            word += info.kind.words();
        }
        assert_eq!(word, RECORD_WORDS);
    }

    #[test]
    fn every_field_but_the_sample_id_belongs_to_one_group() {
        let groups = [Fields::PLACE, Fields::DATE, Fields::SENSOR, Fields::IDS];
        for info in &FIELDS {
            let count = groups.iter().filter(|group| group.contains(info.field)).count();
            assert_eq!(count, usize::from(info.field != Field::SampleId), "{}", info.name);
        }
    }

    #[test]
    fn the_constants_name_word_and_bit() {
        let text = wgsl_constants();
        assert!(text.contains("const GSD_M_WORD = 0xau;"), "{text}");
        assert!(text.contains("const HOUR_BIT = 0x40000u;"), "{text}");
        assert!(
            text.contains("const WORD_BITS = array<u32, 25>(0x0u, 0x1u, 0x1u, 0x2u, 0x2u, 0x4u,"),
            "{text}"
        );
    }
}

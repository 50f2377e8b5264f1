//! Which values of a device record are possible; `shaders/records/valid.wgsl`, bit-equal.

use super::fields::{Field, Fields, Kind, RECORD_WORDS};
use super::record::{OFFSET_LIMIT_S, YEAR_LIMIT};
use crate::common::calendar::{days_in_month, days_in_year};

/// The validity of a record's fields without those that hold an impossible value: these count as missing.
pub(crate) fn possible_fields(words: &[u32; RECORD_WORDS as usize]) -> Fields {
    let claimed = Fields::from_bits(words[0]);
    let mut possible = claimed;
    let i32 = |field: Field| words[field.info().word as usize] as i32;
    let known = |fields: Fields, field: Field| fields.contains(field).then(|| i32(field));
    let require = |possible: &mut Fields, field: Field, holds: bool| {
        if !holds {
            *possible = *possible & !Fields::from(field);
        }
    };
    for (field, low, high) in [
        (Field::Year, -YEAR_LIMIT, YEAR_LIMIT),
        (Field::Month, 1, 12),
        (Field::SecondOfDay, 0, 86_399),
        (Field::UtcOffset, -OFFSET_LIMIT_S, OFFSET_LIMIT_S),
        (Field::IsoWeek, 1, 53),
        (Field::Hour, 0, 23),
    ] {
        require(&mut possible, field, (low..=high).contains(&i32(field)));
    }
    let year = known(possible, Field::Year);
    let longest =
        known(possible, Field::Month).map_or(31, |month| days_in_month(year.unwrap_or(2000), month));
    require(&mut possible, Field::Day, (1..=longest).contains(&i32(Field::Day)));
    let last = year.map_or(366, days_in_year);
    require(&mut possible, Field::DayOfYear, (1..=last).contains(&i32(Field::DayOfYear)));
    for (field, limit) in [(Field::Lat, 90u64 << 40), (Field::Lon, 180 << 40)] {
        require(&mut possible, field, (wide(words, field) as i64).unsigned_abs() <= limit);
    }
    for field in [Field::Gsd, Field::Wavelength] {
        require(&mut possible, field, (1..=1 << 63).contains(&wide(words, field)));
    }
    for (field, limit) in [(Field::CloudFraction, 1.0), (Field::SolarZenith, 180.0)] {
        let value = f32::from_bits(words[field.info().word as usize]);
        require(&mut possible, field, (0.0..=limit).contains(&value));
    }
    possible
}

fn wide(words: &[u32; RECORD_WORDS as usize], field: Field) -> u64 {
    debug_assert!(matches!(field.info().kind, Kind::Fixed40 | Kind::Fixed32 | Kind::U64));
    let at = field.info().word as usize;
    u64::from(words[at]) | (u64::from(words[at + 1]) << 32)
}

#[cfg(test)]
mod tests {
    use crate::records::{Field, Fields, Record, Records};

    #[test]
    fn every_impossible_value_counts_as_missing_and_no_other() {
        let good = Record::new().lat_deg(-90.0).lon_deg(180.0).date(2024, 2, 29).gsd_m(2f64.powi(31));
        let good = good.second_of_day(86_399).utc_offset_s(-64_800).wavelength_um(2f64.powi(-32));
        let good = good.cloud_fraction(1.0).solar_zenith_deg(0.0).iso_week(53).hour(23).day_of_year(60);
        let records = Records::from_records(&[good]).unwrap();
        assert_eq!(records.possible_fields(0), records.fields(0));
        let nan = f32::NAN.to_bits();
        for (field, word, bad) in [
            (Field::Lat, 1, (-91i32 << 8) as u32),
            (Field::Lon, 0, 1),
            (Field::Year, 0, 1_000_001),
            (Field::Month, 0, 13),
            (Field::Day, 0, 30),
            (Field::SecondOfDay, 0, u32::MAX),
            (Field::UtcOffset, 0, 64_801),
            (Field::Gsd, 0, 1),
            (Field::Wavelength, 0, 0),
            (Field::CloudFraction, 0, nan),
            (Field::SolarZenith, 0, (-1f32).to_bits()),
            (Field::DayOfYear, 0, 367),
            (Field::IsoWeek, 0, 0),
            (Field::Hour, 0, 24),
        ] {
            let mut words = records.words().to_vec();
            words[field.info().word as usize + word] = bad;
            let left = Records::from_words(words).unwrap().possible_fields(0);
            assert_eq!(left, records.fields(0) & !Fields::from(field), "{field:?}");
        }
    }
}

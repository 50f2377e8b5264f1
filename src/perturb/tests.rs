//! Perturbations by their twin: rules, refusals, draws, and dates against jiff.

use super::twin::{Perturbed, With, perturb};
use super::*;
use crate::common::geodesy::{Place, central_angle, km_from_turns};
use crate::records::{Fields, Record, fixed_from_degrees};
use proptest::prelude::*;

const SEED: u64 = 11;

fn op(parts: &[Perturbation]) -> Perturb {
    Perturb::new(&PerturbDesc { parts, seed: SEED }).unwrap()
}

fn batch(records: &[Record]) -> Records {
    Records::from_records(records).unwrap()
}

fn run(parts: &[Perturbation], records: &[Record], step: u32) -> Perturbed {
    perturb(&op(parts), &batch(records), With { step, ..Default::default() })
}

fn one(perturbation: Perturbation, record: Record) -> Record {
    run(&[perturbation], &[record], 0).records.get(0)
}

fn new() -> Record {
    Record::new()
}

fn displace(km: f64) -> Perturbation {
    Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random }
}

fn km_between(a: &Record, b: &Record) -> f64 {
    let place = |record: &Record| Place {
        lat: fixed_from_degrees(record.lat_deg.unwrap()),
        lon: fixed_from_degrees(record.lon_deg.unwrap()),
    };
    f64::from(km_from_turns(central_angle(place(a), place(b))))
}

#[test]
fn bad_numbers_are_refused_by_name() {
    let refusal = |part| Perturb::new(&PerturbDesc { parts: &[part], seed: 0 }).unwrap_err().to_string();
    let displace = |distance, bearing| Perturbation::Displace { distance, bearing };
    let north = Bearing::Degrees(0.0);
    for km in [0.0, -5.0, 20_016.0, f64::NAN, f64::INFINITY] {
        assert!(refusal(displace(Distance::Km(km), north)).starts_with("perturb: `km` is"), "{km}");
    }
    assert!(refusal(displace(Distance::LogUniformKm { from: 10.0, to: 1.0 }, north)).contains("`km`"));
    assert!(refusal(displace(Distance::Km(1.0), Bearing::Degrees(f64::NAN))).contains("`bearing`"));
    assert!(refusal(Perturbation::ShiftMonths { months: 12_001 }).contains("`months`"));
    assert!(refusal(Perturbation::ShiftDays { days: i32::MIN }).contains("`days`"));
    assert!(refusal(Perturbation::ShiftYears { years: -1001 }).contains("`years`"));
    assert!(refusal(Perturbation::ShiftHours { hours: i32::MAX }).contains("`hours`"));
    for gsd in [0.0, -1.0, 1e7, f64::NAN] {
        assert!(refusal(Perturbation::Scale { gsd }).contains("`gsd`"), "{gsd}");
    }
    let set = |values| refusal(Perturbation::Set { values });
    assert!(set(new().lat_deg(91.0)).starts_with("perturb: `lat` is 91"));
    assert!(set(new().sample_id(1)).contains("sample_id"));
    // No year has it, whatever the sample's.
    assert!(set(new().month(2).day(31)).starts_with("perturb: `day` is 31"));
    let mix = TrainingMix { displace: 1.5, ..Default::default() };
    assert!(refusal(Perturbation::Training(mix)).contains("`displace`"));
    let parts = &[Perturbation::Scale { gsd: 2.0 }; MAX_PARTS + 1];
    let error = Perturb::new(&PerturbDesc { parts, seed: 0 }).unwrap_err().to_string();
    assert!(error.contains("`parts` is 9"), "{error}");
}

#[test]
fn random_perturbations_need_sample_ids() {
    let records = batch(&[new().sample_id(0), new()]);
    let mix = op(&[Perturbation::Scale { gsd: 2.0 }, Perturbation::Training(TrainingMix::default())]);
    assert!(mix.check_records(&records).unwrap_err().to_string().contains("record 1: `sample_id`"));
    assert!(op(&[Perturbation::Swap { fields: Fields::PLACE }]).check_records(&records).is_ok());
}

#[test]
fn a_moved_point_keeps_its_distance_and_everything_else() {
    let record = new().lat_deg(-12.0).lon_deg(-55.0).date(2016, 9, 1).gsd_m(250.0).sample_id(5);
    for km in [10.0, 100.0, 1000.0] {
        let moved = one(displace(km), record);
        let found = km_between(&record, &moved);
        assert!((found - km).abs() < 1e-3, "{found} km");
        let back = Record { lat_deg: record.lat_deg, lon_deg: record.lon_deg, ..moved };
        assert_eq!(back, record);
    }
}

#[test]
fn months_shift_with_whatever_is_known() {
    for (record, months, expected) in [
        (new().date(2020, 2, 29), 12, new().date(2021, 2, 28)),
        (new().date(2020, 1, 31), -2, new().date(2019, 11, 30)),
        (new().year(2020).month(11), 3, new().year(2021).month(2)),
        (new().month(11).day(30), 3, new().month(2).day(29)),
        (new().year(2020).day_of_year(61), 12, new().year(2021).day_of_year(60)),
        (new().year(2019).day_of_year(1), -1, new().year(2018).day_of_year(335)),
        (new().day_of_year(200), 6, new().day_of_year(19)),
        // 31 August to the end of a February: of a year of 365 days, whichever way.
        (new().day_of_year(243), 6, new().day_of_year(59)),
        (new().day_of_year(243), -6, new().day_of_year(59)),
        (new().iso_week(30), 6, new().iso_week(4)),
        (new().year(2020).iso_week(30), 6, new().year(2021).iso_week(4)),
        (new().year(2020), 6, new().year(2020)),
        (new().year(2020), -12, new().year(2019)),
        (new().second_of_day(5), 6, new().second_of_day(5)),
        (new().day_of_year(366).iso_week(53), 0, new().day_of_year(366).iso_week(53)),
    ] {
        assert_eq!(one(Perturbation::ShiftMonths { months }, record), expected, "{record:?} by {months}");
    }
    // A week given beside the date moves with it.
    let moved = one(Perturbation::ShiftMonths { months: 6 }, new().date(2020, 1, 15).iso_week(3));
    assert_eq!(moved.iso_week, Some(29));
}

#[test]
fn years_shift_with_whatever_is_known() {
    for (record, years, expected) in [
        (new().date(2020, 2, 29), 1, new().date(2021, 2, 28)),
        (new().date(2020, 2, 29), -4, new().date(2016, 2, 29)),
        (new().date(3, 5, 6), -7, new().date(-4, 5, 6)),
        (new().year(2020).month(11), 3, new().year(2023).month(11)),
        (new().year(2020).day_of_year(366), 1, new().year(2021).day_of_year(365)),
        (new().year(2020).day_of_year(61), 1, new().year(2021).day_of_year(60)),
        (new().year(2020).iso_week(53), 2, new().year(2022).iso_week(53)),
        (new().year(2020), -12, new().year(2008)),
        // Without a year there is nothing to move.
        (new().month(2).day(29).iso_week(9), 3, new().month(2).day(29).iso_week(9)),
        (new().day_of_year(366).hour(3), 5, new().day_of_year(366).hour(3)),
        // Out of the calendar: the year is missing then.
        (new().date(999_999, 3, 1), 2, new().month(3).day(1)),
        (new().date(-1_000_000, 3, 1), -1, new().month(3).day(1)),
    ] {
        assert_eq!(one(Perturbation::ShiftYears { years }, record), expected, "{record:?} by {years}");
    }
}

#[test]
fn days_shift_with_whatever_is_known() {
    for (record, days, expected) in [
        (new().date(2020, 2, 28), 2, new().date(2020, 3, 1)),
        (new().date(2021, 1, 1).iso_week(53), -1, new().date(2020, 12, 31).iso_week(53)),
        (new().date(1970, 1, 1).day_of_year(1), -1, new().date(1969, 12, 31).day_of_year(365)),
        (new().year(2020).day_of_year(366), 1, new().year(2021).day_of_year(1)),
        (new().month(12).day(31), 1, new().month(1).day(1)),
        (new().month(2).day(29), 1, new().month(3).day(2)),
        (new().month(2).day(29), 0, new().month(2).day(29)),
        (new().day_of_year(365), 1, new().day_of_year(1)),
        (new().day_of_year(1), -1, new().day_of_year(365)),
        // A month without a day is its 15th.
        (new().year(2020).month(12), 16, new().year(2020).month(12)),
        (new().year(2020).month(12), 17, new().year(2021).month(1)),
        (new().month(1), -15, new().month(12)),
        (new().iso_week(52), 3, new().iso_week(52)),
        (new().iso_week(52), 4, new().iso_week(1)),
        (new().year(2020).iso_week(52), 4, new().year(2021).iso_week(1)),
        (new().iso_week(53), 3, new().iso_week(53)),
        (new().year(2020), 365, new().year(2020)),
        (new().year(2020), 366, new().year(2021)),
        (new().year(2020), -366, new().year(2019)),
        (new().day(31).hour(5), 3, new().day(31).hour(5)),
    ] {
        assert_eq!(one(Perturbation::ShiftDays { days }, record), expected, "{record:?} by {days}");
    }
}

#[test]
fn hours_cross_days_months_and_years_and_leave_the_offset() {
    for (record, hours, expected) in [
        (new().date(1999, 12, 31).second_of_day(82_800), 2, new().date(2000, 1, 1).second_of_day(3600)),
        (new().date(2000, 3, 1).hour(1), -2, new().date(2000, 2, 29).hour(23)),
        (new().second_of_day(59).hour(0), -1, new().second_of_day(82_859).hour(23)),
        // A time of day that is not known is noon.
        (new().date(2024, 2, 28), 11, new().date(2024, 2, 28)),
        (new().date(2024, 2, 28), 12, new().date(2024, 2, 29)),
        (new().date(2024, 3, 1), -12, new().date(2024, 3, 1)),
        (new().date(2024, 3, 1), -13, new().date(2024, 2, 29)),
        (
            new().date(2024, 1, 1).second_of_day(0).utc_offset_s(-3600),
            -1,
            new().date(2023, 12, 31).second_of_day(82_800).utc_offset_s(-3600),
        ),
        (new().date(2024, 1, 1).hour(7), 8_766_000, new().date(3024, 1, 9).hour(7)),
    ] {
        assert_eq!(one(Perturbation::ShiftHours { hours }, record), expected, "{record:?} by {hours}");
    }
}

/// A whole date and time from jiff's, with every derived field.
fn record_of(at: jiff::civil::DateTime) -> Record {
    let date = at.date();
    let second = i32::from(at.hour()) * 3600 + i32::from(at.minute()) * 60 + i32::from(at.second());
    new()
        .date(date.year().into(), date.month().into(), date.day().into())
        .second_of_day(second)
        .hour(at.hour().into())
        .day_of_year(date.day_of_year().into())
        .iso_week(date.iso_week_date().week().into())
}

prop_compose! {
    /// Any date of four centuries around the epoch or at the ends of jiff's calendar, often at the end of a month.
    fn dates()(
        year in prop_oneof![1600i16..2400, -9000i16..-8990, 8980i16..8990, -5i16..5],
        month in 1i8..=12,
        day in prop_oneof![1i8..=28, 28i8..=31],
        second in prop_oneof![0i32..86_400, Just(0), Just(86_399)],
    ) -> jiff::civil::DateTime {
        let first = jiff::civil::date(year, month, 1);
        let date = jiff::civil::date(year, month, day.min(first.days_in_month()));
        date.at((second / 3600) as i8, (second / 60 % 60) as i8, (second % 60) as i8, 0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whole_dates_shift_as_jiff_shifts_them(
        at in dates(),
        months in -12_000i32..=12_000,
        days in -365_250i32..=365_250,
        years in -1000i32..=1000,
        hours in prop_oneof![-8_766_000i32..=8_766_000, -50i32..=50],
    ) {
        use jiff::ToSpan;
        let record = record_of(at);
        for (perturbation, span) in [
            (Perturbation::ShiftMonths { months }, months.months()),
            (Perturbation::ShiftDays { days }, days.days()),
            (Perturbation::ShiftYears { years }, years.years()),
            (Perturbation::ShiftHours { hours }, hours.hours()),
        ] {
            // jiff's calendar ends at ±9999.
            if let Ok(later) = at.checked_add(span) {
                prop_assert_eq!(one(perturbation, record), record_of(later), "{:?} of {}", perturbation, at);
            }
        }
    }

    #[test]
    fn a_shift_and_its_reverse_by_days_or_hours_meet(
        at in dates(),
        days in -365_250i32..=365_250,
        hours in -8_766_000i32..=8_766_000,
    ) {
        let there_and_back = [
            Perturbation::ShiftDays { days },
            Perturbation::ShiftHours { hours },
            Perturbation::ShiftDays { days: -days },
            Perturbation::ShiftHours { hours: -hours },
        ];
        let record = record_of(at).utc_offset_s(3600);
        prop_assert_eq!(run(&there_and_back, &[record], 0).records.get(0), record);
    }

    #[test]
    fn a_scaled_distance_is_the_rounded_product(gsd in 1e-9f64..2e9, factor in 1e-6f64..1e6) {
        let record = new().gsd_m(gsd);
        let recorded = batch(&[record]).get(0).gsd_m.unwrap();
        let found = one(Perturbation::Scale { gsd: factor }, record).gsd_m.unwrap();
        let exact = (recorded * factor).clamp(2f64.powi(-32), 2f64.powi(31));
        let bound = 2f64.powi(-33) + exact * (2f64.powi(-45) / factor + 2f64.powi(-51));
        prop_assert!((found - exact).abs() <= bound, "{} against {}", found, exact);
    }
}

#[test]
fn scales_round_halves_up_and_stay_in_range() {
    let scaled = |gsd, factor| one(Perturbation::Scale { gsd: factor }, new().gsd_m(gsd)).gsd_m.unwrap();
    let unit = 2f64.powi(-32);
    assert_eq!(scaled(3.0 * unit, 0.5), 2.0 * unit);
    assert_eq!(scaled(unit, 0.25), unit, "never 0");
    assert_eq!(scaled(2f64.powi(31), 1e6), 2f64.powi(31));
    assert_eq!(scaled(10.0, 2.5), 25.0);
    assert_eq!(one(Perturbation::Scale { gsd: 2.0 }, new().year(2000)), new().year(2000));
}

fn lookup() -> Lookup {
    // West half zone 1, east half zone 2, the last quarter sea; two ecoregions, north and south; two tiles.
    let zones = LookupGrid::new(1, 4, &[1u8, 1, 2, 32], &[32]).unwrap();
    let regions = LookupGrid::new(2, 1, &[300u16, 301], &[]).unwrap();
    let tiles = LookupGrid::new(1, 2, &[70_001u32, 70_002], &[]).unwrap();
    Lookup::new().climate_zone(zones).ecoregion(regions).tile(tiles)
}

#[test]
fn ids_follow_a_place_only_where_the_grid_says_another() {
    let east = Perturbation::Displace { distance: Distance::Km(1000.0), bearing: Bearing::Degrees(90.0) };
    let at = |lon: f64| new().lat_deg(1.0).lon_deg(lon).climate_zone(9).tile(4);
    let records = [at(-100.0), at(-1.0), at(89.0), at(179.0), Record { climate_zone: None, ..at(-1.0) }];
    let lookup = lookup();
    let with = With { lookup: Some(&lookup), ..Default::default() };
    let ids = |parts: &[Perturbation], records: &[Record]| -> Vec<_> {
        let moved = perturb(&op(parts), &batch(records), with).records;
        (0..moved.len())
            .map(|s| (moved.get(s).climate_zone, moved.get(s).ecoregion, moved.get(s).tile))
            .collect()
    };
    // The record's own zone 9 stays while the grid sees no change.
    let (west, east_tile) = (Some(70_001), Some(70_002));
    let expected =
        [(Some(9), Some(4)), (Some(2), east_tile), (None, Some(4)), (Some(1), west), (None, east_tile)];
    assert_eq!(ids(&[east], &records), expected.map(|(zone, tile)| (zone, None, tile)));

    // A set place too; what is set with it does not follow, nor does what lacks a place.
    let full = at(-100.0).ecoregion(5);
    let south = new().lat_deg(-30.0).lon_deg(10.0);
    let set = |values| Perturbation::Set { values };
    assert_eq!(ids(&[set(south)], &[full]), [(Some(2), Some(301), east_tile)]);
    assert_eq!(ids(&[set(south.climate_zone(17))], &[full]), [(Some(17), Some(301), east_tile)]);
    let placeless = Record { lat_deg: None, ..full };
    assert_eq!(ids(&[set(south)], &[placeless]), [(Some(9), Some(5), Some(4))]);
    // Each part starts from what the one before it left.
    assert_eq!(ids(&[set(south), set(at(-100.0).lat_deg(1.0))], &[full])[0].1, Some(300));
}

#[test]
fn a_donor_gives_the_fields_asked_for_missing_ones_included() {
    let record = new().lat_deg(1.0).lon_deg(2.0).climate_zone(4).date(2020, 2, 29).sample_id(8);
    let elsewhere = new().lat_deg(50.0).lon_deg(-60.0).climate_zone(7).year(2001).gsd_m(30.0).sample_id(9);
    let pool = batch(&[record, elsewhere, Record { climate_zone: None, ..elsewhere }]);
    let records = batch(&[record; 4]);
    let indices = donor_indices(&[Some(1), None, Some(2), Some(3)]);
    let with = With { donors: Some((&indices, &pool)), ..Default::default() };
    let swap = |fields| perturb(&op(&[Perturbation::Swap { fields }]), &records, with);

    let place = swap(Fields::PLACE | Fields::IDS);
    assert_eq!(place.records.get(0), record.lat_deg(50.0).lon_deg(-60.0).climate_zone(7));
    assert_eq!(place.records.get(1), record);
    assert_eq!(place.records.get(2).climate_zone, None);
    assert_eq!(place.records.get(3), record, "the pool has no record 3");
    assert_eq!((place.status[STATUS_NO_DONOR as usize], place.status.iter().sum::<u32>()), (2, 2));
    assert_eq!(swap(Fields::METADATA).records.get(0), elsewhere.sample_id(8));
    // Of the date the year alone: the day becomes the last of its month.
    let year = swap(Field::Year.into()).records.get(0);
    assert_eq!(year, record.date(2001, 2, 28));
    // A day of the year without month and day takes their place, and goes with the donor's.
    let pool = batch(&[new().day_of_year(200), new().month(7).day(19)]);
    let with = With { donors: Some((&[0, 1, 2, 0], &pool)), ..with };
    let days =
        perturb(&op(&[Perturbation::Swap { fields: Field::DayOfYear.into() }]), &records, with).records;
    let undated = Record { month: None, day: None, ..record };
    let expected = [undated.day_of_year(200), undated, record, undated.day_of_year(200)];
    assert_eq!([0, 1, 2, 3].map(|sample| days.get(sample)), expected);
}

#[test]
fn impossible_values_of_a_donor_count_as_missing() {
    let record = new().date(2020, 1, 31).day_of_year(31).iso_week(5);
    let mut words = batch(&[new().month(4).lat_deg(3.0).lon_deg(4.0)]).words().to_vec();
    words[Field::Month.info().word as usize] = 77;
    words[Field::Lon.info().word as usize + 1] = 200 << 8;
    let pool = Records::from_words(words).unwrap();
    let with = With { donors: Some((&[0], &pool)), lookup: Some(&lookup()), ..Default::default() };
    let fields = Fields::PLACE | Field::Month;
    let swapped =
        perturb(&op(&[Perturbation::Swap { fields }]), &batch(&[record.lat_deg(0.0).lon_deg(0.0)]), with);
    let expected = Record { month: None, ..record.lat_deg(3.0) };
    assert_eq!(swapped.records.get(0), expected);
    assert_eq!(swapped.status.iter().sum::<u32>(), 2);
    assert_eq!(swapped.status[Field::Month as usize], 1);
    // Days that no month or year has are not taken for the last.
    for (field, days) in [(Field::Day, 32), (Field::DayOfYear, 367)] {
        let mut words = batch(&[new().date(2021, 2, 3)]).words().to_vec();
        words[field.info().word as usize] = days;
        words[0] |= Fields::from(field).bits();
        let pool = Records::from_words(words).unwrap();
        let with = With { donors: Some((&[0], &pool)), ..Default::default() };
        let swap = op(&[Perturbation::Swap { fields: Fields::DATE }]);
        let swapped = perturb(&swap, &batch(&[record]), with);
        assert_eq!((swapped.status[field as usize], swapped.status.iter().sum::<u32>()), (1, 1));
    }
}

#[test]
fn set_gives_every_sample_the_values_and_derived_fields_agree() {
    let set = |values, record| one(Perturbation::Set { values }, record);
    let dated = new().date(2020, 8, 31).day_of_year(244).iso_week(36).second_of_day(7200).hour(2);
    for (values, record, expected) in [
        (new().gsd_m(3.5).sensor(2), new().sensor(1).year(2000), new().gsd_m(3.5).sensor(2).year(2000)),
        (new().month(2), dated, dated.date(2020, 2, 29).day_of_year(60).iso_week(9)),
        (new().year(2021), dated.date(2020, 2, 29).day_of_year(60), {
            dated.date(2021, 2, 28).day_of_year(59).iso_week(8)
        }),
        (new().year(2021), new().year(2020).day_of_year(366), new().year(2021).day_of_year(365)),
        // A day past the month's end becomes its last.
        (new().day(31), new().year(2021).month(2).day(3), new().year(2021).month(2).day(28)),
        (new().month(2).day(29), new().year(2021), new().year(2021).month(2).day(28)),
        (new().month(2).day(29), new().day(1), new().month(2).day(29)),
        // A day of the year lies in the month, in that of a leap year where the year is missing, or is missing.
        (new().month(4), new().year(2020).day_of_year(60), new().year(2020).month(4)),
        (new().month(2), new().year(2020).day_of_year(60), new().year(2020).month(2).day_of_year(60)),
        (new().month(2), new().year(2021).day_of_year(60), new().year(2021).month(2)),
        (new().month(2), new().day_of_year(60), new().month(2).day_of_year(60)),
        (new().month(3), new().day_of_year(60), new().month(3).day_of_year(60)),
        (new().month(1), new().day_of_year(366), new().month(1)),
        (new().hour(3), new().month(12).day_of_year(366), new().month(12).day_of_year(366).hour(3)),
        // A derived field alone replaces what it would be derived from.
        (new().day_of_year(9), dated, Record { month: None, day: None, ..dated.day_of_year(9).iso_week(2) }),
        (new().iso_week(9), dated, Record { month: None, day: None, day_of_year: None, ..dated.iso_week(9) }),
        (new().hour(9), dated, Record { second_of_day: None, ..dated.hour(9) }),
        (new().second_of_day(3600), dated, dated.second_of_day(3600).hour(1)),
        (new().lat_deg(3.0), new().lat_deg(1.0).lon_deg(2.0), new().lat_deg(3.0).lon_deg(2.0)),
        (new(), dated, dated),
    ] {
        assert_eq!(set(values, record), expected, "{values:?} on {record:?}");
    }
}

#[test]
fn dropping_all_metadata_clears_v_and_keeps_the_id() {
    let records = [new().lat_deg(1.0).lon_deg(2.0).year(2000).sample_id(3), new().sample_id(4)];
    let drop = |fields| run(&[Perturbation::Drop { fields }], &records, 0);
    assert_eq!(drop(Fields::PLACE).v, [1.0, 0.0]);
    let none = drop(Fields::METADATA);
    assert_eq!(none.v, [0.0, 0.0]);
    assert_eq!(none.records.get(0), new().sample_id(3));
}

#[test]
fn the_training_mix_has_its_shares() {
    let record = new().lat_deg(40.0).lon_deg(170.0).date(2020, 6, 1).gsd_m(10.0).tile(1);
    let count = 20_000u64;
    let records: Vec<Record> = (0..count).map(|id| record.sample_id(id)).collect();
    let mix = [Perturbation::Training(TrainingMix::default())];
    let drawn = run(&mix, &records, 3).records;
    let each = || (0..drawn.len()).map(|sample| drawn.get(sample));
    let share =
        |predicate: &dyn Fn(&Record) -> bool| each().filter(|r| predicate(r)).count() as f64 / count as f64;
    let all = share(&|r| r.tile.is_none() && r.gsd_m.is_none() && r.year.is_none() && r.lat_deg.is_none());
    // Standard error at most 0.0035; the exact share is 0.2 + 0.8 · 10⁻⁴.
    assert!((all - 0.2).abs() < 0.015, "{all}");
    for missing in [
        share(&|r| r.tile.is_none()),
        share(&|r| r.gsd_m.is_none()),
        share(&|r| r.month.is_none()),
        share(&|r| r.lon_deg.is_none()),
    ] {
        assert!((missing - 0.28).abs() < 0.015, "{missing}");
    }
    let moved = share(&|r| r.lat_deg.is_some_and(|lat| lat != 40.0));
    assert!((moved - 0.8 * 0.9 * 0.3).abs() < 0.015, "{moved}");
    let has_moved = |r: &Record| r.lat_deg.is_some_and(|lat| lat != 40.0);
    let kms: Vec<f64> = each().filter(has_moved).map(|r| km_between(&record, &r)).collect();
    assert!(kms.iter().all(|km| (0.999..1000.1).contains(km)));
    let below_ten = kms.iter().filter(|km| **km < 10.0).count() as f64 / kms.len() as f64;
    assert!((below_ten - 1.0 / 3.0).abs() < 0.03, "{below_ten}");
    assert_ne!(run(&mix, &records, 4).records, drawn);
}

#[test]
fn draws_do_not_depend_on_the_batch_its_order_or_its_chunks() {
    let record = new().lat_deg(40.0).lon_deg(170.0).year(2020);
    let records: Vec<Record> = (0..50).map(|id| record.sample_id(id * 977)).collect();
    let parts = [Perturbation::Training(TrainingMix::default()), displace(10.0)];
    let whole = run(&parts, &records, 9).records;
    for (from, to) in [(0, 7), (7, 8), (8, 50)] {
        let chunk = run(&parts, &records[from..to], 9).records;
        assert!((from..to).all(|sample| chunk.get(sample - from) == whole.get(sample)));
    }
    let order: Vec<usize> = (0..50).map(|i| i * 17 % 50).collect();
    let permuted: Vec<Record> = order.iter().map(|&i| records[i]).collect();
    let permuted = run(&parts, &permuted, 9).records;
    assert!(order.iter().enumerate().all(|(to, &from)| permuted.get(to) == whole.get(from)));
}

#[test]
fn parts_draw_independently_and_other_parts_change_no_draw() {
    let records: Vec<Record> =
        (0..200).map(|id| new().lat_deg(0.0).lon_deg(0.0).gsd_m(1.0).sample_id(id)).collect();
    let alone = run(&[displace(10.0)], &records, 0).records;
    let mix = TrainingMix { drop_all: 0.0, drop_group: 0.0, displace: 0.0, ..Default::default() };
    let around = [
        Perturbation::Training(mix),
        Perturbation::ShiftMonths { months: 3 },
        displace(10.0),
        Perturbation::Scale { gsd: 1.0 },
    ];
    assert_eq!(run(&around, &records, 0).records, alone);
    // Two displacements take two courses: had they one, every sample would lie 20 km off.
    let twice = run(&[displace(10.0), displace(10.0)], &records, 0).records;
    let kms = (0..records.len()).map(|sample| km_between(&records[sample], &twice.get(sample)));
    let mean = kms.sum::<f64>() / 200.0;
    // The mean chord of a circle's two steps of 10 km is 40 / π = 12.73 km, with a standard deviation of 6.2 km.
    assert!((mean - 12.73).abs() < 4.0 * 6.2 / 200f64.sqrt(), "{mean}");
}

#[test]
fn random_parts_without_an_id_are_left_out_and_counted() {
    let record = new().lat_deg(40.0).lon_deg(170.0).gsd_m(1.0);
    let mix = TrainingMix { drop_all: 1.0, ..Default::default() };
    let left =
        run(&[Perturbation::Training(mix), displace(1.0), Perturbation::Scale { gsd: 2.0 }], &[record], 0);
    assert_eq!(left.records.get(0), record.gsd_m(2.0));
    assert_eq!(left.status[STATUS_NO_ID as usize], 2);
}

//! What names say, and which records they apply to.

use super::*;
use gtca::perturb::{Bearing, Distance};

fn parsed(text: &str) -> Wrong {
    Wrong::parse(text).unwrap()
}

#[test]
fn names_say_what_is_done_however_they_are_typed() {
    let random = |distance| Perturbation::Displace { distance, bearing: Bearing::Random };
    let east = Perturbation::Displace { distance: Distance::Km(10.0), bearing: Bearing::Degrees(90.0) };
    let drop = |fields: Fields| Perturbation::Drop { fields };
    let month = Perturbation::Set { values: Record::new().month(7) };
    let hour = Perturbation::Set { values: Record::new().second_of_day(48_600) };
    let of_drawn_distance = Distance::LogUniformKm { from: 1.0, to: 100.0 };
    for (texts, name, part) in [
        (&["10 km", "10km", " 10.0  KM "][..], "10 km", random(Distance::Km(10.0))),
        (&["0.5 km"], "0.5 km", random(Distance::Km(0.5))),
        (&["10 km east"], "10 km east", east),
        (&["1 to 100 km"], "1 to 100 km", random(of_drawn_distance)),
        (
            &["+3 months", "3 months", "+3 Months", "+ 3 months"],
            "+3 months",
            Perturbation::ShiftMonths { months: 3 },
        ),
        (&["-3 months", "−3 months"], "−3 months", Perturbation::ShiftMonths { months: -3 }),
        (&["+5 days"], "+5 days", Perturbation::ShiftDays { days: 5 }),
        (&["+1 year", "+1 years"], "+1 year", Perturbation::ShiftYears { years: 1 }),
        (&["-6 hours"], "−6 hours", Perturbation::ShiftHours { hours: -6 }),
        (&["gsd x2", "GSD ×2", "gsd x 2.0"], "gsd ×2", Perturbation::Scale { gsd: 2.0 }),
        (&["drop place"], "drop place", drop(Fields::PLACE)),
        (&["drop date"], "drop date", drop(Fields::DATE)),
        (&["drop koppen_code"], "drop koppen_code", drop(Field::ClimateZone.into())),
        (&["missing", "drop all"], "missing", drop(Fields::METADATA)),
        (&["month=7", "month = 7"], "month = 7", month),
        (&["hour = 13.5"], "hour = 13.5", hour),
        (&["neighbour", "neighbor"], "neighbour", SWAP),
        (&["far, other climate", "far other climate", "far_diff"], "far, other climate", SWAP),
    ] {
        for text in texts {
            let wrong = parsed(text);
            assert_eq!((wrong.name(), &wrong.parts[..]), (name, &[part][..]), "{text}");
        }
    }
    let both = parsed("neighbour&-1 month & gsd x0.5");
    assert_eq!((both.name(), both.parts.len()), ("neighbour & −1 month & gsd ×0.5", 3));
    assert!(both.needs_donors() && both.shifts_months() && !parsed("10 km").needs_donors());
}

#[test]
fn every_form_that_help_teaches_is_understood_and_said_by_the_refusal() {
    for form in FORMS.lines().skip(1).filter(|line| !line.starts_with("   ")) {
        let name = form.trim_start().split("  ").next().unwrap();
        assert_eq!(parsed(name).name(), name.replace("gsd x", "gsd ×"), "{form}");
    }
    for (text, said) in [
        ("10 miles", "`10 miles` is not understood"),
        ("10 miles", "far, same climate"),
        ("+3 month & roof", "`roof` is not understood"),
        ("+0 months", "is not understood"),
        ("gsd x1", "is not understood"),
        ("drop roof", "is not understood"),
        ("month = 7.5", "is not understood"),
        ("", "`` is not understood"),
        ("50000 km", "20015"),
        ("nan km", "km"),
        ("100 to 10 km", "from must not exceed to"),
        ("month = 13", "month"),
        ("lat = 95", "lat"),
        ("neighbour & random place", "one other place"),
        ("+1 day & +1 day & +1 day & +1 day & +1 day & +1 day & +1 day & +1 day & +1 day", "at most 8"),
    ] {
        let refused = Wrong::parse(text).unwrap_err().to_string();
        assert!(refused.starts_with("--wrong: ") && refused.contains(said), "{text}: {refused}");
    }
    let twice = Wrong::list(&["10 km", "10km"].map(str::to_owned), false).unwrap_err().to_string();
    assert!(twice.contains("`10 km` is given twice"), "{twice}");
}

#[test]
fn nothing_asked_for_is_distances_months_and_with_a_grid_the_four_ways() {
    let names = |has_grid| {
        let all = Wrong::list(&[], has_grid).unwrap();
        all.iter().map(|wrong| wrong.name().to_owned()).collect::<Vec<_>>().join("; ")
    };
    let without = "10 km; 100 km; 1000 km; −6 months; −3 months; +3 months; +6 months; missing";
    assert_eq!(names(false), without);
    assert_eq!(names(true), format!("{without}; neighbour; far, same climate; far, other climate"));
}

#[test]
fn draws_depend_on_the_name_and_not_on_its_spelling() {
    assert_eq!(parsed("10km").step(), parsed("10 km").step());
    assert_ne!(parsed("10 km").step(), parsed("10 km & +6 months").step());
    assert_ne!(parsed("far, same climate").step(), parsed("far, other climate").step());
}

#[test]
fn a_record_without_what_is_made_wrong_is_left_out() {
    let place = Record::new().lat_deg(1.0).lon_deg(2.0);
    let rows = [
        place.date(2020, 7, 1).second_of_day(0).gsd_m(10.0).climate_zone(4),
        place.month(7),
        Record::new().year(2020),
        Record::new(),
    ];
    let records = Records::from_records(&rows).unwrap();
    let donors = [None, Some(place), Some(place), None];
    for (name, wanted) in [
        ("10 km", [true, true, false, false]),
        ("+3 months", [true, true, false, false]),
        ("+12 months", [true, false, true, false]),
        ("+1 year", [true, false, true, false]),
        ("+5 days", [true, false, false, false]),
        ("+1 hour", [true, false, false, false]),
        ("gsd x2", [true, false, false, false]),
        ("drop date", [true, true, true, false]),
        ("drop koppen_code", [true, false, false, false]),
        ("missing", [true, true, true, true]),
        ("month = 7", [false, false, true, true]),
        ("month = 8", [true, true, true, true]),
        ("lat = 1", [false, false, true, true]),
        ("neighbour", [false, true, true, false]),
        ("neighbour & +1 year", [false, false, true, false]),
        ("100 km & +3 months", [true, true, false, false]),
    ] {
        let found = parsed(name).is_there(&records, Some(&donors)).unwrap();
        assert_eq!(found, wanted, "{name}");
    }
}

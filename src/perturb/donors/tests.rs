//! Donors against a search of every pair.

use super::*;
use crate::common::rng::draw4;
use crate::records::Record;
use std::f64::consts::PI;

/// Places in clusters and alone, poles, antimeridian and doubles among them, with zones and dates.
fn places(count: u64, seed: u64) -> Vec<Record> {
    let draw = |id, number| draw4(seed, 0, id, 0, number).map(|word| f64::from(word) / 2f64.powi(32));
    (0..count)
        .map(|id| {
            let ([a, b, c, d], [month, day, near, zone]) = (draw(id, 0), draw(id, 1));
            let [x, y, ..] = draw(id % 7, 2);
            let (lat, lon) = match (near * 5.0) as u32 {
                0 => (x * 160.0 - 80.0 + a, y * 350.0 - 175.0 + b),
                1 => ([90.0, -90.0, 0.0][(c * 3.0) as usize], [180.0, -180.0, 179.9][(d * 3.0) as usize]),
                _ => ((2.0 * a - 1.0).asin().to_degrees(), b * 360.0 - 180.0),
            };
            let record = Record::new().lat_deg(lat).lon_deg(lon).sample_id(id * 3 + 5);
            let record = record.month(1 + (month * 12.0) as i32).day(1 + (day * 28.0) as i32);
            if zone < 0.1 { record } else { record.climate_zone((zone * 6.0) as u32) }
        })
        .collect()
}

fn km_between(a: &Record, b: &Record) -> f64 {
    let vector = |record: &Record| {
        let (lat, lon) = (record.lat_deg.unwrap().to_radians(), record.lon_deg.unwrap().to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (vector(a), vector(b));
    let chord = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
    2.0 * (chord / 2.0).min(1.0).asin() * EARTH_RADIUS_KM
}

fn fits(kind: DonorKind, sample: &Record, other: &Record) -> bool {
    let day = |record: &Record| {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        lengths[..record.month.unwrap() as usize - 1].iter().sum::<i32>() + record.day.unwrap()
    };
    let zones = [sample, other].map(|record| record.climate_zone);
    match kind {
        DonorKind::Random | DonorKind::Neighbour => true,
        DonorKind::SameClimate => zones[0].is_some() && zones[0] == zones[1],
        DonorKind::OtherClimate => zones.iter().all(Option::is_some) && zones[0] != zones[1],
        DonorKind::SameSeason { days } => {
            let apart = (day(sample) - day(other)).rem_euclid(365);
            apart.min(365 - apart) <= days as i32
        }
    }
}

const KINDS: [DonorKind; 5] = [
    DonorKind::Random,
    DonorKind::Neighbour,
    DonorKind::SameClimate,
    DonorKind::OtherClimate,
    DonorKind::SameSeason { days: 10 },
];

const RANGES: [[f64; 2]; 5] =
    [[0.0, f64::INFINITY], [1000.0, f64::INFINITY], [1.0, 50.0], [5000.0, 6000.0], [19_000.0, 20_016.0]];

#[test]
fn donors_agree_with_a_search_of_every_pair() {
    let (samples, pool) = (places(150, 1), places(400, 2));
    let [sample_records, pool_records] = [&samples, &pool].map(|r| Records::from_records(r).unwrap());
    for kind in KINDS {
        for km in RANGES {
            let desc = DonorDesc { kind, km, seed: 3, ..Default::default() };
            let donors = choose_donors(&sample_records, &pool_records, &desc).unwrap();
            for (sample, donor) in samples.iter().zip(&donors) {
                let apart: Vec<f64> = pool.iter().map(|other| km_between(sample, other)).collect();
                // Within a few centimetres of the range's ends either answer is right.
                let within = |km_apart: f64, slack: f64| {
                    km_apart >= (km[0] - slack).max(1e-5) && km_apart <= km[1] + slack
                };
                let could = |i: usize, slack| fits(kind, sample, &pool[i]) && within(apart[i], slack);
                match donor {
                    Some(donor) => {
                        let donor = *donor as usize;
                        assert!(could(donor, 5e-5), "{kind:?} {km:?}: {} km", apart[donor]);
                        if kind == DonorKind::Neighbour {
                            let nearer = |i: &usize| could(*i, -5e-5) && apart[*i] < apart[donor] - 5e-5;
                            assert_eq!((0..pool.len()).find(nearer), None, "{kind:?} {km:?}");
                        }
                    }
                    None => {
                        assert_eq!((0..pool.len()).find(|&i| could(i, -5e-5)), None, "{kind:?} {km:?}");
                    }
                }
            }
        }
    }
}

fn at(lat_deg: f64, lon_deg: f64, id: u64) -> Record {
    Record::new().lat_deg(lat_deg).lon_deg(lon_deg).sample_id(id)
}

/// The donor of one sample.
fn donor(kind: DonorKind, km: [f64; 2], sample: Record, pool: &[Record]) -> Option<u32> {
    let [sample, pool] = [&[sample], pool].map(|records| Records::from_records(records).unwrap());
    choose_donors(&sample, &pool, &DonorDesc { kind, km, ..Default::default() }).unwrap()[0]
}

#[test]
fn neighbours_are_found_across_the_antimeridian_and_the_poles() {
    let pool = [
        at(10.0, 170.0, 0),
        at(10.0, -179.5, 1),
        at(90.0, 77.0, 2),
        at(89.5, -120.0, 3),
        at(-90.0, 0.0, 4),
        at(-89.0, 33.0, 5),
        at(-40.0, 180.0, 6),
    ];
    let near = |sample, most| donor(DonorKind::Neighbour, [0.0, most], sample, &pool);
    for (sample, nearest) in [
        (at(10.0, 179.0, 9), 1),
        (at(10.0, 180.0, 9), 1),
        (at(10.0, -180.0, 9), 1),
        (at(89.9, 0.0, 9), 2),
        // A pole is one place at every longitude, and no place is its own neighbour.
        (at(90.0, 0.0, 9), 3),
        (at(-90.0, 180.0, 9), 5),
        (at(-89.1, -147.0, 9), 4),
        (at(-40.1, -180.0, 9), 6),
    ] {
        assert_eq!(near(sample, f64::INFINITY), Some(nearest), "{sample:?}");
    }
    assert_eq!(near(at(-40.0, -180.0, 9), 500.0), None, "the same place from the other side");
    assert_eq!(near(at(0.0, 0.0, 9), 500.0), None);
}

#[test]
fn of_equally_near_neighbours_the_lowest_id_counts_and_then_the_first() {
    // Doubles of two places, more than a leaf of the tree holds.
    let place = |i: u64| at(3.0, if i.is_multiple_of(2) { 7.0 } else { 8.0 }, 0);
    let sample = at(3.0, 6.0, 0);
    let ids: Vec<u64> = (0..40).map(|i| i * 17 % 40 + 3).collect();
    let pool: Vec<Record> = (0..40).map(|i| place(i).sample_id(ids[i as usize])).collect();
    let nearest = donor(DonorKind::Neighbour, [0.0, f64::INFINITY], sample, &pool).unwrap() as usize;
    assert_eq!(Some(ids[nearest]), ids.iter().step_by(2).min().copied());
    assert_eq!(pool[nearest].lon_deg, Some(7.0));
    let unnamed: Vec<Record> = (1..40).map(|i| Record { sample_id: None, ..place(i) }).collect();
    assert_eq!(donor(DonorKind::Neighbour, [0.0, f64::INFINITY], sample, &unnamed), Some(1));
}

#[test]
fn seasons_meet_across_the_year_and_count_what_a_date_tells() {
    let sample = at(3.0, 6.0, 0).month(12).day(30);
    let pool = |date: Record| [Record { lat_deg: Some(50.0), lon_deg: Some(60.0), ..date }];
    let new = Record::new;
    for (date, days) in [
        (new().date(1999, 1, 2), 3),
        (new().month(12).day(20), 10),
        (new().year(2020).day_of_year(366), 1),
        (new().day_of_year(1), 2),
        // A month alone is its 15th.
        (new().month(12), 15),
    ] {
        let found = |days| donor(DonorKind::SameSeason { days }, [0.0, f64::INFINITY], sample, &pool(date));
        assert_eq!([found(days), found(days - 1)], [Some(0), None], "{date:?}");
    }
    let week = pool(new().iso_week(52));
    let all_year = DonorKind::SameSeason { days: 182 };
    assert_eq!(donor(all_year, [0.0, f64::INFINITY], sample, &week), None, "a week is no date");
}

#[test]
fn a_choice_depends_on_neither_batch_nor_order() {
    let samples = places(300, 4);
    let reversed: Vec<Record> = samples.iter().rev().copied().collect();
    let [ordered, backwards] = [&samples, &reversed].map(|r| Records::from_records(r).unwrap());
    for kind in KINDS {
        let desc = DonorDesc { kind, km: [10.0, 12_000.0], seed: 8, ..Default::default() };
        let whole = choose_donors(&ordered, &ordered, &desc).unwrap();
        assert!(whole.iter().flatten().count() > 200, "{kind:?}");
        let id = |donor: Option<u32>, of: &[Record]| donor.map(|donor| of[donor as usize].sample_id);
        let turned = choose_donors(&backwards, &backwards, &desc).unwrap();
        for (sample, donor) in whole.iter().enumerate() {
            assert_eq!(id(*donor, &samples), id(turned[samples.len() - 1 - sample], &reversed));
        }
        let chunk = Records::from_records(&samples[100..130]).unwrap();
        let pool = DonorPool::new(&ordered, &desc).unwrap();
        assert_eq!(pool.choose(&chunk).unwrap(), whole[100..130]);
        assert_eq!(pool.choose(&ordered).unwrap(), whole, "a pool serves one batch after the other");
        if kind != DonorKind::Neighbour {
            let next = DonorDesc { step: 1, ..desc };
            assert_ne!(choose_donors(&ordered, &ordered, &next).unwrap(), whole, "{kind:?}");
        }
    }
}

#[test]
fn drawn_donors_are_equally_likely() {
    let pool = places(40, 5);
    let here = Record::new().lat_deg(10.0).lon_deg(20.0).climate_zone(77).month(7).day(1);
    let samples: Vec<Record> = (0..20_000).map(|id| here.sample_id(id)).collect();
    let [samples, pool_records] = [&samples, &pool].map(|r| Records::from_records(r).unwrap());
    let desc = DonorDesc { kind: DonorKind::OtherClimate, km: [3000.0, 1e9], ..Default::default() };
    let mut counts = vec![0.0; pool.len()];
    for donor in choose_donors(&samples, &pool_records, &desc).unwrap() {
        counts[donor.unwrap() as usize] += 1.0;
    }
    let can = |other: &&Record| other.climate_zone.is_some() && km_between(&here, other) >= 3000.0;
    let able = pool.iter().filter(can).count() as f64;
    assert_eq!(counts.iter().filter(|count| **count > 0.0).count() as f64, able);
    let mean = 20_000.0 / able;
    let chi_square: f64 =
        counts.iter().filter(|count| **count > 0.0).map(|count| (count - mean).powi(2) / mean).sum();
    // Mean able − 1, variance 2 (able − 1): five standard deviations.
    assert!(chi_square < able + 5.0 * (2.0 * able).sqrt(), "{chi_square} of {able}");
}

#[test]
fn who_lacks_what_a_choice_needs_has_no_donor() {
    let full = places(20, 6);
    let pool = Records::from_records(&full).unwrap();
    let blank = Record::new().sample_id(1);
    let samples = Records::from_records(&[blank, blank.lat_deg(1.0).lon_deg(2.0)]).unwrap();
    let donors = |kind| choose_donors(&samples, &pool, &DonorDesc { kind, ..Default::default() }).unwrap();
    assert!(donors(DonorKind::Random)[0].is_none() && donors(DonorKind::Random)[1].is_some());
    assert_eq!(donors(DonorKind::Neighbour)[0], None);
    assert_eq!(donors(DonorKind::SameClimate), [None, None]);
    assert_eq!(donors(DonorKind::SameSeason { days: 182 }), [None, None]);
    // Nor can a record be one without a place.
    let any = [0.0, f64::INFINITY];
    for placeless in [blank, blank.lat_deg(1.0), blank.lon_deg(1.0)] {
        for kind in [DonorKind::Random, DonorKind::Neighbour] {
            assert_eq!(donor(kind, any, at(1.0, 2.0, 1), &[placeless]), None);
            assert_eq!(donor(kind, any, placeless, &full), None);
        }
    }
    assert_eq!(donor(DonorKind::Random, any, at(1.0, 2.0, 1), &[]), None);
    // With a grid the place tells the zone.
    let grid = LookupGrid::new(1, 1, &[3u8], &[]).unwrap();
    let desc = DonorDesc { kind: DonorKind::SameClimate, climate: Some(&grid), ..Default::default() };
    assert!(choose_donors(&samples, &pool, &desc).unwrap()[1].is_some());
}

#[test]
fn bad_choices_are_refused_by_name() {
    let one = Records::from_records(&[Record::new().lat_deg(1.0).lon_deg(1.0)]).unwrap();
    let refusal = |desc: DonorDesc<'_>| choose_donors(&one, &one, &desc).unwrap_err().to_string();
    for km in [[-1.0, 5.0], [5.0, 4.0], [f64::NAN, 4.0], [0.0, f64::NAN]] {
        assert!(refusal(DonorDesc { km, ..Default::default() }).contains("`km`"), "{km:?}");
    }
    let kind = DonorKind::SameSeason { days: 183 };
    assert!(refusal(DonorDesc { kind, ..Default::default() }).contains("`days`"));
    assert!(refusal(DonorDesc::default()).contains("record 0: `sample_id`"));
    assert!(
        choose_donors(&one, &one, &DonorDesc { kind: DonorKind::Neighbour, ..Default::default() }).is_ok()
    );
}

#[test]
fn a_hundred_thousand_samples_find_donors_in_a_pool_as_large() {
    let records = places(100_000, 7);
    let records = Records::from_records(&records).unwrap();
    let far =
        DonorDesc { kind: DonorKind::SameClimate, km: [1000.0, PI * EARTH_RADIUS_KM], ..Default::default() };
    let none = choose_donors(&records, &records, &far).unwrap().iter().filter(|d| d.is_none()).count();
    // A tenth has no zone.
    assert!((9_000..11_000).contains(&none), "{none}");
}

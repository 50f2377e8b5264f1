use std::collections::BTreeMap;

use super::*;
use crate::data::{Folds, Place, Sample, When};

/// 600 samples at 60 sites in 12 regions, three years, three classes of unequal size.
fn world() -> Dataset {
    let samples = (0..600)
        .map(|i| {
            let site = i / 10;
            let region = site / 5;
            Sample {
                id: i.to_string(),
                place: Place { lat_deg: f64::from(region % 3) * 20.0, lon_deg: f64::from(site) * 2.0 },
                when: When { year: Some(2018 + (i % 3) as i32), ..When::default() },
                gsd_m: None,
                sensor: None,
                climate_zone: None,
                region,
                site,
            }
        })
        .collect();
    let labels = (0..600_u32).map(|i| if i % 7 < 4 { 0 } else { 1 + i % 2 }).collect();
    let task = Task {
        name: "t".into(),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        rows: (0..600).collect(),
        labels,
        steps: vec![0],
        protocols: Protocol::ALL.to_vec(),
    };
    Dataset {
        name: "grid".into(),
        channels: vec!["x".into()],
        spectral: vec![0],
        steps: 1,
        samples,
        series: vec![0.0; 600],
        tasks: vec![task],
        folds: Folds::default(),
        conflicts: BTreeMap::new(),
        month_varies: false,
        notes: Vec::new(),
        fingerprint: 0,
    }
}

fn group_of(data: &Dataset, protocol: Protocol) -> Vec<i64> {
    own_groups(data, &data.tasks[0], protocol).unwrap()
}

#[test]
fn parts_are_disjoint_and_every_protocol_keeps_its_groups_whole() {
    let data = world();
    let task = &data.tasks[0];
    for all in splits(&data, task, 7) {
        assert!(all.skipped.is_empty(), "{:?}", all.skipped);
        assert_eq!(all.splits.len(), if all.protocol == Protocol::Year { 3 } else { 5 });
        let group = group_of(&data, all.protocol);
        for split in &all.splits {
            let mut rows: Vec<_> = [&split.train[..], &split.validation, &split.test].concat();
            rows.sort_unstable();
            rows.dedup();
            let total = split.train.len() + split.validation.len() + split.test.len();
            assert_eq!(rows.len(), total, "no row is in two parts");
            if all.protocol != Protocol::Year {
                assert_eq!(total, 600);
            }
            let groups = |part: &[usize]| part.iter().map(|&p| group[p]).collect::<BTreeSet<_>>();
            assert!(groups(&split.test).is_disjoint(&groups(&split.train)));
            assert!(groups(&split.test).is_disjoint(&groups(&split.validation)));
            assert!(groups(&split.validation).is_disjoint(&groups(&split.train)), "{:?}", split.name);
        }
    }
}

#[test]
fn drawn_parts_have_about_their_share_and_random_ones_keep_the_class_mix() {
    let data = world();
    let task = &data.tasks[0];
    for all in splits(&data, task, 3).into_iter().take(3) {
        for split in &all.splits {
            assert!((96..=150).contains(&split.test.len()), "{} {}", split.name, split.test.len());
            let share = split.validation.len() as f64 / (600 - split.test.len()) as f64;
            assert!((0.12..=0.24).contains(&share), "{share}");
            if all.protocol == Protocol::Random {
                let of = |part: &[usize]| part.iter().filter(|&&p| task.labels[p] == 0).count() as f64;
                assert!((of(&split.test) / split.test.len() as f64 - 4.0 / 7.0).abs() < 0.01);
                assert!((of(&split.validation) / split.validation.len() as f64 - 4.0 / 7.0).abs() < 0.01);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_splits_and_another_seed_others() {
    let data = world();
    assert_eq!(splits(&data, &data.tasks[0], 1), splits(&data, &data.tasks[0], 1));
    assert_ne!(splits(&data, &data.tasks[0], 1), splits(&data, &data.tasks[0], 2));
}

#[test]
fn given_folds_are_held_out_in_turn_and_unused_rows_stay_out() {
    let mut data = world();
    data.folds.of.insert(Protocol::Year, (0..600).map(|i| i64::from(i % 4) - 1).collect());
    data.folds.of.insert(Protocol::Random, (0..600).map(|i| i64::from(i) % 5).collect());
    data.folds.year_eval = Some(vec![1, 2]);
    data.folds.year_names.insert("1".into(), "2019".into());
    let all = splits(&data, &data.tasks[0], 5);
    let random = &all[0].splits;
    assert_eq!(random.len(), 5);
    assert_eq!(random[2].test, (0..600).filter(|i| i % 5 == 2).collect::<Vec<_>>());
    let year = &all[4].splits;
    assert_eq!(
        year.iter().map(|s| (s.index, s.name.as_str())).collect::<Vec<_>>(),
        [(1, "2019"), (2, "fold 2")]
    );
    let trained = year[0].train.len() + year[0].validation.len();
    assert_eq!(trained, 270, "90 % of the 300 rows of the other folds");
    assert!(year[0].train.iter().all(|p| p % 4 != 0), "rows marked -1 are not used");
}

#[test]
fn what_cannot_be_split_is_skipped_with_a_reason() {
    let mut data = world();
    data.samples.iter_mut().for_each(|s| {
        s.region = 0;
        s.when.year = None;
    });
    let all = splits(&data, &data.tasks[0], 5);
    assert!(all[2].splits.is_empty() && all[2].skipped[0].contains("only one group"));
    assert!(all[4].splits.is_empty() && all[4].skipped[0].contains("year is missing"));
}

#[test]
fn blocks_are_numbered_from_west_to_east() {
    let place = |lon_deg: f64| Place { lat_deg: 0.0, lon_deg };
    let places: Vec<_> = [100.0, -100.0, 0.0, 101.0, 1.0, -99.0].map(place).to_vec();
    assert_eq!(spatial_blocks(&places, 3), [2, 0, 1, 2, 1, 0]);
    assert_eq!(spatial_blocks(&places[..1], 5), [0]);
}

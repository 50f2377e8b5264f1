use super::*;
use crate::data::Dataset;

fn argmax(p: &[f64]) -> usize {
    (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap()
}

fn row(data: &Dataset, i: usize) -> &[f32] {
    let width = STEPS * CHANNELS.len();
    &data.series[i * width..(i + 1) * width]
}

fn known(data: &Dataset, i: usize) -> Known {
    Known { place: Some(data.samples[i].place), month: data.samples[i].when.month }
}

/// Accuracy over the data set, and the mean probability of the predicted class (what the accuracy should be).
fn accuracy(world: &World, data: &Dataset, law: Law, with_metadata: bool) -> (f64, f64) {
    let labels = &data.tasks[0].labels;
    let n = labels.len() as f64;
    let (mut hits, mut promised) = (0.0, 0.0);
    for (i, &label) in labels.iter().enumerate() {
        let m = if with_metadata { known(data, i) } else { Known::default() };
        let p = world.posterior(&world.look(row(data, i)), m, law);
        hits += f64::from(u8::from(argmax(&p) == label as usize));
        promised += p[argmax(&p)];
    }
    (hits / n, promised / n)
}

#[test]
fn posteriors_sum_to_one_whatever_is_known() {
    let world = World::new(SyntheticOptions::default());
    let data = world.dataset();
    let ocean = Place { lat_deg: 0.0, lon_deg: -160.0 };
    for i in 0..50 {
        let m = known(&data, i);
        let sea = Known { place: Some(ocean), month: None };
        for known in [m, Known::default(), Known { month: None, ..m }, Known { place: None, ..m }, sea] {
            for law in [Law::World, Law::Sample] {
                let p = world.posterior(&world.look(row(&data, i)), known, law);
                assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p.iter().all(|v| *v >= 0.0), "{p:?}");
            }
        }
    }
    let far_off = vec![40.0; STEPS * CHANNELS.len()];
    let p = world.posterior(&world.look(&far_off), known(&data, 0), Law::World);
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12, "a spectrum far from all still has a posterior");
    let clouds = vec![f32::NAN; STEPS * CHANNELS.len()];
    let p = world.posterior(&world.look(&clouds), known(&data, 0), Law::World);
    let zone = data.samples[0].climate_zone.unwrap() as usize - 1;
    let prior = spectra::CLASS_GIVEN_ZONE[zone];
    assert!(p.iter().zip(prior).all(|(p, q)| (p - q).abs() < 1e-12), "without observations the prior speaks");
}

#[test]
fn metadata_help_and_the_tile_helps_more_within_the_biased_sample() {
    let world = World::new(SyntheticOptions { samples: 3000, ..Default::default() });
    let data = world.dataset();
    let (image, _) = accuracy(&world, &data, Law::World, false);
    let (justified, _) = accuracy(&world, &data, Law::World, true);
    let (shortcut, _) = accuracy(&world, &data, Law::Sample, true);
    assert!(image + 0.05 < justified, "image {image}, with metadata {justified}");
    assert!(justified + 0.03 < shortcut, "justified {justified}, with the shortcut {shortcut}");
}

#[test]
fn without_bias_the_sample_knows_no_more_than_the_world() {
    let world = World::new(SyntheticOptions { bias: 0.0, ..Default::default() });
    let biased = World::new(SyntheticOptions::default());
    let data = world.dataset();
    let mut largest: f64 = 0.0;
    for i in 0..100 {
        let world_says = world.posterior(&world.look(row(&data, i)), known(&data, i), Law::World);
        let sample_says = world.posterior(&world.look(row(&data, i)), known(&data, i), Law::Sample);
        assert!(world_says.iter().zip(&sample_says).all(|(a, b)| (a - b).abs() < 1e-12));
        let bent = biased.posterior(&biased.look(row(&data, i)), known(&data, i), Law::Sample);
        largest = world_says.iter().zip(&bent).fold(largest, |m, (a, b)| m.max((a - b).abs()));
    }
    assert!(largest > 0.2, "bias must change posteriors, largest change {largest}");
}

/// Draws by rejection from the world, independent of the sampler under test.
fn rejection_sample(world: &World, count: usize, draw: &mut Draws) -> Vec<sample::Drawn> {
    let cells = world.cell_sums(Law::World);
    let bias = world.options().bias;
    let highest = world.preference.iter().flatten().fold(0.0_f64, |m, u| m.max(*u));
    let mut kept = Vec::new();
    while kept.len() < count {
        let drawn = world.draw_at(world.draw_place(&cells, draw), Law::World, draw);
        let tile = geography::tile_of_cell(world.grid().cell(drawn.place));
        let chance = (bias * (world.preference[tile][drawn.class] - highest)).exp();
        if world.visited[tile] && draw.uniform() < chance {
            kept.push(drawn);
        }
    }
    kept
}

/// A posterior is right iff, over draws from its own law, p(y) averages to the share of y, also where p is weighted
/// by any function of what is known: here by itself.
fn check_calibration(
    world: &World,
    draws: &[(Seen, sample::Drawn)],
    law: Law,
    what: &str,
    mask: fn(Known) -> Known,
) {
    let n = draws.len() as f64;
    let known = |drawn: &sample::Drawn| mask(Known { place: Some(drawn.place), month: Some(drawn.month) });
    let posteriors: Vec<_> = draws.iter().map(|(seen, d)| world.posterior(seen, known(d), law)).collect();
    for class in 0..CLASSES.len() {
        for power in [0, 1] {
            let (mut sum, mut square) = (0.0, 0.0);
            for ((_, drawn), posterior) in draws.iter().zip(&posteriors) {
                let p = posterior[class];
                let gap = (f64::from(u8::from(drawn.class == class)) - p) * p.powi(power);
                sum += gap;
                square += gap * gap;
            }
            let error = (square / n).sqrt() / n.sqrt();
            assert!(
                (sum / n).abs() < 4.0 * error,
                "{what}, class {class}, power {power}: {} vs {error}",
                sum / n
            );
        }
    }
}

#[test]
fn the_closed_forms_agree_with_monte_carlo() {
    let options = SyntheticOptions { bias: 0.6, tiles: 120, ..Default::default() };
    let world = World::new(options);
    let mut draw = Draws::new(11, Purpose::Samples, 99);
    let cells = world.cell_sums(Law::World);
    let of_world: Vec<_> = (0..4000)
        .map(|_| world.draw_at(world.draw_place(&cells, &mut draw), Law::World, &mut draw))
        .collect();
    let of_sample = rejection_sample(&world, 2000, &mut draw);
    for (law, draws) in [(Law::World, of_world), (Law::Sample, of_sample)] {
        let draws: Vec<_> = draws.into_iter().map(|drawn| (world.look(&drawn.series), drawn)).collect();
        check_calibration(&world, &draws, law, "x and m", |m| m);
        check_calibration(&world, &draws, law, "x alone", |_| Known::default());
        check_calibration(&world, &draws, law, "x and month", |m| Known { place: None, ..m });
    }
}

#[test]
fn the_data_set_is_complete_and_deterministic_in_the_seed() {
    let data = World::new(SyntheticOptions::default()).dataset();
    assert_eq!(data.samples.len(), 1500);
    assert!(data.conflicts.values().flatten().all(|d| d.is_some_and(|d| d.climate_zone.is_some())));
    assert_eq!(data.conflicts.len(), 5);
    let missing = data.series.iter().filter(|v| v.is_nan()).count() as f64 / data.series.len() as f64;
    assert!((missing - 0.05).abs() < 0.005);
    for all in crate::splits::splits(&data, &data.tasks[0], 0) {
        assert!(all.splits.len() == 5 && all.skipped.is_empty(), "{:?}", all.skipped);
    }
    for (i, sample) in data.samples.iter().enumerate() {
        let same = data.conflicts["far_same"][i].unwrap();
        let other = data.conflicts["far_diff"][i].unwrap();
        assert_eq!(same.climate_zone, sample.climate_zone);
        assert_ne!(other.climate_zone, sample.climate_zone);
        assert!(geography::distance_km(sample.place, same.place) > 2000.0);
        let near = data.conflicts["d10"][i].unwrap();
        assert!((geography::distance_km(sample.place, near.place) - 10.0).abs() < 1e-6);
    }
    assert_eq!(World::new(SyntheticOptions::default()).dataset().fingerprint, data.fingerprint);
    let other = World::new(SyntheticOptions { seed: 1, ..Default::default() }).dataset();
    assert_ne!(other.fingerprint, data.fingerprint);
}

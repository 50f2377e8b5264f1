//! `perturb` against its twin (integers decide, so every bit agrees) and against an independent reference in f64.

mod reference;

use crate::support::*;
use gtca::gpu::Gpu;
use gtca::perturb::twin::{self, Perturbed};
use gtca::perturb::{
    Args, Bearing, ClimateGrid, DONOR_WORDS, Distance, Donor, Perturb, PerturbDesc, Perturbation,
    STATUS_NO_DONOR, STATUS_WORDS, TrainingMix, donor_words,
};
use gtca::records::{Field, Fields, RECORD_WORDS, Record, Records};
use reference::{Reference, course_turns, metres, month_length, ordinal};

const SEED: u64 = 0x1234_5678_9abc;
const STEP: u32 = 17;

/// A batch of records with random subsets of fields, edges included, and some impossible values.
fn batch(samples: usize, seed: u64) -> Records {
    let mut random = Random(seed);
    let records: Vec<Record> = (0..samples)
        .map(|sample| {
            let subset = random.next_u64() | random.next_u64();
            let has = |bit: u32| subset >> bit & 1 == 1;
            let lat = [-90.0, 90.0, 0.0, random.unit() * 180.0 - 90.0][random.below(4) as usize];
            let lon = [-180.0, 180.0, 179.999, random.unit() * 360.0 - 180.0][random.below(4) as usize];
            let mut record = Record::new();
            record.lat_deg = has(0).then_some(lat);
            record.lon_deg = has(1).then_some(lon);
            record.year = has(2).then(|| 1996 + random.below(40) as i32);
            record.month = has(3).then(|| 1 + random.below(12) as i32);
            record.day = has(4).then(|| 1 + random.below(28) as i32);
            record.second_of_day = has(5).then(|| random.below(86_400) as i32);
            record.day_of_year = (has(6) && !(has(3) && has(4))).then(|| 1 + random.below(365) as i32);
            record.iso_week = has(7).then(|| 1 + random.below(53) as i32);
            record.gsd_m = has(8).then_some(10.0);
            record.climate_zone = has(9).then(|| 1 + random.below(30));
            record.tile = has(10).then(|| random.below(100));
            record.sample_id = has(11).then_some(sample as u64 + (1 << 40));
            record
        })
        .collect();
    let mut words = Records::from_records(&records).unwrap().words().to_vec();
    for _ in 0..samples / 3 {
        let word = random.below(RECORD_WORDS) as usize;
        words[word * samples + random.below(samples as u32) as usize] = random.next_u64() as u32;
    }
    Records::from_words(words).unwrap()
}

/// Records of true dates and extreme places, each field missing at times; day of the year and hour agree.
fn true_batch(samples: usize, seed: u64) -> Records {
    let mut random = Random(seed);
    let dates =
        [[2020, 2, 29], [2000, 2, 29], [1900, 2, 28], [2024, 12, 31], [2021, 1, 31], [0, 2, 29], [-4, 8, 31]];
    let lats = [-90.0, 90.0, 0.0, 89.9999, -66.0, -30.0];
    let lons = [-180.0, 180.0, 179.9999, 0.0];
    let records: Vec<Record> = (0..samples)
        .map(|sample| {
            let mut one_in = |n: u32| random.below(n) == 0;
            let (extreme_date, extreme_lat, extreme_lon) = (one_in(3), one_in(3), one_in(3));
            let mut has = || random.below(6) > 0;
            let known: [bool; 18] = std::array::from_fn(|_| has());
            let year = 1990 + random.below(50) as i32;
            let month = 1 + random.below(12) as i32;
            let day = 1 + random.below(month_length(year, month) as u32) as i32;
            let [year, month, day] =
                if extreme_date { dates[random.below(7) as usize] } else { [year, month, day] };
            let (lat, lon) = (random.unit() * 180.0 - 90.0, random.unit() * 360.0 - 180.0);
            let second = random.below(86_400) as i32;
            let mut record = Record::new();
            record.lat_deg =
                known[0].then_some(if extreme_lat { lats[random.below(6) as usize] } else { lat });
            record.lon_deg =
                known[1].then_some(if extreme_lon { lons[random.below(4) as usize] } else { lon });
            record.year = known[2].then_some(year);
            record.month = known[3].then_some(month);
            record.day = known[4].then_some(day);
            record.second_of_day = known[5].then_some(second);
            record.utc_offset_s = known[6].then_some(3600);
            record.gsd_m = known[7].then_some(10.0);
            record.wavelength_um = known[8].then_some(0.5);
            record.cloud_fraction = known[9].then_some(0.25);
            record.solar_zenith_deg = known[10].then_some(40.0);
            record.sensor = known[11].then_some(3);
            record.climate_zone = known[12].then(|| 1 + random.below(30));
            record.ecoregion = known[13].then_some(8);
            record.tile = known[14].then_some(9);
            record.sample_id = (sample % 20 > 0).then_some(sample as u64 + (1 << 33));
            record.day_of_year = known[15].then_some(ordinal(year, month, day));
            record.iso_week = known[16].then(|| 1 + random.below(53) as i32);
            record.hour = known[17].then_some(second / 3600);
            record
        })
        .collect();
    Records::from_records(&records).unwrap()
}

fn donors(samples: usize) -> Vec<Option<Donor>> {
    let mut random = Random(99);
    (0..samples)
        .map(|_| {
            let (lat_deg, lon_deg) = (random.unit() * 180.0 - 90.0, random.unit() * 360.0 - 180.0);
            let climate_zone = (random.below(2) == 0).then(|| random.below(31));
            (random.below(8) > 0).then_some(Donor { lat_deg, lon_deg, climate_zone })
        })
        .collect()
}

fn codes() -> Vec<u8> {
    (0..180 * 360).map(|cell: u32| (cell.wrapping_mul(2_654_435_769) >> 27) as u8 + 1).collect()
}

fn grid() -> ClimateGrid {
    ClimateGrid::new(180, 360, codes(), &[32]).unwrap()
}

const PERTURBATIONS: [Perturbation; 10] = [
    Perturbation::Drop { fields: Fields::NONE },
    Perturbation::Drop { fields: Fields::DATE },
    Perturbation::Drop { fields: Fields::METADATA },
    Perturbation::Displace { distance: Distance::Km(1000.0), bearing: Bearing::Random },
    Perturbation::Displace { distance: Distance::Km(10.0), bearing: Bearing::Degrees(90.0) },
    Perturbation::Displace {
        distance: Distance::LogUniformKm { from: 0.01, to: 20_000.0 },
        bearing: Bearing::Degrees(-10.0),
    },
    Perturbation::ShiftMonths { months: -3 },
    Perturbation::ShiftMonths { months: 6 },
    Perturbation::Set,
    Perturbation::Training(TrainingMix {
        drop_all: 0.2,
        drop_group: 0.1,
        displace: 0.5,
        displace_km: [1.0, 1000.0],
    }),
];

fn op(perturbation: Perturbation) -> Perturb {
    Perturb::new(&PerturbDesc { perturbation, seed: SEED }).unwrap()
}

/// What the kernel gives.
fn run(
    gpu: &'static Gpu,
    layout: Layout,
    perturbation: Perturbation,
    records: &Records,
    grid: Option<&ClimateGrid>,
) -> Perturbed {
    let samples = records.len() as u32;
    let mut t = Tensors::new(gpu, layout);
    let from = t.u32([RECORD_WORDS, 1, samples], records.words());
    let to = t.u32([RECORD_WORDS, 1, samples], &vec![POISON; records.words().len()]);
    let v = t.poisoned([samples, 1, 1]);
    let donors = (perturbation == Perturbation::Set)
        .then(|| t.u32([DONOR_WORDS, 1, samples], &donor_words(&donors(records.len())).unwrap()));
    let grid_words = grid.map(|grid| t.u32([1, 1, grid.words().len() as u32], &grid.words()));
    let status = t.u32([1, 1, STATUS_WORDS], &[0; STATUS_WORDS as usize]);
    t.run(|recorder| {
        let args = Args {
            records: t.view(from),
            out: t.view(to),
            v: t.view(v),
            donors: donors.map(|donors| t.view(donors)),
            grid: grid.zip(grid_words).map(|(grid, words)| (grid, t.view(words))),
            status: Some(t.view(status)),
            step: STEP,
        };
        op(perturbation).record(recorder, &args)
    })
    .unwrap();
    let records = Records::from_words(t.read_u32(to)).unwrap();
    Perturbed { records, v: t.read(v), status: t.read_u32(status).try_into().unwrap() }
}

fn expected(perturbation: Perturbation, records: &Records, grid: Option<&ClimateGrid>) -> Perturbed {
    let donors = (perturbation == Perturbation::Set).then(|| donor_words(&donors(records.len())).unwrap());
    twin::perturb(&op(perturbation), records, donors.as_deref(), grid, STEP)
}

#[test]
fn every_perturbation_is_bit_equal_to_its_twin() {
    let Some(gpu) = gpu() else { return };
    let grid = grid();
    for samples in [1, 63, 64, 65, 130] {
        let records = batch(samples, samples as u64);
        for perturbation in PERTURBATIONS {
            for layout in LAYOUTS {
                for grid in [None, Some(&grid)] {
                    let found = run(gpu, layout, perturbation, &records, grid);
                    let twin = expected(perturbation, &records, grid);
                    let name = format!("{perturbation:?}, {samples} samples, {layout:?}, {}", grid.is_some());
                    assert_eq!(found.status, twin.status, "{name}");
                    assert_eq!(found.v, twin.v, "{name}");
                    assert_eq!(found.records, twin.records, "{name}");
                }
            }
        }
    }
}

/// Perturbations that only the reference is asked about.
const FURTHER: [Perturbation; 8] = [
    Perturbation::ShiftMonths { months: 1 },
    Perturbation::ShiftMonths { months: -6 },
    Perturbation::ShiftMonths { months: -13 },
    Perturbation::ShiftMonths { months: 12_000 },
    Perturbation::Displace { distance: Distance::Km(20_000.0), bearing: Bearing::Random },
    Perturbation::Displace { distance: Distance::Km(0.02), bearing: Bearing::Degrees(200.0) },
    Perturbation::Displace {
        distance: Distance::LogUniformKm { from: 1.0, to: 1000.0 },
        bearing: Bearing::Random,
    },
    Perturbation::Training(TrainingMix {
        drop_all: 0.1,
        drop_group: 0.3,
        displace: 1.0,
        displace_km: [0.1, 5000.0],
    }),
];

#[test]
fn every_perturbation_agrees_with_an_independent_reference() {
    let Some(gpu) = gpu() else { return };
    let (samples, grid, codes) = (2000, grid(), codes());
    let (records, donors) = (true_batch(samples, 11), donors(samples));
    for perturbation in PERTURBATIONS.into_iter().chain(FURTHER) {
        for with_grid in [false, true] {
            let found = run(gpu, Layout::Separate, perturbation, &records, with_grid.then_some(&grid));
            let codes = with_grid.then_some(&codes[..]);
            let reference = Reference { perturbation, seed: SEED, step: STEP, codes };
            let mut status = [0; STATUS_WORDS as usize];
            for (sample, donor) in donors.iter().enumerate() {
                let recorded = records.get(sample);
                let expected = reference.of(&recorded, *donor);
                let one = found.records.get(sample);
                let name = format!("{perturbation:?}, grid {with_grid}, record {sample}: {recorded:?}");
                assert!(expected.zones.contains(&one.climate_zone), "{:?}; {name}", one.climate_zone);
                // Beyond place and zone everything is exact.
                let mut exact = expected.record;
                exact.climate_zone = one.climate_zone;
                if expected.slack_m > 0.0 {
                    let [place, right] = [one, exact].map(|r| [r.lat_deg.unwrap(), r.lon_deg.unwrap()]);
                    let off = metres(place, right);
                    assert!(off <= expected.slack_m, "{place:?} lies {off} m off {right:?}; {name}");
                    assert!(place[0].abs() <= 90.0 && place[1].abs() <= 180.0, "{place:?}; {name}");
                    (exact.lat_deg, exact.lon_deg) = (one.lat_deg, one.lon_deg);
                }
                assert_eq!(one, exact, "{name}");
                let mut metadata = one;
                metadata.sample_id = None;
                assert_eq!(found.v[sample], if metadata == Record::new() { 0.0 } else { 1.0 }, "{name}");
                if let Some(index) = expected.status {
                    status[index as usize] += 1;
                }
            }
            assert_eq!(found.status, status, "{perturbation:?}");
        }
    }
}

#[test]
fn drawn_courses_and_distances_are_uniform_and_independent() {
    let Some(gpu) = gpu() else { return };
    let (samples, from) = (16_000, [20.0, 30.0]);
    let batch: Vec<Record> =
        (0..samples).map(|id| Record::new().lat_deg(from[0]).lon_deg(from[1]).sample_id(id)).collect();
    let distance = Distance::LogUniformKm { from: 1.0, to: 1000.0 };
    let displace = Perturbation::Displace { distance, bearing: Bearing::Random };
    let found = run(gpu, Layout::Separate, displace, &Records::from_records(&batch).unwrap(), None);
    let mut counts = [0.0; 64];
    for sample in 0..batch.len() {
        let one = found.records.get(sample);
        let to = [one.lat_deg.unwrap(), one.lon_deg.unwrap()];
        let course = (course_turns(from, to) * 8.0) as usize;
        let log = ((metres(from, to) / 1000.0).log10() / 3.0 * 8.0).clamp(0.0, 7.0) as usize;
        counts[course.min(7) * 8 + log] += 1.0;
    }
    let mean = samples as f64 / 64.0;
    let chi_square: f64 = counts.iter().map(|count| (count - mean) * (count - mean) / mean).sum();
    // 63 degrees of freedom: one in ten thousand lies above 114, one below 28.
    assert!((28.0..114.0).contains(&chi_square), "{chi_square}");
}

#[test]
fn two_hundred_thousand_records_are_perturbed_in_one_go() {
    let Some(gpu) = gpu() else { return };
    let records = batch(200_000, 5);
    let mix = Perturbation::Training(TrainingMix::default());
    assert_eq!(run(gpu, Layout::Separate, mix, &records, None), expected(mix, &records, None));
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let (records, grid) = (batch(300, 3), grid());
    let mix = Perturbation::Training(TrainingMix::default());
    let first = run(gpu, Layout::Separate, mix, &records, Some(&grid));
    for _ in 1..20 {
        assert_eq!(run(gpu, Layout::Separate, mix, &records, Some(&grid)), first);
    }
}

#[test]
fn a_record_alone_is_drawn_as_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let record = Record::new().lat_deg(40.0).lon_deg(170.0).date(2020, 6, 1).gsd_m(10.0);
    let batch: Vec<Record> = (0..70).map(|id| record.sample_id(id * 31)).collect();
    let mix = Perturbation::Training(TrainingMix::default());
    let together = run(gpu, Layout::Separate, mix, &Records::from_records(&batch).unwrap(), None);
    for sample in [0, 1, 33, 69] {
        let alone = Records::from_records(&batch[sample..=sample]).unwrap();
        let alone = run(gpu, Layout::Separate, mix, &alone, None);
        assert_eq!(alone.records.get(0), together.records.get(sample));
        assert_eq!(alone.v[0], together.v[sample]);
    }
}

#[test]
fn impossible_values_count_as_missing_and_are_counted() {
    let Some(gpu) = gpu() else { return };
    let records = Records::from_records(&[Record::new().lat_deg(10.0).month(3); 5]).unwrap();
    let mut words = records.words().to_vec();
    words[Field::Month.info().word as usize * 5 + 2] = 13;
    let records = Records::from_words(words).unwrap();
    let found = run(gpu, Layout::Separate, Perturbation::Drop { fields: Fields::NONE }, &records, None);
    assert_eq!(found.status[Field::Month as usize], 1);
    assert_eq!(found.records.get(2), Record::new().lat_deg(10.0));
    assert_eq!(found.v, [1.0; 5]);
}

#[test]
fn a_record_without_a_donor_stays_as_it_is_and_is_counted() {
    let Some(gpu) = gpu() else { return };
    let samples = 130;
    let full = Record::new().lat_deg(12.0).lon_deg(34.0).climate_zone(5).sample_id(1);
    let records = Records::from_records(&vec![full; samples]).unwrap();
    let donors = donors(samples);
    let has_donor: Vec<bool> = (0..samples).map(|sample| donors[sample].is_some()).collect();
    let without = has_donor.iter().filter(|has| !**has).count() as u32;
    let found = run(gpu, Layout::OneBuffer, Perturbation::Set, &records, Some(&grid()));
    assert!(without > 0);
    assert_eq!(found.status[STATUS_NO_DONOR as usize], without);
    assert_eq!(found.status.iter().sum::<u32>(), without, "nothing else is counted");
    for (sample, has_donor) in has_donor.into_iter().enumerate() {
        assert_eq!(found.records.get(sample) != full, has_donor, "sample {sample}");
    }
}

#[test]
fn bad_arguments_are_refused_by_name_and_nothing_is_recorded() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = vec![0; RECORD_WORDS as usize * 4];
    let [from, to] = [(); 2].map(|()| t.u32([RECORD_WORDS, 1, 4], &words));
    let narrow = t.u32([RECORD_WORDS, 1, 3], &words[..RECORD_WORDS as usize * 3]);
    let v = t.poisoned([4, 1, 1]);
    let good = Args {
        records: t.view(from),
        out: t.view(to),
        v: t.view(v),
        donors: None,
        grid: None,
        status: None,
        step: 0,
    };
    let drop = op(Perturbation::Drop { fields: Fields::PLACE });
    let refusal =
        |op: &Perturb, args: &Args<'_>| t.run(|recorder| op.record(recorder, args)).unwrap_err().to_string();
    assert!(t.run(|recorder| drop.record(recorder, &good)).is_ok());
    assert!(refusal(&drop, &Args { out: t.view(from), ..good }).contains("`records` and `out` overlap"));
    assert!(refusal(&drop, &Args { out: t.view(narrow), ..good }).contains("`out`"));
    assert!(refusal(&drop, &Args { v: t.view(to), ..good }).contains("`v`"));
    assert!(refusal(&drop, &Args { donors: Some(t.view(from)), ..good }).contains("`donors` is given"));
    assert!(refusal(&op(Perturbation::Set), &good).contains("`donors` is absent"));
    let grid = ClimateGrid::new(2, 2, vec![1; 4], &[]).unwrap();
    assert!(refusal(&drop, &Args { grid: Some((&grid, t.view(v))), ..good }).contains("`grid`"));
    assert!(refusal(&drop, &Args { status: Some(t.view(v)), ..good }).contains("`status`"));
}

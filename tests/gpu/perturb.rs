//! `perturb` against its twin (integers decide, so every bit agrees) and against an independent reference in f64.

mod reference;

use crate::support::*;
use gtca::gpu::Gpu;
use gtca::perturb::twin::{self, Perturbed, With};
use gtca::perturb::{
    Args, Bearing, Distance, Donors, Lookup, LookupGrid, Perturb, PerturbDesc, Perturbation, STATUS_NO_DONOR,
    STATUS_WORDS, TrainingMix, donor_indices,
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

/// Donors that some lack, from the records themselves.
fn donors(samples: usize) -> Vec<Option<u32>> {
    let mut random = Random(99);
    (0..samples).map(|_| (random.below(8) > 0).then(|| random.below(samples as u32))).collect()
}

/// Of climate zones in 8 bits, ecoregions in 16 and tiles in 32; the last code of each means none.
fn codes() -> [Vec<u32>; 3] {
    let of = |grid: u32, first: u32, count: u32| {
        (0..180 * 360).map(|cell: u32| (cell + grid).wrapping_mul(2_654_435_769) % count + first).collect()
    };
    [of(0, 1, 32), of(1, 200, 101), of(2, 69_000, 1002)]
}

fn lookup() -> Lookup {
    let [zones, ecoregions, tiles] = codes();
    let zones: Vec<u8> = zones.into_iter().map(|code| code as u8).collect();
    let ecoregions: Vec<u16> = ecoregions.into_iter().map(|code| code as u16).collect();
    Lookup::new()
        .climate_zone(LookupGrid::new(180, 360, &zones, &[32]).unwrap())
        .ecoregion(LookupGrid::new(180, 360, &ecoregions, &[300]).unwrap())
        .tile(LookupGrid::new(180, 360, &tiles, &[70_001]).unwrap())
}

const MIX: TrainingMix =
    TrainingMix { drop_all: 0.2, drop_group: 0.1, displace: 0.5, displace_km: [1.0, 1000.0] };

const fn displace(km: f64) -> Perturbation {
    Perturbation::Displace { distance: Distance::Km(km), bearing: Bearing::Random }
}

fn values() -> Record {
    Record::new().lat_deg(-33.5).lon_deg(18.25).month(2).day(29).gsd_m(20.0).sensor(6).ecoregion(7)
}

/// Lists that the kernel is compared with twin and reference on; one part of each at most moves the place.
fn lists() -> Vec<Vec<Perturbation>> {
    let north_east = Bearing::Degrees(50.0);
    let some = Distance::LogUniformKm { from: 0.01, to: 20_000.0 };
    let place = Fields::PLACE | Fields::IDS;
    let set = |values| Perturbation::Set { values };
    let mut lists: Vec<Vec<Perturbation>> = [
        Perturbation::Drop { fields: Fields::DATE },
        Perturbation::Drop { fields: Fields::METADATA },
        displace(1000.0),
        Perturbation::Displace { distance: Distance::Km(10.0), bearing: Bearing::Degrees(90.0) },
        Perturbation::Displace { distance: some, bearing: Bearing::Degrees(-10.0) },
        Perturbation::ShiftMonths { months: -3 },
        Perturbation::ShiftMonths { months: 6 },
        Perturbation::ShiftDays { days: -45 },
        Perturbation::ShiftDays { days: 365_250 },
        Perturbation::ShiftYears { years: 3 },
        Perturbation::ShiftYears { years: -1000 },
        Perturbation::ShiftHours { hours: 31 },
        Perturbation::ShiftHours { hours: -8_766_000 },
        Perturbation::Swap { fields: place },
        Perturbation::Swap { fields: Fields::PLACE },
        Perturbation::Swap { fields: Fields::METADATA },
        Perturbation::Swap { fields: Fields::of(&[Field::Month, Field::Lat, Field::Gsd, Field::IsoWeek]) },
        set(values()),
        set(Record::new().day_of_year(366)),
        set(Record::new().hour(7).iso_week(9)),
        set(Record::new().second_of_day(3600)),
        // Past the end of some months, and of February in some years.
        set(Record::new().day(31)),
        set(Record::new().year(2023)),
        Perturbation::Swap { fields: Fields::of(&[Field::Month, Field::DayOfYear]) },
        Perturbation::Scale { gsd: 2.5 },
        Perturbation::Scale { gsd: 0.125 },
        Perturbation::Training(MIX),
    ]
    .map(|part| vec![part])
    .into();
    let shifts = vec![
        Perturbation::ShiftMonths { months: 1 },
        Perturbation::ShiftHours { hours: -800 },
        displace(300.0),
    ];
    let all = vec![
        Perturbation::Drop { fields: Fields::of(&[Field::Month, Field::Tile]) },
        Perturbation::ShiftYears { years: -1 },
        Perturbation::ShiftDays { days: 59 },
        Perturbation::Displace { distance: Distance::Km(70.0), bearing: north_east },
        set(Record::new().sensor(3).month(4)),
        Perturbation::Scale { gsd: 4.0 },
        Perturbation::ShiftHours { hours: 5 },
        Perturbation::ShiftMonths { months: 18 },
    ];
    let swapped = vec![Perturbation::ShiftDays { days: 3 }, Perturbation::Swap { fields: place }];
    let past_its_end = [Record::new().month(2), Record::new().day(31)].map(set);
    let backwards = [Record::new().day(31), Record::new().month(2)].map(set);
    lists.extend([vec![], shifts, all, swapped, past_its_end.into(), backwards.into()]);
    lists
}

fn op(parts: &[Perturbation]) -> Perturb {
    Perturb::new(&PerturbDesc { parts, seed: SEED }).unwrap()
}

/// What the kernel gives at a step.
fn run_at(
    gpu: &'static Gpu,
    layout: Layout,
    parts: &[Perturbation],
    records: &Records,
    lookup: Option<&Lookup>,
    step: u32,
) -> Perturbed {
    let samples = records.len() as u32;
    let mut t = Tensors::new(gpu, layout);
    let from = t.u32([RECORD_WORDS, 1, samples], records.words());
    let to = t.u32([RECORD_WORDS, 1, samples], &vec![POISON; records.words().len()]);
    let v = t.poisoned([samples, 1, 1]);
    let indices = t.u32([1, 1, samples], &donor_indices(&donors(records.len())));
    let grids = lookup.map(|lookup| t.u32([1, 1, lookup.words().len() as u32], &lookup.words()));
    let status = t.u32([1, 1, STATUS_WORDS], &[0; STATUS_WORDS as usize]);
    let op = op(parts);
    t.run(|recorder| {
        let donors = Donors { indices: t.view(indices), pool: t.view(from) };
        let args = Args {
            records: t.view(from),
            out: t.view(to),
            v: t.view(v),
            donors: op.needs_donors().then_some(donors),
            lookup: lookup.zip(grids).map(|(lookup, words)| (lookup, t.view(words))),
            status: Some(t.view(status)),
            step,
        };
        op.record(recorder, &args)
    })
    .unwrap();
    let records = Records::from_words(t.read_u32(to)).unwrap();
    Perturbed { records, v: t.read(v), status: t.read_u32(status).try_into().unwrap() }
}

fn run(
    gpu: &'static Gpu,
    layout: Layout,
    parts: &[Perturbation],
    records: &Records,
    lookup: Option<&Lookup>,
) -> Perturbed {
    run_at(gpu, layout, parts, records, lookup, STEP)
}

fn expected(parts: &[Perturbation], records: &Records, lookup: Option<&Lookup>, step: u32) -> Perturbed {
    let indices = donor_indices(&donors(records.len()));
    twin::perturb(&op(parts), records, With { donors: Some((&indices, records)), lookup, step })
}

#[test]
fn every_perturbation_is_bit_equal_to_its_twin() {
    let Some(gpu) = gpu() else { return };
    let lookup = lookup();
    let mut lists = lists();
    // What no reference follows: places that move twice, and two draws of a kind.
    lists.push(vec![Perturbation::Training(MIX), displace(10.0), Perturbation::Set { values: values() }]);
    lists.push([displace(5.0), Perturbation::Swap { fields: Fields::PLACE }].repeat(4));
    for samples in [1, 63, 64, 65, 130] {
        let records = batch(samples, samples as u64);
        for parts in &lists {
            for layout in LAYOUTS {
                for lookup in [None, Some(&lookup)] {
                    let found = run(gpu, layout, parts, &records, lookup);
                    let twin = expected(parts, &records, lookup, STEP);
                    let name = format!("{parts:?}, {samples} samples, {layout:?}, {}", lookup.is_some());
                    assert_eq!(found.status, twin.status, "{name}");
                    assert_eq!(found.v, twin.v, "{name}");
                    assert_eq!(found.records, twin.records, "{name}");
                }
            }
        }
    }
}

/// Lists that only the reference is asked about.
fn further() -> Vec<Vec<Perturbation>> {
    let mix = TrainingMix { drop_all: 0.1, drop_group: 0.3, displace: 1.0, displace_km: [0.1, 5000.0] };
    let some = Distance::LogUniformKm { from: 1.0, to: 1000.0 };
    let mut lists: Vec<Vec<Perturbation>> = [
        Perturbation::ShiftMonths { months: 1 },
        Perturbation::ShiftMonths { months: -6 },
        Perturbation::ShiftMonths { months: -13 },
        Perturbation::ShiftMonths { months: 12_000 },
        displace(20_000.0),
        Perturbation::Displace { distance: Distance::Km(0.02), bearing: Bearing::Degrees(200.0) },
        Perturbation::Displace { distance: some, bearing: Bearing::Random },
        Perturbation::Training(mix),
    ]
    .map(|part| vec![part])
    .into();
    for shift in [-366, -31, -1, 1, 3, 4, 7, 28, 30, 364, 365, 366, 1461, 146_097] {
        lists.push(vec![Perturbation::ShiftDays { days: shift }]);
        lists.push(vec![Perturbation::ShiftHours { hours: shift }]);
        lists.push(vec![Perturbation::ShiftYears { years: shift.clamp(-1000, 1000) }]);
    }
    lists
}

#[test]
fn every_perturbation_agrees_with_an_independent_reference() {
    let Some(gpu) = gpu() else { return };
    let (samples, lookup, codes) = (2000, lookup(), codes());
    let (records, donors) = (true_batch(samples, 11), donors(samples));
    for parts in lists().into_iter().chain(further()) {
        for with_grids in [false, true] {
            let found = run(gpu, Layout::Separate, &parts, &records, with_grids.then_some(&lookup));
            let codes = with_grids.then_some(&codes);
            let reference = Reference { parts: &parts, seed: SEED, step: STEP, codes };
            let mut status = [0; STATUS_WORDS as usize];
            for (sample, donor) in donors.iter().enumerate() {
                let recorded = records.get(sample);
                let expected = reference.of(&recorded, donor.map(|donor| records.get(donor as usize)));
                let one = found.records.get(sample);
                let name = format!("{parts:?}, grids {with_grids}, record {sample}: {recorded:?}");
                for (right, id) in expected.ids.iter().zip([one.climate_zone, one.ecoregion, one.tile]) {
                    assert!(right.contains(&id), "{id:?}; {name}");
                }
                // Beyond place and ids everything is exact.
                let mut exact = expected.record;
                (exact.climate_zone, exact.ecoregion, exact.tile) =
                    (one.climate_zone, one.ecoregion, one.tile);
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
                expected.status.iter().for_each(|index| status[*index as usize] += 1);
            }
            assert_eq!(found.status, status, "{parts:?}");
        }
    }
}

#[test]
fn a_list_gives_what_its_parts_give_one_after_the_other() {
    let Some(gpu) = gpu() else { return };
    let (records, lookup) = (batch(400, 12), lookup());
    for parts in lists().into_iter().filter(|parts| parts.len() > 1) {
        let together = run(gpu, Layout::Separate, &parts, &records, Some(&lookup));
        let mut left = records.clone();
        let mut status = [0; STATUS_WORDS as usize];
        for part in &parts {
            // Donors are the same records all along.
            let indices = donor_indices(&donors(records.len()));
            let with = With { donors: Some((&indices, &records)), lookup: Some(&lookup), step: STEP };
            let one = twin::perturb(&op(&[*part]), &left, with);
            status.iter_mut().zip(one.status).for_each(|(sum, count)| *sum += count);
            left = one.records;
        }
        assert_eq!(together.records, left, "{parts:?}");
        assert_eq!(together.status, status, "{parts:?}");
    }
}

#[test]
fn chunks_and_many_at_once_give_the_bits_of_one_dispatch_each() {
    let Some(gpu) = gpu() else { return };
    let (records, lookup) = (batch(150, 13), lookup());
    let wrong = [
        vec![displace(100.0)],
        vec![Perturbation::Swap { fields: Fields::PLACE }],
        vec![Perturbation::Training(MIX), Perturbation::ShiftDays { days: 10 }],
    ];
    let ops: Vec<Perturb> = wrong.iter().map(|parts| op(parts)).collect();
    let each: Vec<Perturbed> = (STEP..)
        .zip(&wrong)
        .map(|(step, parts)| run_at(gpu, Layout::Separate, parts, &records, Some(&lookup), step))
        .collect();
    for layout in LAYOUTS {
        let mut t = Tensors::new(gpu, layout);
        let from = t.u32([RECORD_WORDS, 1, 150], records.words());
        let to = t.u32([RECORD_WORDS, 1, 450], &vec![POISON; 3 * records.words().len()]);
        let v = t.poisoned([450, 1, 1]);
        let indices = t.u32([1, 1, 450], &donor_indices(&donors(150).repeat(3)));
        let grids = t.u32([1, 1, lookup.words().len() as u32], &lookup.words());
        let status = t.u32([1, 1, STATUS_WORDS], &[0; STATUS_WORDS as usize]);
        let args = || Args {
            records: t.view(from),
            out: t.view(to),
            v: t.view(v),
            donors: Some(Donors { indices: t.view(indices), pool: t.view(from) }),
            lookup: Some((&lookup, t.view(grids))),
            status: Some(t.view(status)),
            step: STEP,
        };
        t.run(|recorder| Perturb::record_all(&ops, recorder, &args())).unwrap();
        let (all, all_v) = (Records::from_words(t.read_u32(to)).unwrap(), t.read(v));
        let counts: Vec<u32> = t.read_u32(status);
        for (k, one) in each.iter().enumerate() {
            for sample in 0..150 {
                let words = |of: &Records, at: usize| -> Vec<u32> {
                    (0..RECORD_WORDS as usize).map(|word| of.words()[word * of.len() + at]).collect()
                };
                assert_eq!(words(&all, k * 150 + sample), words(&one.records, sample), "{k}, {sample}");
                assert_eq!(all_v[k * 150 + sample], one.v[sample]);
            }
        }
        let sums: Vec<u32> =
            (0..STATUS_WORDS as usize).map(|i| each.iter().map(|one| one.status[i]).sum()).collect();
        assert_eq!(counts, sums);
        let narrow = Args { v: t.view(status), ..args() };
        let error = t.run(|recorder| Perturb::record_all(&ops, recorder, &narrow)).unwrap_err();
        assert!(error.to_string().contains("`v`"), "{error}");
    }
    // Chunks of the batch, and the batch in another order.
    let some: Vec<Record> = (0..150).map(|id| values().sample_id(id * 7)).collect();
    let parts = [displace(50.0), Perturbation::Training(MIX)];
    let whole =
        run(gpu, Layout::Separate, &parts, &Records::from_records(&some).unwrap(), Some(&lookup)).records;
    for (from, to) in [(0, 64), (64, 65), (65, 150)] {
        let chunk = Records::from_records(&some[from..to]).unwrap();
        let chunk = run(gpu, Layout::Separate, &parts, &chunk, Some(&lookup)).records;
        assert!((from..to).all(|sample| chunk.get(sample - from) == whole.get(sample)), "{from}..{to}");
    }
    let order: Vec<usize> = (0..150).map(|i| i * 37 % 150).collect();
    let permuted: Vec<Record> = order.iter().map(|&i| some[i]).collect();
    let permuted = Records::from_records(&permuted).unwrap();
    let permuted = run(gpu, Layout::Separate, &parts, &permuted, Some(&lookup)).records;
    assert!(order.iter().enumerate().all(|(to, &from)| permuted.get(to) == whole.get(from)));
}

#[test]
fn drawn_courses_and_distances_are_uniform_and_independent() {
    let Some(gpu) = gpu() else { return };
    let (samples, from) = (16_000, [20.0, 30.0]);
    let batch: Vec<Record> =
        (0..samples).map(|id| Record::new().lat_deg(from[0]).lon_deg(from[1]).sample_id(id)).collect();
    let distance = Distance::LogUniformKm { from: 1.0, to: 1000.0 };
    let displace = Perturbation::Displace { distance, bearing: Bearing::Random };
    let found = run(gpu, Layout::Separate, &[displace], &Records::from_records(&batch).unwrap(), None);
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
    let parts = [Perturbation::Training(TrainingMix::default()), Perturbation::ShiftHours { hours: -7 }];
    assert_eq!(run(gpu, Layout::Separate, &parts, &records, None), expected(&parts, &records, None, STEP));
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let (records, lookup) = (batch(300, 3), lookup());
    let mix = [Perturbation::Training(TrainingMix::default())];
    let first = run(gpu, Layout::Separate, &mix, &records, Some(&lookup));
    for _ in 1..20 {
        assert_eq!(run(gpu, Layout::Separate, &mix, &records, Some(&lookup)), first);
    }
}

#[test]
fn a_record_alone_is_drawn_as_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let record = Record::new().lat_deg(40.0).lon_deg(170.0).date(2020, 6, 1).gsd_m(10.0);
    let batch: Vec<Record> = (0..70).map(|id| record.sample_id(id * 31)).collect();
    let mix = [Perturbation::Training(TrainingMix::default())];
    let together = run(gpu, Layout::Separate, &mix, &Records::from_records(&batch).unwrap(), None);
    for sample in [0, 1, 33, 69] {
        let alone = Records::from_records(&batch[sample..=sample]).unwrap();
        let alone = run(gpu, Layout::Separate, &mix, &alone, None);
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
    let found = run(gpu, Layout::Separate, &[], &records, None);
    assert_eq!(found.status[Field::Month as usize], 1);
    assert_eq!(found.records.get(2), Record::new().lat_deg(10.0));
    assert_eq!(found.v, [1.0; 5]);
}

#[test]
fn a_record_without_a_donor_stays_as_it_is_and_is_counted() {
    let Some(gpu) = gpu() else { return };
    let samples = 130;
    let full = |id| Record::new().lat_deg(12.0).lon_deg(id as f64 / 8.0).climate_zone(5).sample_id(id);
    let records: Vec<Record> = (0..samples as u64).map(full).collect();
    let records = Records::from_records(&records).unwrap();
    let donors = donors(samples);
    let has_donor: Vec<bool> = (0..samples).map(|sample| donors[sample].is_some()).collect();
    let without = has_donor.iter().filter(|has| !**has).count() as u32;
    let swap = [Perturbation::Swap { fields: Fields::PLACE }];
    let found = run(gpu, Layout::OneBuffer, &swap, &records, Some(&lookup()));
    assert!(without > 0);
    assert_eq!(found.status[STATUS_NO_DONOR as usize], without);
    assert_eq!(found.status.iter().sum::<u32>(), without, "nothing else is counted");
    for (sample, has_donor) in has_donor.into_iter().enumerate() {
        let is_itself = donors[sample] == Some(sample as u32);
        let has_moved = found.records.get(sample) != records.get(sample);
        assert_eq!(has_moved, has_donor && !is_itself, "sample {sample}");
    }
}

#[test]
fn bad_arguments_are_refused_by_name_and_nothing_is_recorded() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = vec![0; RECORD_WORDS as usize * 4];
    let [from, to] = [(); 2].map(|()| t.u32([RECORD_WORDS, 1, 4], &words));
    let narrow = t.u32([RECORD_WORDS, 1, 3], &words[..RECORD_WORDS as usize * 3]);
    let indices = t.u32([1, 1, 4], &[0; 4]);
    let v = t.poisoned([4, 1, 1]);
    let good = Args {
        records: t.view(from),
        out: t.view(to),
        v: t.view(v),
        donors: None,
        lookup: None,
        status: None,
        step: 0,
    };
    let drop = op(&[Perturbation::Drop { fields: Fields::PLACE }]);
    let swap = op(&[Perturbation::Swap { fields: Fields::PLACE }]);
    let donors = Donors { indices: t.view(indices), pool: t.view(narrow) };
    let refusal =
        |op: &Perturb, args: &Args<'_>| t.run(|recorder| op.record(recorder, args)).unwrap_err().to_string();
    assert!(t.run(|recorder| drop.record(recorder, &good)).is_ok());
    assert!(refusal(&drop, &Args { out: t.view(from), ..good }).contains("`records` and `out` overlap"));
    assert!(refusal(&drop, &Args { out: t.view(narrow), ..good }).contains("`out`"));
    assert!(refusal(&drop, &Args { v: t.view(to), ..good }).contains("`v`"));
    assert!(refusal(&drop, &Args { donors: Some(donors), ..good }).contains("`donors` is given"));
    assert!(refusal(&swap, &good).contains("`donors` is absent"));
    assert!(t.run(|recorder| swap.record(recorder, &Args { donors: Some(donors), ..good })).is_ok());
    let short = Donors { indices: t.view(narrow), ..donors };
    assert!(refusal(&swap, &Args { donors: Some(short), ..good }).contains("`donors`"));
    let flat = Donors { pool: t.view(v), ..donors };
    assert!(refusal(&swap, &Args { donors: Some(flat), ..good }).contains("`pool`"));
    let shared = Donors { pool: t.view(to), ..donors };
    assert!(refusal(&swap, &Args { donors: Some(shared), ..good }).contains("`out` and `pool` overlap"));
    let grid = Lookup::new().tile(LookupGrid::new(2, 2, &[1u8; 4], &[]).unwrap());
    assert!(refusal(&drop, &Args { lookup: Some((&grid, t.view(v))), ..good }).contains("`lookup`"));
    assert!(refusal(&drop, &Args { status: Some(t.view(v)), ..good }).contains("`status`"));
}

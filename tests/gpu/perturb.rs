//! `perturb` against its twin: integers decide, so every bit agrees.

use crate::support::*;
use gtca::gpu::Gpu;
use gtca::perturb::twin::{self, Perturbed};
use gtca::perturb::{
    Args, Bearing, ClimateGrid, DONOR_WORDS, Distance, Donor, Perturb, PerturbDesc, Perturbation,
    STATUS_WORDS, TrainingMix, donor_words,
};
use gtca::records::{Field, Fields, RECORD_WORDS, Record, Records};

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

fn donors(samples: usize) -> Vec<u32> {
    let mut random = Random(99);
    let donors: Vec<Option<Donor>> = (0..samples)
        .map(|_| {
            let (lat_deg, lon_deg) = (random.unit() * 180.0 - 90.0, random.unit() * 360.0 - 180.0);
            let climate_zone = (random.below(2) == 0).then(|| random.below(31));
            (random.below(8) > 0).then_some(Donor { lat_deg, lon_deg, climate_zone })
        })
        .collect();
    donor_words(&donors).unwrap()
}

fn grid() -> ClimateGrid {
    let codes: Vec<u8> =
        (0..180 * 360).map(|cell: u32| (cell.wrapping_mul(2_654_435_769) >> 27) as u8 + 1).collect();
    ClimateGrid::new(180, 360, codes, &[32]).unwrap()
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
    Perturb::new(&PerturbDesc { perturbation, seed: 0x1234_5678_9abc }).unwrap()
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
    let donors =
        (perturbation == Perturbation::Set).then(|| t.u32([DONOR_WORDS, 1, samples], &donors(records.len())));
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
            step: 17,
        };
        op(perturbation).record(recorder, &args)
    })
    .unwrap();
    let records = Records::from_words(t.read_u32(to)).unwrap();
    Perturbed { records, v: t.read(v), status: t.read_u32(status).try_into().unwrap() }
}

fn expected(perturbation: Perturbation, records: &Records, grid: Option<&ClimateGrid>) -> Perturbed {
    let donors = (perturbation == Perturbation::Set).then(|| donors(records.len()));
    twin::perturb(&op(perturbation), records, donors.as_deref(), grid, 17)
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

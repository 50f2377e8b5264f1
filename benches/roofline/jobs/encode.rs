//! `encode`: 65,536 records to 512 features: four numbers × 64 geometric frequencies × (sin, cos), with 64-bit products.
//! `encode_harmonics`: 16 phases × 16 integer harmonics × (sin, cos). `encode_part_…`: what each system publishes.
//! `encode_mixed`: all of these in one plan, rows at a multiple of four elements; `encode_mixed_odd`: rows at an odd distance.
//! `encode_naive`: the ladders of `encode` from unfused ops, every intermediate stored. `…_f16`, `…_bf16`: half outputs. `encode_inputs`:
//! the gradient of place, time and GSD through the ladders of `encode`; its bytes are the gradient read.
//!
//! Bytes are the records read and the features written; the roof is that of a pure write. Almost all arithmetic is on
//! integers; no flops are counted.

mod naive;

use super::{assert_near, numbers, read_rows};
use crate::{Case, Job};
use gtca::common::pack;
use gtca::encode::{
    Block, Convention, Encoder, Forward, Fourier, Galileo, IdTables, InputGradient, Order, Plan, Presto,
    Prithvi, Radii, Scale, Source, Spatial, Tessera, Wave, Waves, twin,
};
use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::records::{RECORD_WORDS, Record, Records};

const RECORDS: u32 = 65_536;
/// Frequencies of a ladder.
const FREQUENCIES: u32 = 64;

type Blocks = fn() -> Vec<Block>;

/// All that `encode_mixed` holds; blocks whose widths are no multiples of four come last, so that they move no others.
const PARTS: [(&str, Blocks); 12] = [
    ("encode", ladders),
    ("encode_harmonics", harmonics),
    ("encode_part_prithvi", prithvi),
    ("encode_part_geoclip", geoclip),
    ("encode_part_gtloc", gtloc),
    ("encode_part_tessera", || vec![Block::Tessera(Tessera::DayOfYear { width: 64 })]),
    ("encode_part_sphere2vec", sphere2vec),
    ("encode_part_satclip", satclip),
    ("encode_part_clay", || vec![Block::ClayScalars { validity: false }]),
    ("encode_part_presto", || vec![Block::Presto(Presto::Month { width: 32 }), Block::Presto(Presto::Place)]),
    ("encode_part_galileo", || {
        vec![Block::Galileo(Galileo::Month { width: 32 }), Block::Galileo(Galileo::Place)]
    }),
    ("encode_part_gtca", ours),
];

pub(super) fn cases() -> Vec<Case> {
    let case = |name, blocks: Blocks, odd: u32, dtype: Dtype| {
        let plan = plan(blocks);
        let stride = plan.width().next_multiple_of(4) + odd;
        let shape = format!("{RECORDS}x{}", plan.width());
        Case { name, shape, make: Box::new(move |gpu| encode(gpu, plan.clone(), stride, dtype)) }
    };
    let inputs =
        Case { name: "encode_inputs", shape: format!("{RECORDS}x512"), make: Box::new(input_gradient) };
    let naive =
        Case { name: "encode_naive", shape: format!("{RECORDS}x512"), make: Box::new(naive::ladders) };
    let mut cases: Vec<_> = PARTS.map(|(name, blocks)| case(name, blocks, 0, Dtype::F32)).into();
    cases.extend([
        case("encode_mixed", mixed, 0, Dtype::F32),
        case("encode_mixed_odd", mixed, 1, Dtype::F32),
        case("encode_f16", ladders, 0, Dtype::F16),
        case("encode_bf16", ladders, 0, Dtype::Bf16),
        inputs,
        naive,
    ]);
    cases
}

fn plan(blocks: fn() -> Vec<Block>) -> Plan {
    Plan::new(&blocks()).expect("a valid plan")
}

/// Frequencies 10000^(−i/64) in radians a unit, as transformers use them.
fn frequency(i: u32) -> f64 {
    1e4f64.powf(-f64::from(i) / f64::from(FREQUENCIES))
}

fn ladders() -> Vec<Block> {
    let ladder = |source| {
        let wave = |i| Wave::new(source, frequency(i) / std::f64::consts::TAU);
        let waves = Waves::new().ladder(Order::Split, 1.0, (0..FREQUENCIES).map(wave));
        Block::Waves { name: "ladder", waves, validity: false }
    };
    [Source::LatDeg, Source::LonDeg, Source::Year, Source::GsdM].map(ladder).to_vec()
}

fn harmonics() -> Vec<Block> {
    let block = |j: u32| {
        let source = if j.is_multiple_of(2) { Source::LatTurns } else { Source::LonTurns };
        let wave = |k: u32| Wave::new(source, f64::from(16 * (j / 2) + k));
        let waves = Waves::new().ladder(Order::Split, 1.0, (1..=16).map(wave));
        Block::Waves { name: "harmonics", waves, validity: false }
    };
    (0..16).map(block).collect()
}

fn ours() -> Vec<Block> {
    let plan = Plan::gtca(&IdTables::default()).expect("a valid plan");
    plan.layouts().iter().map(|layout| layout.block.clone()).collect()
}

fn prithvi() -> Vec<Block> {
    let scale = Scale::Fixed(0.1);
    let time = Prithvi::Time { of: [Source::Year, Source::DayOfYear], width: 128, scale };
    [time, Prithvi::Location { width: 128, scale }]
        .map(|encoding| Block::Prithvi { encoding, validity: false })
        .to_vec()
}

/// Random Fourier features as GeoCLIP and GT-Loc draw them, from an even spread instead of a normal one.
fn random_features(of: [Source; 2]) -> Vec<Block> {
    let share = |step: u32, j: u32| (j.wrapping_mul(step) >> 8) as f32 / 8_388_608.0 - 1.0;
    let directions = (1..=64).map(|j| [share(2_654_435_761, j), share(3_266_489_917, j)].map(|x| 16.0 * x));
    vec![Block::Fourier { features: Fourier::Gaussian(directions.collect()), of, validity: false }]
}

fn geoclip() -> Vec<Block> {
    random_features([Source::EqualEarthX, Source::EqualEarthY])
}

fn gtloc() -> Vec<Block> {
    random_features([Source::LocalMonthPart, Source::LocalSecond])
}

fn sphere2vec() -> Vec<Block> {
    let radii = Radii { count: 16, min: 1e-3, max: 1.0 };
    vec![Block::Spatial { encoding: Spatial::SphereC, radii, validity: false }]
}

fn satclip() -> Vec<Block> {
    vec![Block::Harmonics { degree: 9, convention: Convention::SatClip, validity: false }]
}

fn mixed() -> Vec<Block> {
    PARTS.iter().flat_map(|(_, blocks)| blocks()).collect()
}

/// Records all over the globe and through the years; every eighth has no date.
fn records(numbers: std::ops::Range<u32>) -> Records {
    let one = |i: u32| {
        let share = |step: u32| f64::from(i.wrapping_mul(step)) / 4_294_967_296.0;
        let place = Record::new()
            .lat_deg(180.0 * share(2_654_435_761) - 90.0)
            .lon_deg(360.0 * share(3_266_489_917) - 180.0)
            .gsd_m(10.0 + 50.0 * share(668_265_263));
        let [month, day] = [12, 28].map(|count| (i / 8 % count) as i32 + 1);
        if i.is_multiple_of(8) { place } else { place.date(2000 + (i % 25) as i32, month, day) }
    };
    Records::from_records(&numbers.map(one).collect::<Vec<_>>()).expect("valid records")
}

/// `stride`: elements from one row of e to the next.
fn encode(gpu: &Gpu, plan: Plan, stride: u32, dtype: Dtype) -> Job {
    let encoder = Encoder::new(gpu, plan.clone());
    let (width, parameters) = (encoder.plan().width(), encoder.plan().arena_len());
    let words = gpu.upload("records", records(0..RECORDS).words());
    let arena = gpu.zeros("arena", u64::from(parameters) * 4);
    let e = gpu.zeros("e", u64::from(RECORDS * stride) * dtype.bytes());
    let (host, result) = (gpu.clone(), e.clone());
    let record = move |commands: &mut wgpu::CommandEncoder| {
        let args = Forward {
            records: View::matrix(&words, RECORD_WORDS, RECORDS).of(Dtype::U32),
            arena: View::vector(&arena, parameters),
            given: None,
            e: View::matrix(&e, RECORDS, width).strided(stride, stride).of(dtype),
            status: None,
        };
        encoder.forward(&mut host.recorder(commands), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        for few in [0..40, RECORDS - 40..RECORDS] {
            let words = stride * dtype.bytes() as u32 / 4;
            let rows = read_rows(gpu, &result, words, few.clone());
            let values: Vec<f32> = rows.iter().flat_map(|word| unpacked(dtype, *word)).collect();
            let got: Vec<f32> =
                values.chunks(stride as usize).flat_map(|row| row[..width as usize].to_vec()).collect();
            let arena = vec![0.0; parameters as usize];
            let expected = twin::forward(&plan, &records(few), &arena, &[]);
            if dtype == Dtype::F32 {
                assert_near("encode", &got, &expected);
            } else {
                // Features of the benchmark lie in [−1, 1], where a bfloat16 is 2⁻⁹ off at most.
                assert!(got.iter().zip(&expected).all(|(got, value)| (got - value).abs() < 2.1e-3));
            }
        }
    };
    let written = dtype.bytes() as f64 * f64::from(RECORDS * width);
    let bytes = written + 4.0 * f64::from(RECORDS * RECORD_WORDS);
    Job { bytes, written, flops: 0.0, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

fn input_gradient(gpu: &Gpu) -> Job {
    let plan = plan(ladders);
    let (encoder, width) = (Encoder::new(gpu, plan.clone()), plan.width());
    let words = gpu.upload("records", records(0..RECORDS).words());
    let gradient = numbers(RECORDS * width, 1);
    let de = gpu.upload("de", &gradient);
    let dinput = gpu.zeros("dinput", u64::from(RECORDS) * 16);
    let (host, result) = (gpu.clone(), dinput.clone());
    let record = move |commands: &mut wgpu::CommandEncoder| {
        let args = InputGradient {
            records: View::matrix(&words, RECORD_WORDS, RECORDS).of(Dtype::U32),
            arena: View::vector(&words, 0),
            given: None,
            de: View::matrix(&de, RECORDS, width),
            dinput: View::matrix(&dinput, RECORDS, 4),
            mode: Mode::Overwrite,
        };
        encoder.input_gradient(&mut host.recorder(commands), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        for few in [0..40, RECORDS - 40..RECORDS] {
            let got = read_rows(gpu, &result, 4, few.clone());
            let de = &gradient[(few.start * width) as usize..(few.end * width) as usize];
            assert_near("encode_inputs", &got, &twin::input_gradient(&plan, &records(few), &[], &[], de));
        }
    };
    let bytes = 4.0 * f64::from(RECORDS) * f64::from(RECORD_WORDS + width + 4);
    let written = 16.0 * f64::from(RECORDS);
    Job { bytes, written, flops: 0.0, pairs: 0.0, record: Box::new(record), check: Box::new(check) }
}

/// The numbers that a word of an output holds.
fn unpacked(dtype: Dtype, word: f32) -> Vec<f32> {
    match dtype {
        Dtype::F16 => pack::unpack_f16(word.to_bits()).to_vec(),
        Dtype::Bf16 => pack::unpack_bf16(word.to_bits()).to_vec(),
        _ => vec![word],
    }
}

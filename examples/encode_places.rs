//! Encodes a table of places and dates on the GPU and prints each block's largest error against plain f64 formulas.

use gtca::Error;
use gtca::encode::{Encoder, Forward, IdTables, Plan};
use gtca::gpu::{Dtype, Gpu, OpenOptions, View};
use gtca::records::{RECORD_WORDS, Record, Records};
use std::f64::consts::{PI, TAU};

/// Name, latitude, longitude, date, day of the year, days of that year, second of the day, metres per pixel.
type Row = (&'static str, f64, f64, [i32; 3], f64, f64, i32, f64);
const TABLE: [Row; 5] = [
    ("Zürich", 47.3769, 8.5417, [2024, 2, 29], 60.0, 366.0, 37_800, 10.0),
    ("Sinop, Mato Grosso", -11.8642, -55.5066, [2016, 9, 1], 245.0, 366.0, 50_400, 30.0),
    ("Taveuni, Fiji", -16.8, 180.0, [2023, 12, 31], 365.0, 365.0, 86_399, 0.3),
    ("Taveuni, the other side", -16.8, -180.0, [2024, 1, 1], 1.0, 366.0, 0, 0.3),
    ("South Pole", -90.0, 0.0, [2020, 12, 21], 356.0, 366.0, 43_200, 250.0),
];

/// Real spherical harmonics of degree 0..=8 by the textbook recursion of Legendre functions.
fn harmonics(lat: f64, lon: f64) -> Vec<f64> {
    let (z, phi) = (lat.to_radians().sin(), lon.to_radians());
    let legendre = |l: usize, m: usize| {
        let mut value = (1..=m).map(|k| (2 * k - 1) as f64 * (1.0 - z * z).sqrt()).product::<f64>();
        let mut last = 0.0;
        for n in m + 1..=l {
            (last, value) =
                (value, ((2 * n - 1) as f64 * z * value - (n + m - 1) as f64 * last) / (n - m) as f64);
        }
        let ratio: f64 = (l - m + 1..=l + m).map(|k| k as f64).product();
        value * ((2 * l + 1) as f64 / (4.0 * PI) / ratio).sqrt()
    };
    let wave = |m: i32| match m {
        0 => 1.0,
        1.. => 2f64.sqrt() * (f64::from(m) * phi).cos(),
        _ => 2f64.sqrt() * (f64::from(-m) * phi).sin(),
    };
    let value = |l: i32, m: i32| legendre(l as usize, m.unsigned_abs() as usize) * wave(m);
    (0..=8).flat_map(|l| (-l..=l).map(move |m| (l, m))).map(|(l, m)| value(l, m)).collect()
}

/// sin of every frequency, then cos.
fn waves(frequencies: &[f64], at: f64) -> Vec<f64> {
    let sines = frequencies.iter().map(|f| (TAU * f * at).sin());
    sines.chain(frequencies.iter().map(|f| (TAU * f * at).cos())).collect()
}

/// The default blocks, each with its validity column.
fn exact(&(_, lat, lon, [year, ..], year_day, days, second, gsd): &Row) -> Vec<f64> {
    let day = f64::from(second) / 86_400.0;
    let season = (year_day - 1.0 + day) / days;
    let (year, octaves) = (f64::from(year) + season, (gsd / 10.0).log2());
    let decades = [vec![(year - 2015.0) / 10.0], waves(&[0.25, 0.0625, 0.015_625], year)].concat();
    let scale = [vec![octaves], waves(&[1.0, 0.5, 0.25, 0.125], octaves)].concat();
    let waves = |count: u32, at| waves(&(1..=count).map(f64::from).collect::<Vec<_>>(), at);
    let blocks = [harmonics(lat, lon), waves(8, season), waves(4, day), decades, scale];
    blocks.into_iter().flat_map(|block| [block, vec![1.0]].concat()).collect()
}

async fn encode(gpu: &Gpu, encoder: &Encoder, records: &Records) -> Result<Vec<f32>, Error> {
    let (samples, plan) = (records.len() as u32, encoder.plan());
    let words = gpu.upload("records", records.words());
    let arena = gpu.zeros("arena", u64::from(plan.arena_len()) * 4);
    let e = gpu.zeros("e", u64::from(samples) * u64::from(plan.width()) * 4);
    let records = View::matrix(&words, RECORD_WORDS, samples).of(Dtype::U32);
    let (arena, e) = (View::vector(&arena, plan.arena_len()), View::matrix(&e, samples, plan.width()));
    let mut commands = gpu.encoder();
    encoder.forward(
        &mut gpu.recorder(&mut commands),
        &Forward { records, arena, given: None, e, status: None },
    )?;
    gpu.submit(commands)?;
    gpu.read_f32(&e).await
}

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Error> {
    let gpu = match pollster::block_on(Gpu::open(&OpenOptions::default())) {
        Err(error @ Error::NoAdapter { .. }) if std::env::var("GTCA_REQUIRE_ADAPTER") != Ok("1".into()) => {
            println!("nothing to show: {error}");
            return Ok(());
        }
        gpu => gpu?,
    };
    let record = |&(_, lat, lon, [year, month, day], .., second, gsd): &Row| {
        Record::new().lat_deg(lat).lon_deg(lon).date(year, month, day).second_of_day(second).gsd_m(gsd)
    };
    let records = Records::from_records(&TABLE.iter().map(record).collect::<Vec<_>>())?;
    let encoder = Encoder::new(&gpu, Plan::gtca(&IdTables::default())?);
    let e = pollster::block_on(encode(&gpu, &encoder, &records))?;
    let width = encoder.plan().width() as usize;
    println!("{} records to {width} features on {gpu}; largest error against f64:", TABLE.len());
    for (row, features) in TABLE.iter().zip(e.chunks_exact(width)) {
        print!("  {:<24}", row.0);
        let error = |at: usize| (exact(row)[at] - f64::from(features[at])).abs();
        for layout in encoder.plan().layouts() {
            let errors = layout.features.clone().map(|column| error(column as usize));
            print!("{} {:.1e}   ", layout.block.name(), errors.fold(0.0, f64::max));
        }
        println!();
    }
    Ok(())
}

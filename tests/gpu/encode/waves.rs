//! Any list of waves: both kernels that run it, against each other, the twin and f64.

use super::*;
use gtca::encode::{AddToTokens, Order, Source, TokenGrid, Wave, Waves, twin};
use std::f64::consts::TAU;

fn block(waves: Waves) -> Block {
    Block::Waves { name: "waves", waves, validity: false }
}

/// Frequencies whose angles run from thousandths to millions of radians.
fn frequency(k: u32) -> f64 {
    10f64.powf(f64::from(k) / 4.0 - 3.0) / TAU
}

/// Ladders in sixteens, which whole-vector stores can take: harmonics, one number, two numbers with offsets.
fn ladders() -> Plan {
    let harmonics = (0..16).map(|k| Wave::new(Source::LonTurns, f64::from(3 + 2 * k)));
    let one = (0..16).map(|k| Wave::new(Source::LatDeg, frequency(k)));
    let two = (0..32).map(|k| {
        Wave::new(Source::LatDeg, 0.3 - frequency(k))
            .plus(Source::LonDeg, frequency(k))
            .offset(f64::from(k) / 7.0)
    });
    let date = (0..16).map(|k| Wave::new(Source::DayOfYear, frequency(k)));
    Plan::new(&[
        block(Waves::new().ladder(Order::Split, 1.0, harmonics)),
        block(Waves::new().ladder(Order::CosFirst, 0.5, one)),
        block(Waves::new().ladder(Order::Split, 2.0, two)),
        block(Waves::new().ladder(Order::Split, 1.0, date.clone()).zero_by_column()),
        block(Waves::new().ladder(Order::Split, 1.0, date)),
    ])
    .unwrap()
}

/// f64 values of [`ladders`] for whole records.
fn reference(record: &Record) -> Vec<f64> {
    let (lat, lon) = (record.lat_deg.unwrap(), record.lon_deg.unwrap());
    let days = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let (year, month) = (record.year.unwrap(), record.month.unwrap());
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let day = days[month as usize - 1] + record.day.unwrap() + i32::from(is_leap && month > 2);
    let angles = |count: u32, angle: &dyn Fn(u32) -> f64| (0..count).map(angle).collect::<Vec<_>>();
    let sines = |angles: &[f64], scale: f64| angles.iter().map(|a| scale * a.sin()).collect::<Vec<_>>();
    let cosines = |angles: &[f64], scale: f64| angles.iter().map(|a| scale * a.cos()).collect::<Vec<_>>();
    let harmonics = angles(16, &|k| f64::from(3 + 2 * k) * lon.to_radians());
    let one = angles(16, &|k| TAU * frequency(k) * lat);
    let two = angles(32, &|k| TAU * ((0.3 - frequency(k)) * lat + frequency(k) * lon + f64::from(k) / 7.0));
    let date = angles(16, &|k| TAU * frequency(k) * f64::from(day));
    let date = [sines(&date, 1.0), cosines(&date, 1.0)].concat();
    [
        sines(&harmonics, 1.0),
        cosines(&harmonics, 1.0),
        cosines(&one, 0.5),
        sines(&one, 0.5),
        sines(&two, 2.0),
        cosines(&two, 2.0),
        date.clone(),
        date,
    ]
    .concat()
}

#[test]
fn ladders_match_f64_and_their_twin_and_do_not_depend_on_the_kernel() {
    let Some(gpu) = gpu() else { return };
    for count in [1, 4, 63, 64, 65, 255, 256, 257, 1030] {
        let records = records(count, count as u64);
        let batch = Batch::of(ladders(), &records);
        // Rows of the first layout start at multiples of four elements, those of the second do not.
        let [(vectors, status), (scalars, _)] = LAYOUTS.map(|layout| batch.forward(gpu, layout));
        assert_same_bits("whole vectors against scalars", &vectors, &scalars);
        assert!(status.iter().all(|&refused| refused == 0));
        let expected: Vec<f64> = records.iter().flat_map(reference).collect();
        // Angles of the widest ladder reach 1e7 radians, where f64 itself errs by 2e-9.
        assert_near("waves against f64", &vectors, &expected, 1e-6);
        let twin = wide(&twin::forward(&batch.plan, &batch.records, &batch.arena, &[]));
        assert_near("waves against the twin", &vectors, &twin, 3e-7);
    }
}

#[test]
fn a_missing_number_makes_its_block_or_its_columns_zero_and_an_impossible_one_is_counted() {
    let Some(gpu) = gpu() else { return };
    let mut records: Vec<_> = records(300, 5);
    for (i, record) in records.iter_mut().enumerate() {
        match i % 3 {
            0 => record.lon_deg = None,
            1 => (record.month, record.day_of_year) = (None, None),
            _ => {}
        }
    }
    let mut batch = Batch::of(ladders(), &records);
    // Latitude 91 in record 2, written past the host's checks.
    let mut words = batch.records.words().to_vec();
    words[300 + 2] = 0;
    words[600 + 2] = 91 << 8;
    batch.records = Records::from_words(words).unwrap();
    let [(vectors, refused), (scalars, refused_too)] = LAYOUTS.map(|layout| batch.forward(gpu, layout));
    assert_same_bits("whole vectors against scalars", &vectors, &scalars);
    assert_eq!(refused, [0, 1, 1, 0, 0]);
    assert_eq!(refused_too, refused);
    for (i, row) in vectors.chunks_exact(batch.plan.width() as usize).enumerate() {
        let is_zero = |columns: std::ops::Range<usize>| row[columns].iter().all(|x| x.to_bits() == 0);
        assert_eq!(is_zero(0..32), i % 3 == 0, "harmonics of longitude, record {i}");
        assert_eq!(is_zero(32..64), i == 2, "latitude, record {i}");
        assert_eq!(is_zero(64..128), i % 3 == 0 || i == 2, "latitude and longitude, record {i}");
        assert_eq!((is_zero(128..160), is_zero(160..192)), (i % 3 == 1, i % 3 == 1), "dates, record {i}");
    }
    let twin = wide(&twin::forward(&batch.plan, &batch.records, &batch.arena, &[]));
    assert_near("waves against the twin", &vectors, &twin, 3e-7);
}

#[test]
fn products_linear_features_and_given_numbers_match_f64() {
    let Some(gpu) = gpu() else { return };
    let (lat, lon) = (Wave::new(Source::LatDeg, 1.0 / 360.0), Wave::new(Source::LonDeg, 1.0 / 360.0));
    let given = Wave::new(Source::Given(1), 3.7);
    let waves = Waves::new()
        .product(1.0, [lat.clone().cos(), lon.clone().cos()])
        .product(-2.0, [lat, given])
        .linear(Source::LonDeg, 1.0 / 57.0, -1.5)
        .linear(Source::Given(0), -0.25, 0.0);
    let plan = Plan::new(&[block(waves)]).unwrap();
    let records = records(130, 9);
    let mut random = Random(4);
    let given = random.f32s(2 * records.len());
    let host = Records::from_records(&records).unwrap();
    for layout in LAYOUTS {
        let mut t = Tensors::new(gpu, layout);
        let samples = records.len() as u32;
        let words = t.u32([RECORD_WORDS, 1, samples], host.words());
        let arena = t.f32([1, 1, 0], &[]);
        let numbers = t.f32([samples, 1, 2], &given);
        let e = t.poisoned([samples, 1, plan.width()]);
        let args = Forward {
            records: t.view(words),
            arena: t.view(arena),
            given: Some(t.view(numbers)),
            e: t.view(e),
            status: None,
        };
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.forward(recorder, &args)).unwrap();
        let expected: Vec<f64> = (records.iter().zip(given.chunks_exact(2)))
            .flat_map(|(record, given)| {
                let [lat, lon] = [record.lat_deg, record.lon_deg].map(Option::unwrap);
                let [first, second] = [given[0], given[1]].map(f64::from);
                [
                    lat.to_radians().cos() * lon.to_radians().cos(),
                    -2.0 * lat.to_radians().sin() * (TAU * 3.7 * second).sin(),
                    lon / 57.0 - 1.5,
                    -0.25 * first,
                ]
            })
            .collect();
        let got = t.read(e);
        assert_near("columns against f64", &got, &expected, 1e-6);
        let twin = wide(&twin::forward(&plan, &host, &[], &given));
        assert_near("columns against the twin", &got, &twin, 3e-7);
        let without = Forward { given: None, ..args };
        let message = t.run(|recorder| encoder.forward(recorder, &without)).unwrap_err().to_string();
        assert!(message.contains("`given`"), "{message}");
    }
}

#[test]
fn tokens_get_the_waves_of_their_record_and_place_and_class_tokens_keep_their_bits() {
    let Some(gpu) = gpu() else { return };
    let pair = |source, k: f64| Wave::new(source, k / TAU);
    let ladder =
        |source| Waves::new().ladder(Order::Split, 1.0, (1..=4).map(|k| pair(source, 0.7 * f64::from(k))));
    let odd = Waves::new().product(1.0, [pair(Source::Channel, 0.3)]).linear(Source::Position, 0.5, 0.25);
    let sources = [Source::Frame, Source::Row, Source::GsdColumn, Source::LatDeg, Source::MonthIndex];
    let blocks: Vec<_> =
        sources.into_iter().map(|source| block(ladder(source))).chain([block(odd)]).collect();
    let plan = Plan::new(&blocks).unwrap();
    let (samples, frames, rows, columns) = (5u32, 4u32, 3u32, 2u32);
    let width = plan.width();
    let mut random = Random(8);
    for (layout, (skipped, frames_a_record)) in LAYOUTS.into_iter().flat_map(|l| [(l, (0, 0)), (l, (1, 2))]) {
        let grid = TokenGrid { skipped, frames_a_record, ..TokenGrid::series(frames, rows, columns) };
        let count = samples * frames.checked_div(frames_a_record).unwrap_or(1);
        let host = Records::from_records(&records(count as usize, 2)).unwrap();
        let tokens = skipped + frames * rows * columns;
        let before = random.f32s((samples * tokens * width) as usize);
        let mut t = Tensors::new(gpu, layout);
        let words = t.u32([RECORD_WORDS, 1, count], host.words());
        let arena = t.f32([1, 1, 0], &[]);
        let out = t.f32([samples, tokens, width], &before);
        let args = AddToTokens {
            records: t.view(words),
            arena: t.view(arena),
            given: None,
            tokens: t.view(out),
            grid,
            status: None,
        };
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
        let got = t.read(out);
        let mut expected = before.clone();
        twin::add_to_tokens(&plan, &host, &[], &[], &grid, (&mut expected, tokens));
        assert_near("tokens against the twin", &got, &wide(&expected), 6e-7);
        for (row, (got, before)) in
            got.chunks_exact(width as usize).zip(before.chunks_exact(width as usize)).enumerate()
        {
            let t = row as u32 % tokens;
            if t < skipped {
                assert_same_bits("class token", got, before);
                continue;
            }
            let position = t - skipped;
            let frame = position / (rows * columns);
            let added = |column: usize| f64::from(got[column]) - f64::from(before[column]);
            assert!((added(0) - (0.7 * f64::from(frame)).sin()).abs() < 3e-7);
            assert!((added(8) - (0.7 * f64::from(position / columns % rows)).sin()).abs() < 3e-7);
            assert!((added(width as usize - 1) - (0.5 * f64::from(position) + 0.25)).abs() < 2e-6);
            let record =
                row as u32 / tokens * (count / samples) + frame.checked_div(frames_a_record).unwrap_or(0);
            let month = host.get(record as usize).month.unwrap();
            let month = f64::from((month - 1 + frame as i32) % 12);
            assert!((added(32) - (0.7 * month).sin()).abs() < 3e-7);
        }
    }
}

#[test]
fn a_number_that_stands_twice_in_a_phase_counts_twice_whatever_else_the_block_reads() {
    let Some(gpu) = gpu() else { return };
    let turn = |source| Wave::new(source, 1.0 / 360.0);
    let twice = turn(Source::LonDeg).plus(Source::LonDeg, 2.0 / 360.0);
    let waves = Waves::new().ladder(Order::Split, 1.0, [twice]);
    let waves = waves.ladder(Order::Split, 1.0, [turn(Source::LatDeg)]);
    let batch = Batch::of(Plan::new(&[block(waves)]).unwrap(), &records(65, 5));
    let row = |record: &Record| {
        let [lon, lat] = [record.lon_deg, record.lat_deg].map(|degrees| degrees.unwrap().to_radians());
        [(3.0 * lon).sin(), (3.0 * lon).cos(), lat.sin(), lat.cos()]
    };
    let expected: Vec<f64> = records(65, 5).iter().flat_map(row).collect();
    for layout in LAYOUTS {
        assert_near("e against f64", &batch.forward(gpu, layout).0, &expected, 3e-7);
    }
}

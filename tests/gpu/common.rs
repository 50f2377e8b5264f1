//! The shared shader functions against their Rust twins, on the device: bit for bit where integers decide.

use crate::support::*;
use gtca::common::{
    calendar, fixed64, geodesy, numeric, pack, phase, projection, reduce, rng, s2, season, sum64,
};
use gtca::gpu::{Gpu, View, assemble};
use gtca::records::{Record, Records, fixed_from_degrees, wgsl_constants};
use std::path::Path;

/// Runs a probe of `tests/gpu/probes` over `groups` workgroups.
fn probe(gpu: &Gpu, name: &str, input: &[u32], outputs: usize, groups: u32) -> Vec<u32> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join(format!("tests/gpu/probes/{name}.wgsl"))).unwrap();
    let library = |name: &str| match name {
        "records/fields" => Some(wgsl_constants()),
        _ => std::fs::read_to_string(root.join(format!("shaders/{name}.wgsl"))).ok(),
    };
    let text = assemble(name, &source, &[], &[], &library).unwrap();
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    });
    let from = gpu.upload("input", input);
    let to = gpu.upload("output", &vec![POISON; outputs]);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[(0, &from), (1, &to)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }),
    });
    let mut encoder = gpu.encoder();
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(groups, 1, 1);
    drop(pass);
    gpu.submit(encoder).unwrap();
    let view = View::vector(&to, outputs as u32).of(gtca::gpu::Dtype::U32);
    pollster::block_on(gpu.read_u32(&view)).unwrap()
}

/// Runs a probe that takes and gives some words a case, and compares with the twin's words.
fn compare<const IN: usize>(name: &str, cases: &[[u32; IN]], twin: impl Fn(&[u32; IN]) -> Vec<u32>) {
    let Some(gpu) = gpu() else { return };
    let groups = cases.len().div_ceil(64) as u32;
    let outputs = twin(&cases[0]).len();
    let found = probe(gpu, name, cases.as_flattened(), cases.len() * outputs, groups);
    for (case, found) in cases.iter().zip(found.chunks_exact(outputs)) {
        for (at, (found, expected)) in found.iter().zip(twin(case)).enumerate() {
            assert_eq!(*found, expected, "{name}: word {at} of {case:x?}");
        }
    }
}

fn random_words(random: &mut Random) -> u32 {
    // Every magnitude as often as any other.
    (random.next_u64() as u32) >> random.below(32)
}

const EDGES: [u32; 10] = [0, 1, 2, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX];

#[test]
fn sixty_four_bit_arithmetic_is_exact() {
    let mut random = Random(1);
    let mut cases = Vec::new();
    for low in EDGES {
        for high in EDGES {
            for other in EDGES {
                cases.push([low, high, other, low]);
            }
        }
    }
    cases.extend((0..4000).map(|_| [(); 4].map(|()| random_words(&mut random))));
    let cases: Vec<[u32; 10]> = cases
        .into_iter()
        .map(|[a0, a1, b0, b1]| {
            let denominator = 2 + random.below((1 << 31) - 2);
            let (n, divisor) = (random.below(64), 1 + random.below(65_535));
            let (ladder, point) = (32 + random.below(96), random.below(140) as i32 - 60);
            [a0, a1, b0, b1, n, divisor, random.below(denominator), denominator, ladder, point as u32]
        })
        .collect();
    compare("fixed64", &cases, |&[a0, a1, b0, b1, n, divisor, numerator, denominator, ladder, point]| {
        let (a, b) = (fixed64::from_words([a0, a1]), fixed64::from_words([b0, b1]));
        let (ua, ub) = (a as u64, b as u64);
        let two = fixed64::words;
        let wide = |p: u128| -> [u32; 4] { std::array::from_fn(|i| (p >> (32 * i)) as u32) };
        let flags = u32::from(ua < ub) | (u32::from(a < b) << 1) | (u32::from(a == b) << 2);
        [
            two(a.wrapping_add(b)).as_slice(),
            &two(a.wrapping_sub(b)),
            &two(a.wrapping_neg()),
            &two(a.unsigned_abs() as i64),
            &two(a << n),
            &two((ua >> n) as i64),
            &two(a >> n),
            &two(i64::from(a0).wrapping_mul(i64::from(b0))),
            &two(i64::from(a0 as i32) * i64::from(b0 as i32)),
            &wide(u128::from(ua) * u128::from(ub)),
            &wide((i128::from(a) * i128::from(b)) as u128),
            &two((ua / u64::from(divisor)) as i64),
            &two(a.div_euclid(i64::from(divisor))),
            &two(fixed64::i64_from_f32(f32::from_bits(a0), point as i32)),
            &[fixed64::f32_from_i64(a, point as i32).to_bits()],
            &[fixed64::div_turns(numerator, denominator), fixed64::ladder_turns(a, b, ladder), flags],
        ]
        .concat()
    });
}

#[test]
fn the_calendar_agrees_on_edge_dates_and_across_five_thousand_years() {
    use calendar::*;
    let number = |year, month, day| day_number(CivilDate::new(year, month, day));
    let mut random = Random(2);
    let mut days = Vec::new();
    for year in (-1..=4000).chain([-1_000_000, -401, -400, 9999, 1_000_000]) {
        days.extend([number(year, 1, 1), number(year, 2, 28), number(year, 3, 1), number(year, 12, 31)]);
    }
    days.extend((0..4000).map(|_| number(-1, 1, 1) + random.below(1_461_500) as i32));
    let cases: Vec<[u32; 3]> = days
        .into_iter()
        .map(|day| {
            let (months, seconds) = (random.below(4001) as i32 - 2000, random.next_u64() as i32 >> 2);
            [day, months, seconds].map(|value| value as u32)
        })
        .collect();
    compare("calendar", &cases, |&case| {
        let [number, months, seconds] = case.map(|value| value as i32);
        let parts = |date: CivilDate| [date.year, date.month, date.day];
        let date = civil_date(number);
        let week = iso_week(number);
        let moved = shift_seconds(DateTime { date, second_of_day: 86_399 }, seconds);
        let words = [
            parts(date).as_slice(),
            &[day_number(date), day_of_year(date), weekday(number), week.year, week.week],
            &[days_in_year(date.year), days_in_month(date.year, date.month)],
            &parts(shift_months(date, months)),
            &parts(shift_years(date, months)),
            &parts(shift_days(date, months)),
            &parts(moved.date),
            &[moved.second_of_day, shift_hours(DateTime { date, second_of_day: 0 }, months).second_of_day],
            &[date_of_year_day(date.year, day_of_year(date) + months).day],
        ]
        .concat();
        words.into_iter().map(|word| word as u32).collect()
    });
}

/// A record with any subset of the fields that tell the time.
fn some_record(random: &mut Random) -> Record {
    use calendar::{days_in_month, days_in_year};
    let subset = random.next_u64();
    let has = |bit: u32| subset >> bit & 1 == 1;
    let mut record = Record::new();
    let year = if has(10) { 1999 + random.below(4) as i32 } else { random.below(4002) as i32 - 1 };
    let month = 1 + random.below(12) as i32;
    let longest = days_in_month(if has(0) { year } else { 2000 }, month);
    let day = if has(11) { longest } else { 1 + random.below(longest as u32) as i32 };
    record.year = has(0).then_some(year);
    record.month = has(1).then_some(month);
    record.day = has(2).then_some(day);
    record.second_of_day = has(3).then(|| random.below(86_400) as i32);
    record.utc_offset_s = has(4).then(|| random.below(129_601) as i32 - 64_800);
    record.iso_week = has(5).then(|| 1 + random.below(53) as i32);
    let whole_date = has(0) && has(1) && has(2);
    let last = if has(0) { days_in_year(year) } else { 366 };
    let year_day = if has(12) { last } else { 1 + random.below(last as u32) as i32 };
    record.day_of_year = (has(6) && !whole_date).then_some(year_day);
    record.hour = (has(7) && !has(3)).then(|| random.below(24) as i32);
    record.lat_deg = has(8).then(|| random.unit() * 180.0 - 90.0);
    record.lon_deg = has(9).then(|| random.unit() * 360.0 - 180.0);
    record
}

#[test]
fn phases_and_derived_columns_agree_for_every_subset_of_fields() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random(3);
    let records: Vec<Record> = (0..6000).map(|_| some_record(&mut random)).collect();
    let mut words = Records::from_records(&records).unwrap().words().to_vec();
    // Some values become impossible: these count as missing.
    for _ in 0..4000 {
        let at = records.len() * (1 + random.below(24) as usize) + random.below(6000) as usize;
        words[at] = random.next_u64() as u32;
    }
    let found = probe(gpu, "season", &words, records.len() * 16, records.len().div_ceil(64) as u32);
    let records = Records::from_words(words).unwrap();
    for (sample, found) in found.chunks_exact(16).enumerate() {
        let mut time = records.time(sample);
        time.valid = records.possible_fields(sample);
        let turns = |phase: Option<u32>| [u32::from(phase.is_some()), phase.unwrap_or(0)];
        let integer = |value: Option<i32>| turns(value.map(|value| value as u32));
        let year = season::year_phase(&time);
        let expected = [
            [time.valid.bits()].as_slice(),
            &turns(season::season_phase(&time)),
            &turns(season::day_phase(&time)),
            &turns(year.map(|year| year.turns)),
            &[year.map_or(0, |year| year.year as u32)],
            &integer(season::derived_day_of_year(&time)),
            &integer(season::derived_iso_week(&time)),
            &integer(season::derived_month(&time)),
            &integer(season::derived_hour(&time)),
        ]
        .concat();
        assert_eq!(found, expected, "{time:?}");
    }
}

#[test]
fn draws_packing_and_units_are_bit_equal() {
    let mut random = Random(4);
    let mut cases: Vec<[u32; 2]> = EDGES.iter().flat_map(|&x| EDGES.map(|y| [x, y])).collect();
    for bits in (0..=u16::MAX).step_by(3) {
        // Halves, and f32 around them and around the ties between them.
        let half = pack::f32_from_f16(bits).to_bits();
        cases.push([half.wrapping_add(0x1000), u32::from(bits) << 16 | u32::from(bits)]);
    }
    cases.extend((0..20_000).map(|_| [random_words(&mut random), random.next_u64() as u32]));
    compare("words", &cases, |&[x, y]| {
        let (fx, fy) = (f32::from_bits(x), f32::from_bits(y));
        let seed = u64::from(x) | u64::from(y) << 32;
        let (measure, logit) = (sum64::measure_units(fx), sum64::logit_units(fx));
        [
            [phase::turns_from_degrees(seed as i64)].as_slice(),
            &rng::draw4(seed, y, u64::from(y) | u64::from(x) << 32, x, 3),
            &[rng::uniform01(x).to_bits(), pack::pack_f16([fx, fy]), pack::pack_bf16([fx, fy])],
            &pack::unpack_f16(x).map(f32::to_bits),
            &pack::unpack_bf16(x).map(f32::to_bits),
            &[measure.value as u32, measure.clamped.into(), logit.value as u32, logit.clamped.into()],
            &[sum64::sum64_high(x, fixed64::from_words([y, x])), fixed64::exp2_fixed(x & 0x7fff_ffff)],
        ]
        .concat()
    });
}

#[test]
fn sine_and_cosine_hold_their_bound_on_the_device() {
    let Some(gpu) = gpu() else { return };
    let mut turns: Vec<u32> = (0..200_000u32).map(|k| k.wrapping_mul(2_654_435_769)).collect();
    for eighth in 0..8u32 {
        turns.extend((0..1000).map(|near| (eighth << 29).wrapping_add(near).wrapping_sub(500)));
    }
    let found = probe(gpu, "phase", &turns, turns.len() * 2, turns.len().div_ceil(64) as u32);
    let found: Vec<f32> = found.into_iter().map(f32::from_bits).collect();
    let angle = |turns: &u32| f64::from(*turns) / 2f64.powi(32) * std::f64::consts::TAU;
    let exact: Vec<f64> = turns.iter().flat_map(|t| [angle(t).sin(), angle(t).cos()]).collect();
    // The stated bound, which also holds where fma rounds twice.
    assert_near("sincos", &found, &exact, 1.2e-7);
    for (turns, pair) in turns.iter().zip(found.chunks_exact(2)) {
        let twin = phase::sincos_turns(*turns);
        assert!((pair[0] - twin[0]).abs() <= 1.2e-7 && (pair[1] - twin[1]).abs() <= 1.2e-7, "{turns:#x}");
    }
}

#[test]
fn places_are_bit_equal_at_the_poles_the_antimeridian_and_anywhere() {
    let mut random = Random(5);
    let lats = [-90.0, -89.999_999_9, -45.0, -1e-10, 0.0, 60.0, 89.99, 90.0];
    let lons = [-180.0, -179.999_999, -0.5, 0.0, 90.0, 179.999_999_9, 180.0];
    let mut places: Vec<[f64; 2]> = lats.iter().flat_map(|&lat| lons.map(|lon| [lat, lon])).collect();
    places.extend((0..3000).map(|_| [random.unit() * 180.0 - 90.0, random.unit() * 360.0 - 180.0]));
    let angles = [0, 1, 1000, geodesy::turns_from_km(10.0), geodesy::turns_from_km(1000.0), 1 << 30, 1 << 31];
    let cases: Vec<[u32; 10]> = (0..6000)
        .map(|k| {
            let (a, b) = (places[k % places.len()], places[random.below(places.len() as u32) as usize]);
            let bearing = if k % 3 == 0 { (k as u32 / 3) << 30 } else { random.next_u64() as u32 };
            let angle = if k % 2 == 0 { angles[k / 2 % 7] } else { random_words(&mut random) >> 1 };
            let coordinates = [a[0], a[1], b[0], b[1]].map(|x| fixed64::words(fixed_from_degrees(x)));
            [coordinates.as_flattened(), &[bearing, angle]].concat().try_into().unwrap()
        })
        .collect();
    compare("geodesy", &cases, |case| {
        let number = |at: usize| fixed64::from_words([case[at], case[at + 1]]);
        let a = geodesy::Place { lat: number(0), lon: number(2) };
        let b = geodesy::Place { lat: number(4), lon: number(6) };
        let moved = geodesy::destination(a, case[8], case[9]);
        let angle = geodesy::central_angle(a, b);
        let (lat, lon) = (fixed64::words(moved.lat), fixed64::words(moved.lon));
        vec![lat[0], lat[1], lon[0], lon[1], angle, geodesy::km_from_turns(angle).to_bits()]
    });
}

#[test]
fn places_on_the_sphere_and_on_the_map_agree_bit_for_bit() {
    let mut random = Random(8);
    let mut places: Vec<[i64; 2]> = Vec::new();
    for lat in [-90i64, -60, -45, 0, 30, 45, 60, 90] {
        for lon in [-180i64, -135, -90, -45, 0, 45, 90, 135, 180] {
            for step in
                [0, 1, 20, 1 << 11, 1 << 16, 1 << 19, 1 << 30].into_iter().flat_map(|step| [step, -step])
            {
                places.push([(lat << 40) + step, (lon << 40) - step].map(|x| x.clamp(-180 << 40, 180 << 40)));
            }
        }
    }
    places.extend((0..20_000).map(|_| {
        [random.unit() * 180.0 - 90.0, random.unit() * 360.0 - 180.0].map(|x| (x * 2f64.powi(40)) as i64)
    }));
    let cases: Vec<[u32; 4]> =
        places.iter().map(|place| place.map(fixed64::words).as_flattened().try_into().unwrap()).collect();
    let place =
        |case: &[u32; 4]| (fixed64::from_words([case[0], case[1]]), fixed64::from_words([case[2], case[3]]));
    compare("s2", &cases, |case| {
        let (lat, lon) = place(case);
        let point = projection::unit_vector(lat, lon);
        (0..=s2::MAX_DEVICE_LEVEL).map(|level| s2::cell_number(point, level) as u32).collect()
    });
    compare("projection", &cases, |case| {
        let (lat, lon) = place(case);
        let angle = projection::sincos_q60(lon);
        let up = projection::unit_vector(lat, lon);
        let map = projection::equal_earth(lat, lon);
        [&angle[..], &up, &map].concat().into_iter().flat_map(fixed64::words).collect()
    });
}

/// A function's name, bound and f64 formula.
type Column = (&'static str, f64, fn(f64) -> f64);

#[test]
fn stable_functions_agree_with_f64_over_the_whole_range() {
    let Some(gpu) = gpu() else { return };
    let mut random = Random(6);
    let mut xs: Vec<f32> = vec![0.0, -0.0, 1.0, -1.0, 86.9, -86.9, 1e-30, 1e4, -1e4, 1e30, -1e30];
    xs.extend((0..20_000).map(|_| (random.unit() * 180.0 - 90.0) as f32));
    xs.extend((0..20_000).map(|_| 10f64.powf(random.unit() * 76.0 - 38.0) as f32));
    let input: Vec<u32> = xs.iter().map(|x| x.to_bits()).collect();
    let found = probe(gpu, "numeric", &input, xs.len() * 10, xs.len().div_ceil(64) as u32);
    let found: Vec<f32> = found.into_iter().map(f32::from_bits).collect();
    // Builtin exp may be off by 3 + 2|x| ulp: 2e-5 at |x| = 87, and the division by 2.5.
    let builtin = 3e-5;
    let precise = 3e-7;
    let columns: [Column; 7] = [
        ("sigmoid", builtin, |x| 1.0 / (1.0 + (-x).exp())),
        ("silu", builtin, |x| x / (1.0 + (-x).exp())),
        ("silu'", builtin, |x| {
            let s = 1.0 / (1.0 + (-x).exp());
            s * (1.0 + x * (1.0 - s))
        }),
        ("softplus", builtin, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        ("exp", precise, |x| x.clamp(-87.0, 88.0).exp()),
        ("log", precise, |x| x.max(f64::from(f32::MIN_POSITIVE)).ln()),
        ("lse", precise, |x| x.max(1.0) + (-(x - 1.0).abs()).exp().ln_1p()),
    ];
    for (column, (name, bound, exact)) in columns.into_iter().enumerate() {
        let expected: Vec<f64> = xs.iter().map(|&x| exact(f64::from(x))).collect();
        let actual: Vec<f32> = found.iter().skip(column).step_by(10).copied().collect();
        let scale = |e: &f64| if name == "exp" { e.abs() } else { e.abs().max(1.0) };
        let bounds: Vec<f64> = expected.iter().map(|e| bound * scale(e)).collect();
        assert_close(name, &actual, &expected, &bounds);
    }
    // The twins do the same operations; a device may contract them differently.
    for (column, twin) in [numeric::sigmoid, numeric::silu, numeric::silu_derivative].into_iter().enumerate()
    {
        for (x, row) in xs.iter().zip(found.chunks_exact(10)) {
            let expected = twin(*x);
            assert!((row[column] - expected).abs() <= 3e-5 * expected.abs().max(1.0), "{x}");
        }
    }
}

#[test]
fn bit_tests_know_nan_infinity_and_zero() {
    let Some(gpu) = gpu() else { return };
    let bits = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, f32::MAX, 0.0, -0.0].map(f32::to_bits);
    let found = probe(gpu, "numeric", &bits, bits.len() * 10, 1);
    for (bits, row) in bits.iter().zip(found.chunks_exact(10)) {
        let x = f32::from_bits(*bits);
        assert_eq!(f32::from_bits(row[7]) == 1.0, numeric::is_nan(x), "{x}");
        assert_eq!(f32::from_bits(row[8]) == 1.0, numeric::is_finite(x), "{x}");
        assert_eq!(f32::from_bits(row[9]) == 1.0, numeric::is_zero(x), "{x}");
    }
}

#[test]
fn workgroup_sums_follow_the_tree() {
    let Some(gpu) = gpu() else { return };
    let values = Random(7).f32s(256 * 50);
    let input: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
    let found = probe(gpu, "reduce", &input, 150, 50);
    for (lanes, found) in values.chunks_exact(256).zip(found.chunks_exact(3)) {
        let expected =
            [reduce::workgroup_sum(&lanes[..64]), reduce::workgroup_sum(lanes), reduce::workgroup_max(lanes)];
        assert_eq!(found, expected.map(f32::to_bits));
    }
}

#[test]
fn quotients_are_exact_at_every_edge_of_a_division() {
    let mut random = Random(77);
    let mut cases = Vec::new();
    let mut divisors = vec![
        1,
        2,
        3,
        5,
        7,
        64,
        255,
        256,
        257,
        65_535,
        65_537,
        (1 << 24) - 1,
        (1 << 24) + 1,
        (1 << 30) - 1,
        1 << 30,
    ];
    divisors.extend((0..200).map(|i| 1 + random.next_u64() as u32 % (1 << (i % 30 + 1))));
    for b in divisors {
        for multiple in [0, 1, 2, u32::MAX / b / 2, u32::MAX / b] {
            let a = multiple * b;
            cases.extend(
                [a.saturating_sub(1), a, a.saturating_add(1), a.saturating_add(b - 1)].map(|a| [a, b]),
            );
        }
        cases.extend((0..20).map(|_| [random.next_u64() as u32, b]));
        cases.push([u32::MAX, b]);
    }
    compare("quotient", &cases, |&[a, b]| vec![a / b]);
}

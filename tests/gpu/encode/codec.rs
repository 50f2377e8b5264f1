//! `encode::codec` against its twin, upstream's formulas in IEEE arithmetic, and f64.

use crate::support::*;
use gtca::encode::codec::{
    AlphaEarth, AlphaEarthDequantise, AlphaEarthDesc, AlphaEarthQuantise, Tessera, TesseraDequantise,
    TesseraDesc, TesseraQuantise, TesseraRule, code_words, pack_codes, twin, unpack_codes,
};
use gtca::gpu::{Gpu, OpenOptions};

const RULES: [TesseraRule; 3] = [TesseraRule::TensorV1, TesseraRule::RowV1_1, TesseraRule::RowV2];
/// Every width of a word's edge, and those of the products.
const WIDTHS: [usize; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65, 67, 128];

/// A poisoned tensor of codes: bytes that are not written must be seen.
fn poisoned_codes(t: &mut Tensors, rows: u32, width: u32) -> Tensor {
    let words = code_words(width);
    t.u32([rows, 1, words], &vec![POISON; (rows * words) as usize])
}

/// Words, scales, and what they give back.
fn tessera(gpu: &'static Gpu, layout: Layout, rule: TesseraRule, x: &[f32], width: usize) -> Coded {
    let (rows, width) = ((x.len() / width) as u32, width as u32);
    let codec = Tessera::new(&TesseraDesc { width, rule }).unwrap();
    let mut t = Tensors::new(gpu, layout);
    let x = t.f32([rows, 1, width], x);
    let codes = poisoned_codes(&mut t, rows, width);
    let scales = t.poisoned([if rule.is_per_row() { rows } else { 1 }, 1, 1]);
    let back = t.poisoned([rows, 1, width]);
    let (codes_view, scales_view) = (t.view(codes), t.view(scales));
    let quantise = TesseraQuantise { x: t.view(x), codes: codes_view, scales: scales_view };
    let dequantise = TesseraDequantise { codes: codes_view, scales: scales_view, x: t.view(back) };
    t.run(|recorder| {
        codec.quantise(recorder, &quantise)?;
        codec.dequantise(recorder, &dequantise)
    })
    .unwrap();
    Coded { words: t.read_u32(codes), side: t.read(scales), back: t.read(back) }
}

/// Words, validity, and what they give back; `words` may be given instead of quantised.
fn alphaearth(gpu: &'static Gpu, layout: Layout, desc: &AlphaEarthDesc, input: Input<'_>) -> Coded {
    let width = desc.width;
    let codec = AlphaEarth::new(gpu, desc).unwrap();
    let mut t = Tensors::new(gpu, layout);
    let rows = match input {
        Input::Numbers(x, _) => x.len() as u32 / width,
        Input::Codes(codes) => codes.len() as u32 / width,
    };
    let codes = match input {
        Input::Numbers(..) => poisoned_codes(&mut t, rows, width),
        Input::Codes(codes) => t.u32([rows, 1, code_words(width)], &pack_codes(codes, width as usize)),
    };
    if let Input::Numbers(x, valid) = input {
        let x = t.f32([rows, 1, width], x);
        let valid = valid.map(|valid| t.f32([rows, 1, 1], valid));
        let valid = valid.map(|valid| t.view(valid));
        let args = AlphaEarthQuantise { x: t.view(x), valid, codes: t.view(codes) };
        t.run(|recorder| codec.quantise(recorder, &args)).unwrap();
    }
    let back = t.poisoned([rows, 1, width]);
    let valid = t.poisoned([rows, 1, 1]);
    let args = AlphaEarthDequantise { codes: t.view(codes), x: t.view(back), valid: t.view(valid) };
    t.run(|recorder| codec.dequantise(recorder, &args)).unwrap();
    Coded { words: t.read_u32(codes), side: t.read(valid), back: t.read(back) }
}

#[derive(Clone, Copy)]
enum Input<'a> {
    Numbers(&'a [f32], Option<&'a [f32]>),
    Codes(&'a [i8]),
}

struct Coded {
    words: Vec<u32>,
    side: Vec<f32>,
    back: Vec<f32>,
}

impl Coded {
    #[track_caller]
    fn assert_same(&self, other: &Self) {
        assert_eq!(self.words, other.words);
        assert_same_bits("scales or validity", &self.side, &other.side);
        assert_same_bits("x", &self.back, &other.back);
    }
}

/// Rows of every size of number, whole rows of zeros, and numbers just beside the boundaries between two codes.
fn embeddings(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut x = Vec::with_capacity(rows * width);
    for row in 0..rows {
        let size = [1.0, 1e-3, 1e4, 1e38, 1e-9, 2e-13, 0.0, 1e-30][row % 8] * (0.5 + random.unit()) as f32;
        for column in 0..width {
            let x_at = match (column, column % 3) {
                (0, _) => size,
                (_, 0) => (f32::from(random.below(127) as u8) + 0.5) * (size / 127.0),
                _ => (random.unit() * 2.0 - 1.0) as f32 * size,
            };
            let ulps = random.below(5) as i32 - 2;
            let nudged = f32::from_bits((x_at.abs().to_bits() as i32 + ulps).max(0) as u32).min(size);
            x.push(if random.unit() < 0.5 { -nudged } else { nudged });
        }
    }
    x
}

/// Upstream's code: one f32 division, one rounding. Rust's are IEEE's.
fn upstream_tessera(x: &[f32], width: usize, rule: TesseraRule) -> (Vec<i8>, Vec<f32>) {
    let shared = if rule.is_per_row() { width } else { x.len() };
    let largest = |x: &[f32]| x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = |x: &[f32]| match rule {
        TesseraRule::RowV2 => largest(x).max(1e-12) / 127.0,
        _ => (largest(x) / 127.0).max(1e-8),
    };
    let codes = |x: &[f32]| {
        let scale = scale(x);
        x.iter().map(|x| (x / scale).round_ties_even().clamp(-127.0, 127.0) as i8).collect::<Vec<_>>()
    };
    (x.chunks(shared).flat_map(codes).collect(), x.chunks(shared).map(scale).collect())
}

#[test]
fn tesseras_codes_and_scales_are_those_of_ieee_arithmetic() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (i, &width) in WIDTHS.iter().enumerate() {
            let rows = [1, 2, 3, 4, 5, 17, 70][i % 7];
            let x = embeddings(rows, width, i as u64);
            for rule in RULES {
                let name = format!("{rows} rows of {width}, {rule:?}");
                let coded = tessera(gpu, layout, rule, &x, width);
                let (codes, scales) = upstream_tessera(&x, width, rule);
                assert_eq!(coded.words, pack_codes(&codes, width), "{name}");
                assert_same_bits(&name, &coded.side, &scales);
                let (twin_codes, twin_scales) = twin::tessera_quantise(&x, width, rule);
                assert_eq!(codes, twin_codes, "{name}");
                assert_same_bits(&name, &scales, &twin_scales);
                let back = twin::tessera_dequantise(&codes, width, &scales);
                assert_same_bits(&name, &coded.back, &back);
            }
        }
    }
}

#[test]
fn tesseras_numbers_come_back_within_half_a_step() {
    let Some(gpu) = gpu() else { return };
    let x = embeddings(80, 128, 5);
    let coded = tessera(gpu, Layout::OneBuffer, TesseraRule::RowV2, &x, 128);
    // Half a step, and the roundings of scale, quotient and product: 127 · 2⁻²³ of a step.
    let step = |i: usize| f64::from(coded.side[i / 128]) * (0.5 + 127.0 * 2f64.powi(-23));
    let bounds: Vec<f64> = (0..x.len()).map(step).collect();
    assert_close("x", &coded.back, &wide(&x), &bounds);
}

#[test]
fn a_damaged_row_is_damaged_alone_and_visibly() {
    let Some(gpu) = gpu() else { return };
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = embeddings(5, 9, 3);
        let whole = tessera(gpu, Layout::Separate, TesseraRule::RowV2, &x, 9);
        x[2 * 9 + 8] = bad;
        let coded = tessera(gpu, Layout::Separate, TesseraRule::RowV2, &x, 9);
        let codes = unpack_codes(&coded.words, 9);
        for row in 0..5 {
            let columns = row * 9..row * 9 + 9;
            if row == 2 {
                assert!(coded.side[row].is_nan() && coded.back[columns.clone()].iter().all(|x| x.is_nan()));
                assert_eq!(codes[columns], [0; 9]);
            } else {
                assert_same_bits("other rows", &coded.back[columns.clone()], &whole.back[columns]);
            }
        }
        // One scale for all: all are damaged.
        let coded = tessera(gpu, Layout::OneBuffer, TesseraRule::TensorV1, &x, 9);
        assert!(coded.side[0].is_nan() && coded.back.iter().all(|x| x.is_nan()));
        let (codes, scales) = twin::tessera_quantise(&x, 9, TesseraRule::TensorV1);
        assert!(scales[0].is_nan() && codes.iter().all(|&code| code == 0));
    }
}

#[test]
fn a_tensors_scale_minds_its_last_row_of_200_000() {
    let Some(gpu) = gpu() else { return };
    let mut x = vec![0.25; 200_000 * 3];
    x[200_000 * 3 - 1] = -7.0;
    let coded = tessera(gpu, Layout::Separate, TesseraRule::TensorV1, &x, 3);
    assert_eq!(coded.side, [7.0 / 127.0]);
    let (codes, _) = upstream_tessera(&x, 3, TesseraRule::TensorV1);
    assert_eq!(coded.words, pack_codes(&codes, 3));
}

#[test]
fn the_widest_row_is_whole() {
    let Some(gpu) = gpu() else { return };
    let width = 59_999;
    let x = embeddings(2, width, 9);
    for rule in RULES {
        let coded = tessera(gpu, Layout::Separate, rule, &x, width);
        let (codes, scales) = upstream_tessera(&x, width, rule);
        assert_eq!(coded.words, pack_codes(&codes, width));
        assert_same_bits("scales", &coded.side, &scales);
    }
    let codes: Vec<i8> = (0..width).map(|i| (i % 255) as i8).map(|code| code.max(-127)).collect();
    let desc = AlphaEarthDesc { width: width as u32, ..Default::default() };
    let coded = alphaearth(gpu, Layout::Separate, &desc, Input::Codes(&codes));
    assert_unit("a wide row", &coded.back, width);
}

/// Upstream's code: a root, a product, a rounding, a clamp.
fn upstream_alphaearth(x: f32) -> i8 {
    (x.signum() * x.abs().sqrt() * 127.5).round_ties_even().clamp(-127.0, 127.0) as i8
}

/// Unit vectors, and numbers just beside the boundaries between two codes.
fn unit_vectors(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut x = random.f32s(rows * width);
    for row in x.chunks_exact_mut(width) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
        let at = random.below(width as u32) as usize;
        let boundary = ((f64::from(random.below(128)) + 0.5) / 127.5).powi(2) as f32;
        row[at] = f32::from_bits((boundary.to_bits() as i32 + random.below(7) as i32 - 3) as u32);
    }
    x
}

#[track_caller]
fn assert_unit(name: &str, x: &[f32], width: usize) {
    for row in x.chunks_exact(width) {
        let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 4e-7, "{name}: length {length}");
    }
}

#[test]
fn alphaearths_codes_are_those_of_ieee_arithmetic() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        for (i, &width) in WIDTHS.iter().enumerate() {
            let rows = [70, 1, 5, 4, 3][i % 5];
            let x = unit_vectors(rows, width, i as u64);
            let desc = AlphaEarthDesc { width: width as u32, unit: false, ..Default::default() };
            let coded = alphaearth(gpu, layout, &desc, Input::Numbers(&x, None));
            let codes: Vec<i8> = x.iter().map(|&x| upstream_alphaearth(x)).collect();
            assert_eq!(coded.words, pack_codes(&codes, width), "{rows} rows of {width}");
            assert_eq!(codes, twin::alphaearth_quantise(&x, width, None));
            let (back, valid) = twin::alphaearth_dequantise(&codes, &desc);
            assert_same_bits("x", &coded.back, &back);
            assert_same_bits("valid", &coded.side, &valid);
            let formula = |&code: &i8| f64::from(code).signum() * (f64::from(code) / 127.5).powi(2);
            let formula: Vec<f64> = codes.iter().map(|c| if *c == 0 { 0.0 } else { formula(c) }).collect();
            assert_near("x", &coded.back, &formula, 1.2e-7);
        }
    }
}

#[test]
fn alphaearth_saturates_and_keeps_signs() {
    let Some(gpu) = gpu() else { return };
    let desc = AlphaEarthDesc { width: 1, unit: false, ..Default::default() };
    let x = [1.0, -1.0, 1e30, -f32::MAX, 0.0, -0.0, 1e-38, -1e-45, 0.992_17, 1.6e-5, -1.5e-5];
    let coded = alphaearth(gpu, Layout::Separate, &desc, Input::Numbers(&x, None));
    let codes = unpack_codes(&coded.words, 1);
    assert_eq!(codes, [127, -127, 127, -127, 0, 0, 0, 0, 127, 1, 0]);
}

#[test]
fn no_data_goes_out_and_comes_back_as_such() {
    let Some(gpu) = gpu() else { return };
    let mut x = unit_vectors(6, 7, 1);
    x[7] = f32::NAN;
    x[2 * 7 + 6] = f32::INFINITY;
    let valid = [1.0, 1.0, 1.0, 0.0, -0.0, 0.5];
    for (layout, no_data) in LAYOUTS.into_iter().zip([-9.0, f32::NAN]) {
        let desc = AlphaEarthDesc { width: 7, unit: true, no_data };
        let coded = alphaearth(gpu, layout, &desc, Input::Numbers(&x, Some(&valid)));
        assert_eq!(coded.words, pack_codes(&twin::alphaearth_quantise(&x, 7, Some(&valid)), 7));
        assert_eq!(coded.side, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let codes = unpack_codes(&coded.words, 7);
        for row in 1..5 {
            assert_eq!(codes[row * 7..][..7], [i8::MIN; 7]);
            assert_same_bits("x", &coded.back[row * 7..][..7], &[no_data; 7]);
        }
        assert_unit("first", &coded.back[..7], 7);
        assert_unit("last", &coded.back[5 * 7..], 7);
    }
    // One channel is enough.
    let desc = AlphaEarthDesc { width: 3, ..Default::default() };
    let coded = alphaearth(gpu, Layout::OneBuffer, &desc, Input::Codes(&[5, 5, -128, 5, 5, 5]));
    assert_eq!(coded.side, [0.0, 1.0]);
    assert_eq!(coded.back[..3], [0.0; 3]);
}

#[test]
fn dequantised_embeddings_have_length_one_and_zeros_stay_zeros() {
    let Some(gpu) = gpu() else { return };
    for (i, &width) in WIDTHS.iter().enumerate() {
        let codes: Vec<i8> =
            (0..70 * width).map(|k| ((k * 37 + i) % 127) as i8 - 63).map(|c| c | 1).collect();
        let desc = AlphaEarthDesc { width: width as u32, ..Default::default() };
        let coded = alphaearth(gpu, LAYOUTS[i % 2], &desc, Input::Codes(&codes));
        assert_unit("unit", &coded.back, width);
        let fourth = |row: &[i8]| row.iter().map(|&c| f64::from(c).powi(4)).sum::<f64>().sqrt();
        let expected: Vec<f64> = codes
            .chunks_exact(width)
            .flat_map(|row| {
                row.iter().map(|&c| f64::from(c) * f64::from(c).abs() / fourth(row)).collect::<Vec<_>>()
            })
            .collect();
        assert_near("x", &coded.back, &expected, 3.6e-7);
        let (twin, _) = twin::alphaearth_dequantise(&codes, &desc);
        assert_near("twin", &twin, &expected, 3.6e-7);
    }
    let desc = AlphaEarthDesc { width: 9, ..Default::default() };
    let coded = alphaearth(gpu, Layout::Separate, &desc, Input::Codes(&[0; 18]));
    assert_eq!((coded.back, coded.side), (vec![0.0; 18], vec![1.0; 2]));
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let (x, unit) = (embeddings(70, 37, 4), unit_vectors(70, 37, 4));
    let desc = AlphaEarthDesc { width: 37, ..Default::default() };
    let many = tessera(gpu, Layout::Separate, TesseraRule::RowV2, &x, 37);
    let many_unit = alphaearth(gpu, Layout::Separate, &desc, Input::Numbers(&unit, None));
    for row in [0, 1, 3, 4, 69] {
        let columns = row * 37..(row + 1) * 37;
        let of_row = |coded: &Coded| Coded {
            words: coded.words[row * 10..][..10].to_vec(),
            side: vec![coded.side[row]],
            back: coded.back[columns.clone()].to_vec(),
        };
        let alone = tessera(gpu, Layout::OneBuffer, TesseraRule::RowV2, &x[columns.clone()], 37);
        alone.assert_same(&of_row(&many));
        let alone = alphaearth(gpu, Layout::OneBuffer, &desc, Input::Numbers(&unit[columns.clone()], None));
        alone.assert_same(&of_row(&many_unit));
    }
}

#[test]
fn twenty_repeats_and_both_layouts_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let (x, unit) = (embeddings(300, 41, 6), unit_vectors(300, 41, 6));
    let desc = AlphaEarthDesc { width: 41, ..Default::default() };
    let run = |layout| {
        RULES.map(|rule| tessera(gpu, layout, rule, &x, 41)).into_iter().chain([alphaearth(
            gpu,
            layout,
            &desc,
            Input::Numbers(&unit, None),
        )])
    };
    let first: Vec<Coded> = run(Layout::Separate).collect();
    for repeat in 0..20 {
        run(LAYOUTS[repeat % 2]).zip(&first).for_each(|(again, first)| again.assert_same(first));
    }
}

#[test]
fn a_batch_larger_than_a_binding_is_cut_without_a_trace() {
    let Some(usual) = gpu() else { return };
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 16 << 10, ..wgpu::Limits::default() };
    let options = OpenOptions { limits: Some(limits), ..Default::default() };
    let small: &'static Gpu = Box::leak(Box::new(pollster::block_on(Gpu::open(&options)).unwrap()));
    let (x, unit) = (embeddings(400, 29, 8), unit_vectors(400, 29, 8));
    let desc = AlphaEarthDesc { width: 29, ..Default::default() };
    for layout in LAYOUTS {
        for rule in RULES {
            tessera(small, layout, rule, &x, 29).assert_same(&tessera(usual, layout, rule, &x, 29));
        }
        let run = |gpu| alphaearth(gpu, layout, &desc, Input::Numbers(&unit, Some(&x[..400])));
        run(small).assert_same(&run(usual));
    }
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    for width in [0, 60_000] {
        assert!(AlphaEarth::new(gpu, &AlphaEarthDesc { width, ..Default::default() }).is_err());
        assert!(Tessera::new(&TesseraDesc { width, ..Default::default() }).is_err());
    }
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let x = t.f32([4, 1, 9], &[0.5; 36]);
    let codes = poisoned_codes(&mut t, 4, 9);
    let side = t.poisoned([4, 1, 1]);
    let back = t.poisoned([4, 1, 9]);
    let tessera = Tessera::new(&TesseraDesc { width: 9, ..Default::default() }).unwrap();
    let good = TesseraQuantise { x: t.view(x), codes: t.view(codes), scales: t.view(side) };
    let message = |args| t.run(|r| tessera.quantise(r, &args)).unwrap_err().to_string();
    assert!(message(TesseraQuantise { x: t.view(x).columns(0, 8), ..good }).contains("`x`"));
    assert!(message(TesseraQuantise { codes: t.view(x), ..good }).contains("`codes`"));
    let inside_x = t.view(x).columns(0, 1);
    assert!(message(TesseraQuantise { scales: inside_x, ..good }).contains("overlap"));
    let v1 = Tessera::new(&TesseraDesc { width: 9, rule: TesseraRule::TensorV1 }).unwrap();
    assert!(t.run(|r| v1.quantise(r, &good)).unwrap_err().to_string().contains("`scales`"));
    let alphaearth = AlphaEarth::new(gpu, &AlphaEarthDesc { width: 9, ..Default::default() }).unwrap();
    let good = AlphaEarthDequantise { codes: t.view(codes), x: t.view(back), valid: t.view(side) };
    let message = |args| t.run(|r| alphaearth.dequantise(r, &args)).unwrap_err().to_string();
    assert!(message(AlphaEarthDequantise { valid: t.view(back), ..good }).contains("`valid`"));
    assert!(message(AlphaEarthDequantise { codes: t.view(codes).columns(0, 2), ..good }).contains("`codes`"));
    let args = AlphaEarthQuantise { x: t.view(x), valid: Some(t.view(back)), codes: t.view(codes) };
    assert!(t.run(|r| alphaearth.quantise(r, &args)).unwrap_err().to_string().contains("`valid`"));
    assert!(t.read_u32(codes).iter().all(|&word| word == POISON), "nothing may have been recorded");
}

#[test]
fn an_empty_batch_is_no_work() {
    let Some(gpu) = gpu() else { return };
    for rule in RULES {
        assert!(tessera(gpu, Layout::OneBuffer, rule, &[], 5).words.is_empty());
    }
    let desc = AlphaEarthDesc::default();
    assert!(alphaearth(gpu, Layout::OneBuffer, &desc, Input::Numbers(&[], None)).back.is_empty());
}

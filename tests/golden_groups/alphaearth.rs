//! AlphaEarth's int8 embeddings.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, codec};
use gtca::encode::codec::{
    AlphaEarth, AlphaEarthDequantise, AlphaEarthDesc, AlphaEarthQuantise, code_words, unpack_codes,
};
use gtca::gpu::Gpu;

fn desc(width: u32) -> AlphaEarthDesc {
    AlphaEarthDesc { width, unit: false, ..Default::default() }
}

/// Numbers and validity.
fn dequantise(gpu: &'static Gpu, codes: &[i8], width: u32) -> Result<(Vec<f32>, Vec<f32>)> {
    let rows = codes.len() as u32 / width;
    let mut t = codec::tensors(gpu);
    let codes = codec::upload(&mut t, codes, width);
    let x = t.poisoned([rows, 1, width]);
    let valid = t.poisoned([rows, 1, 1]);
    let op = AlphaEarth::new(gpu, &desc(width))?;
    let args = AlphaEarthDequantise { codes: t.view(codes), x: t.view(x), valid: t.view(valid) };
    t.run(|recorder| op.dequantise(recorder, &args))?;
    Ok((t.read(x), t.read(valid)))
}

/// Codes one by one: upstream has a number for −128, which to us is no data.
pub fn dequant_all(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let codes = case.i8("in.code")?;
    let mut expected = case.f64("out_f64")?;
    let has_data = |code: &i8| i32::from(*code != i8::MIN);
    expected.iter_mut().zip(&codes).filter(|(_, code)| has_data(code) == 0).for_each(|(x, _)| *x = 0.0);
    let (x, valid) = dequantise(gpu, &codes, 1)?;
    let valid: Vec<i32> = valid.iter().map(|&valid| valid as i32).collect();
    let valid = Outcome::same(&valid, &codes.iter().map(has_data).collect::<Vec<_>>())?;
    Ok(Outcome::near(&x, &expected, 1e-6)?.and(valid))
}

pub fn roundtrip(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let (numbers, width) = (case.f32("in.unit_vec")?, case.width("in.unit_vec")? as u32);
    let rows = numbers.len() as u32 / width;
    let mut t = codec::tensors(gpu);
    let x = t.f32([rows, 1, width], &numbers);
    let words = t.u32([rows, 1, code_words(width)], &vec![0; (rows * code_words(width)) as usize]);
    let op = AlphaEarth::new(gpu, &desc(width))?;
    let args = AlphaEarthQuantise { x: t.view(x), valid: None, codes: t.view(words) };
    t.run(|recorder| op.quantise(recorder, &args))?;
    let codes = unpack_codes(&t.read_u32(words), width as usize);
    let same = Outcome::same(&codes, &case.i8("out.code")?)?;
    let (x, _) = dequantise(gpu, &codes, width)?;
    Ok(Outcome::near(&x, &case.f64("out.dequant_f32")?, 1e-6)?.and(same))
}

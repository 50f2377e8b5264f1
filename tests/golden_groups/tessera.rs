//! Tessera.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, codec, encode, encode_given};
use gtca::encode::codec::{
    Tessera, TesseraDequantise, TesseraDesc, TesseraQuantise, TesseraRule, code_words, unpack_codes,
};
use gtca::encode::{Block, Plan, Source, Tessera as Encoding};
use gtca::gpu::Gpu;
use gtca::linear::{Forward, Linear, LinearDesc};
use gtca::records::Record;

/// Codes and scales must be the same, and what the codes give back.
fn int8(gpu: &'static Gpu, case: &Case<'_>, rule: TesseraRule) -> Result<Outcome> {
    // The rule per tensor was run on the embeddings of the rule per row.
    let given = if case.has("in.emb") { *case } else { case.beside("int8_row").unwrap_or(*case) };
    let (numbers, width) = (given.f32("in.emb")?, given.width("in.emb")? as u32);
    let rows = numbers.len() as u32 / width;
    let op = Tessera::new(&TesseraDesc { width, rule })?;
    let mut t = codec::tensors(gpu);
    let x = t.f32([rows, 1, width], &numbers);
    let words = t.u32([rows, 1, code_words(width)], &vec![0; (rows * code_words(width)) as usize]);
    let scales = t.poisoned([if rule.is_per_row() { rows } else { 1 }, 1, 1]);
    let back = t.poisoned([rows, 1, width]);
    let (codes, scales_view) = (t.view(words), t.view(scales));
    t.run(|recorder| {
        op.quantise(recorder, &TesseraQuantise { x: t.view(x), codes, scales: scales_view })?;
        op.dequantise(recorder, &TesseraDequantise { codes, scales: scales_view, x: t.view(back) })
    })?;
    let codes = unpack_codes(&t.read_u32(words), width as usize);
    let codes = Outcome::same(&codes, &case.i8("out.code")?)?;
    let same = codes.and(Outcome::near(&t.read(scales), &case.f64("out.scale")?, 0.0)?);
    if !case.has("out.dequant") {
        return Ok(same);
    }
    Ok(same.and(Outcome::near(&t.read(back), &case.f64("out.dequant")?, 0.0)?))
}

pub fn int8_row(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let rule = match case.variant() {
        "v1_1" => TesseraRule::RowV1_1,
        "v2" => TesseraRule::RowV2,
        other => return Err(format!("no rule is called `{other}`").into()),
    };
    int8(gpu, case, rule)
}

pub fn int8_tensor(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    match case.variant() {
        "v1" => int8(gpu, case, TesseraRule::TensorV1),
        other => Err(format!("no rule is called `{other}`").into()),
    }
}

/// Upstream also encodes day 0, which no record holds: days come in by the second view. Those that records hold give the
/// same.
pub fn doy_pe(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let days = case.f32("in.doy")?;
    let ours = Encoding::DayOfYear { width: case.i32("in.dim")?[0] as u32 };
    let waves = ours.waves().reading(Source::DayOfYear, Source::Given(0));
    let given = Plan::new(&[Block::Waves { name: "doy", waves, validity: false }])?;
    let nobody = vec![Record::new(); days.len()];
    let e = encode_given(gpu, given, &nobody, &[], &days)?;
    let known = |day: f32| (1.0..=366.0).contains(&day) && day.fract() == 0.0;
    let record = |&day: &f32| {
        if known(day) { Record::new().year(2024).day_of_year(day as i32) } else { Record::new() }
    };
    let records: Vec<_> = days.iter().map(record).collect();
    let plan = Plan::new(&[Block::Tessera(ours)])?;
    let width = plan.width() as usize;
    let of_records = encode(gpu, plan, &records, &[])?;
    for ((day, ours), given) in days.iter().zip(of_records.chunks(width)).zip(e.chunks(width)) {
        if known(*day) && ours != given {
            return Err(format!("day {day} of a record differs from the number").into());
        }
    }
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Frequencies and phases, then upstream's linear layer by our own.
pub fn learned_freq(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let (days, frequencies) = (case.f32("in.doy")?, case.f32("in.freqs")?);
    let (count, rows) = (frequencies.len(), days.len() as u32);
    // Upstream has as many phases as outputs, and uses the first two a frequency.
    let phases = &case.f32("in.phase")?[..2 * count];
    let plan = Plan::new(&[Block::TesseraFrequencies { source: Source::Given(0), count: count as u32 }])?;
    let nobody = vec![Record::new(); days.len()];
    let arena = [&frequencies[..], phases].concat();
    let waves = encode_given(gpu, plan, &nobody, &arena, &days)?;
    let (weight, bias) = (case.f32("in.proj_weight")?, case.f32("in.proj_bias")?);
    let (inputs, outputs) = (2 * count as u32, bias.len() as u32);
    let linear = Linear::new(&LinearDesc { inputs, outputs, ..Default::default() })?;
    let mut t = codec::tensors(gpu);
    let x = t.f32([rows, 1, inputs], &waves);
    let weight = t.f32([outputs, 1, inputs], &weight);
    let bias = t.f32([1, 1, outputs], &bias);
    let y = t.poisoned([rows, 1, outputs]);
    let args =
        Forward { x: t.view(x), weight: t.view(weight), bias: Some(t.view(bias)), pre: None, y: t.view(y) };
    t.run(|recorder| linear.forward(recorder, &args))?;
    Outcome::near(&t.read(y), &case.f64("out_f64")?, 1e-6)
}

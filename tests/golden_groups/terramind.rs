//! TerraMind.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, encode_tokens, lonlat_records, pairs};
use gtca::encode::{
    Axis, Block, Coordinate, Plan, TerraMind, TerraMindCoordinate, TokenGrid, terramind_text,
};
use gtca::gpu::Gpu;
use gtca::records::Record;

/// The words must be the same, and so must the rows that the kernel takes, `-0.00` told from `0.00`.
pub fn coords(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let lonlat_deg = case.f64("in.lonlat_deg")?;
    let (words, longest) = (case.u8("out.text_utf8_zero_padded")?, case.width("out.text_utf8_zero_padded")?);
    let lengths = case.i32("out.text_len")?;
    for ([lon, lat], (upstream, length)) in pairs(&lonlat_deg).zip(words.chunks(longest).zip(&lengths)) {
        let (ours, theirs) = (format!("{} [EOS]", terramind_text(lat, lon)), &upstream[..*length as usize]);
        if ours.as_bytes() != theirs {
            return Err(format!("`{ours}` against upstream's `{}`", String::from_utf8_lossy(theirs)).into());
        }
    }
    let axes = [Coordinate::Lat, Coordinate::Lon];
    let axes = axes.map(|axis| TerraMindCoordinate { axis, width: 1, strict: true });
    // Every row of the tables holds its own number, after the missing vector.
    let table = |of: TerraMindCoordinate| std::iter::once(-1.0).chain((0..of.rows()).map(|row| row as f32));
    let arena: Vec<_> = axes.into_iter().flat_map(table).collect();
    let plan = Plan::new(&axes.map(Block::TerraMindCoordinate))?;
    let rows = encode(gpu, plan, &lonlat_records(&lonlat_deg), &arena)?;
    let quantised = case.f64("out.quantised_latlon_deg_f64")?;
    let row = |of: TerraMindCoordinate, degrees| of.row(degrees).map_or(-1.0, f64::from);
    let expected: Vec<_> =
        pairs(&quantised).flat_map(|[lat, lon]| [row(axes[0], lat), row(axes[1], lon)]).collect();
    Outcome::near(&rows, &expected, 0.0)
}

fn tokens(gpu: &'static Gpu, encoding: TerraMind, grid: TokenGrid, shape: [u32; 3]) -> Result<Vec<f32>> {
    let plan = Plan::new(&[Block::TerraMind { encoding, validity: false }])?;
    encode_tokens(gpu, plan, &[Record::new()], &[], grid, shape[1])
}

pub fn seq_posemb1d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.i32("in.len_dim")?;
    let [length, width] = [input[0] as u32, input[1] as u32];
    let grid = TokenGrid { frame: Axis { count: length, stride: 1 }, ..Default::default() };
    let got = tokens(gpu, TerraMind::Sequence { width }, grid, [1, length, width])?;
    Outcome::near(&got, &case.f64("out_f64")?, 1e-6)
}

/// Upstream gives f32 alone: ours is compared with the formula in f64, and upstream with ours within its own error.
pub fn img_posemb2d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let input = case.i32("in.hwd")?;
    let [height, across, width] = [0, 1, 2].map(|i| input[i] as u32);
    let axis = |count, stride| Axis { count, stride };
    let grid = TokenGrid { row: axis(across, height), column: axis(height, 1), ..Default::default() };
    let got = tokens(gpu, TerraMind::Image { width }, grid, [1, height * across, width])?;
    let n = width / 4;
    let reference: Vec<f64> = (0..height * across)
        .flat_map(|k| [k / height, k % height])
        .flat_map(|p| {
            let angle = move |i: u32| f64::from(p) * 1e4f64.powf(-f64::from(i) / f64::from(n));
            (0..n).map(move |i| angle(i).sin()).chain((0..n).map(move |i| angle(i).cos()))
        })
        .collect();
    // Upstream rounds each frequency and each angle to f32: 2⁻²³ of the largest angle, and its sine.
    let theirs = f64::from(height.max(across)) * 2f64.powi(-23) + 1e-6;
    let upstream = Outcome::near(&got, &case.f64("out_f32")?, theirs)?;
    Ok(Outcome::near(&got, &reference, 1e-6)?.and(upstream))
}

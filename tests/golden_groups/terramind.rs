//! TerraMind.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, lonlat_records, pairs};
use gtca::encode::{Block, Coordinate, Plan, TerraMindCoordinate, terramind_text};
use gtca::gpu::Gpu;

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

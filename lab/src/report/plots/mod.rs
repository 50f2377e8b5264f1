//! Plots as inline SVG.

pub(super) mod canvas;
mod figures;
mod palette;

pub(super) use canvas::DrawError;
pub(super) use figures::{bars, distance, months, mu, reliability};
pub(super) use palette::{glyph, hex, look};

/// A finished plot.
pub(super) struct Figure {
    /// The SVG element.
    pub(super) svg: String,
    /// Models drawn in it.
    pub(super) models: Vec<String>,
    /// Width of the canvas, twice the width on the page.
    pub(super) width: u32,
}

/// The labels of an axis, for the tests.
#[cfg(test)]
pub(super) fn tick_labels(from: f64, to: f64, scale: f64) -> Vec<String> {
    canvas::ticks(from, to, 4.0, scale).into_iter().map(|t| t.1).collect()
}

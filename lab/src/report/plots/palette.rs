//! One colour and one marker a model. Colours are Okabe and Ito's, which readers with any colour vision can tell.

use crate::data::fnv64;
use plotters::style::RGBColor;

/// How a point is drawn, so that colour is never the only sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// For models that the lab does not train.
const OTHERS: [(RGBColor, Marker); 5] = [
    (RGBColor(0, 114, 178), Marker::Circle),
    (RGBColor(213, 94, 0), Marker::Square),
    (RGBColor(0, 158, 115), Marker::Triangle),
    (RGBColor(204, 121, 167), Marker::Diamond),
    (RGBColor(0, 0, 0), Marker::Circle),
];

/// Colour and marker of a model.
pub(in super::super) fn look(model: &str) -> (RGBColor, Marker) {
    match model {
        "no metadata" => (RGBColor(90, 90, 90), Marker::Diamond),
        "LoRA" => (RGBColor(0, 114, 178), Marker::Square),
        "concat" => (RGBColor(213, 94, 0), Marker::Triangle),
        "GTCA" => (RGBColor(0, 158, 115), Marker::Circle),
        "Bayes p(y|x)" => (RGBColor(86, 180, 233), Marker::Diamond),
        "Bayes p(y|x,m)" => (RGBColor(204, 121, 167), Marker::Square),
        "Bayes of the sample" => (RGBColor(230, 159, 0), Marker::Triangle),
        other => OTHERS[(fnv64(&[other.as_bytes()]) % OTHERS.len() as u64) as usize],
    }
}

/// A model's colour as CSS writes it.
pub(in super::super) fn hex(model: &str) -> String {
    let (RGBColor(r, g, b), _) = look(model);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A model's marker as a character.
pub(in super::super) fn glyph(model: &str) -> char {
    match look(model).1 {
        Marker::Circle => '●',
        Marker::Square => '■',
        Marker::Triangle => '▲',
        Marker::Diamond => '◆',
    }
}

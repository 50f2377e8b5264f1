//! A drawing surface with panels, axes and data coordinates over the SVG backend of plotters.
//!
//! The backend has whole pixels and no fonts are looked up; so the page shows a canvas at half its size.

use std::io;

use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle};

use super::palette::Marker;

/// What drawing can fail with.
pub(in super::super) type DrawError = DrawingAreaErrorKind<io::Error>;

const INK: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(226, 226, 226);
const FRAME: RGBColor = RGBColor(140, 140, 140);
const TEXT_SIZE: f64 = 28.0;

/// An SVG in the making.
pub(in super::super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws on a canvas of `size` and returns the SVG element, named `label` for screen readers.
pub(in super::super) fn draw(
    size: (u32, u32),
    label: &str,
    paint: impl FnOnce(&Canvas<'_>) -> Result<(), DrawError>,
) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        paint(&canvas)?;
        canvas.area.present()?;
    }
    Ok(svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1))
}

/// One axis: its name, its range, and its ticks with their labels.
pub(in super::super) struct Axis {
    pub(in super::super) label: &'static str,
    pub(in super::super) from: f64,
    pub(in super::super) to: f64,
    pub(in super::super) ticks: Vec<(f64, String)>,
}

/// Where a panel lies on the canvas, in pixels.
#[derive(Clone, Copy)]
pub(in super::super) struct Place {
    pub(in super::super) left: i32,
    pub(in super::super) top: i32,
    pub(in super::super) width: i32,
    pub(in super::super) height: i32,
}

/// Axes with data coordinates.
pub(in super::super) struct Panel<'a, 'b> {
    canvas: &'a Canvas<'b>,
    place: Place,
    x: Axis,
    y: Axis,
}

impl Canvas<'_> {
    pub(in super::super) fn text(
        &self,
        text: &str,
        at: (i32, i32),
        anchor: (HPos, VPos),
        color: &RGBColor,
    ) -> Result<(), DrawError> {
        let style: TextStyle<'_> = ("sans-serif", TEXT_SIZE).into_font().color(color);
        self.area.draw_text(text, &style.pos(Pos::new(anchor.0, anchor.1)), at)
    }

    fn line(&self, points: Vec<(i32, i32)>, color: RGBAColor, width: u32) -> Result<(), DrawError> {
        self.area.draw(&PathElement::new(points, ShapeStyle { color, filled: false, stroke_width: width }))
    }
}

impl<'a, 'b> Panel<'a, 'b> {
    /// Draws grid, ticks and names of the axes.
    pub(in super::super) fn new(
        canvas: &'a Canvas<'b>,
        place: Place,
        x: Axis,
        y: Axis,
    ) -> Result<Self, DrawError> {
        let panel = Self { canvas, place, x, y };
        let Place { left, top, width, height } = place;
        let typeset =
            |label: &str| label.strip_prefix('-').map_or(label.to_owned(), |rest| format!("−{rest}"));
        for (value, label) in &panel.y.ticks {
            let y = panel.at((panel.x.from, *value)).1;
            canvas.line(vec![(left, y), (left + width, y)], GRID.to_rgba(), 2)?;
            canvas.text(&typeset(label), (left - 12, y), (HPos::Right, VPos::Center), &INK)?;
        }
        for (value, label) in &panel.x.ticks {
            let x = panel.at((*value, panel.y.from)).0;
            canvas.line(vec![(x, top + height), (x, top + height + 8)], FRAME.to_rgba(), 2)?;
            canvas.text(&typeset(label), (x, top + height + 16), (HPos::Center, VPos::Top), &INK)?;
        }
        canvas.line(vec![(left, top + height), (left + width, top + height)], FRAME.to_rgba(), 2)?;
        canvas.text(panel.y.label, (left, top - 20), (HPos::Left, VPos::Bottom), &INK)?;
        let below = (left + width / 2, top + height + 54);
        canvas.text(panel.x.label, below, (HPos::Center, VPos::Top), &INK)?;
        Ok(panel)
    }

    /// Data to pixels.
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let Place { left, top, width, height } = self.place;
        let across = (x - self.x.from) / (self.x.to - self.x.from);
        let up = (y - self.y.from) / (self.y.to - self.y.from);
        (
            left + (across * f64::from(width)).round() as i32,
            top + height - (up * f64::from(height)).round() as i32,
        )
    }

    fn pixels(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        points.iter().map(|&p| self.at(p)).collect()
    }

    pub(in super::super) fn line(&self, points: &[(f64, f64)], color: RGBColor) -> Result<(), DrawError> {
        self.canvas.line(self.pixels(points), color.to_rgba(), 4)
    }

    /// A straight dashed line.
    pub(in super::super) fn dashed(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        color: RGBColor,
    ) -> Result<(), DrawError> {
        let (a, b) = (self.at(from), self.at(to));
        let length = f64::from(b.0 - a.0).hypot(f64::from(b.1 - a.1));
        let dashes = ((length / 18.0).floor() as i32).max(1);
        let point = |half: i32| {
            let part = f64::from(half) / f64::from(2 * dashes - 1);
            let along = |a: i32, b: i32| a + (part * f64::from(b - a)).round() as i32;
            (along(a.0, b.0), along(a.1, b.1))
        };
        (0..dashes)
            .try_for_each(|d| self.canvas.line(vec![point(2 * d), point(2 * d + 1)], color.to_rgba(), 3))
    }

    /// The area between two courses, given as (x, low, high).
    pub(in super::super) fn band(
        &self,
        course: &[(f64, f64, f64)],
        color: RGBColor,
    ) -> Result<(), DrawError> {
        let low = course.iter().map(|&(x, low, _)| (x, low));
        let high = course.iter().rev().map(|&(x, _, high)| (x, high));
        let outline: Vec<(f64, f64)> = low.chain(high).collect();
        self.canvas.area.draw(&Polygon::new(self.pixels(&outline), color.mix(0.13)))
    }

    /// A vertical bar from the axis to `to.1`, `width` wide in units of x.
    pub(in super::super) fn bar(
        &self,
        to: (f64, f64),
        width: f64,
        color: RGBAColor,
    ) -> Result<(), DrawError> {
        let corners = [self.at((to.0 - width / 2.0, to.1)), self.at((to.0 + width / 2.0, self.y.from))];
        self.canvas.area.draw(&Rectangle::new(corners, color.filled()))
    }

    pub(in super::super) fn marker(
        &self,
        at: (f64, f64),
        size: i32,
        marker: Marker,
        color: RGBColor,
    ) -> Result<(), DrawError> {
        let ((x, y), s) = (self.at(at), size);
        let outline = match marker {
            Marker::Circle => return self.canvas.area.draw(&Circle::new((x, y), s, color.filled())),
            Marker::Square => vec![(x - s, y - s), (x + s, y - s), (x + s, y + s), (x - s, y + s)],
            Marker::Triangle => vec![(x, y - s - 2), (x + s + 1, y + s - 1), (x - s - 1, y + s - 1)],
            Marker::Diamond => vec![(x, y - s - 2), (x + s + 2, y), (x, y + s + 2), (x - s - 2, y)],
        };
        self.canvas.area.draw(&Polygon::new(outline, color))
    }

    /// A bar from the left to `to.0`, `width` high in units of y.
    pub(in super::super) fn lying_bar(
        &self,
        to: (f64, f64),
        width: f64,
        color: RGBAColor,
    ) -> Result<(), DrawError> {
        let corners = [self.at((self.x.from, to.1 + width / 2.0)), self.at((to.0, to.1 - width / 2.0))];
        self.canvas.area.draw(&Rectangle::new(corners, color.filled()))
    }

    pub(in super::super) fn dot(&self, at: (f64, f64), size: i32, color: RGBAColor) -> Result<(), DrawError> {
        self.canvas.area.draw(&Circle::new(self.at(at), size, color.filled()))
    }

    /// Lines up from the ticks of x.
    pub(in super::super) fn meridians(&self, color: RGBColor) -> Result<(), DrawError> {
        let line = |x: f64| vec![self.at((x, self.y.from)), self.at((x, self.y.to))];
        self.x.ticks.iter().try_for_each(|(x, _)| self.canvas.line(line(*x), color.to_rgba(), 2))
    }

    /// A coloured circle with a text over the panel's upper edge.
    pub(in super::super) fn swatch(
        &self,
        at: (f64, f64),
        text: &str,
        color: RGBColor,
    ) -> Result<(), DrawError> {
        let (x, y) = self.at(at);
        self.canvas.area.draw(&Circle::new((x, y - 44), 11, color.filled()))?;
        self.canvas.text(text, (x + 22, y - 44), (HPos::Left, VPos::Center), &INK)
    }

    /// A name over the panel, in the middle.
    pub(in super::super) fn heading(&self, text: &str, color: RGBColor) -> Result<(), DrawError> {
        let at = (self.place.left + self.place.width / 2, self.place.top - 50);
        self.canvas.text(text, at, (HPos::Center, VPos::Bottom), &color)
    }

    /// A name over the panel, to the right.
    pub(in super::super) fn title(&self, text: &str, color: RGBColor) -> Result<(), DrawError> {
        let at = (self.place.left + self.place.width, self.place.top - 20);
        self.canvas.text(text, at, (HPos::Right, VPos::Bottom), &color)
    }
}

/// About `count` round ticks that cover `from..=to`, with the decimals they need; the first and the last enclose the
/// range. `scale` multiplies the labels (100 for per cent).
pub(in super::super) fn ticks(from: f64, to: f64, count: f64, scale: f64) -> Vec<(f64, String)> {
    let rough = (to - from) / count;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0].map(|s| s * power).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(10.0 * power);
    let decimals = (-((step * scale).log10() + 1e-9).floor()).max(0.0) as usize;
    let (first, last) = ((from / step + 1e-9).floor() as i64, (to / step - 1e-9).ceil() as i64);
    (first..=last).map(|n| (n as f64 * step, format!("{:.decimals$}", n as f64 * step * scale))).collect()
}

/// An axis that ends on ticks.
pub(in super::super) fn rounded(label: &'static str, from: f64, to: f64, scale: f64) -> Axis {
    let ticks = ticks(from, to, 4.0, scale);
    let (from, to) = (ticks.first().map_or(from, |t| t.0), ticks.last().map_or(to, |t| t.0));
    Axis { label, from, to, ticks }
}

//! A map of single samples: a dot each, darker where the prediction moved further; a graticule, no coastline.

use std::collections::BTreeSet;

use plotters::style::{Color, RGBColor};

use super::super::plots::Figure;
use super::super::plots::canvas::{Axis, DrawError, Panel, Place, draw};
use super::Model;

const WIDTH: i32 = 1180;
const TALLEST: f64 = 760.0;
/// The smallest span of a map in degrees.
const LEAST_SPAN: f64 = 4.0;
const DARK: RGBColor = RGBColor(122, 1, 119);
const LIGHT: RGBColor = RGBColor(252, 205, 180);

/// A window on the earth in degrees.
#[derive(Clone, Copy)]
struct Window {
    lat: [f64; 2],
    lon: [f64; 2],
}

impl Window {
    /// Around the points, with a margin; the whole earth where they spread over half of it.
    fn around(points: impl Iterator<Item = [f64; 2]> + Clone) -> Self {
        let span = |n: usize, most: f64| {
            let low = points.clone().map(|p| p[n]).fold(f64::INFINITY, f64::min);
            let high = points.clone().map(|p| p[n]).fold(f64::NEG_INFINITY, f64::max);
            let margin = (0.06 * (high - low)).max((LEAST_SPAN - (high - low)) / 2.0).max(0.3);
            [(low - margin).max(-most), (high + margin).min(most)]
        };
        let this = Self { lat: span(0, 90.0), lon: span(1, 180.0) };
        if this.lon[1] - this.lon[0] > 180.0 {
            Self { lat: [-90.0, 90.0], lon: [-180.0, 180.0] }
        } else {
            this
        }
    }

    /// Height over width, kilometre for kilometre at the middle latitude.
    fn shape(&self) -> f64 {
        let middle = (self.lat[0] + self.lat[1]) / 2.0;
        let squeeze = middle.to_radians().cos().max(0.3);
        let is_world = self.lon[1] - self.lon[0] >= 360.0;
        (self.lat[1] - self.lat[0]) / ((self.lon[1] - self.lon[0]) * if is_world { 1.0 } else { squeeze })
    }
}

/// Round degrees within a span.
fn graticule([from, to]: [f64; 2], letters: [char; 2]) -> Vec<(f64, String)> {
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0]
        .into_iter()
        .find(|step| (to - from) / step <= 7.0)
        .unwrap_or(60.0);
    let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
    let label = |degrees: f64| match degrees {
        0.0 => "0°".to_owned(),
        _ => format!("{}° {}", degrees.abs(), letters[usize::from(degrees > 0.0)]),
    };
    (first..=last).map(|n| (n as f64 * step, label(n as f64 * step))).collect()
}

/// The samples of a model under one perturbation, with a scale of the colours.
pub(super) fn map(model: &Model, k: usize) -> Result<Option<Figure>, DrawError> {
    let mut points: Vec<([f64; 2], f32)> =
        model.partial.sketch.points().filter_map(|point| Some((point.place, point.changes[k]?))).collect();
    if points.is_empty() {
        return Ok(None);
    }
    // The largest changes are drawn last and stay visible; of samples at one place only the largest would be seen.
    points
        .sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0[0].total_cmp(&b.0[0])).then(a.0[1].total_cmp(&b.0[1])));
    let mut places = BTreeSet::new();
    points.retain(|point| places.insert(point.0.map(f64::to_bits)));
    points.reverse();
    let window = Window::around(points.iter().map(|point| point.0));
    let width = (TALLEST / window.shape()).min(f64::from(WIDTH - 120));
    let height = width * window.shape();
    let place = Place { left: 110, top: 84, width: width as i32, height: height as i32 };
    let size = (place.width as u32 + 150, place.height as u32 + 150);
    let axis =
        |[from, to]: [f64; 2], letters| Axis { label: "", from, to, ticks: graticule([from, to], letters) };
    let name = &model.partial.subject.model;
    let svg = draw(size, "map of changes", |canvas| {
        let panel = Panel::new(canvas, place, axis(window.lon, ['W', 'E']), axis(window.lat, ['S', 'N']))?;
        panel.meridians(RGBColor(226, 226, 226))?;
        for ([lat, lon], change) in &points {
            panel.dot((*lon, *lat), 6, colour(f64::from(*change)).mix(0.8))?;
        }
        scale(&panel, window)
    })?;
    Ok(Some(Figure { width: size.0, svg, models: vec![name.clone()] }))
}

/// Total variation from 0 to 1 as colours, over the map.
fn scale(panel: &Panel<'_, '_>, window: Window) -> Result<(), DrawError> {
    let [from, to] = window.lon;
    let above = window.lat[1];
    for n in 0..=5 {
        let share = f64::from(n) / 5.0;
        let x = from + (to - from) * (0.02 + 0.16 * share * 5.0);
        panel.swatch((x, above), &format!("{share}"), colour(share))?;
    }
    Ok(())
}

/// From light to dark, a little steeper at first, so that small changes are visible.
fn colour(change: f64) -> RGBColor {
    let part = change.clamp(0.0, 1.0).powf(0.75);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(LIGHT.0, DARK.0), mix(LIGHT.1, DARK.1), mix(LIGHT.2, DARK.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_fits_its_points_and_a_wide_one_is_the_whole_earth() {
        let near = Window::around([[-12.0, -60.0], [-8.0, -50.0]].into_iter());
        assert!(near.lat[0] < -12.0 && near.lat[1] > -8.0 && near.lon[0] < -60.0 && near.lon[1] > -50.0);
        assert!(near.lon[1] - near.lon[0] < 13.0);
        let one = Window::around([[89.9, 10.0]].into_iter());
        assert!(one.lat[1] <= 90.0 && one.lon[1] - one.lon[0] >= LEAST_SPAN - 1e-9);
        let wide = Window::around([[0.0, -100.0], [10.0, 120.0]].into_iter());
        assert_eq!((wide.lat, wide.lon), ([-90.0, 90.0], [-180.0, 180.0]));
        let labels: Vec<String> =
            graticule([-13.0, 4.0], ['S', 'N']).into_iter().map(|tick| tick.1).collect();
        assert_eq!(labels, ["10° S", "5° S", "0°"]);
    }

    #[test]
    fn colours_go_from_light_to_dark() {
        assert_eq!((colour(0.0), colour(1.0), colour(7.0)), (LIGHT, DARK, DARK));
        assert!(colour(0.1).1 < LIGHT.1 - 30, "a tenth is visible");
    }
}

//! The plots of one protocol. A plot without anything to show is `None`.

use super::super::summary::{BASELINE, Group, METRICS, Metric, Spread};
use super::super::{Bin, MuPoint};
use super::Figure;
use super::canvas::{Axis, Canvas, DrawError, Panel, Place, draw, rounded, ticks};
use super::palette::look;
use plotters::style::{Color, RGBColor};

const SIZE: (u32, u32) = (740, 500);
const PLACE: Place = Place { left: 84, top: 66, width: 630, height: 348 };
const POINT: i32 = 8;
const DIAGONAL: RGBColor = RGBColor(150, 150, 150);

/// A model's flips at the places of an axis.
struct Course {
    model: String,
    points: Vec<(f64, Spread)>,
}

/// Flips against the distance by which the place is moved, on a logarithmic axis.
pub(in super::super) fn distance(group: &Group<'_>) -> Result<Option<Figure>, DrawError> {
    let km = |name: &str| name.strip_suffix(" km")?.parse::<f64>().ok().filter(|km| *km > 0.0);
    let courses = courses(group, &|name| km(name).map(f64::log10));
    let mut at: Vec<f64> = courses.iter().flat_map(|c| &c.points).map(|p| p.0).collect();
    at.sort_by(f64::total_cmp);
    at.dedup();
    let (Some(&from), Some(&to)) = (at.first(), at.last()) else { return Ok(None) };
    let ticks = at.iter().map(|x| (*x, format!("{:.0}", 10_f64.powf(*x)))).collect();
    let x = Axis { label: "moved by, km", from: from - 0.15, to: to + 0.15, ticks };
    flips("Flipped predictions against the distance of the place", courses, x).map(Some)
}

/// Flips against the months by which the date is shifted; 0 months change nothing.
pub(in super::super) fn months(group: &Group<'_>) -> Result<Option<Figure>, DrawError> {
    // Names carry the typographic minus.
    let shift = |name: &str| name.strip_suffix(" months")?.replace('−', "-").parse::<f64>().ok();
    let mut courses = courses(group, &shift);
    let still = Spread { count: 0, mean: 0.0, sd: None, least: 0.0, most: 0.0 };
    for course in &mut courses {
        course.points.push((0.0, still));
        course.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let far = courses.iter().flat_map(|c| &c.points).map(|p| p.0.abs()).fold(0.0, f64::max);
    if far == 0.0 {
        return Ok(None);
    }
    let ticks = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|part| (part * far, format!("{:+}", part * far)));
    let ticks = ticks.map(|(x, label)| (x, if x == 0.0 { "0".to_owned() } else { label.replace('-', "−") }));
    let x = Axis { label: "shifted by, months", from: -1.08 * far, to: 1.08 * far, ticks: ticks.into() };
    flips("Flipped predictions against the shift of the date", courses, x).map(Some)
}

/// Means and ranges of every model's flips under the perturbations to which `place` gives a place on the axis.
fn courses(group: &Group<'_>, place: &dyn Fn(&str) -> Option<f64>) -> Vec<Course> {
    let mut courses = Vec::new();
    for model in group.models() {
        let mut points = Vec::new();
        for perturbation in group.perturbations() {
            let spread = group.sensitivity(model, perturbation, |s| s.flips);
            if let (Some(x), Some(spread)) = (place(perturbation), spread.filter(|s| s.mean.is_finite())) {
                points.push((x, spread));
            }
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !points.is_empty() {
            courses.push(Course { model: model.to_owned(), points });
        }
    }
    courses
}

fn flips(label: &str, courses: Vec<Course>, x: Axis) -> Result<Figure, DrawError> {
    let y = share_axis(courses.iter().flat_map(|c| &c.points).map(|p| p.1.most));
    let svg = draw(SIZE, label, |canvas| {
        let panel = Panel::new(canvas, PLACE, x, y)?;
        for course in &courses {
            let band: Vec<_> = course.points.iter().map(|(x, s)| (*x, s.least, s.most)).collect();
            panel.band(&band, look(&course.model).0)?;
        }
        for course in &courses {
            let line: Vec<_> = course.points.iter().map(|(x, s)| (*x, s.mean)).collect();
            marked_line(&panel, &line, &course.model)?;
        }
        Ok(())
    })?;
    Ok(Figure { width: SIZE.0, svg, models: courses.into_iter().map(|c| c.model).collect() })
}

/// From 0 to the largest share, at least to 1 %.
fn share_axis(shares: impl Iterator<Item = f64>) -> Axis {
    rounded("flipped, % of the test samples", 0.0, shares.fold(0.01, f64::max), 100.0)
}

fn marked_line(panel: &Panel<'_, '_>, line: &[(f64, f64)], model: &str) -> Result<(), DrawError> {
    let (color, marker) = look(model);
    panel.line(line, color)?;
    line.iter().try_for_each(|&at| panel.marker(at, POINT, marker, color))
}

/// Flips where metadata are missing or come from a far place, as bars with their range over the splits.
pub(in super::super) fn bars(group: &Group<'_>) -> Result<Option<Figure>, DrawError> {
    const SHOWN: [(&str, &str); 3] =
        [("missing", "missing"), ("far, same climate", "far, same"), ("far, other climate", "far, other")];
    let place = |name: &str| SHOWN.iter().position(|(key, _)| *key == name).map(|n| n as f64);
    let courses = courses(group, &place);
    if courses.is_empty() {
        return Ok(None);
    }
    let ticks = SHOWN.iter().enumerate().map(|(n, (_, label))| (n as f64, (*label).to_owned())).collect();
    let x = Axis {
        label: "missing, or a far place (same or other climate)",
        from: -0.5,
        to: SHOWN.len() as f64 - 0.5,
        ticks,
    };
    let y = share_axis(courses.iter().flat_map(|c| &c.points).map(|p| p.1.most));
    let svg = draw(SIZE, "Flipped predictions under missing metadata and far places", |canvas| {
        let panel = Panel::new(canvas, PLACE, x, y)?;
        let width = 0.72 / courses.len() as f64;
        for (n, course) in courses.iter().enumerate() {
            let (color, _) = look(&course.model);
            for (x, spread) in &course.points {
                let x = x + (n as f64 - (courses.len() - 1) as f64 / 2.0) * width;
                panel.bar((x, spread.mean), 0.86 * width, color.mix(0.85))?;
                panel.line(&[(x, spread.least), (x, spread.most)], RGBColor(40, 40, 40))?;
            }
        }
        Ok(())
    })?;
    Ok(Some(Figure { width: SIZE.0, svg, models: courses.into_iter().map(|c| c.model).collect() }))
}

/// Mean accuracy and NLL against the metadata weight, with the model without metadata as a dashed line.
pub(in super::super) fn mu(group: &Group<'_>) -> Result<Option<Figure>, DrawError> {
    let curves: Vec<(&str, Vec<MuPoint>)> = group
        .models()
        .into_iter()
        .map(|m| (m, mean_curve(group, m)))
        .filter(|(_, c)| !c.is_empty())
        .collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let svg = draw((1120, 500), "Accuracy and NLL against the metadata weight", |canvas| {
        mu_panel(canvas, 0, group, &curves, "accuracy", &METRICS[0])?;
        mu_panel(canvas, 560, group, &curves, "NLL, nat", &METRICS[2])
    })?;
    let mut models: Vec<String> = curves.iter().map(|(m, _)| (*m).to_owned()).collect();
    models.extend(group.models().iter().filter(|m| **m == BASELINE).map(|m| (*m).to_owned()));
    models.dedup();
    Ok(Some(Figure { svg, models, width: 1120 }))
}

fn mu_panel(
    canvas: &Canvas<'_>,
    left: i32,
    group: &Group<'_>,
    curves: &[(&str, Vec<MuPoint>)],
    label: &'static str,
    metric: &Metric,
) -> Result<(), DrawError> {
    let lines: Vec<(&str, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|(model, curve)| (*model, curve.iter().map(|p| (p.mu, (metric.of)(&p.scores))).collect()))
        .collect();
    let base = group.score(BASELINE, metric).map(|s| s.mean).filter(|v| v.is_finite());
    let all = || lines.iter().flat_map(|(_, l)| l).map(|p| p.1).chain(base);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    // A flat curve shall look flat.
    let margin = ((0.02 - (high - low)) / 2.0).max(0.0);
    let place = Place { left: left + 96, top: PLACE.top, width: 440, height: PLACE.height };
    let x = Axis { label: "metadata weight μ", from: -0.04, to: 1.04, ticks: ticks(0.0, 1.0, 4.0, 1.0) };
    let panel = Panel::new(canvas, place, x, rounded(label, low - margin, high + margin, 1.0))?;
    if let Some(base) = base {
        panel.dashed((-0.04, base), (1.04, base), look(BASELINE).0)?;
    }
    lines.iter().try_for_each(|(model, line)| marked_line(&panel, line, model))
}

/// The scores of a model at each weight, as means over the splits.
fn mean_curve(group: &Group<'_>, model: &str) -> Vec<MuPoint> {
    let points = || group.results_of(model).flat_map(|m| &m.mu_curve);
    let mut weights: Vec<f64> = points().map(|p| p.mu).filter(|mu| mu.is_finite()).collect();
    weights.sort_by(f64::total_cmp);
    weights.dedup();
    let mean = |mu: f64, of: fn(&MuPoint) -> f64| {
        Spread::of(points().filter(|p| p.mu == mu).map(of)).map_or(f64::NAN, |s| s.mean)
    };
    let curve = weights.into_iter().map(|mu| MuPoint {
        mu,
        scores: super::super::Scores {
            accuracy: mean(mu, |p| p.scores.accuracy),
            macro_f1: mean(mu, |p| p.scores.macro_f1),
            nll: mean(mu, |p| p.scores.nll),
            ece: mean(mu, |p| p.scores.ece),
        },
    });
    curve.filter(|p| p.scores.accuracy.is_finite() && p.scores.nll.is_finite()).collect()
}

/// One reliability diagram a model: accuracy against confidence, the bins of all splits put together.
pub(in super::super) fn reliability(group: &Group<'_>) -> Result<Option<Figure>, DrawError> {
    let all: Vec<(&str, Vec<Bin>)> =
        group.models().into_iter().map(|m| (m, pooled(group, m))).filter(|(_, b)| !b.is_empty()).collect();
    if all.is_empty() {
        return Ok(None);
    }
    const WIDTH: i32 = 400;
    let svg = draw((all.len() as u32 * WIDTH as u32, 440), "Reliability diagrams", |canvas| {
        all.iter().enumerate().try_for_each(|(n, (model, bins))| {
            let place = Place { left: n as i32 * WIDTH + 84, top: 66, width: 290, height: 290 };
            reliability_panel(canvas, place, model, bins)
        })
    })?;
    let width = all.len() as u32 * WIDTH as u32;
    Ok(Some(Figure { width, svg, models: all.into_iter().map(|(m, _)| m.to_owned()).collect() }))
}

fn reliability_panel(canvas: &Canvas<'_>, place: Place, model: &str, bins: &[Bin]) -> Result<(), DrawError> {
    let axis = |label| Axis { label, from: 0.0, to: 1.0, ticks: ticks(0.0, 1.0, 2.0, 1.0) };
    let panel = Panel::new(canvas, place, axis("confidence"), axis("accuracy"))?;
    let (color, marker) = look(model);
    panel.title(model, color)?;
    let total = bins.iter().map(|b| b.count).sum::<u64>() as f64;
    for bin in bins {
        panel.bar((bin.confidence, bin.count as f64 / total), 0.045, color.mix(0.22))?;
    }
    panel.dashed((0.0, 0.0), (1.0, 1.0), DIAGONAL)?;
    let line: Vec<(f64, f64)> = bins.iter().map(|b| (b.confidence, b.accuracy)).collect();
    panel.line(&line, color)?;
    line.iter().try_for_each(|&at| panel.marker(at, POINT - 2, marker, color))
}

/// A model's bins summed over the splits; empty bins are left out.
fn pooled(group: &Group<'_>, model: &str) -> Vec<Bin> {
    let mut sums: Vec<Bin> = Vec::new();
    for result in group.results_of(model) {
        sums.resize(
            sums.len().max(result.reliability.len()),
            Bin { count: 0, accuracy: 0.0, confidence: 0.0 },
        );
        for (sum, bin) in sums.iter_mut().zip(&result.reliability).filter(|(_, bin)| bin.count > 0) {
            sum.count += bin.count;
            sum.accuracy += bin.count as f64 * bin.accuracy;
            sum.confidence += bin.count as f64 * bin.confidence;
        }
    }
    let mean = |b: Bin| {
        let n = b.count as f64;
        Bin { count: b.count, accuracy: b.accuracy / n, confidence: b.confidence / n }
    };
    sums.into_iter().filter(|b| b.count > 0).map(mean).collect()
}

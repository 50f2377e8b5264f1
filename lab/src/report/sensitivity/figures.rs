//! Plots of a sweep. A plot without anything to show is `None`.

use gtca::sensitivity::Tally;
use plotters::style::{Color, RGBColor};

use super::super::plots::canvas::{Axis, DrawError, Panel, Place, draw, rounded, ticks};
use super::super::plots::{Figure, look};
use super::{Model, Page};
use crate::sweep::Estimate;

const SIZE: (u32, u32) = (740, 500);
const PLACE: Place = Place { left: 96, top: 66, width: 618, height: 348 };
const POINT: i32 = 8;
const INK: RGBColor = RGBColor(60, 60, 60);
const PALE: RGBColor = RGBColor(150, 150, 150);
/// More bars cannot be told apart.
const MOST_BARS: usize = 40;

/// A number under one perturbation that is drawn with a band.
pub(super) struct Measure {
    pub(super) label: &'static str,
    /// Multiplies the labels of the axis.
    scale: f64,
    of: fn(&Model, usize) -> Option<Estimate>,
}

pub(super) const FLIPS: Measure = Measure { label: "flipped, %", scale: 100.0, of: |m, k| m.effect(k).flips };
pub(super) const CHANGE: Measure =
    Measure { label: "mean total variation", scale: 1.0, of: |m, k| m.effect(k).change };
pub(super) const ACCURACY: Measure =
    Measure { label: "change of accuracy, points", scale: 100.0, of: |m, k| m.effect(k).accuracy };
pub(super) const NLL: Measure =
    Measure { label: "change of NLL, nat", scale: 1.0, of: |m, k| m.effect(k).nll };
/// The median, with the band of nine samples in ten.
pub(super) const SAMPLES: Measure = Measure { label: "total variation", scale: 1.0, of: spread };

fn spread(model: &Model, k: usize) -> Option<Estimate> {
    let tally = model.partial.overall(k)?;
    let [low, value, high] = [0.05, 0.5, 0.95].map(|share| tally.tv_quantile(share));
    Some(Estimate { value: value?, low: low?, high: high? })
}

struct Course {
    model: String,
    points: Vec<(f64, Estimate)>,
}

fn courses(page: &Page, measure: &Measure, place: &dyn Fn(&str) -> Option<f64>) -> Vec<Course> {
    let of = |model: &Model| {
        let names = page.perturbations().iter().enumerate();
        let mut points: Vec<_> =
            names.filter_map(|(k, name)| Some((place(name)?, (measure.of)(model, k)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Course { model: model.partial.subject.model.clone(), points }
    };
    page.models.iter().map(of).filter(|course| !course.points.is_empty()).collect()
}

/// Kilometres of names like `100 km` and `d100`.
fn kilometres(name: &str) -> Option<f64> {
    let number = name.strip_suffix(" km").or_else(|| name.strip_prefix('d'))?;
    number.parse::<f64>().ok().filter(|km| *km > 0.0)
}

/// Months of names like `+3 months`; the minus may be typographic.
fn months_of(name: &str) -> Option<f64> {
    name.strip_suffix(" months").or_else(|| name.strip_suffix(" month"))?.replace('−', "-").parse().ok()
}

/// Against the distance by which the place is moved, on a logarithmic axis.
pub(super) fn distance(page: &Page, measure: &Measure) -> Result<Option<Figure>, DrawError> {
    let courses = courses(page, measure, &|name| kilometres(name).map(f64::log10));
    let mut at: Vec<f64> = courses.iter().flat_map(|c| &c.points).map(|p| p.0).collect();
    at.sort_by(f64::total_cmp);
    at.dedup();
    let (Some(&from), Some(&to)) = (at.first(), at.last()) else { return Ok(None) };
    let ticks = at.iter().map(|x| (*x, format!("{:.0}", 10_f64.powf(*x)))).collect();
    let x = Axis { label: "moved by, km", from: from - 0.15, to: to + 0.15, ticks };
    lines(courses, measure, x).map(Some)
}

/// Against the months by which the date is shifted; 0 months change nothing.
pub(super) fn months(page: &Page, measure: &Measure) -> Result<Option<Figure>, DrawError> {
    let mut courses = courses(page, measure, &months_of);
    for course in &mut courses {
        course.points.push((0.0, Estimate { value: 0.0, low: 0.0, high: 0.0 }));
        course.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let far = courses.iter().flat_map(|c| &c.points).map(|p| p.0.abs()).fold(0.0, f64::max);
    if far == 0.0 {
        return Ok(None);
    }
    let label = |x: f64| if x == 0.0 { "0".to_owned() } else { format!("{x:+}").replace('-', "−") };
    let ticks = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|part| (part * far, label(part * far)));
    let x = Axis { label: "shifted by, months", from: -1.08 * far, to: 1.08 * far, ticks: ticks.into() };
    lines(courses, measure, x).map(Some)
}

fn lines(courses: Vec<Course>, measure: &Measure, x: Axis) -> Result<Figure, DrawError> {
    let y = axis(measure, courses.iter().flat_map(|c| &c.points).map(|p| p.1));
    let ends = (x.from, x.to);
    let svg = draw(SIZE, measure.label, |canvas| {
        let panel = Panel::new(canvas, PLACE, x, y)?;
        panel.dashed((ends.0, 0.0), (ends.1, 0.0), PALE)?;
        for course in &courses {
            let band: Vec<_> = course.points.iter().map(|(x, e)| (*x, e.low, e.high)).collect();
            panel.band(&band, look(&course.model).0)?;
        }
        for course in &courses {
            let (color, marker) = look(&course.model);
            let line: Vec<_> = course.points.iter().map(|(x, e)| (*x, e.value)).collect();
            panel.line(&line, color)?;
            line.iter().try_for_each(|&at| panel.marker(at, POINT, marker, color))?;
        }
        Ok(())
    })?;
    Ok(Figure { width: SIZE.0, svg, models: courses.into_iter().map(|c| c.model).collect() })
}

/// An axis with 0 and all intervals, at least 1 % high.
fn axis(measure: &Measure, estimates: impl Iterator<Item = Estimate> + Clone) -> Axis {
    let low = estimates.clone().map(|e| e.low).fold(0.0, f64::min);
    let high = estimates.map(|e| e.high).fold(0.0, f64::max);
    let margin = (0.01 - (high - low)).max(0.0);
    rounded(measure.label, low, high + margin, measure.scale)
}

/// The four-way test: a point with its interval for each wrong place.
pub(super) fn four_way(page: &Page, measure: &Measure) -> Result<Option<Figure>, DrawError> {
    let test = page.models[0].diagnosis.four_way;
    let kinds = [(test.neighbour, "neighbour"), (test.far_same, "far, same"), (test.far_other, "far, other")];
    let at = |k: usize| kinds.iter().position(|kind| kind.0 == Some(k));
    let position = |name: &str| {
        let k = page.perturbations().iter().position(|other| other == name)?;
        at(k).map(|n| n as f64)
    };
    let courses = courses(page, measure, &position);
    if courses.is_empty() {
        return Ok(None);
    }
    let ticks = kinds.iter().enumerate().map(|(n, kind)| (n as f64, kind.1.to_owned())).collect();
    let x = Axis { label: "place: climate as at the true place, or other", from: -0.5, to: 2.5, ticks };
    let y = axis(measure, courses.iter().flat_map(|c| &c.points).map(|p| p.1));
    let svg = draw(SIZE, measure.label, |canvas| {
        let panel = Panel::new(canvas, PLACE, x, y)?;
        panel.dashed((-0.5, 0.0), (2.5, 0.0), PALE)?;
        let step = 0.6 / courses.len() as f64;
        for (n, course) in courses.iter().enumerate() {
            let (color, marker) = look(&course.model);
            for (x, estimate) in &course.points {
                let x = x + (n as f64 - (courses.len() - 1) as f64 / 2.0) * step;
                panel.line(&[(x, estimate.low), (x, estimate.high)], color)?;
                panel.marker((x, estimate.value), POINT, marker, color)?;
            }
        }
        Ok(())
    })?;
    Ok(Some(Figure { width: SIZE.0, svg, models: courses.into_iter().map(|c| c.model).collect() }))
}

/// Flips of every group of a grouping under one perturbation.
pub(super) fn groups(page: &Page, grouping: usize, k: usize) -> Result<Option<Figure>, DrawError> {
    let names = &page.models[0].partial.subject.groupings[grouping].groups;
    let share = |model: &Model, group: usize| {
        let tally = model.partial.tables[grouping].group(k as u32, group as u32)?;
        Some((tally.flip_rate()?, tally.count()))
    };
    let shown: Vec<usize> = (0..names.len())
        .filter(|&group| page.models.iter().any(|model| share(model, group).is_some()))
        .collect();
    if shown.len() < 2 || shown.len() > MOST_BARS {
        return Ok(None);
    }
    let shares =
        || page.models.iter().flat_map(|model| shown.iter().filter_map(|&group| share(model, group)));
    let x = rounded("flipped, %", 0.0, shares().map(|s| s.0).fold(0.01, f64::max), 100.0);
    let bar = (44 / page.models.len() as i32).clamp(10, 26);
    let row = bar * page.models.len() as i32 + 16;
    let place = Place { left: 250, top: 20, width: 440, height: row * shown.len() as i32 };
    let size = (SIZE.0, (place.height + 120) as u32);
    let rows = shown.len() as f64;
    let at = |n: usize| rows - 0.5 - n as f64;
    let label = |n: usize, group: usize| (at(n), short(&names[group]));
    let y = Axis {
        label: "",
        from: 0.0,
        to: rows,
        ticks: shown.iter().enumerate().map(|(n, &group)| label(n, group)).collect(),
    };
    let svg = draw(size, "flipped predictions by group", |canvas| {
        let panel = Panel::new(canvas, place, x, y)?;
        for (n, &group) in shown.iter().enumerate() {
            for (m, model) in page.models.iter().enumerate() {
                let Some((share, _)) = share(model, group) else { continue };
                let width = f64::from(bar) / f64::from(row);
                let middle = at(n) - (m as f64 - (page.models.len() - 1) as f64 / 2.0) * width;
                panel.lying_bar(
                    (share, middle),
                    0.86 * width,
                    look(&model.partial.subject.model).0.mix(0.85),
                )?;
            }
        }
        Ok(())
    })?;
    let models = page.models.iter().map(|model| model.partial.subject.model.clone()).collect();
    Ok(Some(Figure { width: size.0, svg, models }))
}

/// A name that fits beside the bars.
fn short(name: &str) -> String {
    match name.chars().count() {
        0..=17 => name.to_owned(),
        _ => name.chars().take(16).chain(['…']).collect(),
    }
}

/// Accuracy against confidence under some wrong metadata, one panel each.
pub(super) fn reliability(page: &Page, shown: &[usize]) -> Result<Option<Figure>, DrawError> {
    let tally =
        |model: &Model, k: usize| model.partial.overall(k).filter(|tally: &Tally| tally.labelled() > 0);
    let shown: Vec<usize> = shown
        .iter()
        .copied()
        .filter(|&k| page.models.iter().any(|model| tally(model, k).is_some()))
        .collect();
    if shown.is_empty() {
        return Ok(None);
    }
    const WIDTH: i32 = 400;
    let size = (shown.len() as u32 * WIDTH as u32, 460);
    let svg = draw(size, "reliability under wrong metadata", |canvas| {
        shown.iter().enumerate().try_for_each(|(n, &k)| {
            let place = Place { left: n as i32 * WIDTH + 84, top: 86, width: 290, height: 290 };
            let axis = |label| Axis { label, from: 0.0, to: 1.0, ticks: ticks(0.0, 1.0, 2.0, 1.0) };
            let panel = Panel::new(canvas, place, axis("confidence"), axis("accuracy"))?;
            panel.heading(&page.perturbations()[k], INK)?;
            panel.dashed((0.0, 0.0), (1.0, 1.0), PALE)?;
            page.models.iter().try_for_each(|model| {
                let (color, marker) = look(&model.partial.subject.model);
                let bins = tally(model, k).map(|tally| tally.reliability());
                // A bin of a handful says nothing.
                let bins = bins.iter().flatten().filter(|bin| bin.count >= 5);
                let line: Vec<_> =
                    bins.filter_map(|bin| Some((bin.confidence()?, bin.accuracy()?))).collect();
                panel.line(&line, color)?;
                line.iter().try_for_each(|&at| panel.marker(at, POINT - 2, marker, color))
            })
        })
    })?;
    let models = page.models.iter().map(|model| model.partial.subject.model.clone()).collect();
    Ok(Some(Figure { width: size.0, svg, models }))
}

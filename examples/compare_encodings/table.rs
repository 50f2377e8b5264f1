//! The measured numbers as Markdown tables and as JSON.

use crate::measure::{Measured, Place, Season};
use crate::schemes::Scheme;
use serde_json::{Value, json};

/// One scheme, measured.
pub struct Line<'a> {
    pub scheme: &'a Scheme,
    pub measured: Measured,
    /// Upstream's own f32 against its f64.
    pub upstream: Option<f64>,
}

impl Line<'_> {
    /// What every table ends with.
    fn tail(&self) -> String {
        let upstream = self.upstream.map_or("–".into(), error);
        format!("{} | {upstream} | {} |\n", error(self.measured.error), self.measured.missing)
    }

    fn place(&self, place: &Place) -> String {
        let one = if place.one_meridian < 1e-6 { "yes" } else { "no" };
        let name = &self.scheme.name;
        let (seam, poles) = (ratio(place.seam), ratio(place.poles));
        let [inside, across] = place.similar;
        format!("| {name} | {seam} | {inside:.3} | {across:.3} | {one} | {poles} | {}", self.tail())
    }

    fn season(&self, season: &Season) -> String {
        let [common, leap] = season.new_year.map(ratio);
        let own = |own| if own { "own" } else { "shared" };
        let days = format!("{} | {}", own(season.leap_day), own(season.day_366));
        let (name, every) = (&self.scheme.name, season.every);
        format!(
            "| {name} | {every:.0} | {common} | {leap} | {days} | {} | {}",
            ratio(season.drift),
            self.tail()
        )
    }

    fn json(&self) -> Value {
        let place = self.measured.place.as_ref().map(|place| {
            json!({ "seam_steps": place.seam, "similarity_inside": place.similar[0], "similarity_across": place.similar[1], "meridian_apart": place.one_meridian, "pole_spread": place.poles })
        });
        let season = self.measured.season.as_ref().map(|season| {
            json!({
                "changes_every_days": season.every,
                "new_year_steps_common": season.new_year[0],
                "new_year_steps_leap": season.new_year[1],
                "leap_day_has_own_code": season.leap_day,
                "day_366_has_own_code": season.day_366,
                "leap_drift_steps": season.drift,
            })
        });
        json!({
            "scheme": self.scheme.name,
            "columns": self.scheme.columns.len(),
            "place": place,
            "season": season,
            "error": self.measured.error,
            "upstream_f32_error": self.upstream,
            "missing": self.measured.missing,
        })
    }
}

/// A distance in steps; below a hundred-thousandth it is rounding.
fn ratio(value: f64) -> String {
    match value {
        _ if value < 1e-5 => "0".into(),
        _ if value < 9.995 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

fn error(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.0e}") }
}

/// Three tables: places, seasons, the rest.
pub fn markdown(lines: &[Line<'_>]) -> String {
    let places = lines.iter().filter_map(|line| Some(line.place(line.measured.place.as_ref()?)));
    let seasons = lines.iter().filter_map(|line| Some(line.season(line.measured.season.as_ref()?)));
    let is_other = |line: &&Line<'_>| line.measured.place.is_none() && line.measured.season.is_none();
    let others =
        lines.iter().filter(is_other).map(|line| format!("| {} | {}", line.scheme.name, line.tail()));
    [
        "| place | step across ±180° | similarity inside | across | 180° = −180° | spread at the poles | error | upstream's f32 | missing |\n|---|---:|---:|---:|---|---:|---:|---:|---|\n".to_owned(),
        places.collect(),
        "\n| season | changes every … days | New Year after a common year | after a leap year | 29 Feb | day 366 | leap drift | error | upstream's f32 | missing |\n|---|---:|---:|---:|---|---|---:|---:|---:|---|\n".to_owned(),
        seasons.collect(),
        "\n| other | error | upstream's f32 | missing |\n|---|---:|---:|---|\n".to_owned(),
        others.collect(),
    ]
    .concat()
}

pub fn json(lines: &[Line<'_>], adapter: &str) -> String {
    let schemes: Vec<_> = lines.iter().map(Line::json).collect();
    format!("{:#}\n", json!({ "adapter": adapter, "schemes": schemes }))
}

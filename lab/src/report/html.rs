//! `report.html`: one file that needs nothing else.

use std::path::Path;

use super::plots::{self, Figure};
use super::summary::{BASELINE, Group, METRICS, Spread, find, groups};
use super::text::signed;
use super::{Results, SplitResult};
use crate::Error;

const STYLE: &str = include_str!("page.css");

/// The whole page; `path` is for the error.
pub(super) fn page(results: &Results, path: &Path) -> Result<String, Error> {
    let groups = groups(results);
    let mut body = head(results);
    body += &overview(&groups);
    for group in &groups {
        body += &section(group).map_err(|e| Error::file(path, e))?;
    }
    body += &list("Skipped", &results.skipped);
    body += &list("Notes", &results.notes);
    Ok(document(&format!("{} / {}", results.dataset, results.task), &body))
}

/// A page that needs nothing else.
pub(super) fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn head(results: &Results) -> String {
    let title = escape(&format!("{} / {}", results.dataset, results.task));
    let classes = escape(&results.classes.join(", "));
    let runs = results.splits.len();
    format!(
        "<h1>{title}</h1>\n<p class=\"facts\">{count} classes: {classes}.<br>{runs} runs: every split under \
         {seeds} model seed{s}, seed {seed}; gtca-lab {version} on {adapter}.</p>\n{HOW_TO_READ}",
        count = results.classes.len(),
        seed = results.seed,
        seeds = results.seeds,
        s = if results.seeds == 1 { "" } else { "s" },
        version = escape(&results.version),
        adapter = escape(&results.adapter),
    )
}

const HOW_TO_READ: &str = "<h2>How to read this</h2>\n\
<p>All models share one backbone that never saw metadata. <b>no metadata</b> is that backbone alone. On it, with the \
same rank, steps and selection, were trained: <b>LoRA</b>, which adds parameters but no metadata; <b>concat</b>, which \
adds place and date as plain numbers; <b>GTCA</b>, whose gates depend on the metadata. Where <b>Bayes</b> rows are \
given, they are the exact posteriors of the synthetic world: from the image, from image and metadata, and under the \
biased sample.</p>\n\
<ul>\n<li>A protocol says what was held out: samples at random, whole sites, regions, spatial blocks or years. \
Metadata that help at random but not across blocks or years were probably memorised.</li>\n\
<li>Accuracy and macro-F1 are better when high; NLL (nat) and ECE are better when low.</li>\n\
<li>A flip is a test sample whose predicted class changes when the image stays and only its metadata are changed. \
Few flips alone are no merit: a model that ignores metadata has none.</li>\n\
<li>The metadata weight μ fades the gates from the null gate (0) to those of the recorded metadata (1), without \
training again.</li>\n</ul>\n";

fn overview(groups: &[Group<'_>]) -> String {
    let mut rows = String::new();
    for group in groups {
        for (n, model) in group.models().iter().enumerate() {
            let count = group.results_of(model).count().to_string();
            rows += if n == 0 { "<tr class=\"first\">" } else { "<tr>" };
            rows += &cell("word", if n == 0 { group.protocol } else { "" });
            rows += &(named(model) + &cell("small", &count));
            for metric in &METRICS {
                rows += &cell("", &spread(group.score(model, metric), fixed));
                let gain = group.gain(model, metric).filter(|_| *model != BASELINE);
                rows += &cell("diff", &gain.map_or(String::new(), |s| spread(Some(s), signed)));
            }
            rows += "</tr>\n";
        }
    }
    let heads: String = METRICS.iter().map(|m| format!("<th>{}</th><th>diff.</th>", m.label)).collect();
    format!(
        "<h2>Scores</h2>\n<div class=\"wide\"><table>\n<caption>Mean ± standard deviation over the runs (splits and model seeds); beside it \
         (diff.) the difference to “{BASELINE}”, taken run by run.</caption>\n<thead><tr><th class=\"word\">protocol</th>\
         <th class=\"word\">model</th><th>runs</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// Everything about one protocol: its plots, its splits one by one, its perturbations.
fn section(group: &Group<'_>) -> Result<String, String> {
    let fail = |e: plots::DrawError| e.to_string();
    let small = [
        figure(plots::distance(group).map_err(fail)?, "Flips when the place is moved", RANGE),
        figure(plots::months(group).map_err(fail)?, "Flips when the date is shifted", RANGE),
        figure(plots::bars(group).map_err(fail)?, "Flips without metadata or far away", BARS),
    ];
    let reliability = plots::reliability(group).map_err(fail)?;
    let mu = plots::mu(group).map_err(fail)?;
    Ok(format!(
        "<h2>Protocol: {protocol}</h2>\n{link}{splits}<div class=\"plots three\">\n{small}</div>\n\
         <div class=\"plots\">\n{mu}{reliability}</div>\n{sensitivity}",
        protocol = escape(group.protocol),
        link = link(group),
        splits = split_table(group),
        small = small.concat(),
        mu = figure(mu, "Scores against the metadata weight", MU),
        reliability = figure(reliability, "Reliability", RELIABILITY),
        sensitivity = sensitivity_table(group),
    ))
}

/// To the page with intervals, map, groups and diagnosis, which is written where perturbations were measured.
fn link(group: &Group<'_>) -> String {
    match group.perturbations().is_empty() {
        true => String::new(),
        false => format!(
            "<p><a href=\"{}\">Sensitivity in depth: diagnosis, groups, map, worst cases</a></p>\n",
            super::sensitivity::file_name(group.protocol)
        ),
    }
}

const RANGE: &str = "Lines are means over the splits, bands reach from the lowest to the highest split.";
const BARS: &str = "Bars are means over the splits, strokes reach from the lowest to the highest split.";
const MU: &str = "Means over the splits; the dashed line is the model without metadata.";
const RELIABILITY: &str = "Points on the dashed diagonal are calibrated; points below it are over-confident. \
Pale bars: the share of samples at that confidence. All splits together.";

/// A plot with its legend and caption, or a line that says that there is nothing to show.
pub(super) fn figure(figure: Option<Figure>, title: &str, caption: &str) -> String {
    let Some(Figure { svg, models, width }) = figure else {
        return format!("<figure><h3>{title}</h3><figcaption>Not measured here.</figcaption></figure>\n");
    };
    let key: String = models.iter().map(|m| format!("<span>{}{}</span>", sign(m), escape(m))).collect();
    format!(
        "<figure><h3>{title}</h3><div class=\"key\">{key}</div><div style=\"max-width:{shown}px\">\n{svg}</div>\
         <figcaption>{caption}</figcaption></figure>\n",
        shown = width / 2,
    )
}

/// Every split by itself; open for the blocks, whose differences matter most.
fn split_table(group: &Group<'_>) -> String {
    let rows: String = group.splits.iter().map(|split| split_rows(group, split)).collect();
    let heads: String = METRICS.iter().map(|m| format!("<th>{}</th><th>diff.</th>", m.label)).collect();
    let open = if group.protocol == "block" { " open" } else { "" };
    format!(
        "<details{open}><summary>Every split by itself ({count})</summary>\n<div class=\"wide\"><table>\n<caption>\
         Scores on each held-out part; beside them (diff.) the difference to “{BASELINE}” on the same part.</caption>\n\
         <thead><tr><th class=\"word\">held out</th><th>seed</th><th>train / val. / test</th>\
         <th class=\"word\">model</th><th>steps</th>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\
         </details>\n",
        count = group.splits.len(),
    )
}

fn split_rows(group: &Group<'_>, split: &SplitResult) -> String {
    let base = find(split, BASELINE);
    let mut rows = String::new();
    let models = group.models();
    for (n, model) in models.iter().filter_map(|m| find(split, m)).enumerate() {
        rows += if n == 0 { "<tr class=\"first\">" } else { "<tr>" };
        let parts = format!("{} / {} / {}", split.train, split.validation, split.test);
        let about = [split.name.clone(), split.seed.to_string(), parts];
        let about = if n == 0 { about } else { Default::default() };
        rows += &(cell("word", &about[0]) + &cell("small", &about[1]) + &cell("small", &about[2]));
        rows += &named(&model.model);
        rows += &cell("small", &if model.steps > 0 { model.steps.to_string() } else { String::new() });
        for metric in &METRICS {
            let value = (metric.of)(&model.scores);
            let base = base.filter(|_| model.model != BASELINE);
            let gain = base.map_or(String::new(), |b| number(value - (metric.of)(&b.scores), signed));
            rows += &(cell("", &fixed(value)) + &cell("diff", &minus(&gain)));
        }
        rows += "</tr>\n";
    }
    rows
}

/// All measures under all perturbations.
fn sensitivity_table(group: &Group<'_>) -> String {
    let mut rows = String::new();
    for perturbation in group.perturbations() {
        let measured = |model: &&str| group.sensitivity(model, perturbation, |s| s.flips).is_some();
        for (n, model) in group.models().iter().filter(|m| measured(m)).enumerate() {
            let mean = |of| group.sensitivity(model, perturbation, of).map_or(f64::NAN, |s| s.mean);
            rows += if n == 0 { "<tr class=\"first\">" } else { "<tr>" };
            rows += &(cell("word", if n == 0 { perturbation } else { "" }) + &named(model));
            rows += &cell("", &number(mean(|s| s.flips), |v| format!("{:.2}", 100.0 * v)));
            for of in [|s| s.kl, |s| s.js, |s| s.tv] as [fn(&super::Sensitivity) -> f64; 3] {
                rows += &cell("", &number(mean(of), divergence));
            }
            rows += &(cell("", &fixed(mean(|s| s.accuracy))) + &cell("", &fixed(mean(|s| s.nll))));
            rows += "</tr>\n";
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details><summary>All measures of sensitivity</summary>\n<div class=\"wide\"><table>\n<caption>Means over \
         the splits. KL, JS and total variation compare the prediction under the recorded metadata with the one \
         under the changed metadata; accuracy and NLL are those under the changed metadata.</caption>\n<thead><tr>\
         <th class=\"word\">metadata</th><th class=\"word\">model</th><th>flips, %</th><th>KL, nat</th><th>JS, nat</th>\
         <th>total variation</th><th>accuracy</th><th>NLL</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\
         </details>\n"
    )
}

fn list(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<h2>{title}</h2>\n<ul>\n{items}</ul>\n")
}

pub(super) fn cell(class: &str, text: &str) -> String {
    match class {
        "" => format!("<td>{}</td>", escape(text)),
        _ => format!("<td class=\"{class}\">{}</td>", escape(text)),
    }
}

/// A cell with a model's marker and name.
pub(super) fn named(model: &str) -> String {
    format!("<td class=\"word\">{}{}</td>", sign(model), escape(model))
}

/// A model's marker in its colour.
fn sign(model: &str) -> String {
    format!("<span style=\"color:{}\">{}</span> ", plots::hex(model), plots::glyph(model))
}

fn spread(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    let Some(spread) = spread else { return "–".to_owned() };
    let mean = number(spread.mean, |v| minus(&show(v)));
    match spread.sd.filter(|sd| sd.is_finite()) {
        Some(sd) => format!("{mean} ± {sd:.3}"),
        None => mean,
    }
}

pub(super) fn number(value: f64, show: impl Fn(f64) -> String) -> String {
    if value.is_finite() { show(value) } else { "–".to_owned() }
}

fn fixed(value: f64) -> String {
    number(value, |v| format!("{v:.3}"))
}

/// Small numbers keep their size; below one unit of the exact sums (2⁻²⁶) there is nothing to tell.
pub(super) fn divergence(value: f64) -> String {
    match value {
        v if v < 1.0 / f64::from(1 << 26) => "< 1.5e-8".to_owned(),
        v if v < 1e-3 => format!("{v:.1e}"),
        v => format!("{v:.4}"),
    }
}

pub(super) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

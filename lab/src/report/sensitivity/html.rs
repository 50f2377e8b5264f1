//! The page itself.

use super::super::html::{cell, divergence, document, escape, figure, minus, named, number};
use super::super::plots::DrawError;
use super::{Model, Page, figures, map};
use crate::sweep::{Case, Effect, Estimate};

/// Worst cases shown of a model.
const MOST_CASES: usize = 12;

pub(super) fn page(page: &Page) -> Result<String, DrawError> {
    let subject = &page.models[0].partial.subject;
    let mut body = head(page);
    body += &diagnosis(page)?;
    body += &curves(page)?;
    body += &maps(page)?;
    body += &groups(page)?;
    body += &reliability(page)?;
    body += &worst(page);
    body += &tables(page);
    Ok(document(&format!("Sensitivity: {}", subject.dataset), &body))
}

fn head(page: &Page) -> String {
    let partial = &page.models[0].partial;
    let subject = &partial.subject;
    let models: Vec<String> = page
        .models
        .iter()
        .map(|model| format!("{} ({} samples)", model.partial.subject.model, model.partial.rows.len()))
        .collect();
    format!(
        "<h1>Sensitivity to wrong metadata: {title}</h1>\n<p class=\"facts\">{count} classes: {classes}.<br>Models: \
         {models}.<br>Intervals: 2.5 to 97.5 % of {replicates} bootstrap resamples by {unit}, in {bags} bags.</p>\n\
         <p>The image stays, only place, date or the like are changed, and the prediction is compared with that under \
         the recorded metadata. No change alone is no merit: a model that ignores metadata has none. What matters is \
         whether a change is justified by what the metadata say about the classes.</p>\n",
        title = escape(&subject.dataset),
        count = subject.classes.len(),
        classes = escape(&subject.classes.join(", ")),
        models = escape(&models.join(", ")),
        replicates = page.replicates,
        unit = escape(&subject.resample),
        bags = partial.bags.len(),
    )
}

/// Verdicts, the four-way plots, and the numbers behind them.
fn diagnosis(page: &Page) -> Result<String, DrawError> {
    let verdict = |model: &Model| {
        let lines: String = model
            .diagnosis
            .verdict
            .iter()
            .map(|line| format!("<li>{}</li>\n", escape(&minus(line))))
            .collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!("<h3>{}</h3>\n<ul>\n{lines}</ul>\n", name(model)),
        }
    };
    let verdicts: String = page.models.iter().map(verdict).collect();
    let plots = [
        figure(
            figures::four_way(page, &figures::ACCURACY)?,
            "Accuracy at a wrong place, less that at the true",
            FOUR,
        ),
        figure(figures::four_way(page, &figures::NLL)?, "NLL at a wrong place, less that at the true", FOUR),
        figure(figures::four_way(page, &figures::CHANGE)?, "Change of probability at a wrong place", FOUR),
    ];
    Ok(format!(
        "<h2>Shortcut diagnosis</h2>\n{verdicts}<div class=\"plots three\">\n{}</div>\n{}",
        plots.concat(),
        effects(page)
    ))
}

const FOUR: &str = "Points with 95 % intervals. Evidence: little at a neighbour and in the same climate, much in another. \
A shortcut: as much in the same climate as in another.";

fn effects(page: &Page) -> String {
    let mut rows = String::new();
    for (k, perturbation) in page.perturbations().iter().enumerate() {
        let compared = page.models.iter().filter(|model| model.diagnosis.effects[k].count > 0);
        for (n, model) in compared.enumerate() {
            let effect = &model.diagnosis.effects[k];
            rows += if n == 0 { "<tr class=\"first\">" } else { "<tr>" };
            rows += &(cell("word", if n == 0 { perturbation } else { "" })
                + &named(&model.partial.subject.model));
            rows += &cell("small", &effect.count.to_string());
            for (of, scale, digits) in COLUMNS {
                rows += &cell(
                    "",
                    &of(effect).map_or("–".to_owned(), |estimate| interval(estimate, scale, digits)),
                );
            }
            rows += "</tr>\n";
        }
    }
    format!(
        "<div class=\"wide\"><table>\n<caption>Each number with its 95 % interval. Settled: the part of the change that \
         falls where the image alone settles the class (weight 1 − H/ln C of the prediction without metadata). \
         Justified: the part that the known posterior makes too; uptake: the part of the posterior's change that the \
         model makes.</caption>\n<thead><tr><th class=\"word\">metadata</th><th class=\"word\">model</th><th>samples</th>\
         <th>flips, %</th><th>change</th><th>accuracy, points</th><th>NLL, nat</th><th>settled, %</th>\
         <th>justified, %</th><th>uptake, %</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
}

type Column = (fn(&Effect) -> Option<Estimate>, f64, usize);
const COLUMNS: [Column; 7] = [
    (|e| e.flips, 100.0, 2),
    (|e| e.change, 1.0, 4),
    (|e| e.accuracy, 100.0, 2),
    (|e| e.nll, 1.0, 3),
    (|e| e.settled_share, 100.0, 0),
    (|e| e.justified_share, 100.0, 0),
    (|e| e.uptake, 100.0, 0),
];

fn interval(estimate: Estimate, scale: f64, digits: usize) -> String {
    let show = |value: f64| {
        let text = format!("{:.digits$}", scale * value);
        // What rounds to zero has no sign.
        if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) {
            text.trim_start_matches('-').to_owned()
        } else {
            minus(&text)
        }
    };
    format!("{} ({} to {})", show(estimate.value), show(estimate.low), show(estimate.high))
}

fn curves(page: &Page) -> Result<String, DrawError> {
    const CAPTION: &str = "Bands are 95 % intervals.";
    const SAMPLES: &str = "The median sample, and a band from 5 to 95 % of the samples.";
    let plots = [
        figure(figures::distance(page, &figures::FLIPS)?, "Flips when the place is moved", CAPTION),
        figure(figures::distance(page, &figures::CHANGE)?, "Change when the place is moved", CAPTION),
        figure(figures::distance(page, &figures::ACCURACY)?, "Accuracy when the place is moved", CAPTION),
        figure(figures::distance(page, &figures::SAMPLES)?, "Samples when the place is moved", SAMPLES),
        figure(figures::months(page, &figures::FLIPS)?, "Flips when the date is shifted", CAPTION),
        figure(figures::months(page, &figures::CHANGE)?, "Change when the date is shifted", CAPTION),
        figure(figures::months(page, &figures::ACCURACY)?, "Accuracy when the date is shifted", CAPTION),
        figure(figures::months(page, &figures::SAMPLES)?, "Samples when the date is shifted", SAMPLES),
    ];
    Ok(format!("<h2>Distance and month</h2>\n<div class=\"plots two\">\n{}</div>\n", plots.concat()))
}

/// The perturbation that is shown where only one can be: another climate, else the one that changes most.
fn shown(page: &Page) -> usize {
    let change = |k: usize| {
        let of = |model: &Model| model.diagnosis.effects[k].change.map_or(0.0, |change| change.value);
        page.models.iter().map(of).fold(0.0, f64::max)
    };
    let most = (0..page.perturbations().len()).max_by(|a, b| change(*a).total_cmp(&change(*b)));
    page.models[0].diagnosis.four_way.far_other.or(most).unwrap_or(0)
}

fn maps(page: &Page) -> Result<String, DrawError> {
    let k = shown(page);
    let mut plots = String::new();
    for model in &page.models {
        let count = model.partial.sketch.points().len();
        let caption = format!(
            "Total variation of each sample's prediction (0 to 1), {count} of {} samples; of those at one place the largest.",
            model.partial.rows.len()
        );
        plots += &figure(
            map::map(model, k)?,
            &format!("Change under “{}”", escape(&page.perturbations()[k])),
            &caption,
        );
    }
    Ok(format!("<h2>Map</h2>\n<div class=\"plots two\">\n{plots}</div>\n"))
}

fn groups(page: &Page) -> Result<String, DrawError> {
    let k = shown(page);
    let mut plots = String::new();
    for (n, grouping) in page.models[0].partial.subject.groupings.iter().enumerate() {
        if let Some(drawn) = figures::groups(page, n, k)? {
            let title =
                format!("By {}, under “{}”", escape(&grouping.column), escape(&page.perturbations()[k]));
            plots += &figure(Some(drawn), &title, "Share of the group's predictions that change class.");
        }
    }
    Ok(match plots.is_empty() {
        true => String::new(),
        false => format!("<h2>Groups</h2>\n<div class=\"plots two\">\n{plots}</div>\n"),
    })
}

fn reliability(page: &Page) -> Result<String, DrawError> {
    let test = page.models[0].diagnosis.four_way;
    let missing = page.models[0].partial.subject.without_metadata();
    let shown: Vec<usize> =
        [test.neighbour, test.far_same, test.far_other, missing].into_iter().flatten().collect();
    let drawn = figures::reliability(page, &shown)?;
    Ok(match drawn {
        None => String::new(),
        drawn => {
            let caption = "Points on the dashed diagonal are calibrated; points below it are over-confident.";
            format!("<h2>Reliability</h2>\n{}", figure(drawn, "Under wrong metadata", caption))
        }
    })
}

fn worst(page: &Page) -> String {
    let k = shown(page);
    let mut tables = String::new();
    for model in &page.models {
        let cases = &model.partial.worst.of(k)[..model.partial.worst.of(k).len().min(MOST_CASES)];
        if cases.is_empty() {
            continue;
        }
        let classes = &model.partial.subject.classes;
        let rows: String = cases.iter().map(|case| case_row(case, classes)).collect();
        tables += &format!(
            "<div class=\"wide\"><table>\n<caption>{}</caption>\n<thead><tr><th class=\"word\">id</th><th>latitude</th>\
             <th>longitude</th><th class=\"word\">date</th><th class=\"word\">label</th><th class=\"word\">predicted</th>\
             <th class=\"word\">then</th><th>change</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n",
            name(model)
        );
    }
    match tables.is_empty() {
        true => String::new(),
        false => format!(
            "<h2>Worst cases under “{}”</h2>\n<div class=\"plots two\">\n{tables}</div>\n",
            escape(&page.perturbations()[k])
        ),
    }
}

fn case_row(case: &Case, classes: &[String]) -> String {
    let class = |class: u32| classes.get(class as usize).map_or("", String::as_str);
    let degrees = |degrees: f64| minus(&format!("{degrees:.4}"));
    [
        "<tr>".to_owned(),
        cell("word", &case.id),
        cell("", &degrees(case.place[0])),
        cell("", &degrees(case.place[1])),
        cell("word", &case.date),
        cell("word", case.label.map_or("", class)),
        cell("word", class(case.predicted[0])),
        cell("word", class(case.predicted[1])),
        cell("", &format!("{:.4}", case.change)),
        "</tr>\n".to_owned(),
    ]
    .concat()
}

/// Every perturbation in every group.
fn tables(page: &Page) -> String {
    let mut all = String::new();
    for model in &page.models {
        for (table, grouping) in model.partial.tables.iter().zip(&model.partial.subject.groupings) {
            let mut rows = String::new();
            for (k, perturbation) in page.perturbations().iter().enumerate() {
                let mut is_first = true;
                for (group, name) in (0..).zip(&grouping.groups) {
                    let Some(tally) = table.group(k as u32, group).filter(|tally| tally.count() > 0) else {
                        continue;
                    };
                    rows += if is_first { "<tr class=\"first\">" } else { "<tr>" };
                    rows += &(cell("word", if is_first { perturbation } else { "" }) + &cell("word", name));
                    rows += &cell("small", &tally.count().to_string());
                    rows += &cell(
                        "",
                        &number(tally.flip_rate().unwrap_or(f64::NAN), |v| format!("{:.2}", 100.0 * v)),
                    );
                    for value in [tally.kl().value(), tally.js().value(), tally.tv().value()] {
                        rows += &cell("", &number(value.unwrap_or(f64::NAN), divergence));
                    }
                    for value in [tally.accuracy(), tally.nll().value(), tally.ece()] {
                        rows += &cell("", &number(value.unwrap_or(f64::NAN), |v| format!("{v:.3}")));
                    }
                    rows += "</tr>\n";
                    is_first = false;
                }
            }
            all += &format!(
                "<details><summary>{} by {}</summary>\n<div class=\"wide\"><table>\n<thead><tr><th class=\"word\">metadata\
                 </th><th class=\"word\">group</th><th>samples</th><th>flips, %</th><th>KL, nat</th><th>JS, nat</th>\
                 <th>total variation</th><th>accuracy</th><th>NLL</th><th>ECE</th></tr></thead>\n<tbody>\n{rows}</tbody>\
                 </table></div></details>\n",
                name(model),
                escape(&grouping.column)
            );
        }
    }
    format!("<h2>All tables</h2>\n{all}")
}

fn name(model: &Model) -> String {
    escape(&model.partial.subject.model)
}

//! The four-way test in plain language.

use super::bags::Estimate;
use super::diagnosis::Effect;
use super::four_way::FourWay;

/// Flips below this share under every wrong place count as no reaction.
const STILL: f64 = 0.005;
/// An effect is spoken of where its whole interval lies beyond one of these: accuracy, and nat of NLL.
const LEAST: [f64; 2] = [0.005, 0.01];
/// Another climate costs more where it costs so much more than the same climate.
const LEAST_SHARE: f64 = 0.2;

/// What the effects say, a sentence each; empty where there is nothing to go by.
pub(super) fn sentences(effects: &[Effect], four_way: &FourWay, climate: Option<Estimate>) -> Vec<String> {
    let of = |k: Option<usize>| k.and_then(|k| effects.get(k)).filter(|effect| effect.count > 0);
    let [near, same, other] = [four_way.neighbour, four_way.far_same, four_way.far_other].map(of);
    let mut said: Vec<String> = Vec::new();
    let places: Vec<&Effect> = [near, same, other].into_iter().flatten().collect();
    let most = places.iter().filter_map(|effect| effect.flips).map(|flips| flips.value).fold(0.0, f64::max);
    if places.is_empty() {
        return said;
    }
    if most < STILL && !places.iter().any(|effect| costs(effect)) {
        said.push(format!(
            "No wrong place changes more than {:.1} % of the predictions: no shortcut, and no use of the place either.",
            100.0 * most
        ));
    } else {
        said.extend(near.map(neighbour));
        said.extend(far(same, other, climate));
    }
    said.extend(other.or(same).and_then(settled));
    said.extend(other.or(same).and_then(justified));
    said
}

fn costs(effect: &Effect) -> bool {
    effect.nll.is_some_and(|nll| nll.low > LEAST[1]) || effect.accuracy.is_some_and(|a| a.high < -LEAST[0])
}

fn helps(effect: &Effect) -> bool {
    effect.nll.is_some_and(|nll| nll.high < -LEAST[1]) || effect.accuracy.is_some_and(|a| a.low > LEAST[0])
}

fn neighbour(effect: &Effect) -> String {
    let flips = effect.flips.map_or(0.0, |flips| 100.0 * flips.value);
    match (costs(effect), helps(effect)) {
        (true, false) => format!(
            "A neighbouring place already costs {}: places are told apart more finely than they can matter, as if \
             learnt by heart.",
            price(effect)
        ),
        _ => {
            format!("A neighbouring place changes {flips:.1} % of the predictions and costs next to nothing.")
        }
    }
}

fn far(same: Option<&Effect>, other: Option<&Effect>, climate: Option<Estimate>) -> Option<String> {
    let (same, other) = (same?, other?);
    let least = LEAST[1].max(LEAST_SHARE * same.nll.map_or(0.0, |nll| nll.value));
    let beyond = climate.is_some_and(|climate| climate.low > 0.0 && climate.value > least);
    // A place may be evidence beyond its climate; where the posterior is known, it decides and not the look of it.
    let judge = |suspicion: &'static str| match same.justified_share {
        Some(_) => "how much of that is evidence, the known posterior says",
        None => suspicion,
    };
    Some(match (costs(same), costs(other), beyond) {
        (true, _, true) => format!(
            "A far place in the same climate costs {}, one in another climate more ({}): the model uses the climate, \
             and beyond it the place itself; {}.",
            price(same),
            price(other),
            judge("that part looks like a shortcut")
        ),
        (true, _, false) => format!(
            "A far place costs {} in the same climate and {} in another, hardly more: it is the place, not its \
             climate, that the model goes by; {}.",
            price(same),
            price(other),
            judge("this is the mark of a shortcut")
        ),
        (false, true, _) => format!(
            "A far place in the same climate costs next to nothing, one in another climate costs \
             {}: the model uses the climate as evidence.",
            price(other)
        ),
        (false, false, _) if helps(same) || helps(other) => {
            "Far places do not hurt, and some help: on these samples the recorded place misleads the model."
                .to_owned()
        }
        _ => "Far places cost next to nothing.".to_owned(),
    })
}

/// Costs with their intervals, accuracy in points.
fn price(effect: &Effect) -> String {
    let points = effect.accuracy.map(|a| {
        let [value, low, high] = [-a.value, -a.high, -a.low].map(|v| 100.0 * v);
        format!("{value:.1} points of accuracy ({low:.1} to {high:.1})")
    });
    let nats = effect.nll.map(|n| format!("{:.3} nat ({:.3} to {:.3})", n.value, n.low, n.high));
    [points, nats].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn settled(effect: &Effect) -> Option<String> {
    let (share, mean) = (effect.settled_share?, effect.settled?);
    Some(format!(
        "{:.0} % of the change ({:.0} to {:.0}) falls where the image alone settles the class, {:.4} of probability a \
         sample: that part is unjustified.",
        100.0 * share.value,
        100.0 * share.low,
        100.0 * share.high,
        mean.value
    ))
}

fn justified(effect: &Effect) -> Option<String> {
    let (share, uptake) = (effect.justified_share?, effect.uptake?);
    Some(format!(
        "The known posterior justifies {:.0} % of the change ({:.0} to {:.0}); the model takes up {:.0} % of what the \
         posterior would change.",
        100.0 * share.value,
        100.0 * share.low,
        100.0 * share.high,
        100.0 * uptake.value
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An effect with these flips, accuracy and NLL, and narrow intervals.
    fn effect(flips: f64, accuracy: f64, nll: f64) -> Effect {
        let around = |value: f64| Some(Estimate { value, low: value - 0.002, high: value + 0.002 });
        Effect {
            count: 100,
            flips: around(flips),
            change: None,
            accuracy_before: None,
            accuracy: around(accuracy),
            nll: around(nll),
            settled: None,
            settled_share: None,
            justified_share: None,
            uptake: None,
            unjustified: None,
        }
    }

    fn said(near: [f64; 3], same: [f64; 3], other: [f64; 3]) -> String {
        let effects = [near, same, other].map(|[flips, accuracy, nll]| effect(flips, accuracy, nll));
        let value = other[2] - same[2];
        let climate = Some(Estimate { value, low: value - 0.005, high: value + 0.005 });
        let four_way = FourWay { neighbour: Some(0), far_same: Some(1), far_other: Some(2) };
        sentences(&effects, &four_way, climate).join(" ")
    }

    #[test]
    fn the_verdict_names_what_the_four_ways_show() {
        let still = [0.001, 0.0, 0.0];
        for (same, other, word) in [
            (still, still, "no shortcut, and no use of the place"),
            ([0.02, 0.0, 0.001], [0.3, -0.2, 0.4], "uses the climate as evidence"),
            ([0.3, -0.2, 0.4], [0.3, -0.2, 0.42], "mark of a shortcut"),
            ([0.1, -0.05, 0.1], [0.3, -0.2, 0.4], "uses the climate, and beyond it the place"),
            ([0.02, -0.002, 0.004], [0.02, -0.002, 0.004], "cost next to nothing"),
            ([0.1, 0.05, -0.1], [0.1, 0.0, 0.0], "misleads the model"),
        ] {
            let text = said(still, same, other);
            assert!(text.contains(word), "{text} must say {word}");
        }
        let near = said([0.1, -0.05, 0.1], [0.1, -0.05, 0.1], [0.1, -0.05, 0.1]);
        assert!(near.contains("learnt by heart"), "{near}");
    }

    #[test]
    fn a_known_posterior_decides_what_is_a_shortcut() {
        let whole = Some(Estimate { value: 1.0, low: 1.0, high: 1.0 });
        for nll in [0.41, 0.8] {
            let [same, other] = [0.4, nll].map(|nll| effect(0.3, -0.2, nll));
            let known = Effect { justified_share: whole, uptake: whole, ..same };
            let beyond = nll - 0.4;
            let climate = Some(Estimate { value: beyond, low: beyond - 0.005, high: beyond + 0.005 });
            let four_way = FourWay { neighbour: None, far_same: Some(0), far_other: Some(1) };
            let told = sentences(&[same, other], &four_way, climate).join(" ");
            let judged = sentences(&[known, other], &four_way, climate).join(" ");
            assert!(told.contains("shortcut") && !judged.contains("shortcut"), "{told} | {judged}");
        }
    }
}

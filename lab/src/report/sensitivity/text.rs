//! The table that the program prints.

use crate::sweep::Partial;

/// Every perturbation over all rows, as plain text.
pub fn table(partial: &Partial) -> String {
    let mut text = format!(
        "{:<24} {:>10} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8}\n",
        partial.subject.model, "samples", "flips, %", "change", "KL, nat", "accuracy", "NLL", "ECE"
    );
    for (k, name) in partial.subject.perturbations.iter().enumerate() {
        let Some(tally) = partial.overall(k).filter(|tally| tally.count() > 0) else { continue };
        let show =
            |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        text += &format!(
            "{name:<24} {:>10} {:>8} {:>9} {:>9} {:>9} {:>8} {:>8}\n",
            tally.count(),
            show(tally.flip_rate().map(|rate| 100.0 * rate), 2),
            show(tally.tv().value(), 4),
            show(tally.kl().value(), 4),
            show(tally.accuracy(), 4),
            show(tally.nll().value(), 4),
            show(tally.ece(), 4),
        );
    }
    text
}

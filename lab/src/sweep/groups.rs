//! Groups of samples: by class, latitude band, or any column.

use std::collections::BTreeMap;

use super::partial::Grouping;
use crate::Error;
use crate::data::fnv64;

/// More groups than a table can be read with, and than sums should be kept for.
const MOST_GROUPS: usize = 1000;
/// A sample whose group is not known.
const UNKNOWN: &str = "(none)";
/// Degrees of a latitude band, and of a spatial block.
const BAND_DEG: f64 = 10.0;
const BLOCK_DEG: f64 = 2.0;

/// The band of ten degrees in which a latitude lies.
pub(crate) fn latitude_band(lat_deg: f64) -> String {
    let low = ((lat_deg / BAND_DEG).floor() * BAND_DEG).min(90.0 - BAND_DEG) as i32;
    format!("{low}° to {}°", low + BAND_DEG as i32)
}

/// Number of the spatial block of two degrees by two in which a place lies.
pub(crate) fn block(place: [f64; 2]) -> u64 {
    let [lat, lon] = place.map(|degrees| (degrees / BLOCK_DEG).floor() as i64);
    ((lat + 100) * 1000 + lon + 200) as u64
}

/// Number of a named unit of the bootstrap.
pub(crate) fn named_unit(name: &str) -> u64 {
    fnv64(&[name.as_bytes()])
}

/// The distinct names of a column, numbered in their order once all are seen.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary(BTreeMap<String, u32>);

impl Vocabulary {
    /// Takes note of a name.
    pub(crate) fn see(&mut self, column: &str, name: &str) -> Result<(), Error> {
        let name = if name.is_empty() { UNKNOWN } else { name };
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), 0);
            if self.0.len() > MOST_GROUPS {
                let rule =
                    format!("column {column} has more than {MOST_GROUPS} values; group by something coarser");
                return Err(Error::argument("--group-by", rule));
            }
        }
        Ok(())
    }

    /// Numbers the names: by the number they start with where all do, else by the alphabet.
    pub(crate) fn number(&mut self, column: &str) -> Grouping {
        let mut names: Vec<String> = self.0.keys().cloned().collect();
        let leading = |name: &String| name.split(['°', ' ']).next().and_then(|word| word.parse::<f64>().ok());
        let last = |name: &String| name == UNKNOWN;
        if names.iter().all(|name| last(name) || leading(name).is_some()) {
            names.sort_by(|a, b| leading(a).unwrap_or(0.0).total_cmp(&leading(b).unwrap_or(0.0)));
        }
        names.sort_by_key(last);
        names.iter().zip(0..).for_each(|(name, number)| {
            self.0.insert(name.clone(), number);
        });
        Grouping { column: column.to_owned(), groups: names }
    }

    /// The number of a name that was seen.
    pub(crate) fn of(&self, name: &str) -> u32 {
        self.0.get(if name.is_empty() { UNKNOWN } else { name }).copied().unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_in_an_order_that_reads_well() {
        let number = |names: &[&str]| {
            let mut vocabulary = Vocabulary::default();
            names.iter().for_each(|name| vocabulary.see("c", name).unwrap());
            let grouping = vocabulary.number("c");
            grouping.groups.iter().zip(0..).for_each(|(name, n)| assert_eq!(vocabulary.of(name), n));
            grouping.groups
        };
        assert_eq!(number(&["10", "9", "", "-1"]), ["-1", "9", "10", "(none)"]);
        assert_eq!(number(&["urban", "rural", "10"]), ["10", "rural", "urban"]);
        let bands = [-90.0, 90.0, 0.0, -0.1].map(latitude_band);
        let bands: Vec<&str> = bands.iter().map(String::as_str).collect();
        assert_eq!(number(&bands), ["-90° to -80°", "-10° to 0°", "0° to 10°", "80° to 90°"]);
    }

    #[test]
    fn a_column_of_identifiers_is_refused_as_groups() {
        let mut vocabulary = Vocabulary::default();
        let refused =
            (0..2000).find_map(|n| vocabulary.see("site", &n.to_string()).err()).unwrap().to_string();
        assert!(refused.contains("--group-by") && refused.contains("site"), "{refused}");
    }

    #[test]
    fn blocks_are_tiles_of_two_degrees() {
        assert_eq!(block([-11.9, -55.1]), block([-10.1, -54.1]));
        assert_ne!(block([-0.1, 0.0]), block([0.1, 0.0]));
        assert_ne!(block([45.0, 10.0]), block([10.0, 45.0]));
    }
}

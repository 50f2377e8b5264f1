//! What a sweep remembers of single samples: an even sample of them for maps, and the worst. Both are bounded, and
//! both are functions of the set of rows alone, so results merge to the same bits in any order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Samples that are drawn on maps; a data set up to this size is drawn wholly.
const MOST_POINTS: usize = 4096;
/// Samples a perturbation in the list of the worst.
const MOST_WORST: usize = 20;

/// A sample on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Row of the data.
    pub row: u64,
    /// Latitude and longitude in degrees.
    pub place: [f64; 2],
    /// Total variation under each perturbation; none where it was not compared.
    pub changes: Vec<Option<f32>>,
}

/// The rows with the smallest hashes: an even sample, whatever was seen first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sketch(BTreeMap<u64, Point>);

impl Sketch {
    pub(super) fn add(&mut self, point: Point) {
        self.0.insert(mix(point.row), point);
        if self.0.len() > MOST_POINTS {
            self.0.pop_last();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.values().for_each(|point| self.add(point.clone()));
    }

    /// The points, in no order that means anything.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.0.values()
    }
}

/// A sample whose prediction moved far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Total variation between the two predictions.
    pub change: f32,
    /// Row of the data.
    pub row: u64,
    /// The sample's id.
    pub id: String,
    /// Latitude and longitude in degrees.
    pub place: [f64; 2],
    /// The date as the data have it.
    pub date: String,
    /// The label; none where there is none.
    pub label: Option<u32>,
    /// Class predicted under the recorded metadata, and under the wrong.
    pub predicted: [u32; 2],
}

/// The samples of every perturbation that moved most, furthest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worst(Vec<Vec<Case>>);

impl Worst {
    pub(super) fn new(perturbations: usize) -> Self {
        Self(vec![Vec::new(); perturbations])
    }

    /// Adds the sample if it is among the worst; it is made only then.
    pub(super) fn add(&mut self, perturbation: usize, change: f32, row: u64, case: impl FnOnce() -> Case) {
        let list = &mut self.0[perturbation];
        let rank = |change: f32, row: u64| (Reverse(ordered(change)), row);
        let at = list.partition_point(|other| rank(other.change, other.row) < rank(change, row));
        if at < MOST_WORST && change > 0.0 {
            list.insert(at, case());
            list.truncate(MOST_WORST);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (k, list) in other.0.iter().enumerate() {
            list.iter().for_each(|case| self.add(k, case.change, case.row, || case.clone()));
        }
    }

    /// The worst under a perturbation.
    pub fn of(&self, perturbation: usize) -> &[Case] {
        self.0.get(perturbation).map_or(&[], Vec::as_slice)
    }
}

/// Changes are never negative, and bits of such f32 are in their order.
fn ordered(change: f32) -> u32 {
    change.to_bits()
}

/// A bijection that scatters row numbers (SplitMix64's finalizer).
pub(super) fn mix(row: u64) -> u64 {
    let z = row.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(row: u64) -> Point {
        Point { row, place: [0.0, 0.0], changes: vec![Some(row as f32)] }
    }

    fn case(row: u64, change: f32) -> Case {
        let id = row.to_string();
        Case { change, row, id, place: [0.0; 2], date: String::new(), label: None, predicted: [0; 2] }
    }

    #[test]
    fn a_sketch_is_a_function_of_the_rows_and_spreads_over_them() {
        let rows = 3 * MOST_POINTS as u64;
        let of = |rows: &mut dyn Iterator<Item = u64>| {
            let mut sketch = Sketch::default();
            rows.for_each(|row| sketch.add(point(row)));
            sketch
        };
        let whole = of(&mut (0..rows));
        assert_eq!(whole, of(&mut (0..rows).rev()));
        let mut merged = of(&mut (rows / 3..rows));
        merged.merge(&of(&mut (0..rows / 3)));
        assert_eq!(merged, whole);
        assert_eq!(whole.points().len(), MOST_POINTS);
        // A third of the rows gives a third of the points, within five standard deviations (30 points each).
        let low = whole.points().filter(|p| p.row < rows / 3).count();
        assert!(low.abs_diff(MOST_POINTS / 3) < 151, "{low}");
    }

    #[test]
    fn the_worst_are_the_largest_changes_with_ties_by_row() {
        let changes = [0.5, 0.9, 0.0, 0.9, 0.1];
        let mut worst = Worst::new(1);
        for row in [3, 0, 4, 1, 2] {
            worst.add(0, changes[row], row as u64, || case(row as u64, changes[row]));
        }
        assert_eq!(
            worst.of(0).iter().map(|c| c.row).collect::<Vec<_>>(),
            [1, 3, 0, 4],
            "no change is not bad"
        );
        let mut many = Worst::new(1);
        (0..50)
            .for_each(|row| many.add(0, 0.01 * (row + 1) as f32, row, || case(row, 0.01 * (row + 1) as f32)));
        worst.merge(&many);
        assert_eq!((worst.of(0).len(), worst.of(0)[0].row, worst.of(0)[2].row), (MOST_WORST, 1, 0));
        assert_eq!(worst.of(0)[3].row, 49, "as far as row 0, and behind it");
    }
}

//! Which rows of the data a result holds.

use serde::{Deserialize, Serialize};

/// Row numbers as ascending, disjoint, non-touching ranges `[from, to)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows(Vec<[u64; 2]>);

impl Rows {
    /// The rows `from..to`.
    pub fn range(from: u64, to: u64) -> Self {
        Self(if from < to { vec![[from, to]] } else { Vec::new() })
    }

    /// These rows, in any order; none where a row occurs twice.
    pub fn of(rows: &[u64]) -> Option<Self> {
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        let mut this = Self::default();
        for &row in &sorted {
            match this.0.last_mut() {
                Some(last) if row < last[1] => return None,
                Some(last) if row == last[1] => last[1] += 1,
                _ => this.0.push([row, row + 1]),
            }
        }
        Some(this)
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|[from, to]| to - from).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges.
    pub fn ranges(&self) -> &[[u64; 2]] {
        &self.0
    }

    /// The end of the range that starts at `from`; `from` where none does.
    pub fn end_from(&self, from: u64) -> u64 {
        self.0.iter().find(|range| range[0] == from).map_or(from, |range| range[1])
    }

    /// Both together.
    ///
    /// # Errors
    /// The first range of rows that both hold.
    pub fn join(&self, other: &Self) -> Result<Self, [u64; 2]> {
        let mut all: Vec<[u64; 2]> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined: Vec<[u64; 2]> = Vec::with_capacity(all.len());
        for range in all {
            match joined.last_mut() {
                Some(last) if range[0] < last[1] => return Err([range[0], range[1].min(last[1])]),
                Some(last) if range[0] == last[1] => last[1] = range[1],
                _ => joined.push(range),
            }
        }
        Ok(Self(joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_join_where_they_touch_and_are_refused_where_they_meet() {
        let (head, tail) = (Rows::range(0, 5), Rows::range(5, 9));
        assert_eq!(head.join(&tail), Ok(Rows::range(0, 9)));
        assert_eq!(tail.join(&head), head.join(&tail), "the order does not matter");
        assert_eq!(Rows::range(3, 7).join(&tail), Err([5, 7]));
        let scattered = Rows::of(&[8, 1, 2, 4]).unwrap();
        assert_eq!(scattered.ranges(), [[1, 3], [4, 5], [8, 9]]);
        assert_eq!((scattered.len(), scattered.end_from(1), scattered.end_from(2)), (4, 3, 2));
        assert_eq!(Rows::of(&[1, 2, 1]), None);
    }
}

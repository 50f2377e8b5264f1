//! How far ours is from upstream's, and how far it may be.

use super::Result;

/// The element of a comparison that used most of its bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// |ours − upstream's|.
    pub worst: f64,
    /// What it may be.
    pub bound: f64,
}

impl Outcome {
    /// Compares floats with one bound for all. A NaN on one side alone is infinitely far away.
    pub fn near(actual: &[f32], expected: &[f64], bound: f64) -> Result<Self> {
        Self::within(actual, expected, |_| bound)
    }

    /// As [`Self::near`], with a bound that depends on the element.
    pub fn within(actual: &[f32], expected: &[f64], bound: impl Fn(usize) -> f64) -> Result<Self> {
        if actual.len() != expected.len() {
            return Err(format!("{} elements against upstream's {}", actual.len(), expected.len()).into());
        }
        let distance =
            |a: f64, e: f64| if a == e || (a.is_nan() && e.is_nan()) { 0.0 } else { (a - e).abs() };
        let one = |(i, (&a, &e)): (usize, (&f32, &f64))| {
            let worst = distance(a.into(), e);
            Self { worst: if worst.is_nan() { f64::INFINITY } else { worst }, bound: bound(i) }
        };
        Ok(actual
            .iter()
            .zip(expected)
            .enumerate()
            .map(one)
            .fold(Self { bound: bound(0), ..Self::default() }, Self::and))
    }

    /// Compares integers, which must be the same; the error is the largest difference.
    pub fn same<T: Into<f64> + Copy>(actual: &[T], expected: &[T]) -> Result<Self> {
        if actual.len() != expected.len() {
            return Err(format!("{} elements against upstream's {}", actual.len(), expected.len()).into());
        }
        let distance = |(&a, &e): (&T, &T)| (a.into() - e.into()).abs();
        Ok(Self { worst: actual.iter().zip(expected).map(distance).fold(0.0, f64::max), bound: 0.0 })
    }

    /// The share of the bound that is used.
    pub fn used(&self) -> f64 {
        if self.worst == 0.0 { 0.0 } else { self.worst / self.bound }
    }

    pub fn passes(&self) -> bool {
        self.worst <= self.bound
    }

    /// Of two comparisons, the one that used more of its bound.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let larger_bound = self.used() == other.used() && other.bound > self.bound;
        if other.used() > self.used() || larger_bound { other } else { self }
    }
}

#[test]
fn the_worst_of_two_is_the_one_closer_to_its_bound() {
    let near = |actual: f32, bound| Outcome::near(&[actual], &[0.0], bound).unwrap();
    assert_eq!(near(1.0, 2.0).and(near(2.0, 8.0)).bound, 2.0);
    assert_eq!(near(0.0, 2.0).and(near(1e-9, 8.0)).bound, 8.0);
    assert!(!near(f32::NAN, 1e9).passes());
    assert!(Outcome::near(&[f32::NAN], &[f64::NAN], 0.0).unwrap().passes());
    assert!(!near(1.0, 0.0).and(near(1.0, 2.0)).passes());
    assert!(Outcome::near(&[], &[1.0], 1.0).is_err());
}

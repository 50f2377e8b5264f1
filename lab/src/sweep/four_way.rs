//! The four-way test: true place, neighbour, far place in the same climate, far place in another.

/// Wrong metadata in the four-way test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourWay {
    /// Which perturbation is a neighbouring place.
    pub neighbour: Option<usize>,
    /// A far place in the same climate.
    pub far_same: Option<usize>,
    /// A far place in another climate.
    pub far_other: Option<usize>,
}

impl FourWay {
    /// Finds the three by the names that the lab gives them, or that `conflict.csv` has; `counts` says how many samples
    /// have each perturbation. Of several names the first counts, unless another has more than twice its samples.
    pub fn find(perturbations: &[String], counts: &[u64]) -> Self {
        let find = |names: &[&str]| {
            let named = names.iter().filter_map(|name| perturbations.iter().position(|other| other == name));
            let named: Vec<usize> = named.collect();
            let most = named.iter().map(|&k| counts[k]).max()?;
            named.into_iter().find(|&k| 2 * counts[k] >= most)
        };
        Self {
            neighbour: find(&["neighbour", "10 km", "d10"]),
            far_same: find(&["far, same climate", "far_same"]),
            far_other: find(&["far, other climate", "far_diff", "far_other"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_kilometres_stand_for_neighbours_that_few_samples_have() {
        let names = ["10 km", "neighbour", "far_same"].map(str::to_owned);
        let neighbour = |counts: [u64; 3]| FourWay::find(&names, &counts).neighbour;
        assert_eq!(neighbour([100, 100, 0]), Some(1));
        assert_eq!(neighbour([100, 50, 0]), Some(1));
        assert_eq!(neighbour([100, 49, 0]), Some(0));
        let found = FourWay::find(&names, &[0, 0, 7]);
        assert_eq!((found.neighbour, found.far_same, found.far_other), (Some(1), Some(2), None));
    }
}

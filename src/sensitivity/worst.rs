//! The samples that moved furthest, by perturbation.

use super::{Change, OP};
use crate::Error;
use std::cmp::Ordering;

/// "gtcW" in ASCII, and the version of the words' layout.
const FORMAT: [u32; 2] = [0x5763_7467, 1];
const CASE_WORDS: usize = 6;

/// A sample that moved far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorstCase {
    /// The sample's id, of the caller's choice.
    pub id: u64,
    /// How far it moved.
    pub change: Change,
}

impl WorstCase {
    /// Largest KL first, then the lowest id: equal sets have one order.
    fn order(&self, other: &Self) -> Ordering {
        other.change.kl.total_cmp(&self.change.kl).then(self.id.cmp(&other.id))
    }
}

/// The `n` samples of largest KL(p‖q) under each perturbation, from streamed [`Change`]s. Memory is n · perturbations;
/// any order, sharding or chunking of the samples gives the same cases.
///
/// ```
/// use gtca::sensitivity::{Change, Worst};
/// let changes: Vec<_> = [1.0, 3.0, 2.0].map(|top| Change::of(&[0.0, 0.0], &[top, 0.0], None)).into();
/// let mut worst = Worst::new(1, 2);
/// worst.add(0, &[10, 11, 12], &changes)?;
/// assert_eq!(worst.of(0).iter().map(|case| case.id).collect::<Vec<_>>(), [11, 12]);
/// assert_eq!(Worst::from_words(&worst.to_words())?, worst);
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    most: u32,
    /// Of each perturbation, in order.
    cases: Vec<Vec<WorstCase>>,
}

impl Worst {
    /// No samples yet; keeps `most` of each perturbation.
    pub fn new(perturbations: u32, most: u32) -> Self {
        Self { most, cases: vec![Vec::new(); perturbations as usize] }
    }

    /// Adds samples under consecutive perturbations from `first_perturbation` on: `changes` is `[Kc, samples]`, as
    /// [`External::per_sample`](super::External::per_sample) is read back; `ids` says which samples. What is invalid is left out.
    ///
    /// # Errors
    /// Changes that are no multiple of the ids; a perturbation that is not there.
    pub fn add(&mut self, first_perturbation: u32, ids: &[u64], changes: &[Change]) -> Result<(), Error> {
        let count = changes.len().checked_div(ids.len()).unwrap_or(0);
        if count * ids.len() != changes.len() {
            let rule = format!("a multiple of {} samples is required", ids.len());
            return Err(Error::argument(OP, "changes", changes.len(), rule, "check the shapes"));
        }
        let perturbations = self.cases.len();
        if first_perturbation as usize + count > perturbations {
            let value = format!("{first_perturbation} with a chunk of {count}");
            let rule = format!("there are {perturbations} perturbations");
            return Err(Error::argument(OP, "first_perturbation", value, rule, "check the chunk"));
        }
        let chunks = changes.chunks_exact(ids.len().max(1));
        for (cases, chunk) in self.cases[first_perturbation as usize..].iter_mut().zip(chunks) {
            // What cannot displace the last case is not even looked at twice.
            let least = cases.get((self.most as usize).wrapping_sub(1)).map_or(0.0, |case| case.change.kl);
            let reach = |change: &Change| change.is_valid() && change.kl >= least;
            let more = ids.iter().zip(chunk).filter(|(_, change)| reach(change));
            cases.extend(more.map(|(&id, &change)| WorstCase { id, change }));
            keep(cases, self.most);
        }
        Ok(())
    }

    /// Adds the cases of other samples or perturbations.
    ///
    /// # Errors
    /// Another number of perturbations or cases.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if (self.most, self.cases.len()) != (other.most, other.cases.len()) {
            let of = |worst: &Self| format!("{} of {} perturbations", worst.most, worst.cases.len());
            let rule = format!("{} are required", of(self));
            return Err(Error::argument(OP, "other", of(other), rule, "merge what was kept alike"));
        }
        for (cases, more) in self.cases.iter_mut().zip(&other.cases) {
            cases.extend(more);
            keep(cases, self.most);
        }
        Ok(())
    }

    /// The worst cases of one perturbation, the worst first; ties by the lowest id. Empty beyond the last.
    pub fn of(&self, perturbation: u32) -> &[WorstCase] {
        self.cases.get(perturbation as usize).map_or(&[], Vec::as_slice)
    }

    /// The stored form: a mark, the format version, perturbations, cases kept; then of each perturbation how many there are,
    /// and six words a case (id, KL, TV, change of the top probability, code).
    pub fn to_words(&self) -> Vec<u32> {
        let mut words = FORMAT.to_vec();
        words.extend([self.cases.len() as u32, self.most]);
        for cases in &self.cases {
            words.push(cases.len() as u32);
            for case in cases {
                words.extend([case.id as u32, (case.id >> 32) as u32]);
                words.extend(bytemuck::cast::<Change, [u32; 4]>(case.change));
            }
        }
        words
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Another mark or version; words that are missing or too many.
    pub fn from_words(words: &[u32]) -> Result<Self, Error> {
        let refuse = |problem: &str| Error::File {
            file: "stored worst cases".to_owned(),
            problem: problem.to_owned(),
            remedy: "check what was stored, and by which release",
        };
        let (&[mark, version, perturbations, most], mut rest) =
            words.split_first_chunk().ok_or_else(|| refuse("there is no header"))?;
        if [mark, version] != FORMAT {
            return Err(refuse("mark or format version differ"));
        }
        let mut cases = Vec::new();
        for _ in 0..perturbations {
            let (&count, tail) = rest.split_first().ok_or_else(|| refuse("a perturbation is missing"))?;
            if count > most {
                return Err(refuse("there are more cases than are kept"));
            }
            let end = (count as usize).saturating_mul(CASE_WORDS);
            let (stored, tail) = tail.split_at_checked(end).ok_or_else(|| refuse("cases are missing"))?;
            let case = |words: &[u32]| WorstCase {
                id: u64::from(words[0]) | u64::from(words[1]) << 32,
                change: bytemuck::cast([words[2], words[3], words[4], words[5]]),
            };
            cases.push(stored.chunks_exact(CASE_WORDS).map(case).collect());
            rest = tail;
        }
        if rest.is_empty() { Ok(Self { most, cases }) } else { Err(refuse("there are words behind the end")) }
    }
}

/// Brings cases in order and drops those behind the last to keep.
fn keep(cases: &mut Vec<WorstCase>, most: u32) {
    cases.sort_by(WorstCase::order);
    cases.truncate(most as usize);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of a KL out of few, so that there are ties, and one of eleven invalid.
    fn change(i: u64) -> Change {
        let kl = (i * 7919 % 37) as f32;
        if i % 11 == 5 { Change::INVALID } else { Change { kl, tv: 0.0, top_change: 0.0, code: 0.0 } }
    }

    #[test]
    fn any_order_and_sharding_keeps_the_same_cases() {
        let ids: Vec<u64> = (0..200).collect();
        let of = |ids: &[u64]| {
            let mut worst = Worst::new(2, 7);
            let changes: Vec<_> =
                [0, 1].iter().flat_map(|k| ids.iter().map(move |i| change(i + k))).collect();
            worst.add(0, ids, &changes).unwrap();
            worst
        };
        let whole = of(&ids);
        let mut expected: Vec<_> =
            ids.iter().map(|&id| (id, change(id))).filter(|c| c.1.is_valid()).collect();
        expected.sort_by(|a, b| b.1.kl.partial_cmp(&a.1.kl).unwrap().then(a.0.cmp(&b.0)));
        let found: Vec<_> = whole.of(0).iter().map(|case| (case.id, case.change)).collect();
        assert_eq!(found, expected[..7]);
        let scattered: Vec<u64> = (0..200).map(|i| i * 77 % 200).collect();
        let mut merged = Worst::new(2, 7);
        for part in scattered.chunks(23) {
            merged.merge(&of(part)).unwrap();
        }
        assert_eq!(merged, whole);
        let mut streamed = Worst::new(2, 7);
        for (k, part) in scattered.chunks(31).flat_map(|part| [(1, part), (0, part)]) {
            let changes: Vec<_> = part.iter().map(|i| change(i + u64::from(k))).collect();
            streamed.add(k, part, &changes).unwrap();
        }
        assert_eq!(streamed.to_words(), whole.to_words());
        assert_eq!(Worst::from_words(&whole.to_words()).unwrap(), whole);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut worst = Worst::new(1, 2);
        assert!(worst.add(0, &[1, 2], &[change(0); 3]).unwrap_err().to_string().contains("`changes`"));
        assert!(worst.add(1, &[1], &[change(0)]).unwrap_err().to_string().contains("`first_perturbation`"));
        assert!(worst.merge(&Worst::new(1, 3)).unwrap_err().to_string().contains("`other`"));
        let words = worst.to_words();
        let too_many = [&words[..4], &[3], &[0; 3 * CASE_WORDS]].concat();
        for damaged in [&words[..4], &words[1..], &[words.clone(), vec![0]].concat(), &too_many] {
            assert!(Worst::from_words(damaged).is_err());
        }
        assert!(Worst::new(3, 0).of(7).is_empty());
    }
}

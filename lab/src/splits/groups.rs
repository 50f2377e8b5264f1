//! Parts of a given share: by class, or of whole groups.

use std::collections::BTreeMap;

use crate::draw::Draws;

/// Tries from which the best draw of whole groups is taken.
const TRIES: usize = 64;
/// A group that would lift the part above this multiple of its share is passed over.
const OVERFLOW: f64 = 1.75;

/// `share` of every class, at least one sample of each; ascending.
pub(super) fn stratified(of: &[usize], labels: &[u32], share: f64, draw: &mut Draws) -> Vec<usize> {
    let mut by_class: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    of.iter().for_each(|&p| by_class.entry(labels[p]).or_default().push(p));
    let mut part = Vec::new();
    for (_, mut members) in by_class {
        draw.shuffle(&mut members);
        let count = ((members.len() as f64 * share).round() as usize).max(1);
        part.extend_from_slice(&members[..count]);
    }
    part.sort_unstable();
    part
}

/// Whole groups that together hold about `share` of `of`: of many draws the one whose size and class mix come
/// nearest to the share of every class, so that neither part loses a class where the groups allow it. Ascending.
pub(super) fn whole(
    of: &[usize],
    group: &[i64],
    labels: &[u32],
    share: f64,
    draw: &mut Draws,
) -> Result<Vec<usize>, String> {
    let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    of.iter().for_each(|&p| members.entry(group[p]).or_default().push(p));
    if members.len() < 2 {
        return Err("there is only one group to hold out".to_owned());
    }
    let want = share * of.len() as f64;
    let mut groups: Vec<&Vec<usize>> = members.values().collect();
    let mut best: Option<(f64, Vec<usize>)> = None;
    for _ in 0..TRIES {
        draw.shuffle(&mut groups);
        let mut part: Vec<usize> = Vec::new();
        for g in &groups {
            let grown = part.len() + g.len();
            let fits = part.is_empty() || grown as f64 <= OVERFLOW * want;
            if (part.len() as f64) < want && fits && grown < of.len() {
                part.extend_from_slice(g);
            }
        }
        let badness = badness(&part, of, labels, share);
        if best.as_ref().is_none_or(|b| badness < b.0) {
            best = Some((badness, part));
        }
    }
    let (_, mut part) = best.expect("at least one draw was made");
    part.sort_unstable();
    Ok(part)
}

/// Mean squared difference between the share asked for and the share held, over the size and over each class;
/// a class that a part would lose wholly from the rest weighs as a whole one.
fn badness(part: &[usize], of: &[usize], labels: &[u32], share: f64) -> f64 {
    let mut counts: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    of.iter().for_each(|&p| counts.entry(labels[p]).or_default().1 += 1.0);
    part.iter().for_each(|&p| counts.entry(labels[p]).or_default().0 += 1.0);
    let by_class =
        counts.values().map(|(held, all)| if held == all { 1.0 } else { (held / all - share).powi(2) });
    let size = (part.len() as f64 / of.len() as f64 - share).powi(2);
    by_class.sum::<f64>() / counts.len() as f64 + size
}

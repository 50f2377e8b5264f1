//! Train, validation and test parts under the five protocols, deterministic in a seed.
//!
//! Folds that came with the data are used, each held out in turn (years: those fair to evaluate). Where there are
//! none they are drawn: `random` 80/20 stratified by class, `site` and `region` groups of about 20 % of the samples,
//! `block` five clusters of sites, `year` each year that holds at least 5 % of the samples. The validation part is
//! 15 % of the training fold, held out by the protocol's own grouping.

mod blocks;
mod groups;

use std::collections::BTreeSet;

use blocks::spatial_blocks;

use crate::data::{Dataset, Protocol, Task};
use crate::draw::{Draws, Purpose};

/// Draws of a protocol without folds.
const DRAWS: u64 = 5;
/// Share of the samples that a drawn test part holds.
const TEST_SHARE: f64 = 0.2;
/// Share of the training fold that the validation part holds.
const VALIDATION_SHARE: f64 = 0.15;
/// Year splits train on this share of the other years.
const YEAR_TRAINING_SHARE: f64 = 0.9;
/// A year is held out by itself where it has at least this share of the samples.
const YEAR_LEAST_SHARE: f64 = 0.05;

/// One train, validation and test division. Positions count within the task's rows, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// How the test part was held out.
    pub protocol: Protocol,
    /// Which split of the protocol: the fold number or the number of the draw.
    pub index: usize,
    /// What is held out, in words.
    pub name: String,
    /// Rows that gradients see.
    pub train: Vec<usize>,
    /// Rows that choose the stopping step.
    pub validation: Vec<usize>,
    /// Held-out rows.
    pub test: Vec<usize>,
}

/// The splits of a protocol, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolSplits {
    /// The protocol.
    pub protocol: Protocol,
    /// Where the test parts come from, for the report.
    pub origin: String,
    /// The splits in order.
    pub splits: Vec<Split>,
    /// Splits or the whole protocol that cannot be run, with the reason.
    pub skipped: Vec<String>,
}

/// A test part before the rest is divided.
struct Held {
    index: usize,
    name: String,
    test: Vec<usize>,
}

/// All splits of the task's protocols.
pub fn splits(data: &Dataset, task: &Task, seed: u64) -> Vec<ProtocolSplits> {
    task.protocols.iter().map(|&protocol| protocol_splits(data, task, protocol, seed)).collect()
}

fn protocol_splits(data: &Dataset, task: &Task, protocol: Protocol, seed: u64) -> ProtocolSplits {
    let mut out = ProtocolSplits { protocol, origin: String::new(), splits: Vec::new(), skipped: Vec::new() };
    let held = match data.folds.of.get(&protocol) {
        Some(folds) => {
            out.origin = "folds of splits.csv, each held out in turn".to_owned();
            given(data, task, protocol, folds)
        }
        None => {
            out.origin = format!("drawn with seed {seed}");
            drawn(data, task, protocol, seed)
        }
    };
    let held = held.unwrap_or_else(|reason| {
        out.skipped.push(format!("{}: {reason}", protocol.name()));
        Vec::new()
    });
    for held in held {
        let name = held.name.clone();
        match divide(data, task, protocol, held, seed) {
            Ok(split) => out.splits.push(split),
            Err(reason) => out.skipped.push(format!("{} {name}: {reason}", protocol.name())),
        }
    }
    out
}

fn given(data: &Dataset, task: &Task, protocol: Protocol, folds: &[i64]) -> Result<Vec<Held>, String> {
    let of = |position: usize| folds[task.rows[position]];
    let mut numbers: BTreeSet<i64> = (0..task.rows.len()).map(of).filter(|&f| f >= 0).collect();
    if let (Protocol::Year, Some(fair)) = (protocol, &data.folds.year_eval) {
        numbers.retain(|f| fair.contains(f));
    }
    if numbers.is_empty() {
        return Err("no fold of splits.csv has rows of this task".to_owned());
    }
    let name = |f: i64| match (protocol, data.folds.year_names.get(&f.to_string())) {
        (Protocol::Year, Some(years)) => years.clone(),
        (Protocol::Block, _) => format!("block {f}"),
        _ => format!("fold {f}"),
    };
    let held = |f: i64| Held {
        index: f as usize,
        name: name(f),
        test: (0..task.rows.len()).filter(|&p| of(p) == f).collect(),
    };
    Ok(numbers.into_iter().map(held).collect())
}

fn drawn(data: &Dataset, task: &Task, protocol: Protocol, seed: u64) -> Result<Vec<Held>, String> {
    let all: Vec<usize> = (0..task.rows.len()).collect();
    let draw = |k: u64| draws(seed, protocol, k, 0);
    let named = |k: u64, test: Vec<usize>| Held { index: k as usize, name: format!("draw {k}"), test };
    match protocol {
        Protocol::Random => {
            let test = |k| groups::stratified(&all, &task.labels, TEST_SHARE, &mut draw(k));
            Ok((0..DRAWS).map(|k| named(k, test(k))).collect())
        }
        Protocol::Site | Protocol::Region => {
            let group = own_groups(data, task, protocol)?;
            let test = |k| groups::whole(&all, &group, &task.labels, TEST_SHARE, &mut draw(k));
            (0..DRAWS).map(|k| Ok(named(k, test(k)?))).collect()
        }
        Protocol::Block => {
            let places: Vec<_> = task.rows.iter().map(|&r| data.samples[r].place).collect();
            let block = spatial_blocks(&places, 5);
            let held = |b: i64| {
                let test = all.iter().copied().filter(|&p| block[p] == b).collect();
                Held { index: b as usize, name: format!("block {b}"), test }
            };
            Ok((0..5).map(held).filter(|h| !h.test.is_empty()).collect())
        }
        Protocol::Year => {
            let year = own_groups(data, task, protocol)?;
            let years: BTreeSet<i64> = year.iter().copied().collect();
            let test = |y: i64| all.iter().copied().filter(|&p| year[p] == y).collect::<Vec<_>>();
            let least = YEAR_LEAST_SHARE * all.len() as f64;
            let fair = years.into_iter().map(|y| (y, test(y))).filter(|(_, t)| t.len() as f64 >= least);
            let held = fair.enumerate().map(|(index, (y, test))| Held { index, name: y.to_string(), test });
            Ok(held.collect())
        }
    }
}

/// Turns a test part into a split: drops what the protocol leaves out, holds the validation part out.
fn divide(data: &Dataset, task: &Task, protocol: Protocol, held: Held, seed: u64) -> Result<Split, String> {
    let mut in_test = vec![false; task.rows.len()];
    held.test.iter().for_each(|&p| in_test[p] = true);
    let used = |p: &usize| data.folds.of.get(&protocol).is_none_or(|folds| folds[task.rows[*p]] >= 0);
    let mut rest: Vec<usize> = (0..task.rows.len()).filter(|&p| !in_test[p]).filter(used).collect();
    if held.test.is_empty() || rest.is_empty() {
        return Err("the test or the training part is empty".to_owned());
    }
    let mut draw = draws(seed, protocol, held.index as u64, 1);
    if protocol == Protocol::Year {
        draw.shuffle(&mut rest);
        rest.truncate(((rest.len() as f64 * YEAR_TRAINING_SHARE) as usize).max(1));
        rest.sort_unstable();
    }
    let validation = match protocol {
        Protocol::Random => groups::stratified(&rest, &task.labels, VALIDATION_SHARE, &mut draw),
        _ => {
            let group = own_groups(data, task, protocol)?;
            groups::whole(&rest, &group, &task.labels, VALIDATION_SHARE, &mut draw)?
        }
    };
    let train: Vec<usize> = rest.into_iter().filter(|p| validation.binary_search(p).is_err()).collect();
    let classes: BTreeSet<u32> = train.iter().map(|&p| task.labels[p]).collect();
    if validation.is_empty() || classes.len() < 2 {
        return Err("the validation part is empty or the training part has fewer than two classes".to_owned());
    }
    let (index, name) = (held.index, held.name);
    Ok(Split { protocol, index, name, train, validation, test: held.test })
}

/// The protocol's own groups of the task's rows: sites, regions, blocks, years.
fn own_groups(data: &Dataset, task: &Task, protocol: Protocol) -> Result<Vec<i64>, String> {
    let sample = |r: &usize| &data.samples[*r];
    match protocol {
        Protocol::Random => Ok((0..task.rows.len() as i64).collect()),
        Protocol::Site => Ok(task.rows.iter().map(|r| i64::from(sample(r).site)).collect()),
        Protocol::Region => Ok(task.rows.iter().map(|r| i64::from(sample(r).region)).collect()),
        Protocol::Block => Ok(match data.folds.of.get(&protocol) {
            Some(folds) => task.rows.iter().map(|&r| folds[r]).collect(),
            None => spatial_blocks(&task.rows.iter().map(|r| sample(r).place).collect::<Vec<_>>(), 5),
        }),
        Protocol::Year => {
            let year = |r: &usize| sample(r).when.year.map(i64::from);
            let fold = |r: &usize| data.folds.of.get(&protocol).map(|f| f[*r]);
            let years: Option<Vec<i64>> = task.rows.iter().map(year).collect();
            let years = years.or_else(|| task.rows.iter().map(fold).collect());
            years.ok_or_else(|| "the year is missing in some samples".to_owned())
        }
    }
}

fn draws(seed: u64, protocol: Protocol, index: u64, part: u64) -> Draws {
    Draws::new(seed, Purpose::Splits, (protocol as u64) << 32 | part << 24 | index)
}

#[cfg(test)]
mod tests;

//! Results of a part of the rows, as files that add up.
//!
//! A file is a safetensors file. Its one metadata entry, `gtca-sweep`, is JSON: format version, subject, rows,
//! content, sketch and worst cases. Its tensors: `table.N` (u32), the words of `gtca::sensitivity::Sensitivity` for the
//! N-th grouping; `bags` (u32) and `bag_sums` (i64 `[bags, perturbations, cells]`), the sums of the bootstrap.

use std::collections::HashMap;
use std::path::Path;

use gtca::sensitivity::{ProbeDesc, Sensitivity, Tally};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::bags::{Bags, CELLS};
use super::rows::Rows;
use super::sketch::{Sketch, Worst};
use crate::Error;
use crate::report::atomic;

const KEY: &str = "gtca-sweep";
const FORMAT: u32 = 2;

/// Groups of the samples by one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// The column.
    pub column: String,
    /// Names of the groups.
    pub groups: Vec<String>,
}

/// What is measured; results of one subject add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Name of the data.
    pub dataset: String,
    /// Name of the model.
    pub model: String,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Names of the wrong metadata.
    pub perturbations: Vec<String>,
    /// Groupings, at least one.
    pub groupings: Vec<Grouping>,
    /// Unit of the bootstrap: `sample`, `block` or a column.
    pub resample: String,
    /// Hash of what is swept over: metadata, and names and sizes of the shards.
    pub inputs: String,
}

/// Exact sums over some rows of a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// What was measured.
    pub subject: Subject,
    /// On which rows.
    pub rows: Rows,
    /// Sum of the rows' hashes: equal content gives equal numbers, in any order.
    pub content: u64,
    /// One table a grouping.
    pub tables: Vec<Sensitivity>,
    /// Sums for intervals.
    pub bags: Bags,
    /// An even sample of the rows.
    pub sketch: Sketch,
    /// The samples that moved most.
    pub worst: Worst,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    subject: Subject,
    rows: Rows,
    content: String,
    sketch: Sketch,
    worst: Worst,
}

impl Subject {
    /// Position of the perturbation that drops all metadata: the prediction from the image alone.
    pub fn without_metadata(&self) -> Option<usize> {
        self.perturbations.iter().position(|name| name == "missing")
    }

    fn probe(&self, grouping: &Grouping) -> ProbeDesc {
        let count = |len: usize| len as u32;
        ProbeDesc {
            classes: count(self.classes.len()),
            groups: count(grouping.groups.len()),
            perturbations: count(self.perturbations.len()),
        }
    }

    /// What the library's probes are made of, one a grouping.
    pub(super) fn probes(&self) -> impl Iterator<Item = ProbeDesc> {
        self.groupings.iter().map(|grouping| self.probe(grouping))
    }
}

impl Partial {
    /// No rows yet.
    ///
    /// # Errors
    /// Fewer than two classes, no perturbation, an empty grouping.
    pub fn new(subject: Subject) -> Result<Self, Error> {
        let perturbations = subject.perturbations.len();
        Ok(Self {
            tables: subject.probes().map(|desc| Sensitivity::new(&desc)).collect::<Result<_, _>>()?,
            subject,
            rows: Rows::default(),
            content: 0,
            bags: Bags::new(perturbations),
            sketch: Sketch::default(),
            worst: Worst::new(perturbations),
        })
    }

    /// One perturbation over all rows that have it.
    pub fn overall(&self, perturbation: usize) -> Option<Tally> {
        let table = self.tables.first()?;
        let tallies = (0..table.groups()).map(|group| table.group(perturbation as u32, group));
        tallies.reduce(|sum, more| Some(sum?.plus(&more?))).flatten()
    }

    /// Adds the rows of another.
    ///
    /// # Errors
    /// Another subject, with what differs; rows that both hold. Nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.subject.same(&other.subject)?;
        let twice = |[from, to]: [u64; 2]| {
            Error::argument("merge", format!("rows {from} to {} are in both results; give each once", to - 1))
        };
        self.rows = self.rows.join(&other.rows).map_err(twice)?;
        for (table, more) in self.tables.iter_mut().zip(&other.tables) {
            table.merge(more)?;
        }
        self.content = self.content.wrapping_add(other.content);
        self.bags.merge(&other.bags);
        self.sketch.merge(&other.sketch);
        self.worst.merge(&other.worst);
        Ok(())
    }

    /// Writes the file in one step: a reader finds the old one or the new one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), Error> {
        let fail = |e: String| Error::file(path, e);
        let header = Header {
            format: FORMAT,
            subject: self.subject.clone(),
            rows: self.rows.clone(),
            content: format!("{:016x}", self.content),
            sketch: self.sketch.clone(),
            worst: self.worst.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| fail(e.to_string()))?;
        let words = |words: Vec<u32>| words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
        let (bags, sums) = self.bags.parts();
        let shape = vec![bags.len(), self.subject.perturbations.len(), CELLS];
        let mut tensors = vec![
            ("bags".to_owned(), Dtype::U32, vec![bags.len()], words(bags)),
            ("bag_sums".to_owned(), Dtype::I64, shape, sums.into_iter().flat_map(i64::to_le_bytes).collect()),
        ];
        for (n, table) in self.tables.iter().enumerate() {
            let bytes = words(table.to_words());
            tensors.push((format!("table.{n}"), Dtype::U32, vec![bytes.len() / 4], bytes));
        }
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
            })
            .collect::<Result<_, safetensors::SafeTensorError>>()
            .map_err(|e| fail(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        let file = safetensors::serialize(views, Some(metadata)).map_err(|e| fail(e.to_string()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        atomic::replace(path, &file)
    }

    /// Reads a file of [`Partial::store`].
    ///
    /// # Errors
    /// The file is not there, is no such file, or is of a newer format.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::from_bytes(&bytes).map_err(|problem| Error::file(path, problem))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text = |e: safetensors::SafeTensorError| e.to_string();
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(text)?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let header = header.ok_or("this is no result of a sweep: the header has no `gtca-sweep`")?;
        let version: serde_json::Value = serde_json::from_str(header).map_err(|e| e.to_string())?;
        let version = version["format"].as_u64().unwrap_or(0);
        if version != u64::from(FORMAT) {
            return Err(format!("format {version}; this build reads format {FORMAT}"));
        }
        let header: Header = serde_json::from_str(header).map_err(|e| e.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(text)?;
        let words = |name: &str| -> Result<Vec<u32>, String> {
            let tensor = tensors.tensor(name).map_err(text)?;
            let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            Ok(tensor.data().chunks_exact(4).map(word).collect())
        };
        let long = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let sums: Vec<i64> =
            tensors.tensor("bag_sums").map_err(text)?.data().chunks_exact(8).map(long).collect();
        let bags = Bags::from_parts(header.subject.perturbations.len(), &words("bags")?, &sums);
        let mut tables = Vec::new();
        for (n, desc) in header.subject.probes().enumerate() {
            let table = Sensitivity::from_words(&words(&format!("table.{n}"))?).map_err(|e| e.to_string())?;
            if (table.groups(), table.perturbations()) != (desc.groups, desc.perturbations) {
                return Err(format!("table.{n} does not fit the groups and perturbations of the header"));
            }
            tables.push(table);
        }
        Ok(Self {
            content: u64::from_str_radix(&header.content, 16).map_err(|e| e.to_string())?,
            bags: bags.ok_or("the sums of the bags do not fit the perturbations")?,
            tables,
            subject: header.subject,
            rows: header.rows,
            sketch: header.sketch,
            worst: header.worst,
        })
    }
}

impl Subject {
    /// Says what differs.
    pub(crate) fn same(&self, other: &Self) -> Result<(), Error> {
        let columns = |subject: &Self| subject.groupings.iter().map(|g| g.column.clone()).collect::<Vec<_>>();
        for (what, is_same) in [
            ("data set", self.dataset == other.dataset),
            ("model", self.model == other.model),
            ("classes", self.classes == other.classes),
            ("perturbations", self.perturbations == other.perturbations),
            ("group columns", columns(self) == columns(other)),
            ("groups", self.groupings == other.groupings),
            ("resampling unit", self.resample == other.resample),
            ("inputs", self.inputs == other.inputs),
        ] {
            if !is_same {
                let rule = format!("the results differ in their {what}; results of one sweep add up");
                return Err(Error::argument("merge", rule));
            }
        }
        Ok(())
    }
}

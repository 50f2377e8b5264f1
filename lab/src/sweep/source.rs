//! Where chunks come from.

use super::engine::Chunk;
use super::metadata::Metadata;
use crate::Error;
use crate::shards::Shards;

/// Gives rows with their logits, a run at a time.
pub trait Source {
    /// How many rows there are.
    fn rows(&self) -> u64;

    /// Rows `from..from + count`.
    ///
    /// # Errors
    /// What cannot be read.
    fn chunk(&mut self, from: u64, count: usize) -> Result<Chunk, Error>;
}

/// Name of the array of logits under the recorded metadata.
pub const BASE: &str = "base";

/// Logits of the base and of every variant, from shards: each array but `base` is a variant, in the order of the files.
#[derive(Debug)]
pub struct Logits {
    metadata: Metadata,
    shards: Shards,
    base: usize,
    width: usize,
}

impl Logits {
    /// Positions of the base and names of the variants.
    ///
    /// # Errors
    /// No array `base`, no other array, arrays of different widths.
    pub fn check(shards: &Shards) -> Result<(usize, Vec<String>), Error> {
        let Some((_, width)) = shards.array(BASE) else {
            let names: Vec<&str> = shards.arrays().iter().map(|array| array.0.as_str()).collect();
            let rule = format!(
                "there is no array `{BASE}`, the logits under recorded metadata; only {}",
                names.join(", ")
            );
            return Err(Error::argument("--shards", rule));
        };
        let variants: Vec<String> =
            shards.arrays().iter().map(|array| array.0.clone()).filter(|name| name != BASE).collect();
        if variants.is_empty() {
            return Err(Error::argument(
                "--shards",
                format!("beside `{BASE}` there is no array of a variant's logits"),
            ));
        }
        match shards.arrays().iter().find(|array| array.1 != width) {
            Some((name, other)) => {
                let rule =
                    format!("`{name}` is {other} wide, `{BASE}` {width}: both must be the number of classes");
                Err(Error::argument("--shards", rule))
            }
            None => Ok((width, variants)),
        }
    }

    /// Joins the rows of both, which are in the same order.
    ///
    /// # Errors
    /// Another number of rows; as [`Logits::check`].
    pub fn new(metadata: Metadata, shards: Shards) -> Result<Self, Error> {
        let (width, _) = Self::check(&shards)?;
        if metadata.rows != shards.rows() {
            let rule = format!(
                "the table has {} rows, the shards {}: row n of the table belongs to row n of the shards",
                metadata.rows,
                shards.rows()
            );
            return Err(Error::argument("--metadata", rule));
        }
        let base = shards.array(BASE).map_or(0, |array| array.0);
        Ok(Self { metadata, shards, base, width })
    }
}

impl Source for Logits {
    fn rows(&self) -> u64 {
        self.metadata.rows
    }

    fn chunk(&mut self, from: u64, count: usize) -> Result<Chunk, Error> {
        let rows = self.metadata.read(from, count)?;
        let mut variants = self.shards.read(from, count)?;
        let base = variants.remove(self.base);
        debug_assert_eq!(base.len(), count * self.width);
        Ok(Chunk { rows, base, variants, known: None })
    }
}

//! Arrays that are larger than memory: rows of `f32` in Parquet or safetensors files, read a run at a time.
//!
//! A *shard* is one file; a data set is a list of them, whose rows follow one another in the order of the list. A
//! Parquet shard holds each array as a column of lists of `FLOAT` (pandas, Polars and DuckDB write a column of lists
//! so), a safetensors shard as an f32 tensor `[rows, width]`. All shards hold the same arrays. A null list is a row of
//! NaN. Memory: the run that is asked for, and one page of every Parquet column.

mod parquet;
mod tensors;
pub(crate) mod text;

pub(crate) use self::parquet::{RowWriter, Values};

use std::path::{Path, PathBuf};

use crate::Error;

/// Some open shards.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Shard>,
    /// Names of the arrays, with their widths.
    arrays: Vec<(String, usize)>,
    /// The shard that is open for reading, and its row that comes next.
    open: Option<(usize, u64, Reader)>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    /// First row, counted over all shards.
    first: u64,
    rows: u64,
}

#[derive(Debug)]
enum Reader {
    Parquet(parquet::Reader),
    Tensors(tensors::Reader),
}

impl Reader {
    fn open(path: &Path) -> Result<Self, Error> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => parquet::Reader::open(path).map(Self::Parquet),
            Some("safetensors") => tensors::Reader::open(path).map(Self::Tensors),
            _ => Err(Error::file(path, "a shard ends in .parquet or .safetensors")),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::Parquet(reader) => reader.rows(),
            Self::Tensors(reader) => reader.rows(),
        }
    }

    fn arrays(&mut self) -> Result<Vec<(String, usize)>, Error> {
        match self {
            Self::Parquet(reader) => reader.arrays(),
            Self::Tensors(reader) => Ok(reader.arrays()),
        }
    }

    /// The next `count` rows of an array.
    fn read(&mut self, array: usize, width: usize, from: u64, count: usize) -> Result<Vec<f32>, Error> {
        match self {
            Self::Parquet(reader) => reader.read(array, width, from, count),
            Self::Tensors(reader) => reader.read(array, width, from, count),
        }
    }
}

impl Shards {
    /// Opens the shards and reads their headers.
    ///
    /// # Errors
    /// No shard; a file that cannot be read; arrays that differ between shards.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut this = Self { shards: Vec::new(), arrays: Vec::new(), open: None };
        let mut first = 0;
        for path in paths {
            let mut reader = Reader::open(path)?;
            let (rows, arrays) = (reader.rows(), reader.arrays()?);
            if arrays.is_empty() {
                return Err(Error::file(path, "holds no rows of f32"));
            }
            if this.shards.is_empty() {
                this.arrays = arrays;
            } else if this.arrays != arrays {
                let rule =
                    format!("holds {arrays:?}, the first shard {:?}; all must hold the same", this.arrays);
                return Err(Error::file(path, rule));
            }
            this.shards.push(Shard { path: path.clone(), first, rows });
            first += rows;
        }
        if this.shards.is_empty() {
            return Err(Error::argument("--shards", "name at least one file"));
        }
        Ok(this)
    }

    /// Names and widths of the arrays.
    pub fn arrays(&self) -> &[(String, usize)] {
        &self.arrays
    }

    /// Position and width of an array.
    pub fn array(&self, name: &str) -> Option<(usize, usize)> {
        let at = self.arrays.iter().position(|array| array.0 == name)?;
        Some((at, self.arrays[at].1))
    }

    /// Rows of all shards.
    pub fn rows(&self) -> u64 {
        self.shards.last().map_or(0, |last| last.first + last.rows)
    }

    /// Name and rows of each shard.
    pub fn shards(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.shards.iter().map(|shard| (shard.path.as_path(), shard.rows))
    }

    /// Rows `from..from + count` of all arrays, each `[count, width]`.
    ///
    /// # Errors
    /// A file that cannot be read, a row of another width.
    pub fn read(&mut self, from: u64, count: usize) -> Result<Vec<Vec<f32>>, Error> {
        let mut all: Vec<Vec<f32>> = vec![Vec::new(); self.arrays.len()];
        let (mut at, end) = (from, from + count as u64);
        while at < end {
            let n = self.shards.partition_point(|shard| shard.first + shard.rows <= at);
            let shard = self.shards.get(n).ok_or_else(|| Error::argument("rows", "beyond the last shard"))?;
            let local = at - shard.first;
            // Parquet is read forward: a row behind the reader opens the file anew.
            let is_open = self.open.as_ref().is_some_and(|(open, next, _)| *open == n && *next <= local);
            if !is_open {
                self.open = Some((n, 0, Reader::open(&shard.path)?));
            }
            let Some((_, next, reader)) = &mut self.open else { unreachable!("it was opened above") };
            let take = (end - at).min(shard.rows - local) as usize;
            for (array, (rows, (_, width))) in all.iter_mut().zip(&self.arrays).enumerate() {
                rows.extend(reader.read(array, *width, local, take)?);
            }
            *next = local + take as u64;
            at += take as u64;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;

//! One error type: it names the file, the row and the column, the value, and the rule it breaks.

use std::path::{Path, PathBuf};

/// What stops a run. Input is read and checked wholly before anything is written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file as a whole is not what it should be (syntax, shape, a missing array or key).
    #[error("{path}: {rule}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        rule: String,
    },
    /// One cell of a table breaks a rule.
    #[error("{path}, row {row} (line {line}), column {column}: {value:?} {rule}", path = path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Row below the header, counted from 1.
        row: usize,
        /// Line of the file, counted from 1.
        line: u64,
        /// Column by name.
        column: String,
        /// The text found there.
        value: String,
        /// The rule it breaks.
        rule: String,
    },
    /// A table lacks a column.
    #[error("{path}, row 1 (header): there is no column {column}, {rule}", path = path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// Column by name.
        column: String,
        /// Why it is needed.
        rule: String,
    },
    /// The GPU library refuses or fails.
    #[error(transparent)]
    Gpu(#[from] gtca::Error),
    /// An argument of the command or of a library call is not usable.
    #[error("{argument}: {rule}")]
    Argument {
        /// The argument.
        argument: String,
        /// What is wrong and what would be right.
        rule: String,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, rule: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), rule: rule.into() }
    }

    pub(crate) fn argument(argument: &str, rule: impl Into<String>) -> Self {
        Self::Argument { argument: argument.to_owned(), rule: rule.into() }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

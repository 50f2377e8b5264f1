//! A CSV file in memory whose cells know where they stand, so that every complaint can name row and column.

use std::path::{Path, PathBuf};

use crate::Error;

/// A header line and rows of text.
pub(crate) struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<csv::StringRecord>,
}

/// A column that exists.
#[derive(Clone, Copy)]
pub(crate) struct Column(usize);

impl Table {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let complain = |e: csv::Error| Error::file(path, format!("not a table: {e}"));
        let header: Vec<String> =
            reader.headers().map_err(complain)?.iter().map(|s| s.trim().to_owned()).collect();
        for (i, name) in header.iter().enumerate() {
            if header[..i].contains(name) {
                return Err(Error::file(path, format!("row 1 (header): column {name} occurs twice")));
            }
        }
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(complain)?;
        Ok(Self { path: path.to_owned(), header, rows })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    pub(crate) fn column(&self, name: &str) -> Option<Column> {
        self.header.iter().position(|h| h == name).map(Column)
    }

    pub(crate) fn required(&self, name: &str, why: &str) -> Result<Column, Error> {
        self.column(name).ok_or_else(|| Error::Column {
            path: self.path.clone(),
            column: name.to_owned(),
            rule: why.to_owned(),
        })
    }

    /// The cell's text without surrounding blanks.
    pub(crate) fn text(&self, row: usize, column: Column) -> &str {
        self.rows[row].get(column.0).unwrap_or("").trim()
    }

    pub(crate) fn complain(&self, row: usize, column: Column, rule: impl Into<String>) -> Error {
        Error::Cell {
            path: self.path.clone(),
            row: row + 1,
            line: self.rows[row].position().map_or(row as u64 + 2, csv::Position::line),
            column: self.header[column.0].clone(),
            value: self.text(row, column).to_owned(),
            rule: rule.into(),
        }
    }

    /// A finite number within `low..=high`; an empty cell is an error too.
    pub(crate) fn number_within(
        &self,
        row: usize,
        column: Column,
        low: f64,
        high: f64,
    ) -> Result<f64, Error> {
        let rule = || format!("must be a number within {low}..={high}");
        let value: f64 = self.text(row, column).parse().map_err(|_| self.complain(row, column, rule()))?;
        if !(low..=high).contains(&value) {
            return Err(self.complain(row, column, rule()));
        }
        Ok(value)
    }

    /// Like [`Table::number_within`], where an absent column, an empty cell or `nan` is a missing value.
    pub(crate) fn optional_number(
        &self,
        row: usize,
        column: Option<Column>,
        low: f64,
        high: f64,
    ) -> Result<Option<f64>, Error> {
        let Some(column) = column else { return Ok(None) };
        let text = self.text(row, column);
        if text.is_empty() || text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("na") {
            return Ok(None);
        }
        self.number_within(row, column, low, high).map(Some)
    }

    /// A whole number; `7.0`, as data frames write integer columns with gaps, is 7.
    pub(crate) fn integer_within(
        &self,
        row: usize,
        column: Column,
        low: i64,
        high: i64,
    ) -> Result<i64, Error> {
        let rule = || format!("must be a whole number within {low}..={high}");
        let value = self.number_within(row, column, low as f64, high as f64);
        let value = value.map_err(|_| self.complain(row, column, rule()))?;
        if value.fract() != 0.0 {
            return Err(self.complain(row, column, rule()));
        }
        Ok(value as i64)
    }

    /// Like [`Table::integer_within`] with missing values.
    pub(crate) fn optional_integer(
        &self,
        row: usize,
        column: Option<Column>,
        low: i64,
        high: i64,
    ) -> Result<Option<i64>, Error> {
        let Some(column) = column else { return Ok(None) };
        if self.optional_number(row, Some(column), f64::MIN, f64::MAX).is_ok_and(|v| v.is_none()) {
            return Ok(None);
        }
        self.integer_within(row, column, low, high).map(Some)
    }
}

//! Rows of text of a table that is read forward: CSV or Parquet.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::Error;

/// Rows of the wanted columns.
pub(crate) type TextRows = Box<dyn Iterator<Item = Result<Vec<String>, Error>>>;

/// Names of a table's columns.
pub(crate) fn header(path: &Path) -> Result<Vec<String>, Error> {
    match is_parquet(path) {
        true => super::parquet::text_rows(path, None).map(|(names, _)| names),
        false => Ok(reader(path)?
            .headers()
            .map_err(broken(path))?
            .iter()
            .map(|name| name.trim().to_owned())
            .collect()),
    }
}

/// The rows of these columns, in their order.
pub(crate) fn rows(path: &Path, columns: &[String]) -> Result<TextRows, Error> {
    let (names, rows) = match is_parquet(path) {
        true => super::parquet::text_rows(path, Some(columns))?,
        false => (header(path)?, csv_rows(path)?),
    };
    let at = |column: &String| {
        names.iter().position(|name| name == column).ok_or_else(|| Error::Column {
            path: path.to_owned(),
            column: column.clone(),
            rule: format!("it has {}", names.join(", ")),
        })
    };
    let places: Vec<usize> = columns.iter().map(at).collect::<Result<_, _>>()?;
    let pick =
        move |row: Vec<String>| places.iter().map(|&at| row.get(at).cloned().unwrap_or_default()).collect();
    Ok(Box::new(rows.map(move |row| row.map(&pick))))
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

fn reader(path: &Path) -> Result<csv::Reader<BufReader<File>>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    // Spreadsheets put a byte order mark before the first name.
    if file.fill_buf().map_err(Error::io(path))?.starts_with(b"\xef\xbb\xbf") {
        file.consume(3);
    }
    Ok(csv::Reader::from_reader(file))
}

fn broken(path: &Path) -> impl Fn(csv::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |e| Error::file(&path, format!("not a table: {e}"))
}

fn csv_rows(path: &Path) -> Result<TextRows, Error> {
    let fail = broken(path);
    let text = move |row: Result<csv::StringRecord, csv::Error>| {
        Ok(row.map_err(&fail)?.iter().map(|cell| cell.trim().to_owned()).collect())
    };
    Ok(Box::new(reader(path)?.into_records().map(text)))
}

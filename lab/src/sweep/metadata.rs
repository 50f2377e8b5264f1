//! The metadata table of a sweep, read forward twice: once for the names of classes and groups, once for the rows.

use std::path::{Path, PathBuf};

use gtca::records::Record;

use super::engine::Row;
use super::groups::{Vocabulary, block, latitude_band, named_unit};
use super::partial::Grouping;
use crate::Error;
use crate::data::{ClimateGrid, Place, fnv64, month_and_day, parse_date};
use crate::shards::text::{self, TextRows};

/// Which columns of the table mean what.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The class; without it there are no scores.
    pub label: Option<String>,
    /// Class names in label order; empty: as the table has them, in order.
    pub classes: Vec<String>,
    /// `class`, `latitude-band` or a column; one table each.
    pub group_by: Vec<String>,
    /// `sample`, `block` or a column.
    pub resample: String,
}

/// A table whose classes and groups are known.
pub struct Metadata {
    path: PathBuf,
    columns: Columns,
    /// Columns that are read, by position.
    read: Vec<String>,
    vocabularies: Vec<Vocabulary>,
    /// Rows of the table.
    pub rows: u64,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// The groupings.
    pub groupings: Vec<Grouping>,
    /// Hash of what was read.
    pub fingerprint: u64,
    /// Where moved places and rows of a table without `koppen_code` get their climate zone.
    pub grid: Option<ClimateGrid>,
    /// Codes that mean no climate zone, beside 0.
    no_data: Vec<u8>,
    forward: TextRows,
    next: u64,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metadata({}, {} rows)", self.path.display(), self.rows)
    }
}

/// Columns that are used under their own names where the table has them.
const KNOWN: [&str; 9] = ["lat", "lon", "date", "year", "month", "doy", "hour", "gsd_m", "koppen_code"];

impl Metadata {
    /// Reads the table once; `width` is that of the logits.
    ///
    /// # Errors
    /// A column that is not there; more classes than logits; too many groups.
    pub fn open(path: &Path, columns: &Columns, width: usize) -> Result<Self, Error> {
        let header = text::header(path)?;
        let mut read = vec!["id".to_owned()];
        read.extend(
            KNOWN.iter().filter(|known| header.iter().any(|name| name == *known)).map(|s| (*s).to_owned()),
        );
        read.extend(columns.label.clone());
        read.extend(columns.group_by.iter().filter(|by| !is_derived(by)).cloned());
        read.extend(Some(&columns.resample).filter(|by| !matches!(by.as_str(), "sample" | "block")).cloned());
        read.sort();
        read.dedup();
        if columns.label.is_none() && columns.group_by.iter().any(|by| by == "class") {
            return Err(Error::argument("--group-by", "class needs --label"));
        }
        let mut this = Self {
            path: path.to_owned(),
            columns: columns.clone(),
            vocabularies: columns.group_by.iter().map(|_| Vocabulary::default()).collect(),
            rows: 0,
            classes: columns.classes.clone(),
            groupings: Vec::new(),
            fingerprint: 0,
            grid: None,
            no_data: Vec::new(),
            forward: text::rows(path, &read)?,
            next: 0,
            read,
        };
        let mut labels = Vocabulary::default();
        for row in text::rows(path, &this.read)? {
            let row = row?;
            let cells: Vec<&[u8]> = row.iter().map(String::as_bytes).collect();
            this.fingerprint = this.fingerprint.rotate_left(1) ^ fnv64(&cells);
            for n in 0..columns.group_by.len() {
                let name = this.group(&row, n)?;
                this.vocabularies[n].see(&columns.group_by[n], &name)?;
            }
            if let Some(label) = this.cell(&row, columns.label.as_deref()).filter(|label| !label.is_empty()) {
                labels.see("label", label)?;
            }
            this.rows += 1;
        }
        this.groupings =
            columns.group_by.iter().zip(&mut this.vocabularies).map(|(by, names)| names.number(by)).collect();
        if this.groupings.is_empty() {
            this.groupings.push(Grouping { column: "all".to_owned(), groups: vec!["all".to_owned()] });
        }
        this.name_classes(labels.number("label").groups, width)?;
        Ok(this)
    }

    /// Says which climate codes mean none, and where a table without `koppen_code` gets them from.
    #[must_use]
    pub fn with_climate(mut self, grid: Option<ClimateGrid>, no_data: &[u8]) -> Self {
        (self.grid, self.no_data) = (grid, no_data.to_vec());
        self
    }

    /// What names the climate zones: the codes of none, and the grid.
    pub(crate) fn climate_bytes(&self) -> [Vec<u8>; 3] {
        let (rows, codes) =
            self.grid.as_ref().map_or((0, Vec::new()), |grid| (grid.rows, grid.codes.clone()));
        [self.no_data.clone(), rows.to_le_bytes().to_vec(), codes]
    }

    /// Class names: as given, or numbers, or the names of the table.
    fn name_classes(&mut self, found: Vec<String>, width: usize) -> Result<(), Error> {
        if self.classes.is_empty() {
            let numbers = found.iter().all(|name| name.parse::<usize>().is_ok_and(|number| number < width));
            self.classes = if numbers { (0..width).map(|n| n.to_string()).collect() } else { found };
        }
        if self.classes.len() != width {
            let rule =
                format!("there are {} classes and {width} logits; name them in order", self.classes.len());
            return Err(Error::argument("--classes", rule));
        }
        Ok(())
    }

    fn cell<'a>(&self, row: &'a [String], column: Option<&str>) -> Option<&'a str> {
        let at = self.read.iter().position(|name| Some(name.as_str()) == column)?;
        row.get(at).map(String::as_str)
    }

    fn number(&self, row: &[String], column: &str) -> Option<f64> {
        self.cell(row, Some(column))
            .and_then(|text| text.parse().ok())
            .filter(|number: &f64| number.is_finite())
    }

    fn place(&self, row: &[String]) -> Option<[f64; 2]> {
        let [lat, lon] = ["lat", "lon"].map(|column| self.number(row, column));
        let (lat, lon) = lat.zip(lon)?;
        let is_on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=360.0).contains(&lon);
        is_on_earth.then_some([lat, if lon > 180.0 { lon - 360.0 } else { lon }])
    }

    fn group(&self, row: &[String], grouping: usize) -> Result<String, Error> {
        Ok(match self.columns.group_by[grouping].as_str() {
            "class" => self.cell(row, self.columns.label.as_deref()).unwrap_or("").to_owned(),
            "latitude-band" => self.place(row).map_or(String::new(), |[lat, _]| latitude_band(lat)),
            column => self.cell(row, Some(column)).unwrap_or("").to_owned(),
        })
    }

    /// Rows `from..from + count`, which are read forward.
    ///
    /// # Errors
    /// Fewer rows; a label that is no class.
    pub fn read(&mut self, from: u64, count: usize) -> Result<Vec<Row>, Error> {
        if from < self.next {
            (self.forward, self.next) = (text::rows(&self.path, &self.read)?, 0);
        }
        let mut rows = Vec::with_capacity(count);
        while self.next < from + count as u64 {
            let row = self.forward.next().ok_or_else(|| {
                Error::file(&self.path, format!("has fewer than {} rows", from + count as u64))
            })??;
            if self.next >= from {
                rows.push(self.row(&row)?);
            }
            self.next += 1;
        }
        Ok(rows)
    }

    /// The metadata of every row.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let rows = text::rows(&self.path, &self.read)?;
        (0..).zip(rows).map(|(number, row)| row.map(|row| self.record(number, &row))).collect()
    }

    /// The metadata of a row; what cannot be read is missing.
    fn record(&self, row_number: u64, row: &[String]) -> Record {
        let number = |column| self.number(row, column);
        let place = self.place(row);
        let mut record = Record::new().sample_id(row_number);
        (record.lat_deg, record.lon_deg) = (place.map(|place| place[0]), place.map(|place| place[1]));
        let date = self.cell(row, Some("date")).and_then(parse_date);
        let year = number("year").map(|year| year as i32);
        let of_day = year
            .zip(number("doy"))
            .and_then(|(year, day)| month_and_day(year, day as u32).map(|(month, day)| (year, month, day)));
        match date.or(of_day) {
            Some((year, month, day)) => record = record.date(year, month as i32, day as i32),
            None => {
                (record.year, record.month) = (year, number("month").map(|month| month as i32));
            }
        }
        record.second_of_day = number("hour").map(|hour| ((hour * 3600.0).round() as i32).min(86_399));
        record.gsd_m = number("gsd_m");
        record.climate_zone = self.climate_zone(row, place);
        record
    }

    /// The column's, where there is one; else the grid's.
    fn climate_zone(&self, row: &[String], place: Option<[f64; 2]>) -> Option<u32> {
        if self.cell(row, Some("koppen_code")).is_some() {
            let zone = self.number(row, "koppen_code")? as u32;
            let is_none = zone == 0 || self.no_data.iter().any(|none| u32::from(*none) == zone);
            return (!is_none).then_some(zone);
        }
        let [lat_deg, lon_deg] = place?;
        self.grid.as_ref()?.zone(Place { lat_deg, lon_deg })
    }

    fn row(&self, row: &[String]) -> Result<Row, Error> {
        let place = self.place(row);
        let label = self.cell(row, self.columns.label.as_deref()).filter(|label| !label.is_empty());
        let class = |label: &str| {
            let found = self.classes.iter().position(|class| class == label);
            found.map(|class| class as u32).ok_or_else(|| {
                let rule = format!("row {}: {label:?} is none of {}", self.next + 1, self.classes.join(", "));
                Error::file(&self.path, rule)
            })
        };
        let groups = (0..self.columns.group_by.len())
            .map(|n| Ok(self.vocabularies[n].of(&self.group(row, n)?)))
            .collect::<Result<Vec<u32>, Error>>()?;
        let unit = match self.columns.resample.as_str() {
            "sample" => self.next,
            "block" => place.map_or(self.next, block),
            column => named_unit(self.cell(row, Some(column)).unwrap_or("")),
        };
        let date =
            ["year", "month"].map(|column| self.cell(row, Some(column)).unwrap_or("").to_owned()).join("-");
        Ok(Row {
            number: self.next,
            id: self.cell(row, Some("id")).unwrap_or("").to_owned(),
            place,
            date: self.cell(row, Some("date")).map_or(date, str::to_owned).trim_matches('-').to_owned(),
            label: label.map(class).transpose()?,
            groups: if groups.is_empty() { vec![0] } else { groups },
            record: self.record(self.next, row),
            unit,
        })
    }
}

fn is_derived(by: &str) -> bool {
    matches!(by, "class" | "latitude-band")
}

//! Parquet: columns of lists of floats, rows of text, and a writer of plain columns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::types::Type;

use super::text::TextRows;
use crate::Error;

/// Records that are looked at for a list that is not null, to learn the width.
const LOOK: usize = 1024;

fn refuse(path: &Path) -> impl Fn(ParquetError) -> Error + '_ {
    move |e| Error::file(path, e.to_string())
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, Error> {
    SerializedFileReader::new(File::open(path).map_err(Error::io(path))?).map_err(refuse(path))
}

/// Columns of lists of floats, read forward.
pub(super) struct Reader {
    path: PathBuf,
    file: SerializedFileReader<File>,
    columns: Vec<Column>,
}

/// Where a column is being read.
struct Column {
    name: String,
    /// Leaf number.
    leaf: usize,
    /// Level at which a value is there.
    there: i16,
    group: usize,
    /// Row that comes next, and rows that the open row group still has.
    next: u64,
    left: usize,
    reader: Option<ColumnReader>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.path.display())
    }
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let column = |leaf: usize| {
            let column = schema.column(leaf);
            let is_float = matches!(column.physical_type(), Physical::FLOAT | Physical::DOUBLE);
            (column.max_rep_level() == 1 && is_float).then(|| Column {
                name: column.path().parts()[0].clone(),
                leaf,
                there: column.max_def_level(),
                group: 0,
                next: 0,
                left: 0,
                reader: None,
            })
        };
        let columns = (0..schema.num_columns()).filter_map(column).collect();
        Ok(Self { path: path.to_owned(), file, columns })
    }

    pub(super) fn rows(&self) -> u64 {
        self.file.metadata().file_metadata().num_rows() as u64
    }

    /// Names, and the widths of the first lists.
    pub(super) fn arrays(&mut self) -> Result<Vec<(String, usize)>, Error> {
        let mut again = Self::open(&self.path)?;
        let look = LOOK.min(self.rows() as usize);
        let mut arrays = Vec::new();
        for column in &mut again.columns {
            let lists = column.read(&again.file, look).map_err(refuse(&again.path))?;
            arrays.push((column.name.clone(), lists.first_width().unwrap_or(0)));
        }
        Ok(arrays)
    }

    pub(super) fn read(
        &mut self,
        array: usize,
        width: usize,
        from: u64,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let fail = refuse(&self.path);
        let column = &mut self.columns[array];
        column.skip(&self.file, (from - column.next) as usize).map_err(&fail)?;
        let lists = column.read(&self.file, count).map_err(&fail)?;
        lists.flat(width).map_err(|row| {
            let (name, row) = (&column.name, from + row as u64 + 1);
            Error::file(&self.path, format!("column {name}, row {row}: must be a list of {width} numbers"))
        })
    }
}

impl Column {
    /// The reader of the row group with the next row.
    fn reader(&mut self, file: &SerializedFileReader<File>) -> Result<&mut ColumnReader, ParquetError> {
        while self.left == 0 {
            let group = file.get_row_group(self.group)?;
            self.left = group.metadata().num_rows() as usize;
            self.reader = Some(group.get_column_reader(self.leaf)?);
            self.group += 1;
        }
        Ok(self.reader.as_mut().expect("a row group was opened"))
    }

    fn skip(&mut self, file: &SerializedFileReader<File>, mut count: usize) -> Result<(), ParquetError> {
        while count > 0 {
            self.reader(file)?;
            let step = count.min(self.left);
            let skipped = match self.reader(file)? {
                ColumnReader::FloatColumnReader(reader) => reader.skip_records(step)?,
                ColumnReader::DoubleColumnReader(reader) => reader.skip_records(step)?,
                _ => 0,
            };
            if skipped < step {
                return Err(ParquetError::General("a column ends before its row group".to_owned()));
            }
            self.advance(step);
            count -= step;
        }
        Ok(())
    }

    fn read(&mut self, file: &SerializedFileReader<File>, mut count: usize) -> Result<Lists, ParquetError> {
        let mut lists = Lists { there: self.there, ..Lists::default() };
        while count > 0 {
            self.reader(file)?;
            let step = count.min(self.left);
            let read = match self.reader(file)? {
                ColumnReader::FloatColumnReader(reader) => lists.extend(reader, step, |value| value)?,
                ColumnReader::DoubleColumnReader(reader) => {
                    lists.extend(reader, step, |value: f64| value as f32)?
                }
                _ => 0,
            };
            if read < step {
                return Err(ParquetError::General("a column ends before its row group".to_owned()));
            }
            self.advance(step);
            count -= step;
        }
        Ok(lists)
    }

    fn advance(&mut self, rows: usize) {
        self.next += rows as u64;
        self.left -= rows;
    }
}

/// Lists as Parquet stores them: values, and levels that say where a list starts and where a value is missing.
#[derive(Default)]
struct Lists {
    there: i16,
    values: Vec<f32>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Lists {
    fn extend<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        count: usize,
        to_f32: impl Fn(T::T) -> f32,
    ) -> Result<usize, ParquetError> {
        let mut values = Vec::new();
        let levels = self.repetition.len();
        let (definition, repetition) = (&mut self.definition, &mut self.repetition);
        let (records, ..) = reader.read_records(count, Some(definition), Some(repetition), &mut values)?;
        // Where nothing may be missing there are no definition levels.
        let read = self.repetition.len() - levels;
        self.definition.resize(levels + read, self.there);
        self.values.extend(values.into_iter().map(to_f32));
        Ok(records)
    }

    fn first_width(&self) -> Option<usize> {
        let mut at = 0;
        self.lengths().find(|length| {
            let is_null = *length == 1 && self.definition[at] < self.there;
            at += length;
            !is_null
        })
    }

    /// Entries of every list; a null list has one, which is not there.
    fn lengths(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = self.repetition.get(at + 1..)?;
            let length = 1 + rest.iter().take_while(|level| **level > 0).count();
            at += length;
            Some(length)
        })
    }

    /// `[lists, width]`; a null list, and a null in a list, is NaN. Else the list of another length.
    fn flat(&self, width: usize) -> Result<Vec<f32>, usize> {
        let mut values = self.values.iter();
        let mut entries = self.definition.iter().map(|level| match *level == self.there {
            true => values.next().copied(),
            false => None,
        });
        let mut flat = Vec::new();
        for (row, length) in self.lengths().enumerate() {
            let list: Vec<Option<f32>> = entries.by_ref().take(length).collect();
            match list[..] {
                [None] => flat.extend(std::iter::repeat_n(f32::NAN, width)),
                _ if length == width => flat.extend(list.iter().map(|value| value.unwrap_or(f32::NAN))),
                _ => return Err(row),
            }
        }
        Ok(flat)
    }
}

/// Column names, and the rows of the named columns as text; nothing is text of no length.
pub(super) fn text_rows(path: &Path, columns: Option<&[String]>) -> Result<(Vec<String>, TextRows), Error> {
    let file = open(path)?;
    let schema = file.metadata().file_metadata().schema().clone();
    let plain = schema.get_fields().iter().filter(|field| field.is_primitive());
    let wanted = |name: &str| columns.is_none_or(|columns| columns.iter().any(|column| column == name));
    let fields: Vec<_> = plain.filter(|field| wanted(field.name())).cloned().collect();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let projection =
        Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(refuse(path))?;
    let rows = file.into_iter().project(Some(projection)).map_err(refuse(path))?;
    let path = path.to_owned();
    let text = move |row: Result<parquet::record::Row, ParquetError>| {
        let row = row.map_err(refuse(&path))?;
        Ok(row.get_column_iter().map(|(_, field)| field_text(field)).collect())
    };
    Ok((names, Box::new(rows.map(text))))
}

fn field_text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        // "2018-06-30 +00:00" and the like.
        Field::Date(_) => field.to_string().chars().take(10).collect(),
        other => other.to_string(),
    }
}

/// A column of values to write.
pub(crate) enum Values {
    Integer(Vec<i64>),
    Double(Vec<f64>),
    Float(Vec<f32>),
    Text(Vec<String>),
}

/// Writes columns, a row group at a time; the file is there when it is finished.
pub(crate) struct RowWriter {
    path: PathBuf,
    temporary: PathBuf,
    writer: SerializedFileWriter<File>,
}

impl RowWriter {
    /// A file with these columns, whose kinds are those of `like`.
    pub(crate) fn create(path: &Path, names: &[String], like: &[Values]) -> Result<Self, Error> {
        let fail = refuse(path);
        let field = |(name, like): (&String, &Values)| {
            let (physical, logical) = match like {
                Values::Integer(_) => (Physical::INT64, None),
                Values::Double(_) => (Physical::DOUBLE, None),
                Values::Float(_) => (Physical::FLOAT, None),
                Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            builder.with_logical_type(logical).build().map(Arc::new)
        };
        let fields = names.iter().zip(like).map(field).collect::<Result<_, _>>().map_err(&fail)?;
        let schema = Type::group_type_builder("schema").with_fields(fields).build().map_err(&fail)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let file = File::create(&temporary).map_err(Error::io(&temporary))?;
        let writer =
            SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map_err(&fail)?;
        Ok(Self { path: path.to_owned(), temporary, writer })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, columns: &[Values]) -> Result<(), Error> {
        let write = |writer: &mut SerializedFileWriter<File>| -> Result<(), ParquetError> {
            let mut group = writer.next_row_group()?;
            for column in columns {
                match column {
                    Values::Integer(values) => one::<Int64Type>(&mut group, values)?,
                    Values::Double(values) => one::<DoubleType>(&mut group, values)?,
                    Values::Float(values) => one::<FloatType>(&mut group, values)?,
                    Values::Text(values) => {
                        let bytes: Vec<ByteArray> = values.iter().map(|text| text.as_str().into()).collect();
                        one::<ByteArrayType>(&mut group, &bytes)?;
                    }
                }
            }
            group.close().map(|_| ())
        };
        write(&mut self.writer).map_err(refuse(&self.path))
    }

    /// Closes the file and gives it its name.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { path, temporary, writer } = self;
        let file = writer.into_inner().map_err(refuse(&path))?;
        file.sync_all().map_err(Error::io(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(Error::io(&path))
    }
}

fn one<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column =
        group.next_column()?.ok_or_else(|| ParquetError::General("one column too many".to_owned()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

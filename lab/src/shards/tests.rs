use super::*;
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gtca-shards-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Entry `c` of row `r` of array `a`.
fn value(a: usize, r: u64, c: usize) -> f32 {
    (a * 1000 + r as usize * 10 + c) as f32 + 0.25
}

/// A safetensors shard with the arrays `a` and `b`, three wide.
fn tensors(path: &Path, rows: std::ops::Range<u64>) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes = |a: usize| -> Vec<u8> {
        rows.clone().flat_map(|r| (0..3).flat_map(move |c| value(a, r, c).to_le_bytes())).collect()
    };
    let all = [bytes(0), bytes(1)];
    let shape = vec![(rows.end - rows.start) as usize, 3];
    let view = |n: usize| TensorView::new(Dtype::F32, shape.clone(), &all[n]).unwrap();
    std::fs::write(path, safetensors::serialize([("a", view(0)), ("b", view(1))], None).unwrap()).unwrap();
}

/// The same as Parquet: lists of floats, or of doubles, in row groups of at most `group` rows; row `null` is null.
fn lists(path: &Path, rows: std::ops::Range<u64>, group: usize, kind: &str, null: Option<u64>) {
    compressed(path, rows, (group, kind, null), Compression::UNCOMPRESSED);
}

fn compressed(
    path: &Path,
    rows: std::ops::Range<u64>,
    (group, kind, null): (usize, &str, Option<u64>),
    compression: Compression,
) {
    use ::parquet::data_type::{DoubleType, FloatType};
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    let column = |name: &str| {
        format!("optional group {name} (LIST) {{ repeated group list {{ optional {kind} element; }} }}")
    };
    let schema = format!("message schema {{ required INT64 row; {} {} }}", column("a"), column("b"));
    let schema = std::sync::Arc::new(parse_message_type(&schema).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = SerializedFileWriter::new(file, schema, std::sync::Arc::new(properties)).unwrap();
    let all: Vec<u64> = rows.collect();
    for rows in all.chunks(group) {
        let mut group = writer.next_row_group().unwrap();
        let numbers: Vec<i64> = rows.iter().map(|&r| r as i64).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<::parquet::data_type::Int64Type>().write_batch(&numbers, None, None).unwrap();
        column.close().unwrap();
        for a in 0..2 {
            let is_null = |r: u64| a == 1 && null == Some(r);
            let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
            for &r in rows {
                for c in 0..if is_null(r) { 1 } else { 3 } {
                    repetition.push(i16::from(c > 0));
                    definition.push(if is_null(r) { 0 } else { 3 });
                    values.extend((!is_null(r)).then(|| value(a, r, c)));
                }
            }
            let (definition, repetition) = (Some(&definition[..]), Some(&repetition[..]));
            let mut column = group.next_column().unwrap().unwrap();
            if kind == "FLOAT" {
                column.typed::<FloatType>().write_batch(&values, definition, repetition).unwrap();
            } else {
                let values: Vec<f64> = values.into_iter().map(f64::from).collect();
                column.typed::<DoubleType>().write_batch(&values, definition, repetition).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn rows_of_all_formats_follow_one_another_whatever_the_run() {
    let folder = Temporary::new("formats");
    let paths = ["0.safetensors", "1.parquet", "2.parquet"].map(|name| folder.0.join(name));
    tensors(&paths[0], 0..10);
    lists(&paths[1], 10..31, 4, "FLOAT", Some(13));
    lists(&paths[2], 31..40, 100, "DOUBLE", None);
    let mut shards = Shards::open(&paths).unwrap();
    assert_eq!((shards.rows(), shards.arrays()), (40, &[("a".to_owned(), 3), ("b".to_owned(), 3)][..]));
    let expected = |a: usize, r: u64, c: usize| if (a, r) == (1, 13) { f32::NAN } else { value(a, r, c) };
    // Forward in runs, then back, over the ends of shards and row groups, and into the middle of a row group.
    for (from, count) in [(0, 40), (0, 7), (7, 7), (14, 17), (31, 9), (12, 3), (39, 1), (5, 30), (18, 2)] {
        let arrays = shards.read(from, count).unwrap();
        for (a, rows) in arrays.iter().enumerate() {
            let wanted = (from..from + count as u64).flat_map(|r| (0..3).map(move |c| expected(a, r, c)));
            let same = rows
                .iter()
                .copied()
                .zip(wanted)
                .all(|(x, y)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()));
            assert!(same && rows.len() == 3 * count, "{from} {count}: {rows:?}");
        }
    }
    assert!(shards.read(35, 6).unwrap_err().to_string().contains("beyond the last shard"));
}

#[test]
fn every_compression_that_common_writers_use_is_read() {
    let folder = Temporary::new("compressed");
    let kinds = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ];
    let paths: Vec<PathBuf> = (0..kinds.len()).map(|n| folder.0.join(format!("{n}.parquet"))).collect();
    for (n, (path, kind)) in (0..).zip(paths.iter().zip(kinds)) {
        compressed(path, n * 50..(n + 1) * 50, (50, "FLOAT", None), kind);
    }
    let count = 50 * kinds.len();
    let arrays = Shards::open(&paths).unwrap().read(0, count).unwrap();
    for (a, rows) in arrays.iter().enumerate() {
        let wanted: Vec<f32> = (0..count as u64).flat_map(|r| (0..3).map(move |c| value(a, r, c))).collect();
        assert_eq!(rows, &wanted);
    }
}

#[test]
fn broken_shards_are_refused_by_name() {
    let folder = Temporary::new("broken");
    let path = |name: &str| folder.0.join(name);
    let says = |paths: &[PathBuf], part: &str| {
        let message = Shards::open(paths).unwrap_err().to_string();
        assert!(message.contains(part), "{message} must say {part}");
    };
    says(&[], "--shards");
    says(&[path("none.parquet")], "none.parquet");
    std::fs::write(path("a.csv"), "a,b\n").unwrap();
    says(&[path("a.csv")], ".parquet or .safetensors");
    tensors(&path("whole.safetensors"), 0..10);
    let bytes = std::fs::read(path("whole.safetensors")).unwrap();
    std::fs::write(path("cut.safetensors"), &bytes[..bytes.len() - 4]).unwrap();
    says(&[path("cut.safetensors")], "ends before its last array");
    std::fs::write(path("no.safetensors"), vec![255; 64]).unwrap();
    says(&[path("no.safetensors")], "no.safetensors");
    std::fs::write(path("no.parquet"), "nonsense").unwrap();
    says(&[path("no.parquet")], "no.parquet");
}

#[test]
fn text_is_read_alike_from_csv_and_parquet() {
    let folder = Temporary::new("text");
    let (table, file) = (folder.0.join("t.csv"), folder.0.join("t.parquet"));
    std::fs::write(&table, "\u{feff}id,urban, lat ,note\nx, true,1.5,\"a, b\"\ny,false,,\n").unwrap();
    let columns = [
        Values::Text(vec!["x".into(), "y".into()]),
        Values::Integer(vec![1, 0]),
        Values::Double(vec![1.5, -2.0]),
        Values::Float(vec![0.5, f32::NAN]),
    ];
    let names = ["id", "urban", "lat", "share, %"].map(str::to_owned);
    let mut writer = RowWriter::create(&file, &names, &columns).unwrap();
    writer.write(&columns).unwrap();
    writer.write(&columns).unwrap();
    assert!(!file.exists(), "a file is there when it is finished");
    writer.finish().unwrap();
    let read = |path: &Path, columns: &[&str]| -> Result<Vec<Vec<String>>, Error> {
        let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
        text::rows(path, &columns)?.collect()
    };
    assert_eq!(text::header(&table).unwrap(), ["id", "urban", "lat", "note"]);
    assert_eq!(read(&table, &["note", "id", "lat"]).unwrap(), [["a, b", "x", "1.5"], ["", "y", ""]]);
    assert_eq!(text::header(&file).unwrap(), names);
    let twice = [["1.5", "x", "1"], ["-2", "y", "0"], ["1.5", "x", "1"], ["-2", "y", "0"]];
    assert_eq!(read(&file, &["lat", "id", "urban"]).unwrap(), twice);
    for path in [&table, &file] {
        assert!(read(path, &["colour"]).unwrap_err().to_string().contains("colour"));
    }
}

//! `data.safetensors` and `.npy` arrays.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::Error;

/// The series and the columns that are repeated beside it.
pub(crate) struct Arrays {
    pub(crate) path: PathBuf,
    pub(crate) series: Vec<f32>,
    /// One-dimensional tensors of the file, as f64.
    pub(crate) columns: Vec<(String, Vec<f64>)>,
}

impl Arrays {
    /// Reads `data.safetensors`, or the `.npy` file that `dataset.json` names where there is none.
    pub(crate) fn read(folder: &Path, array: Option<&str>, shape: [usize; 3]) -> Result<Self, Error> {
        let path = folder.join("data.safetensors");
        if path.exists() {
            return Self::read_safetensors(path, shape);
        }
        let path = folder.join(array.unwrap_or("series.npy"));
        let (found, series) = read_npy_f32(&path)?;
        check_shape(&path, &found, shape)?;
        Ok(Self { path, series, columns: Vec::new() })
    }

    fn read_safetensors(path: PathBuf, shape: [usize; 3]) -> Result<Self, Error> {
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| Error::file(&path, e.to_string()))?;
        let tensor = file.tensor("series").map_err(|_| Error::file(&path, "there is no array `series`"))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(Error::file(&path, format!("`series` is {:?}, must be F32", tensor.dtype())));
        }
        check_shape(&path, tensor.shape(), shape)?;
        let series = chunks(tensor.data(), f32::from_le_bytes);
        let mut columns = Vec::new();
        for (name, view) in file.iter() {
            if let ([n], Some(values)) = (view.shape(), as_f64(view.dtype(), view.data())) {
                if *n != shape[0] {
                    let rows = shape[0];
                    return Err(Error::file(&path, format!("`{name}` has {n} rows, samples.csv has {rows}")));
                }
                columns.push((name.to_owned(), values));
            }
        }
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { path, series, columns })
    }

    pub(crate) fn column(&self, name: &str) -> Option<&[f64]> {
        self.columns.iter().find(|c| c.0 == name).map(|c| c.1.as_slice())
    }

    /// Position and value of the first infinite entry; NaN is a missing observation and fine.
    pub(crate) fn first_infinite(&self, shape: [usize; 3]) -> Option<(usize, usize, usize)> {
        let i = self.series.iter().position(|v| v.is_infinite())?;
        Some((i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]))
    }
}

fn check_shape(path: &Path, found: &[usize], want: [usize; 3]) -> Result<(), Error> {
    if found == want {
        return Ok(());
    }
    let [n, steps, channels] = want;
    let rule = format!(
        "`series` has shape {found:?}, must be [{n}, {steps}, {channels}]: \
         rows of samples.csv, `steps` and `channels` of dataset.json"
    );
    Err(Error::file(path, rule))
}

fn chunks<const N: usize, T>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|c| read(c.try_into().expect("chunks_exact gives N bytes"))).collect()
}

fn as_f64(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    Some(match dtype {
        Dtype::F32 => chunks(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => chunks(bytes, f64::from_le_bytes),
        Dtype::I32 => chunks(bytes, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::I64 => chunks(bytes, |b| i64::from_le_bytes(b) as f64),
        Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        _ => return None,
    })
}

fn open_npy(path: &Path) -> Result<npyz::NpyFile<std::io::Cursor<Vec<u8>>>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = npyz::NpyFile::new(std::io::Cursor::new(bytes));
    let file = file.map_err(|e| Error::file(path, format!("not a .npy file: {e}")))?;
    if file.order() != npyz::Order::C {
        return Err(Error::file(path, "the array must be in C order (last axis contiguous)"));
    }
    Ok(file)
}

fn shape_of(file: &npyz::NpyHeader) -> Vec<usize> {
    file.shape().iter().map(|&n| n as usize).collect()
}

fn read_npy_f32(path: &Path) -> Result<(Vec<usize>, Vec<f32>), Error> {
    let file = open_npy(path)?;
    let shape = shape_of(file.header());
    let values = file.into_vec::<f32>().map_err(|e| Error::file(path, format!("must hold f32: {e}")))?;
    Ok((shape, values))
}

/// A two-dimensional u8 array: rows, columns, values.
pub(crate) fn read_npy_u8_grid(path: &Path) -> Result<(usize, usize, Vec<u8>), Error> {
    let file = open_npy(path)?;
    let shape = shape_of(file.header());
    let [rows, columns] = shape[..] else {
        return Err(Error::file(
            path,
            format!("has shape {shape:?}, must be two-dimensional: [rows, columns]"),
        ));
    };
    let values = file.into_vec::<u8>().map_err(|e| Error::file(path, format!("must hold u8: {e}")))?;
    if values.is_empty() {
        return Err(Error::file(path, "the grid is empty"));
    }
    Ok((rows, columns, values))
}

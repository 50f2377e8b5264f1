//! f32 tensors `[rows, width]` of a safetensors file, read at their offsets.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata};

use crate::Error;

/// Longest header that is believed, as in the format's reference implementation.
const MOST_HEADER: u64 = 100_000_000;

#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    rows: u64,
    /// Name, width and offset in the file.
    arrays: Vec<(String, usize, u64)>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io(path))?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(Error::io(path))?;
        let length = u64::from_le_bytes(length);
        if length > MOST_HEADER {
            return Err(Error::file(path, "is no safetensors file: its header is too long"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        let broken = |e: serde_json::Error| Error::file(path, format!("is no safetensors file: {e}"));
        let header: Metadata = serde_json::from_slice(&header).map_err(broken)?;
        let mut arrays = Vec::new();
        let mut rows = None;
        for (name, info) in header.tensors() {
            let &[count, width] = info.shape.as_slice() else { continue };
            if info.dtype != Dtype::F32 {
                continue;
            }
            if *rows.get_or_insert(count as u64) != count as u64 {
                return Err(Error::file(path, format!("`{name}` has {count} rows, another array has not")));
            }
            arrays.push((name, width, 8 + length + info.data_offsets.0 as u64));
        }
        arrays.sort();
        let size = file.metadata().map_err(Error::io(path))?.len();
        let bytes =
            |(_, width, offset): &(String, usize, u64)| offset + rows.unwrap_or(0) * 4 * *width as u64;
        if arrays.iter().map(bytes).max().unwrap_or(0) > size {
            return Err(Error::file(path, "ends before its last array: it was not written to the end"));
        }
        Ok(Self { path: path.to_owned(), file, rows: rows.unwrap_or(0), arrays })
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn arrays(&self) -> Vec<(String, usize)> {
        self.arrays.iter().map(|(name, width, _)| (name.clone(), *width)).collect()
    }

    pub(super) fn read(
        &mut self,
        array: usize,
        width: usize,
        from: u64,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let mut bytes = vec![0; count * width * 4];
        let at = self.arrays[array].2 + from * 4 * width as u64;
        self.file
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(Error::io(&self.path))?;
        let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        Ok(bytes.chunks_exact(4).map(value).collect())
    }
}

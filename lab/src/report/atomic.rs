//! Files that are whole or not there.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::Error;

/// Puts `content` at `path` in one step: a reader sees the old file or the new one.
pub(crate) fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = write_and_rename(&temporary, path, content.as_ref());
    if written.is_err() {
        // The first error is the one to tell; a leftover temporary file does no harm.
        std::fs::remove_file(&temporary).ok();
    }
    written
}

fn write_and_rename(temporary: &Path, path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut file = File::create(temporary).map_err(Error::io(temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(Error::io(temporary))?;
    drop(file);
    std::fs::rename(temporary, path).map_err(Error::io(path))
}

/// Indented JSON with a closing line end; `path` is for the error.
pub(super) fn json(value: &impl Serialize, path: &Path) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::file(path, e.to_string()))?;
    text.push('\n');
    Ok(text)
}

//! Tables of 64-bit integer cells: the host side of `shaders/common/cells.wgsl`, and how they are stored.

use super::fixed64::{from_words, words};
use crate::Error;

/// Cells from the device's words, low word first.
pub fn cells_from_words(pairs: &[u32]) -> Vec<i64> {
    pairs.chunks_exact(2).map(|pair| from_words([pair[0], pair[1]])).collect()
}

/// Two words a cell, low word first.
pub fn words_from_cells(cells: &[i64]) -> Vec<u32> {
    cells.iter().flat_map(|&cell| words(cell)).collect()
}

/// Writes a header (mark, format version, dimensions) and the cells as words.
pub(crate) fn store(mark: u32, version: u32, dimensions: &[u32], cells: &[i64]) -> Vec<u32> {
    let mut out = vec![mark, version];
    out.extend(dimensions);
    out.extend(words_from_cells(cells));
    out
}

/// Takes the header of [`store`] off and returns the dimensions and the cells.
pub(crate) fn restore<const N: usize>(
    kind: &'static str,
    (mark, version): (u32, u32),
    stored: &[u32],
) -> Result<([u32; N], Vec<i64>), Error> {
    let refuse = |problem: String, remedy| Error::File { file: format!("stored {kind}"), problem, remedy };
    let dimensions = stored.get(2..2 + N).and_then(|slice| slice.try_into().ok());
    let Some(dimensions) = dimensions.filter(|_| stored[0] == mark) else {
        return Err(refuse("the words do not start as they should".to_owned(), "check what was stored"));
    };
    if stored[1] != version {
        let problem = format!("format version {} is not {version}", stored[1]);
        return Err(refuse(problem, "read it with the release that wrote it"));
    }
    Ok((dimensions, cells_from_words(&stored[2 + N..])))
}

/// The error of a table whose cells do not match its dimensions.
pub(crate) fn wrong_length(kind: &'static str, found: usize, wanted: u64) -> Error {
    let problem = format!("{found} cells where the dimensions need {wanted}");
    Error::File { file: format!("stored {kind}"), problem, remedy: "check that the words are whole" }
}

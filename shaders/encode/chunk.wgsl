// The rows of one chunk of a sum in two stages. Chunks are whole samples, or several a sample where `tokens`, its rows, are
// more than a chunk has; the last of a sample may have fewer. For records `tokens` is 1. Twin: `Cut` in src/encode/backward.rs.

struct Chunk {
    first: u32,
    end: u32, // one past the last row
}

fn rows_of_chunk(chunk: u32, chunk_rows: u32, tokens: u32, rows: u32) -> Chunk {
    let unit = max(chunk_rows, tokens);
    let a_unit = (unit + chunk_rows - 1u) / chunk_rows;
    let of_unit = chunk / a_unit;
    let first = of_unit * unit + (chunk - of_unit * a_unit) * chunk_rows;
    return Chunk(first, min(min(first + chunk_rows, (of_unit + 1u) * unit), rows));
}

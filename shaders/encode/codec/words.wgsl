// int8 codes, four to a word: code c of a row lies in byte c mod 4 (lowest first) of the row's word c / 4. Rows start at
// words; the bytes behind an odd width's last code are written as 0 and never read.
// Twins: `pack_codes`, `unpack_codes` in src/encode/codec/mod.rs.

// The code in a byte of a word, sign extended.
fn code_at(word: u32, byte: u32) -> i32 {
    return bitcast<i32>(word << (24u - 8u * byte)) >> 24u;
}

// A word with a code in one of its bytes, the others 0.
fn code_in(code: i32, byte: u32) -> u32 {
    return (bitcast<u32>(code) & 0xffu) << (8u * byte);
}

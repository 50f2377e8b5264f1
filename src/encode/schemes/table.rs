//! Learned tables whose row is a whole number; `shaders/encode/schemes/table.wgsl`.

use crate::Error;
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::encode::{OP, Source};
use crate::records::Fields;

const MAX_WIDTH: u32 = 4096;
/// Numbers stay below 2¹⁹.
const MAX_ROWS: u32 = 1 << 19;

pub(in crate::encode) struct Table {
    pub name: &'static str,
    pub source: Source,
    pub first: u32,
    pub rows: u32,
    pub width: u32,
    pub validity: bool,
}

impl Scheme for Table {
    fn opcode(&self) -> u32 {
        3
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self) -> Result<(), Error> {
        let not_whole =
            || (!self.source.is_whole()).then_some("rows of a table are counted by whole numbers");
        if let Some(rule) = self.source.problem().or_else(not_whole) {
            let value = format!("{:?}", self.source);
            return Err(Error::argument(OP, "source", value, rule, "name a whole number"));
        }
        for (name, value, limit) in [("rows", self.rows, MAX_ROWS), ("width", self.width, MAX_WIDTH)] {
            if !(1..=limit).contains(&value) {
                let rule = format!("a table by number has 1 to {limit}");
                return Err(Error::argument(OP, name, value, rule, "leave the block out or shrink it"));
            }
        }
        if self.first >= MAX_ROWS {
            let rule = format!("numbers stay below {MAX_ROWS}");
            return Err(Error::argument(OP, "first", self.first, rule, "count from a smaller number"));
        }
        Ok(())
    }

    fn features(&self) -> Vec<String> {
        (0..self.width).map(|j| j.to_string()).collect()
    }

    fn fields(&self) -> Fields {
        self.source.fields()
    }

    fn source(&self) -> Option<Source> {
        Some(self.source)
    }

    fn parameter(&self) -> u32 {
        self.first
    }

    fn has_validity(&self) -> bool {
        self.validity
    }

    fn table_rows(&self) -> u32 {
        self.rows
    }

    fn shares_missing(&self) -> bool {
        false
    }

    fn encode(&self, _: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let row = self.source.whole(given.number?).checked_sub(i64::from(self.first))?;
        let row = usize::try_from(row).ok().filter(|row| *row < self.rows as usize)?;
        // The missing vector comes first.
        out.copy_from_slice(&given.learned[(row + 1) * out.len()..][..out.len()]);
        Some(row as u32 + 1)
    }
}

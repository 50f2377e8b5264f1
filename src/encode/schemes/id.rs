//! Tables of ids; `shaders/encode/schemes/id.wgsl`.

use crate::Error;
use crate::encode::OP;
use crate::encode::scheme::{Given, Sample, Scheme};
use crate::records::{Field, Fields, Kind};

const MAX_WIDTH: u32 = 4096;
const MAX_ROWS: u32 = 1 << 24;

pub(in crate::encode) struct Id {
    pub field: Field,
    pub rows: u32,
    pub width: u32,
}

impl Scheme for Id {
    fn opcode(&self) -> u32 {
        1
    }

    fn name(&self) -> &'static str {
        self.field.info().name
    }

    fn check(&self) -> Result<(), Error> {
        if self.field.info().kind != Kind::U32 {
            let rule = "it must be one of sensor, climate_zone, ecoregion, tile";
            return Err(Error::argument(OP, "field", self.name(), rule, "name an id field"));
        }
        for (name, value, limit) in [("rows", self.rows, MAX_ROWS), ("width", self.width, MAX_WIDTH)] {
            if !(1..=limit).contains(&value) {
                let rule = format!("a table of ids has 1 to {limit}");
                return Err(Error::argument(OP, name, value, rule, "leave the block out or shrink it"));
            }
        }
        Ok(())
    }

    fn features(&self) -> Vec<String> {
        (0..self.width).map(|j| j.to_string()).collect()
    }

    fn fields(&self) -> Fields {
        self.field.into()
    }

    fn parameter(&self) -> u32 {
        self.field.info().word
    }

    fn table_rows(&self) -> u32 {
        self.rows
    }

    fn encode(&self, sample: &Sample, given: &Given<'_>, out: &mut [f32]) -> Option<u32> {
        let id = sample.word(self.field);
        if !sample.has(self.field) || id >= self.rows {
            return None;
        }
        let (missing, table) = given.learned.split_at(self.width as usize);
        let row = &table[id as usize * missing.len()..][..missing.len()];
        for ((out, missing), entry) in out.iter_mut().zip(missing).zip(row) {
            *out = missing + entry;
        }
        Some(id + 1)
    }
}

//! A list of waves as upstream emits it: nothing learned but, where it has one, the scale; zeros where an input is missing.

use crate::encode::Waves;
use crate::encode::scheme::{Scale, Scheme};

pub(in crate::encode) struct Published {
    pub name: &'static str,
    pub waves: Waves,
    pub validity: bool,
    pub scale: Option<Scale>,
}

impl Scheme for Published {
    fn name(&self) -> &'static str {
        self.name
    }

    fn waves(&self) -> Option<Waves> {
        Some(self.waves.clone())
    }

    fn is_learned(&self) -> bool {
        false
    }

    fn has_validity(&self) -> bool {
        self.validity
    }

    fn scale(&self) -> Option<Scale> {
        self.scale
    }
}

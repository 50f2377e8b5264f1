//! A list of waves as upstream emits it: nothing learned but, where it has one, the scale; zeros where an input is missing.

use crate::Error;
use crate::encode::Waves;
use crate::encode::scheme::{Scale, Scheme};

pub(in crate::encode) struct Published {
    pub name: &'static str,
    pub waves: Waves,
    pub validity: bool,
    pub scale: Option<Scale>,
}

/// A scheme whose parameters are refused.
struct Refused(&'static str, Error);

impl Scheme for Refused {
    fn name(&self) -> &'static str {
        self.0
    }

    fn check(&self) -> Result<(), Error> {
        Err(self.1.clone())
    }
}

impl Published {
    /// Waves with their scale, where they have one, or what is wrong with their parameters.
    pub(in crate::encode) fn scaled(
        name: &'static str,
        validity: bool,
        waves: Result<(Waves, Option<Scale>), Error>,
    ) -> Box<dyn Scheme> {
        match waves {
            Ok((waves, scale)) => Box::new(Self { name, waves, validity, scale }),
            Err(error) => Box::new(Refused(name, error)),
        }
    }

    /// Waves without a scale, or what is wrong with their parameters.
    pub(in crate::encode) fn checked(
        name: &'static str,
        validity: bool,
        waves: Result<Waves, Error>,
    ) -> Box<dyn Scheme> {
        Self::scaled(name, validity, waves.map(|waves| (waves, None)))
    }
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

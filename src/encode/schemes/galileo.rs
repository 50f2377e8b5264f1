//! Galileo, and what Presto shares with it.

use crate::Error;
use crate::encode::scheme::{check_width, per_turn};
use crate::encode::{Block, OP, Order, Plan, Source, Wave, Waves};

/// Parts of Galileo's encodings (github.com/nasaharvest/galileo at 0f0b5b95).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Galileo {
    /// `width/2` copies of sin 2πm/12, then of cos, m = 0..=11 the month of the token's frame. Of rank 2; December and
    /// January are neighbours; days within a month are alike. Upstream's default for a missing month is 5 or 6; ours is 0.
    Month {
        /// Columns; even.
        width: u32,
    },
    /// `[sin | cos](frame·ω_i)`, `ω_i = 10000^(−i/(2·width))`, i = 0..width/2. Upstream's exponent; the usual one would
    /// be `−2i/width`, so that the slowest ω is 0.1, not 1e-4.
    Position {
        /// Columns; even.
        width: u32,
    },
    /// `[sin | cos](column·r·ω_i)`, then of the row; `r = gsd·patch_px/10 m`, `ω_i = 10000^(−i/width)`, i = 0..width/4.
    /// Angles of thousands of radians: upstream's f32 is 7e-5 off, ours 1e-6.
    Space {
        /// Columns; a multiple of 4.
        width: u32,
        /// Pixels along a side of a patch; above 0, at most 4096.
        patch_px: f64,
    },
    /// `cos φ cos λ, cos φ sin λ, sin φ` of latitude φ and longitude λ: no seam, no pole. Upstream's training data keeps
    /// it in f16, about 3 km.
    Place,
    /// Columns of 0, where a token has no time or no place.
    Nothing {
        /// Columns; even.
        width: u32,
    },
}

impl Galileo {
    pub(in crate::encode) fn name(self) -> &'static str {
        match self {
            Self::Month { .. } => "galileo_month",
            Self::Position { .. } => "galileo_position",
            Self::Space { .. } => "galileo_space",
            Self::Place => "galileo_place",
            Self::Nothing { .. } => "galileo_nothing",
        }
    }

    /// Its waves, or what is wrong with its parameters.
    pub(in crate::encode) fn checked(self) -> Result<Waves, Error> {
        match self {
            Self::Space { patch_px, .. } if !(patch_px > 0.0 && patch_px <= 4096.0) => {
                let rule = "a patch has a side above 0, at most 4096 pixels";
                return Err(Error::argument(OP, "patch_px", patch_px, rule, "change the block"));
            }
            Self::Space { width, .. } => check_width(width, 4)?,
            Self::Month { width } | Self::Position { width } | Self::Nothing { width } => {
                check_width(width, 2)?
            }
            Self::Place => {}
        }
        Ok(self.waves())
    }

    /// Its waves, for example to read another number instead of the record's.
    pub fn waves(self) -> Waves {
        match self {
            Self::Month { width } => month_table(width),
            Self::Position { width } => slow_ladder(Waves::new(), Source::Frame, 1.0, width),
            Self::Space { width, patch_px } => {
                let half = |waves, source| slow_ladder(waves, source, patch_px / 10.0, width / 2);
                half(half(Waves::new(), Source::GsdColumn), Source::GsdRow)
            }
            Self::Place => unit_vector(),
            Self::Nothing { width } => {
                let still = (0..width / 2).map(|_| Wave::new(Source::Position, 0.0));
                Waves::new().ladder(Order::Split, 0.0, still)
            }
        }
    }
}

/// Half sines, half cosines of 2πm/12, all alike.
pub(super) fn month_table(width: u32) -> Waves {
    let twelfths = (0..width / 2).map(|_| Wave::new(Source::MonthIndex, 1.0 / 12.0));
    Waves::new().ladder(Order::Split, 1.0, twelfths)
}

/// Sines and cosines of `unit·source·10000^(−i/(2·width))`.
fn slow_ladder(waves: Waves, source: Source, unit: f64, width: u32) -> Waves {
    let omega = |i: u32| 10_000f64.powf(-f64::from(i) / (2.0 * f64::from(width)));
    let wave = |i| Wave::new(source, per_turn(unit * omega(i)));
    waves.ladder(Order::Split, 1.0, (0..width / 2).map(wave))
}

/// The point of the unit sphere.
pub(super) fn unit_vector() -> Waves {
    let turn = |source| Wave::new(source, 1.0 / 360.0);
    let (lat, lon) = (turn(Source::LatDeg), turn(Source::LonDeg));
    Waves::new()
        .product(1.0, [lat.clone().cos(), lon.clone().cos()])
        .product(1.0, [lat.clone().cos(), lon])
        .product(1.0, [lat])
}

/// Galileo's kinds of tokens: what is added to each, in four quarters of its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GalileoTokens {
    /// `channel | position | month | space`.
    SpaceTime,
    /// `channel | 0 | 0 | space`.
    Space,
    /// `channel | position | month | 0`.
    Time,
    /// `channel | 0 | 0 | 0`, the location's token included.
    Static,
}

impl GalileoTokens {
    /// The plan of the vector that is added to tokens of `width`: a learned row for each of `channels` groups, then three
    /// quarters that are not learned. Tokens tell their channel group by the grid's axis `channel`, their time by `frame`.
    ///
    /// # Errors
    /// A width that is no multiple of 16; no channel; an impossible patch.
    pub fn plan(self, width: u32, channels: u32, patch_px: f64) -> Result<Plan, Error> {
        check_width(width, 16)?;
        let width = width / 4;
        let channel = Block::Table {
            name: "galileo_channel",
            source: Source::Channel,
            first: 0,
            rows: channels,
            width,
            validity: false,
        };
        let [position, month] = [Galileo::Position { width }, Galileo::Month { width }];
        let space = Galileo::Space { width, patch_px };
        let nothing = |width| Galileo::Nothing { width };
        let rest = match self {
            Self::SpaceTime => vec![position, month, space],
            Self::Space => vec![nothing(2 * width), space],
            Self::Time => vec![position, month, nothing(width)],
            Self::Static => vec![nothing(3 * width)],
        };
        let blocks: Vec<_> = std::iter::once(channel).chain(rest.into_iter().map(Block::Galileo)).collect();
        Plan::new(&blocks)
    }
}

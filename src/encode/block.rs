//! The blocks that a plan is made of.

use super::Convention;
use super::scheme::Scheme;
use super::schemes::clay::{self, Clay};
use super::schemes::fourier::{self, Fourier};
use super::schemes::geotime::{self, GeoTime};
use super::schemes::prithvi::{self, Prithvi};
use super::schemes::satclip::{self, SatClip};
use super::schemes::terramind::{self, TerraMind};
use super::schemes::torchspatial::{self, Radii, Spatial};
use super::schemes::{
    ClayScalars, Day, Frequencies, Galileo, Gsd, Id, Place, Presto, Published, Season, Table,
    TerraMindCoordinate, Tessera, Year,
};
use super::source::Source;
use super::waves::Waves;
use crate::records::{Field, Fields};

/// One block of an encoding: a scheme with its parameters.
///
/// Where an input is missing, a block of ours gives its learned missing vector, and its validity column says 0.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// Real spherical harmonics of latitude and longitude, degree 0..=`degree` (at most 40): `(degree + 1)²` features
    /// in the order l = 0..=degree, m = −l..=l; orthonormal on the unit sphere, without the Condon–Shortley sign.
    /// Continuous across ±180° and at the poles; errors at [`Convention`].
    Place {
        /// Highest degree.
        degree: u32,
    },
    /// As [`Block::Place`], in somebody's convention: a missing place gives zeros, nothing is learned.
    Harmonics {
        /// Highest degree, at most 40; one below SatCLIP's number of levels L.
        degree: u32,
        /// Signs and factors.
        convention: Convention,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// sin of harmonics 1..=8, then cos, of the fraction of the actual year (365 or 366 days) that has passed.
    Season,
    /// sin of harmonics 1..=4, then cos, of the fraction of the day that has passed; local time where the offset
    /// from UTC is known.
    Day,
    /// `(y − 2015)/10` of the decimal year y, then sin at periods of 4, 16 and 64 years, then cos. A year alone counts
    /// by its middle.
    Year,
    /// `o = log2(gsd / 10 m)`, then sin of o at periods of 1, 2, 4 and 8 octaves, then cos.
    Gsd,
    /// `missing vector + table[id]`, both learned and initially 0. An id past the table counts as missing (and as refused),
    /// a code that stands for none is left out of the record ([`Record`](crate::records::Record) says how).
    ///
    /// | field | codes | rows | none |
    /// |---|---|---|---|
    /// | climate zone | Köppen–Geiger maps of Beck et al. (Scientific Data 2018 and 2023), 1..=30 | 31 | 0, ocean |
    /// | ecoregion | RESOLVE's `ECO_ID` (Dinerstein et al., BioScience 2017), up to 846 | 847 | no polygon |
    /// | tile | [`MgrsSquare::number`](crate::records::MgrsSquare::number), Sentinel-2's tiles | 87,840 | near the poles |
    /// | tile | [`S2Cell::number`](crate::records::S2Cell::number) of level L ≤ 10 | 6·4ᴸ | – |
    /// | sensor | the user's own list | its length | unknown sensor |
    Id {
        /// Sensor, climate zone, ecoregion or tile.
        field: Field,
        /// Rows of the table: ids run from 0 to `rows − 1`.
        rows: u32,
        /// Features.
        width: u32,
    },
    /// The eight channels of Clay v1.5: sin, cos of 2π·ISO week/52, of 2π·hour/24, of latitude, of longitude (UTC). A
    /// pair whose input is missing is (0, 0). Nothing is learned.
    ClayScalars {
        /// Whether a validity column follows (all four inputs known); upstream has none.
        validity: bool,
    },
    /// An encoding of Clay v1.5 with wide columns; 0 where its number is missing.
    Clay {
        /// Which one.
        encoding: Clay,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// An encoding of Prithvi-EO-2.0; 0 where one of its numbers is missing (upstream leaves the term out for the whole
    /// batch).
    Prithvi {
        /// Which one.
        encoding: Prithvi,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// A position encoding of TerraMind.
    TerraMind {
        /// Which one.
        encoding: TerraMind,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// A location encoder of TorchSpatial, Space2Vec or Sphere2Vec; 0 where longitude or latitude is missing.
    Spatial {
        /// Which one.
        encoding: Spatial,
        /// Its frequencies.
        radii: Radii,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// One of SatCLIP's closed forms; 0 where longitude or latitude is missing.
    SatClip {
        /// Which one.
        encoding: SatClip,
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// Fourier features of two numbers; 0 where one is missing.
    Fourier {
        /// Which ones.
        features: Fourier,
        /// x and y.
        of: [Source; 2],
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// GeoCLIP's Equal Earth coordinates (Šavrič et al., 2019), which its [`Block::Fourier`] features read as
    /// [`Source::EqualEarthX`] and [`Source::EqualEarthY`], exact in 64 bits. A seam at ±180°, and at a pole x still tells
    /// longitudes apart.
    EqualEarth {
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// GT-Loc's angles of month and time of day in radians, from −π; local time. Not periodic as they stand: upstream feeds
    /// them to [`Block::Fourier`], so that New Year is a seam.
    TimeAngles {
        /// Whether a validity column follows; upstream has none.
        validity: bool,
    },
    /// Joint features of place and time, ours: `[cos 2πφ_j | sin 2πφ_j]` of phases φ_j that turn with the place on the
    /// unit sphere, the season and the time of day at once. Continuous at the poles, across ±180°, at New Year and at
    /// midnight. A column that reads a missing number is 0; phases without a day do not need the time of day.
    ///
    /// TIGeR (Shatwell, Swetha and Shah, CVPR 2026, arXiv:2603.24749; no public code) is what asks for them: as its paper
    /// tells, place and time pass through random Fourier features of their own at deviations 2²ⁱ and join as tokens of a
    /// transformer. The joining is a network there and no encoding; to join them in the phase itself is ours, and
    /// nothing here could be compared with TIGeR's numbers.
    GeoTime {
        /// The phases; [`GeoTime::random`] draws them.
        phases: Vec<GeoTime>,
        /// Whether a validity column follows: place, date and time of day are known, as far as some phase reads them.
        validity: bool,
    },
    /// `table[source − first]`: one learned row for each whole number, and a learned vector where the number is missing or
    /// has no row (which also counts as refused). All are initially 0. Channel embeddings are such tables, of
    /// [`Source::Channel`].
    Table {
        /// The stem of its column names.
        name: &'static str,
        /// A whole number: [`Source::Year`], [`Source::DayOfYear`], [`Source::MonthIndex`], [`Source::IsoWeek`],
        /// [`Source::Hour`], [`Source::S2Cell`], a token's place, a coordinate token or [`Source::Given`], of which what
        /// lies below the point is cut off.
        source: Source,
        /// The number of the first row.
        first: u32,
        /// Rows of the table.
        rows: u32,
        /// Features.
        width: u32,
        /// Whether a validity column follows.
        validity: bool,
    },
    /// The calendar table of SkySense++ (github.com/kang-wu/SkySensePlusPlus at cb0c6b77): a learned row for each day of
    /// the year, initially 0. Upstream's table has 365 rows and indexes it by day − 1, so that day 366 lies past its end;
    /// ours has 366. Upstream gives a missing date row 0 (1 January) or, in the few-shot loader, the last row; here it has a
    /// vector of its own. Both of upstream's published configurations leave the table out.
    SkySenseCalendar {
        /// Features.
        width: u32,
    },
    /// Tessera's learned frequencies: `sin(2π f_j d/365 + φ_j)`, j = 0..count, then `cos(2π f_j d/365 + φ_(count + j))`, of
    /// day d; 0 where it is missing. Upstream maps them on by a linear layer ([`crate::linear`]). The arena holds f
    /// (turns a year, |f| < 1,024, initially a geometric row from 1 to 365), then φ (radians, initially 0). Phases are exact,
    /// so that only the sine is rounded; day 366 lies in the next turn.
    TesseraFrequencies {
        /// Days: [`Source::DayOfYear`], or [`Source::Given`] for days that no record holds.
        source: Source,
        /// Frequencies; two columns each.
        count: u32,
    },
    /// A coordinate token of TerraMind.
    TerraMindCoordinate(TerraMindCoordinate),
    /// A part of Galileo's encodings. Nothing is learned; a missing input makes the whole block 0.
    Galileo(Galileo),
    /// A part of Presto's encodings. Nothing is learned; a missing input makes the whole block 0.
    Presto(Presto),
    /// A part of Tessera's encodings. Nothing is learned; a missing input makes the whole block 0.
    Tessera(Tessera),
    /// Any list of waves; where an input is missing, it is 0. Nothing is learned.
    Waves {
        /// The stem of its column names.
        name: &'static str,
        /// The waves.
        waves: Waves,
        /// Whether a validity column follows.
        validity: bool,
    },
}

impl Block {
    /// The table of schemes.
    pub(super) fn scheme(&self) -> Box<dyn Scheme> {
        match self.clone() {
            Self::Place { degree } => Box::new(Place::ours(degree)),
            Self::Harmonics { degree, convention, validity } => {
                Box::new(Place::published(degree, convention, validity))
            }
            Self::Season => Box::new(Season),
            Self::Day => Box::new(Day),
            Self::Year => Box::new(Year),
            Self::Gsd => Box::new(Gsd),
            Self::Id { field, rows, width } => Box::new(Id { field, rows, width }),
            Self::ClayScalars { validity } => Box::new(ClayScalars { validity }),
            Self::Clay { encoding, validity } => clay::scheme(encoding, validity),
            Self::Prithvi { encoding, validity } => prithvi::scheme(encoding, validity),
            Self::TerraMind { encoding, validity } => terramind::scheme(encoding, validity),
            Self::Spatial { encoding, radii, validity } => torchspatial::scheme(encoding, radii, validity),
            Self::SatClip { encoding, validity } => satclip::scheme(encoding, validity),
            Self::Fourier { features, of, validity } => fourier::scheme(&features, of, validity),
            Self::GeoTime { phases, validity } => geotime::scheme(&phases, validity),
            Self::EqualEarth { validity } => {
                Published::checked("equal_earth", validity, Ok(fourier::equal_earth()))
            }
            Self::TimeAngles { validity } => {
                Published::checked("time_angles", validity, Ok(fourier::time_angles()))
            }
            Self::Table { name, source, first, rows, width, validity } => {
                Box::new(Table { name, source, first, rows, width, validity })
            }
            Self::SkySenseCalendar { width } => {
                let (name, source) = ("skysense_calendar", Source::DayOfYear);
                Box::new(Table { name, source, first: 1, rows: 366, width, validity: false })
            }
            Self::TesseraFrequencies { source, count } => Box::new(Frequencies { source, count }),
            Self::TerraMindCoordinate(coordinate) => Box::new(coordinate.table()),
            Self::Galileo(part) => Published::checked(part.name(), false, part.checked()),
            Self::Presto(part) => Published::checked(part.name(), false, part.checked()),
            Self::Tessera(part) => Published::checked(part.name(), false, part.checked()),
            Self::Waves { name, waves, validity } => {
                Box::new(Published { name, waves, validity, scale: None })
            }
        }
    }

    /// Whether its features come from the kernel of spherical harmonics.
    pub(super) fn is_harmonics(&self) -> bool {
        self.harmonics().is_some()
    }

    /// Its scheme, where it is one of spherical harmonics.
    pub(super) fn harmonics(&self) -> Option<Place> {
        match *self {
            Self::Place { degree } => Some(Place::ours(degree)),
            Self::Harmonics { degree, convention, validity } => {
                Some(Place::published(degree, convention, validity))
            }
            _ => None,
        }
    }

    /// The stem of its column names.
    pub fn name(&self) -> &'static str {
        self.scheme().name()
    }

    /// The fields that it reads, required or not.
    pub fn fields(&self) -> Fields {
        self.scheme().fields()
    }
}

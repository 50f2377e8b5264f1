//! TerraMind's coordinate tokens, and its fixed positions of tokens.

use super::prithvi::sinusoid;
use super::{Published, Table};
use crate::encode::Source;
use crate::encode::scheme::{Scheme, check_width};

/// One of the two coordinate tokens of TerraMind (github.com/IBM/terratorch at 85467a9f): a learned row for each quarter
/// of a degree, rounded half to even.
///
/// 0.25° is about 28 km: a move below 0.125° may change nothing. Upstream writes −180.00 and 180.00 as different words,
/// and so they have different rows here. Small negative angles are `-0.00` there, a word of its own; here they share
/// the row of 0.00 unless `strict`. Upstream's ids come from a stored vocabulary, which was never published in the code;
/// rows here count from −90° or −180° in steps of 0.25°. A published vocabulary is loaded by copying the row of each word to [`row`](Self::row).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerraMindCoordinate {
    /// Latitude (721 rows) or longitude (1441).
    pub axis: Coordinate,
    /// Columns.
    pub width: u32,
    /// Whether `-0.00` has a row of its own, the last: 722 or 1442 rows. Of an exact −0.0 only [`row`](Self::row) knows the
    /// sign: records hold angles as integers, so that on the device it is 0.00, where upstream writes `-0.00`. Every other
    /// angle from −0.125° to 0° keeps its sign there too.
    pub strict: bool,
}

/// Latitude or longitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a place has two coordinates")]
pub enum Coordinate {
    /// North of the equator.
    Lat,
    /// East of Greenwich.
    Lon,
}

impl Coordinate {
    fn quarters(self) -> u32 {
        match self {
            Self::Lat => 360,
            Self::Lon => 720,
        }
    }
}

impl TerraMindCoordinate {
    /// Rows of its table.
    pub fn rows(self) -> u32 {
        2 * self.axis.quarters() + 1 + u32::from(self.strict)
    }

    /// Row of an angle in degrees; none outside ±90° or ±180°.
    ///
    /// ```
    /// use gtca::encode::{Coordinate, TerraMindCoordinate};
    /// let strict = TerraMindCoordinate { axis: Coordinate::Lat, width: 8, strict: true };
    /// assert_eq!(strict.row(0.0), Some(360));
    /// assert_eq!(strict.row(0.375), Some(362)); // 0.50: ties go to the even quarter
    /// assert_eq!(strict.row(-0.1), Some(721)); // -0.00
    /// assert_eq!(TerraMindCoordinate { strict: false, ..strict }.row(-0.1), Some(360));
    /// assert_eq!(strict.row(90.5), None);
    /// ```
    pub fn row(self, degrees: f64) -> Option<u32> {
        let half = f64::from(self.axis.quarters());
        let quarters = (4.0 * degrees).round_ties_even();
        if self.strict && quarters == 0.0 && quarters.is_sign_negative() {
            return Some(self.rows() - 1);
        }
        (quarters.abs() <= half).then_some((quarters + half) as u32)
    }

    pub(in crate::encode) fn table(self) -> Table {
        let (name, source) = match (self.axis, self.strict) {
            (Coordinate::Lat, false) => ("terramind_lat", Source::LatToken),
            (Coordinate::Lat, true) => ("terramind_lat", Source::LatTokenStrict),
            (Coordinate::Lon, false) => ("terramind_lon", Source::LonToken),
            (Coordinate::Lon, true) => ("terramind_lon", Source::LonTokenStrict),
        };
        Table { name, source, first: 0, rows: self.rows(), width: self.width, validity: false }
    }
}

/// The words that TerraMind's tokeniser reads, latitude first, with `-0.00` where upstream writes it.
///
/// ```
/// assert_eq!(gtca::encode::terramind_text(47.376, -0.1), "lat=47.50 lon=-0.00");
/// ```
pub fn terramind_text(lat_deg: f64, lon_deg: f64) -> String {
    let [lat, lon] = [lat_deg, lon_deg].map(|degrees| (4.0 * degrees).round_ties_even() / 4.0);
    format!("lat={lat:.2} lon={lon:.2}")
}
/// Position encodings of TerraMind (Jakubik et al., ICCV 2025).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TerraMind {
    /// `PE(D, position)` of a sequence's tokens.
    Sequence {
        /// D, even.
        width: u32,
    },
    /// `[PE(D/2, row) | PE(D/2, column)]` of an image's tokens. Upstream takes token k of an H × W grid to lie at row
    /// ⌊k/H⌋, column k mod H: give the grid's row axis W steps of H tokens, its column axis H steps of one. The same as
    /// row and column only where H = W.
    Image {
        /// D, a multiple of 4.
        width: u32,
    },
}

pub(in crate::encode) fn scheme(terramind: TerraMind, validity: bool) -> Box<dyn Scheme> {
    const BASE: f64 = 1e4;
    let (name, waves) = match terramind {
        TerraMind::Sequence { width } => {
            let waves = || sinusoid(width, Source::Position, BASE, 1.0);
            ("terramind_sequence", check_width(width, 2).map(|()| waves()))
        }
        TerraMind::Image { width } => {
            let half = |source| sinusoid(width / 2, source, BASE, 1.0);
            let waves = || half(Source::Row).then(half(Source::Column));
            ("terramind_image", check_width(width, 4).map(|()| waves()))
        }
    };
    Published::checked(name, validity, waves)
}
